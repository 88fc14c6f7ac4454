//! The built-in routes. They are rules like any other: the same route table matches them, and the same checks apply.
//!
//! A route exists only if its feature is enabled. Otherwise its path belongs to upstream. All paths except the
//! well-known ones begin with a prefix that the operator chooses: `ENDPOINTS`, or `PAGES` for the pages. [`ROUTES`] has
//! the default prefixes.

use std::time::Duration;

use serde_json::Value;

use super::{idempotency, parse::Variables, rules::is_routes};
use crate::{
    accounts::pages::{self, CONSOLE, Pages},
    http::path::CanonicalPath,
    routing::{
        built_in::{self, BrowserUse, BuiltInRoute, Endpoint, ROUTES, Requirement},
        rule::{self, Access, Audit, Destination, Rule},
    },
    sessions::settings::{Check, Login},
};

/// The settings that decide which built-in routes exist, and their paths.
#[derive(Clone, Copy)]
pub(super) struct BuiltInSettings {
    pub(super) prefix: &'static str,
    pub(super) pages: Option<Pages>,
    pub(super) check: Option<Check>,
    pub(super) login_by: Option<Login>,
    /// The maximum time since the user authenticated, for sensitive routes.
    pub(super) recent_admin: Option<Duration>,
    pub(super) has_logout_tokens: bool,
    /// A route needs the store of its feature, and a configuration that uses the feature.
    pub(super) bound: BoundStores,
    pub(super) used: UsedFeatures,
}

/// The stores that have a binding: Durable Objects, and the KV namespace with the feature flags.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "one for each store")]
pub(super) struct BoundStores {
    pub(super) ledger: bool,
    pub(super) inbox: bool,
    pub(super) checkouts: bool,
    pub(super) confirmations: bool,
    pub(super) audit: bool,
    pub(super) metrics: bool,
    pub(super) kv: bool,
}

/// The features that the configuration uses.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each feature")]
pub(super) struct UsedFeatures {
    /// Idempotency keys of requests, or deduplication keys of webhooks.
    idempotency: bool,
    inbox: bool,
    checkouts: bool,
    approvals: bool,
    feature_gates: bool,
    tokens: bool,
}

impl UsedFeatures {
    /// Finds the features in variables that are not parsed yet. An invalid value does no harm here: the parser rejects
    /// such a configuration as a whole.
    pub(super) fn detect(variables: &Variables, has_tokens: bool) -> Self {
        let mut used = Self { tokens: has_tokens, ..Self::default() };
        for (name, value) in variables {
            for item in value.as_array().into_iter().flatten() {
                match name.as_str() {
                    "WEBHOOKS" => used.add_webhook(item),
                    "CHECKOUT_PROVIDERS" => used.checkouts = true,
                    name if is_routes(name) => used.add_rule(item),
                    _ => {}
                }
            }
        }
        used
    }

    fn add_webhook(&mut self, webhook: &Value) {
        self.idempotency = true;
        self.inbox |= webhook.get("delivery").is_some_and(|delivery| delivery == "inbox");
    }

    fn add_rule(&mut self, rule: &Value) {
        for member in rule.as_object().into_iter().flat_map(|members| members.keys()) {
            match member.as_str() {
                "idempotency" => self.idempotency = true,
                "checkout" => self.checkouts = true,
                "confirm" => self.approvals = true,
                "feature" => self.feature_gates = true,
                _ => {}
            }
        }
    }
}

impl BuiltInSettings {
    /// Returns a value that enables every feature but the pages, below a prefix.
    pub(super) const fn all(prefix: &'static str) -> Self {
        Self {
            prefix,
            pages: None,
            check: None,
            login_by: Some(Login::Accounts),
            recent_admin: None,
            has_logout_tokens: true,
            bound: BoundStores {
                ledger: true,
                inbox: true,
                checkouts: true,
                confirmations: true,
                audit: true,
                metrics: true,
                kv: true,
            },
            used: UsedFeatures {
                idempotency: true,
                inbox: true,
                checkouts: true,
                approvals: true,
                feature_gates: true,
                tokens: true,
            },
        }
    }

    /// Returns the path of a built-in route, with the configured prefix.
    fn path(self, route: &BuiltInRoute) -> String {
        let path = route.path;
        let prefixes = [
            (DEFAULT_PREFIX, self.prefix),
            (DEFAULT_PAGES_PREFIX, self.pages.map_or(DEFAULT_PAGES_PREFIX, |pages| pages.prefix)),
        ];
        let moved =
            prefixes.iter().find_map(|(default, to)| Some(format!("{to}{}", path.strip_prefix(default)?)));
        moved.unwrap_or_else(|| path.to_owned())
    }

    /// Returns whether a rule requires approvals, and they can be given.
    pub(super) fn has_approvals(self) -> bool {
        self.login_by == Some(Login::Accounts) && self.bound.confirmations && self.used.approvals
    }

