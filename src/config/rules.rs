//! Builds the route table from `ROUTES`, the built-in routes and the login page.

use std::{ops::RangeInclusive, time::Duration};

use serde_json::Value;

use super::{
    approvals, audit,
    built_in::{self, BuiltInSettings},
    catalogue, checkouts,
    guards::{self, AvailableGuards},
    idempotency,
    mistake::Mistakes,
    parse::ParseContext,
    reader::{Table, expected},
    report,
    schema::RULE,
    slashes,
};
use crate::{
    base::sorting::sorted,
    checkouts::settings::ConfirmingEvent,
    guards::limits::Limit,
    http::request::SUPPORTED_METHODS,
    routing::{
        owner::OwnerFrom,
        report::Mode,
        rule::{self, Access, Csrf, Destination, Redirects, Rule, RuleError, Unauthenticated},
    },
    sessions::settings::{Check, Login},
};

/// What the parsers of all rules share.
pub(super) struct RuleContext<'a> {
    /// `SESSION.login_path`, or `None` if it is invalid.
    pub(super) login_path: Option<&'a str>,
    pub(super) built_in_settings: BuiltInSettings,
    pub(super) available_guards: AvailableGuards,
    /// `MODE`.
    pub(super) mode: Mode,
    /// The limits that rules may name.
    pub(super) limits: &'a [Limit],
    /// The events that confirm checkouts.
    pub(super) confirming_events: &'a [ConfirmingEvent],
}

/// A rule that does not come from `ROUTES`.
pub(super) struct ExtraRule {
    /// The configuration path of the setting that needs the rule.
    pub(super) location: String,
    pub(super) rule: Rule,
}

/// Builds the route table.
pub(super) fn parse(
    context: &ParseContext<'_>,
    rule_context: &RuleContext<'_>,
    extra_rules: Vec<ExtraRule>,
) -> Option<rule::Table> {
    let ParseContext { variables, mistakes, .. } = *context;
    let RuleContext { login_path, built_in_settings, mode, .. } = *rule_context;
    let to_upstream = |path: &str, access| Rule {
        reports: report::of_deployment(mode),
        ..Rule::new(path, access, Destination::Upstream)
    };
    let mut table = rule::Table::new(to_upstream("(no rule)", Access::Authenticated));
    // The built-in routes never tie with each other: the tests check that.
    built_in::add_built_in_routes(&mut table, built_in_settings).ok()?;
    let names: Vec<&String> = sorted(variables.keys().filter(|name| is_routes(name)).collect());
    let mut slash_rules = Vec::new();
    for name in names {
        let Some(value) = variables.get(name) else { continue };
        let Some(entries) = value.as_array() else {
            mistakes.report(name.as_str(), expected("a list of rules", value));
            continue;
        };
        for (index, entry) in entries.iter().enumerate() {
            let (location, rule_index) = (format!("{name}[{index}]"), table.rules().len());
            let mistakes_before = mistakes.count();
            add_rule(&mut table, &location, entry, rule_context, mistakes);
            if let Some(path) = entry.get("path").and_then(Value::as_str) {
                mistakes.name_rule(mistakes_before, path);
            }
            if table.rules().get(rule_index).is_some_and(|rule| rule.encoded_slashes) {
                slash_rules.push((location, rule_index));
            }
        }
    }
    for ExtraRule { location, rule } in extra_rules {
        if let Err(message) = add(&mut table, rule, built_in_settings) {
            mistakes.report(location, message);
        }
    }
    let login_path = login_path?;
    if !built_in_settings.is_page(login_path) && table.exact("GET", login_path).is_none() {
        let mut page = to_upstream(login_path, Access::Public);
        page.methods = vec!["GET".to_owned()];
        table.add(page).ok()?;
    }
    slashes::check(&table, &slash_rules, mistakes);
    Some(table)
}

