//! From `BOT_CHECK`, `POLICY_URL`, `AUDIT_RETENTION` and what rules say of guards to what they mean.

use std::{ops::RangeInclusive, time::Duration};

use serde_json::Value;
use url::Url;

use super::{
    Bindings, Check, PolicyEndpoint,
    own::Features,
    parse::Variables,
    reader::{Mistakes, Table},
    schema::BOT_CHECK,
    secrets::how_to_set,
};
use crate::{
    audit::Audit as AuditObject,
    bot_check,
    confirmations::Confirmations,
    form::is_plain_name,
    origin::{Origin, host_of},
    rule::{Access, Audit, Confirm},
    secret::Opaque,
    store::Object,
};

/// Who can be asked, for the rules that ask.
#[derive(Clone, Copy)]
pub(super) struct Askable {
    pub(super) bot_check: bool,
    pub(super) policy: bool,
    pub(super) features: bool,
}

/// What a rule's guards are.
pub(super) struct Guards {
    pub(super) bot_check: Option<String>,
    pub(super) feature: Option<String>,
    pub(super) policy: Option<String>,
    pub(super) confirm: Confirm,
    pub(super) audit: Audit,
}

/// Who can be asked, and for how long it is kept what was decided.
pub(super) struct Asked {
    pub(super) bot_check: Option<bot_check::Policy>,
    pub(super) policy: Option<PolicyEndpoint>,
    pub(super) audit_retention: Option<Duration>,
    pub(super) askable: Askable,
}

/// Reads who can be asked.
pub(super) fn parse(
    top: &Table<'_>,
    (variables, bindings): (&Variables, &Bindings),
    (public, development): (&[Origin], bool),
    mistakes: &Mistakes,
) -> Asked {
    let policy = policy(top, bindings, development);
    let askable = Askable {
        // What is wrong with them is said once.
        bot_check: variables.contains_key("TURNSTILE_SECRET"),
        policy: policy.is_some() || top.has("POLICY_URL"),
        features: bindings.has("KV"),
    };
    Asked {
        bot_check: bot_check(top, variables, (public, development), mistakes),
        policy,
        audit_retention: top.span_within("AUDIT_RETENTION", KEPT, "expected from 1d to 3650d"),
        askable,
    }
}

/// Reads how bots are told from people. Without a secret nobody can be asked.
fn bot_check(
    top: &Table<'_>,
    variables: &Variables,
    (public, development): (&[Origin], bool),
    mistakes: &Mistakes,
) -> Option<bot_check::Policy> {
    let table = Table::open("BOT_CHECK", top.value("BOT_CHECK"), BOT_CHECK, mistakes);
    let verify_url = table.parse("verify_url", |text| url(text, development));
    let header = table.parse_shape("header", |text| {
        (!text.is_empty() && text.bytes().all(crate::cookie::is_token_byte))
            .then(|| text.to_ascii_lowercase())
    });
    let field = table.parse_shape("field", |text| (1..=64).contains(&text.len()).then(|| text.to_owned()));
    let timeout = table.span_within("timeout", TIMEOUT, "expected from 1s to 10s");
    let mut hostnames = table.list("hostnames", |text| {
        let is_host =
            Origin::parse(&format!("https://{text}")).is_ok_and(|origin| origin.authority() == text);
        if is_host { Ok(text.to_owned()) } else { Err(format!("expected a host name, found {text:?}")) }
    });
    if !table.has("hostnames") {
        hostnames = public.iter().map(|origin| host_of(origin.authority()).to_owned()).collect();
    } else if table.value("hostnames").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        table.note("hostnames", "expected at least one, or no such member for those of PUBLIC_ORIGINS");
    }
    let note = |wanted: &str| mistakes.note("TURNSTILE_SECRET", wanted);
    let Some(secret) = variables.get("TURNSTILE_SECRET") else {
        if top.has("BOT_CHECK") {
            let how = how_to_set("TURNSTILE_SECRET", development);
            note(&format!("expected a secret beside BOT_CHECK ({how})"));
        }
        return None;
    };
    let Some(secret) = secret.as_str().and_then(Opaque::parse) else {
        note("expected 1 to 256 visible ASCII characters");
        return None;
    };
    if bot_check::is_for_tests(secret.expose()) && !development {
        note(
            "expected the secret of a widget of yours in production, found one that Turnstile publishes for tests",
        );
    }
    Some(bot_check::Policy {
        verify_url: verify_url?,
        secret,
        header: header?,
        field: field?,
        hostnames,
        timeout: timeout?,
    })
}

