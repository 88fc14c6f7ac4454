//! Builds the route table from `ROUTES`, the built-in routes and the login page.

use std::{ops::RangeInclusive, time::Duration};

use serde_json::Value;

use super::{
    catalogue, checkouts,
    guards::{self, Backends},
    idempotency,
    own::{self, Features},
    parse::Variables,
    reader::{Mistakes, Table, expected},
    schema::RULE,
    slashes,
};
use crate::{
    base::sorting::sorted,
    checkouts::settings::ConfirmingEvent,
    guards::limits::Limit,
    routing::{
        owner::OwnerFrom,
        rule::{self, Access, Csrf, Destination, Redirects, Rule, RuleError, Unauthenticated},
    },
    sessions::settings::{Check, Login},
};

pub(super) fn parse(
    variables: &Variables,
    login_path: Option<&str>,
    features: Features,
    (limits, confirmations, backends): (&[Limit], &[ConfirmingEvent], Backends),
    extra_rules: Vec<(String, Rule)>,
    mistakes: &Mistakes,
) -> Option<rule::Table> {
    let mut table = rule::Table::new(Rule::new("(no rule)", Access::Authenticated, Destination::Upstream));
    // The built-in routes never tie with each other: the tests check that.
    own::add_built_in_routes(&mut table, features).ok()?;
    let names: Vec<&String> = sorted(variables.keys().filter(|name| is_routes(name)).collect());
    let mut slash_rules = Vec::new();
    for name in names {
        let Some(value) = variables.get(name) else { continue };
        let Some(entries) = value.as_array() else {
            mistakes.note(name.as_str(), expected("list of rules", value));
            continue;
        };
        for (index, entry) in entries.iter().enumerate() {
            let (location, rule_index) = (format!("{name}[{index}]"), table.rules().len());
            let mistakes_before = mistakes.count();
            add_rule(
                &mut table,
                (&location, entry),
                (login_path, features, limits, confirmations, backends),
                mistakes,
            );
            if let Some(path) = entry.get("path").and_then(Value::as_str) {
                mistakes.name_rule(mistakes_before, path);
            }
            if table.rules().get(rule_index).is_some_and(|rule| rule.encoded_slashes) {
                slash_rules.push((location, rule_index));
            }
        }
    }
    for (location, rule) in extra_rules {
        if let Err(message) = add(&mut table, rule, features) {
            mistakes.note(location, message);
        }
    }
    let login_path = login_path?;
    if table.exact("GET", login_path).is_none() {
        let mut page = Rule::new(login_path, Access::Public, Destination::Upstream);
        page.methods = vec!["GET".to_owned()];
        table.add(page).ok()?;
    }
    slashes::check(&table, &slash_rules, mistakes);
    Some(table)
}