#[expect(clippy::too_many_lines, reason = "one list of members")]
fn add_rule(
    table: &mut rule::Table,
    location: &str,
    entry: &Value,
    context: &RuleContext<'_>,
    mistakes: &Mistakes,
) {
    let RuleContext { login_path, built_in_settings, available_guards, limits, mode, .. } = *context;
    let BuiltInSettings { check, login_by, bound, .. } = built_in_settings;
    let members = Table::open(location, Some(entry), RULE, mistakes);
    if !entry.is_object() {
        return;
    }
    members.require_members();
    let path = members.text("path");
    let access = members.choice("access", ACCESS);
    let methods = members.list("methods", method);
    if members.value("methods").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        members.report(
            "methods",
            "expected at least one method: an empty list never matches (remove methods to match all)",
        );
    }
    let strict = members.choice("csrf", &[("strict", Csrf::Strict)]);
    let csrf = match (members.flag("insecure_skip_csrf"), strict) {
        (true, Some(_)) => {
            members.report("insecure_skip_csrf", "not allowed with csrf = \"strict\"");
            return;
        }
        (true, None) => Csrf::InsecureSkip,
        (false, strict) => strict.unwrap_or(Csrf::Standard),
    };
    let unauthenticated = members.choice("unauthenticated", UNAUTHENTICATED);
    let timeout = members.duration_within("timeout", TIMEOUT, "expected a duration from 1s to 10m");
    let operation =
        members.parse_shape("operation", |text| rule::is_operation(text).then(|| text.to_owned()));
    let idempotency = idempotency::parse(&members, &methods, bound.ledger);
    let limit = members.parse("limit", |text| {
        let found = limits.iter().position(|limit| limit.rate.name == text);
        found.ok_or_else(|| format!("expected the name of a limit in RATE_LIMITS, found {text:?}"))
    });
    let checkout = checkouts::parse_for_rule(&members, context, idempotency.as_ref(), mistakes);
    let redirects = members.choice("redirects", &[("strict", Redirects::Strict)]);
    let signs_in = signs_in(&members, &methods);
    let guards = guards::parse_for_rule(&members, available_guards);
    let confirm = approvals::parse_for_rule(&members, access, bound.confirmations);
    let audit = audit::parse_for_rule(&members, bound.audit, check);
    let listed = catalogue::parse_for_rule(&members, mistakes);
    let return_field = members.parse_shape("return_field", return_field);
    let body_readers = ["idempotency", "confirm", "bot_check", "return_field"];
    if members.has("body_limit") && !body_readers.iter().any(|name| members.has(name)) {
        members.report("body_limit", "requires idempotency, confirm, bot_check or return_field");
    }
    let body_limit = members.bytes("body_limit");
    let (Some(path), Some(access), Some(timeout)) = (path, access, timeout) else { return };
    let Some(body_limit) = body_limit else { return };
    let serves_pages = methods.is_empty() || methods.iter().any(|method| method == "GET" || method == "HEAD");
    if login_path == Some(path.as_str())
        && serves_pages
        && !matches!(access, Access::Public | Access::Optional)
    {
        members.report(
            "access",
            "expected \"public\" or \"optional\": otherwise the login page redirects to itself",
        );
    }
    if access == Access::Agent && login_by.is_some_and(|login| login != Login::Accounts) {
        members.report(
            "access",
            "\"agent\" requires SESSION.login = \"accounts\": without it there are no tokens",
        );
    }
    if members.has("unauthenticated") && !access.requires_principal() {
        members.report(
            "unauthenticated",
            "requires an access that needs a credential: this access refuses no request without one",
        );
    }
    let recent = recent(&members, access, check);
    let stream_check = stream_check(&members, access, check);
    if access == Access::Admin && check == Some(Check::Token) {
        members.report("access", "\"admin\" requires SESSION.check = \"registry\": a session token contains no role, so every request would be refused");
    }
    let owner_from = members.parse("owner_from", |text| OwnerFrom::parse(text, &path));
    match (access == Access::Owner, members.has("owner_from")) {
        (true, false) => members.report(
            "owner_from",
            "required with access = \"owner\": Vestibule asks upstream there for the owner",
        ),
        (false, true) => members.report("owner_from", "requires access = \"owner\""),
        _ => {}
    }
    let reports = report::parse_for_rule(&members, limit.and_then(|at| limits.get(at)), mode);
    let encoded_slashes = slashes::parse_for_rule(&members, &path, owner_from.as_ref());
    let rule = Rule {
        methods,
        operation,
        recent,
        stream_check,
        unauthenticated: unauthenticated.unwrap_or(Unauthenticated::Standard),
        owner_from,
        csrf,
        timeout,
        redirects: redirects.unwrap_or(Redirects::Standard),
        return_field,
        limit,
        idempotency,
        body_limit,
        bot_check: guards.bot_check,
        feature: guards.feature,
        policy: guards.policy,
        confirm,
        audit,
        reports,
        encoded_slashes,
        catalogue: listed,
        login: signs_in,
        checkout,
        ..Rule::new(&path, access, Destination::Upstream)
    };
    if let Err(message) = add(table, rule, built_in_settings) {
        members.report("path", message);
    }
}

