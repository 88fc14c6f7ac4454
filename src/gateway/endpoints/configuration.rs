//! `GET /api/routes` and `GET /api/config`: what the gateway runs with, for admins.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    config::Config,
    http::reply::Reply,
    identity::call::json,
    routing::{
        report::ReportedSteps,
        rule::{Audit, Confirm, Csrf, Destination, Rule},
    },
    tokens::catalogue,
};

/// Lists the rules of the route table, in its order, and the warnings about the configuration.
pub(super) fn routes(config: &Config) -> Reply {
    let rules = config.rules.rules().iter();
    let shown = rules.filter(|rule| !matches!(rule.destination, Destination::WrongMethod(_)));
    let rules = shown.map(|rule| RuleView::of(rule, config)).collect();
    json(200, &RoutesView { rules, warnings: config.warnings() })
}

/// Returns the configuration without secrets, and the mistakes with which the gateway runs nevertheless.
pub(super) fn settings(config: &Config, version: &'static str) -> Reply {
    let mistakes = config.entry_errors.iter().map(ToString::to_string).collect();
    let shown = &config.shown;
    let (settings, defaults) = (&shown.settings, &shown.defaults);
    json(200, &ConfigView { settings, defaults, mistakes, warnings: config.warnings(), version })
}

#[derive(Serialize)]
struct RoutesView<'a> {
    rules: Vec<RuleView<'a>>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct RuleView<'a> {
    /// Empty: any method.
    methods: &'a [String],
    path: &'a str,
    access: &'static str,
    operation: Option<&'a str>,
    /// `upstream`, `webhook`, `endpoint`, `page` or `internal`.
    destination: &'static str,
    /// `configured` or `built_in`.
    source: &'static str,
    /// The checks besides access, in the order of the steps.
    guards: Vec<String>,
    /// Whether some refusals are only reported.
    report: bool,
}

impl<'a> RuleView<'a> {
    fn of(rule: &'a Rule, config: &'a Config) -> Self {
        let destination = match rule.destination {
            Destination::Upstream if rule.webhook.is_some() => "webhook",
            Destination::Upstream => "upstream",
            Destination::Endpoint(_) | Destination::WrongMethod(_) => "endpoint",
            Destination::Pages => "page",
            Destination::InternalOnly => "internal",
        };
        let is_built_in = matches!(destination, "endpoint" | "page");
        Self {
            methods: &rule.methods,
            path: &rule.path,
            access: catalogue::name_of(rule.access),
            operation: rule.operation.as_deref(),
            destination,
            source: if is_built_in { "built_in" } else { "configured" },
            guards: guards(rule, config),
            report: rule.reported_steps() != ReportedSteps::NONE,
        }
    }
}

/// Names the checks of a rule besides its access.
fn guards(rule: &Rule, config: &Config) -> Vec<String> {
    let webhook = rule.webhook.and_then(|at| config.webhooks.get(at));
    let limit = rule.limit.and_then(|at| config.limits.get(at));
    let named = |kind: &str, name: &str| format!("{kind} {name}");
    let plain = |is_there: bool, name: &str| is_there.then(|| name.to_owned());
    [
        webhook.map(|webhook| named("webhook", &webhook.name)),
        limit.map(|limit| named("limit", limit.rate.name)),
        plain(rule.csrf == Csrf::Strict, "csrf strict"),
        plain(rule.recent.is_some(), "recent"),
        plain(rule.return_field.is_some(), "return_field"),
        plain(rule.bot_check.is_some(), "bot_check"),
        rule.feature.as_deref().map(|name| named("feature", name)),
        rule.policy.as_deref().map(|name| named("policy", name)),
        plain(rule.confirm == Confirm::Human, "confirm"),
        match rule.audit {
            Audit::Off => None,
            Audit::BestEffort => Some("audit".to_owned()),
            Audit::Required => Some("audit required".to_owned()),
        },
        plain(rule.idempotency.is_some(), "idempotency"),
        plain(rule.checkout.is_some(), "checkout"),
        plain(rule.stream_check.is_some(), "stream_check"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[derive(Serialize)]
struct ConfigView<'a> {
    settings: &'a Map<String, Value>,
    defaults: &'a Map<String, Value>,
    mistakes: Vec<String>,
    warnings: Vec<String>,
    version: &'static str,
}