#[expect(clippy::too_many_lines, reason = "one list of members")]
fn add_rule(
    table: &mut rule::Table,
    (location, entry): (&str, &Value),
    (login_path, features, limits, confirmations, backends): (
        Option<&str>,
        Features,
        &[Limit],
        &[ConfirmingEvent],
        Backends,
    ),
    mistakes: &Mistakes,
) {
    let Features { check, login_by, has_ledger, .. } = features;
    let members = Table::open(location, Some(entry), RULE, mistakes);
    if !entry.is_object() {
        return;
    }
    members.require(&["path", "access"]);
    let path = members.text("path");
    let access = members.choice("access", ACCESS);
    let methods = members.list("methods", method);
    if members.value("methods").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        members.note(
            "methods",
            "expected at least one method, or no such member for any: this rule can never match",
        );
    }
    let strict = members.choice("csrf", &[("strict", Csrf::Strict)]);
    let csrf = match (members.flag("insecure_skip_csrf"), strict) {
        (true, Some(_)) => {
            members.note("insecure_skip_csrf", "expected nothing beside csrf = \"strict\"");
            return;
        }
        (true, None) => Csrf::InsecureSkip,
        (false, strict) => strict.unwrap_or(Csrf::Standard),
    };
    let unauthenticated = members.choice("unauthenticated", UNAUTHENTICATED);
    let timeout = members.duration_within("timeout", TIMEOUT, "expected from 1s to 10m");
    let operation = members.parse_shape("operation", operation);
    let idempotency = idempotency::parse(&members, &methods, has_ledger);
    let limit = members.parse("limit", |text| {
        let found = limits.iter().position(|limit| limit.rate.name == text);
        found.ok_or_else(|| format!("expected the name of one of RATE_LIMITS, found {text:?}"))
    });
    let checkout = checkouts::parse_for_rule(
        &members,
        (idempotency.as_ref(), features.has_checkouts, confirmations),
        mistakes,
    );
    let redirects = members.choice("redirects", &[("strict", Redirects::Strict)]);
    let signs_in = signs_in(&members, &methods);
    let guards = guards::parse_for_rule(&members, access, (features, backends));
    let listed = catalogue::parse_for_rule(&members, mistakes);
    let return_field = members.parse_shape("return_field", return_field);
    let body_readers = ["idempotency", "confirm", "bot_check", "return_field"];
    if members.has("body_limit") && !body_readers.iter().any(|name| members.has(name)) {
        members.note(
            "body_limit",
            "expected beside idempotency, confirm, bot_check or return_field, and only there",
        );
    }
    let body_limit = members.bytes("body_limit");
    let (Some(path), Some(access), Some(timeout)) = (path, access, timeout) else { return };
    let Some(body_limit) = body_limit else { return };
    let serves_pages = methods.is_empty() || methods.iter().any(|method| method == "GET" || method == "HEAD");
    if login_path == Some(path.as_str())
        && serves_pages
        && !matches!(access, Access::Public | Access::Optional)
    {
        members.note("access", "expected public: the login page would redirect to itself");
    }
    if access == Access::Agent && login_by.is_some_and(|login| login != Login::Accounts) {
        members.note(
            "access",
            "expected SESSION.login = \"accounts\" beside \"agent\": without it there are no tokens",
        );
    }
    if members.has("unauthenticated") && !access.is_guarded() {
        members.note(
            "unauthenticated",
            "expected beside an access that needs a credential: under this one no request is refused for lacking one",
        );
    }
    if access == Access::Admin && check == Some(Check::Token) {
        members.note("access", "expected SESSION.check = \"registry\" beside \"admin\": a token alone tells no role, so nobody would ever come in");
    }
    let owner_from = members.parse("owner_from", |text| OwnerFrom::parse(text, &path));
    if (access == Access::Owner) != members.has("owner_from") {
        members.note(
            "owner_from",
            "expected beside access = \"owner\", and only there: upstream is asked there whose it is",
        );
    }
    let encoded_slashes = slashes::parse_for_rule(&members, &path, owner_from.as_ref());
    let rule = Rule {
        methods,
        operation,
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
        confirm: guards.confirm,
        audit: guards.audit,
        encoded_slashes,
        catalogue: listed,
        login: signs_in,
        checkout,
        ..Rule::new(&path, access, Destination::Upstream)
    };
    if let Err(message) = add(table, rule, features) {
        members.note("path", message);
    }
}

/// Parses `login`: whether upstream's response may sign a user in, if `SESSION.login` is `"upstream"`.
fn signs_in(members: &Table<'_>, methods: &[String]) -> bool {
    let signs_in = members.flag("login");
    if signs_in && methods.is_empty() {
        members.note("methods", "expected the methods that sign in, beside login = true");
    }
    signs_in
}

/// Adds a rule to the table. Returns an error message if its path is a built-in route, its pattern is invalid, or it
/// ties with another rule.
fn add(table: &mut rule::Table, rule: Rule, features: Features) -> Result<(), String> {
    if own::is_built_in(features, &rule.path) {
        let message = "expected a path that is not an endpoint of Vestibule's own: ENDPOINTS moves those";
        return Err(message.to_owned());
    }
    table.add(rule).map_err(|error| match error {
        RuleError::Pattern(mistake) => mistake,
        RuleError::Tie(other, method) => {
            let under = method.map(|method| format!(" under {method}")).unwrap_or_default();
            format!(
                "ties with the rule for {other:?}{under}: both fit the same requests, so remove one or give them different methods"
            )
        }
    })
}

pub(super) fn is_routes(name: &str) -> bool {
    name == "ROUTES" || name.starts_with("ROUTES_")
}

fn method(text: &str) -> Result<String, String> {
    if METHODS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "expected a method that the platform lets through, in upper case, found {text:?}: this rule can never match"
    ))
}

fn operation(text: &str) -> Option<String> {
    let is_valid_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    (text.len() <= 64 && text.split('.').all(is_valid_part)).then(|| text.to_owned())
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

/// Methods that workerd accepts (it answers 501 to others) and that the Fetch standard does not forbid.
const METHODS: &[&str] = &[
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "PURGE",
    "COPY",
    "LOCK",
    "MKCOL",
    "MOVE",
    "PROPFIND",
    "PROPPATCH",
    "SEARCH",
    "UNLOCK",
    "ACL",
    "REPORT",
    "MKACTIVITY",
    "CHECKOUT",
    "MERGE",
    "MSEARCH",
    "NOTIFY",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "QUERY",
];

/// Allowed timeouts of upstream.
pub(super) const TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(10);