    /// Returns whether a pattern is under the prefix of the pages.
    pub(super) fn is_page(self, pattern: &str) -> bool {
        let rest = self.pages.and_then(|pages| pattern.strip_prefix(pages.prefix));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Parses the prefix of the built-in routes. The text is leaked: the configuration lives as long as the isolate.
pub(super) fn parse_prefix(text: &str) -> Option<&'static str> {
    let is_allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~')
    };
    let is_canonical = CanonicalPath::parse(text).is_ok_and(|path| path.as_str() == text);
    let is_valid =
        is_canonical && text.bytes().all(is_allowed) && !text.contains("//") && !text.ends_with('/');
    is_valid.then(|| &*text.to_owned().leak())
}

/// Returns whether a pattern is the path of an enabled built-in route.
pub(super) fn is_built_in(settings: BuiltInSettings, pattern: &str) -> bool {
    enabled_routes(settings).into_iter().any(|route| settings.path(route) == pattern)
}

/// Lists the paths of built-in routes to which the gateway must not redirect a browser: all except pages.
pub(super) fn forbidden_return_paths(settings: BuiltInSettings) -> Vec<String> {
    let routes = enabled_routes(settings);
    let is_page =
        |path: &str| routes.iter().any(|route| route.path == path && route.browser_use == BrowserUse::Page);
    let mut paths: Vec<String> =
        routes.iter().filter(|route| !is_page(route.path)).map(|route| settings.path(route)).collect();
    paths.dedup();
    let steps = pages::NAMES.iter().filter(|name| !pages::RETURN_PAGES.contains(name));
    let pages = settings.pages.into_iter().flat_map(|pages| steps.clone().map(move |name| pages.path(name)));
    paths.extend(pages);
    paths
}

/// Adds the enabled built-in routes to the route table.
pub(super) fn add_built_in_routes(
    table: &mut rule::Table,
    settings: BuiltInSettings,
) -> Result<(), rule::RuleError> {
    let mut routes = enabled_routes(settings).into_iter().peekable();
    while let Some(route) = routes.next() {
        let path = settings.path(route);
        let mut rule = Rule::new(&path, route.access, Destination::Endpoint(route));
        rule.methods = vec![route.method.to_owned()];
        rule.operation = Some(route.operation.to_owned());
        if settings.bound.audit && route.changes_state {
            rule.audit = Audit::BestEffort;
        }
        rule.recent = settings.recent_admin.filter(|_| route.is_sensitive());
        rule.stream_check = (route.endpoint == Endpoint::TailDecisions).then_some(TAIL_CHECK);
        rule.idempotency = route.creates.then_some(idempotency::BUILT_IN).filter(|_| settings.bound.ledger);
        table.add(rule)?;
        if routes.peek().is_none_or(|next| next.path != route.path) {
            let wrong_method = Destination::WrongMethod(built_in::allowed_methods(route.path));
            table.add(Rule::new(&path, Access::Public, wrong_method))?;
        }
    }
    if let Some(pages) = settings.pages {
        for (path, access, operation) in [
            (pages.prefix.to_owned(), Access::Public, "vestibule.pages.read"),
            (format!("{}/{{*page}}", pages.prefix), Access::Public, "vestibule.pages.read"),
            (pages.path(CONSOLE), Access::AdminInPerson, "vestibule.console.read"),
        ] {
            let mut rule = Rule::new(&path, access, Destination::Pages);
            rule.methods = vec!["GET".to_owned()];
            rule.operation = Some(operation.to_owned());
            table.add(rule)?;
            table.add(Rule::new(&path, Access::Public, Destination::WrongMethod("GET, HEAD")))?;
        }
    }
    Ok(())
}

/// Returns the names of the enabled features, for the pages.
pub(super) fn enabled_features(settings: BuiltInSettings) -> Vec<&'static str> {
    let mut names: Vec<_> =
        enabled_routes(settings).into_iter().filter_map(|route| route.requires.feature()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn enabled_routes(settings: BuiltInSettings) -> Vec<&'static BuiltInRoute> {
    let has_registry = settings.check != Some(Check::Token);
    let has_accounts = settings.login_by == Some(Login::Accounts);
    let BuiltInSettings { bound, used, .. } = settings;
    let exists = |route: &&BuiltInRoute| match route.requires {
        Requirement::Nothing => true,
        Requirement::Registry => has_registry,
        Requirement::Ledger => has_registry && bound.ledger && used.idempotency,
        Requirement::Inbox => has_registry && bound.inbox && used.inbox,
        Requirement::Checkouts => bound.checkouts && used.checkouts,
        Requirement::Accounts => has_accounts,
        Requirement::Pages => settings.pages.is_some(),
        Requirement::Tokens => has_accounts && used.tokens,
        Requirement::Approvals => settings.has_approvals(),
        Requirement::Flags => has_registry && bound.kv && used.feature_gates,
        Requirement::LogoutTokens => has_registry && settings.has_logout_tokens,
        Requirement::Metrics => has_registry && bound.metrics,
        Requirement::Audit => has_registry && bound.audit,
    };
    ROUTES.iter().filter(exists).collect()
}

/// Default prefix of the built-in routes, with which [`ROUTES`] is written.
pub(super) const DEFAULT_PREFIX: &str = "/api";

/// The time between two checks of who watches the live tail.
const TAIL_CHECK: Duration = Duration::from_secs(10);

/// Default prefix of the pages, with which [`ROUTES`] is written.
const DEFAULT_PAGES_PREFIX: &str = "/_vestibule";