/// Parses `recent`: the maximum time since the user authenticated.
fn recent(members: &Table<'_>, access: Access, check: Option<Check>) -> Option<Duration> {
    let recent = members.duration_within("recent", RECENT, "expected a duration from 1m to 30d")?;
    if check == Some(Check::Token) {
        members.report(
            "recent",
            "requires SESSION.check = \"registry\": the registry stores when users authenticated",
        );
    }
    if !access.requires_principal() || access == Access::Agent {
        members.report("recent", "requires an access for users: only a session can be recent");
    }
    Some(recent)
}

/// Parses `stream_check`: the time between two checks of the client of an open stream.
fn stream_check(members: &Table<'_>, access: Access, check: Option<Check>) -> Option<Duration> {
    let every = members.duration_within("stream_check", STREAM_CHECK, "expected a duration from 1s to 1h")?;
    if check == Some(Check::Token) {
        members.report(
            "stream_check",
            "requires SESSION.check = \"registry\": a session that only its token proves cannot be ended",
        );
    }
    if access == Access::Public {
        members.report(
            "stream_check",
            "requires an access other than \"public\": a public rule identifies nobody, so nobody can be checked again",
        );
    }
    Some(every)
}

/// Parses `login`: whether upstream's response may sign a user in, if `SESSION.login` is `"upstream"`.
fn signs_in(members: &Table<'_>, methods: &[String]) -> bool {
    let signs_in = members.flag("login");
    if signs_in && methods.is_empty() {
        members.report("methods", "required with login = true: list the methods that sign users in");
    }
    signs_in
}

/// Adds a rule to the table. Returns an error message if its path is a built-in route, its pattern is invalid, or it
/// ties with another rule.
fn add(table: &mut rule::Table, rule: Rule, built_in_settings: BuiltInSettings) -> Result<(), String> {
    if built_in::is_built_in(built_in_settings, &rule.path) {
        let message = "expected a path that is not an endpoint of Vestibule: choose another path, or move the endpoints with ENDPOINTS";
        return Err(message.to_owned());
    }
    if built_in_settings.is_page(&rule.path) {
        return Err("expected a path outside of the pages of Vestibule: choose another path, or move the pages with PAGES".to_owned());
    }
    table.add(rule).map_err(|error| match error {
        RuleError::Pattern(mistake) => mistake,
        RuleError::Tie(other, method) => {
            let under = method.map(|method| format!(" under {method}")).unwrap_or_default();
            format!(
                "conflicts with the rule for {other:?}{under}: both match the same requests, so remove one or give them different methods"
            )
        }
    })
}

pub(super) fn is_routes(name: &str) -> bool {
    name == "ROUTES" || name.starts_with("ROUTES_")
}

fn method(text: &str) -> Result<String, String> {
    if SUPPORTED_METHODS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "expected a method that the platform supports, in upper case, found {text:?}: this rule can never match"
    ))
}

fn return_field(text: &str) -> Option<&'static str> {
    let is_valid = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
    // Leaked: the configuration lives as long as the isolate.
    is_valid.then(|| &*text.to_owned().leak())
}

const ACCESS: &[(&str, Access)] = &[
    ("public", Access::Public),
    ("optional", Access::Optional),
    ("authenticated", Access::Authenticated),
    ("user", Access::User),
    ("human", Access::Human),
    ("agent", Access::Agent),
    ("admin", Access::Admin),
    ("owner", Access::Owner),
];

const UNAUTHENTICATED: &[(&str, Unauthenticated)] =
    &[("redirect", Unauthenticated::Redirect), ("401", Unauthenticated::Refuse)];

/// Allowed times since an authentication.
pub(super) const RECENT: RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(30 * 24);

/// Allowed times between two checks of an open stream.
const STREAM_CHECK: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);

/// Allowed timeouts of upstream.
pub(super) const TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(10);