/// Reads who decides for us.
fn policy(top: &Table<'_>, bindings: &Bindings, development: bool) -> Option<PolicyEndpoint> {
    let asked = top.parse("POLICY_URL", |text| url(text, development));
    if bindings.has("POLICY") {
        if top.has("POLICY_URL") {
            top.note("POLICY_URL", "expected nothing beside a service binding POLICY: one of them decides");
        }
        return Some(PolicyEndpoint::Binding);
    }
    asked.map(PolicyEndpoint::Url)
}

/// Reads what a rule says of its guards.
pub(super) fn of_rule(
    members: &Table<'_>,
    access: Option<Access>,
    (served, askable): (Features, Askable),
) -> Guards {
    let named = |name| members.parse_shape(name, |text| is_plain_name(text).then(|| text.to_owned()));
    let bot_check = members.parse_shape("bot_check", action);
    let (feature, policy) = (named("feature"), named("policy"));
    for (name, is_there, wanted) in [
        ("bot_check", askable.bot_check, "expected a secret TURNSTILE_SECRET beside it (see docs/policy.md)"),
        ("feature", askable.features, "expected a KV namespace KV, found none (see docs/policy.md)"),
        (
            "policy",
            askable.policy,
            "expected POLICY_URL or a service binding POLICY, found neither (see docs/policy.md)",
        ),
    ] {
        if members.has(name) && !is_there {
            members.note(name, wanted);
        }
    }
    let confirm = members.choice("confirm", &[("human", Confirm::Human)]);
    if members.has("confirm") {
        members.demand_binding("confirm", served.has_confirmations, Confirmations::CLASS, "policy.md");
        match access {
            Some(Access::Public | Access::Optional) => {
                members
                    .note("confirm", "expected an access that asks who it is: nobody has no one to consent");
            }
            Some(Access::Human) => members.note("confirm", "expected nothing: no machine comes in here"),
            _ => {}
        }
    }
    let audit = members.choice("audit", &[("best_effort", Audit::BestEffort), ("required", Audit::Required)]);
    if members.has("audit") {
        members.demand_binding("audit", served.has_audit, AuditObject::CLASS, "operations.md");
        if served.check == Some(Check::Token) {
            members.note("audit", "expected SESSION.check = \"registry\" beside it: nobody could read it");
        }
    }
    Guards {
        bot_check,
        feature,
        policy,
        confirm: confirm.unwrap_or(Confirm::Never),
        audit: audit.unwrap_or(Audit::Off),
    }
}

/// A URL that is asked: with a path and a query, without credentials and fragment.
fn url(text: &str, development: bool) -> Result<String, String> {
    let wanted = if development { "an http or https URL" } else { "an https URL" };
    let wrong = || format!("expected {wanted} without credentials and fragment, found {text:?}");
    let url = Url::parse(text).map_err(|_| wrong())?;
    let is_web = url.scheme() == "https" || (development && url.scheme() == "http");
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    if is_web && is_plain { Ok(url.into()) } else { Err(wrong()) }
}

/// What Turnstile takes for an action.
fn action(text: &str) -> Option<String> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    ((1..=32).contains(&text.len()) && text.bytes().all(is_part)).then(|| text.to_owned())
}

const TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(10);
const KEPT: RangeInclusive<Duration> = Duration::from_hours(24)..=Duration::from_hours(3_650 * 24);
