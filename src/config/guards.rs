//! Parses `BOT_CHECK`, `POLICY_URL` and the guards of a rule.

use std::{ops::RangeInclusive, time::Duration};

use serde_json::Value;
use url::Url;

use super::{parse::ParseContext, reader::Table, schema::BOT_CHECK, secrets::how_to_set};
use crate::{
    crypto::secret::Opaque,
    guards::{bot_check, settings::PolicyEndpoint},
    http::{
        form::is_plain_name,
        origin::{Origin, host_of},
    },
};

/// Whether each guard has the service or store that it needs.
#[derive(Clone, Copy)]
pub(super) struct AvailableGuards {
    pub(super) bot_check: bool,
    pub(super) policy: bool,
    pub(super) feature: bool,
}

/// The guards of a rule.
pub(super) struct Guards {
    pub(super) bot_check: Option<String>,
    pub(super) feature: Option<String>,
    pub(super) policy: Option<String>,
}

/// The settings that all guards share.
pub(super) struct GuardSettings {
    pub(super) bot_check: Option<bot_check::Policy>,
    pub(super) policy: Option<PolicyEndpoint>,
    pub(super) available: AvailableGuards,
}

/// Parses the settings that all guards share.
pub(super) fn parse(top: &Table<'_>, context: &ParseContext<'_>) -> GuardSettings {
    let policy = policy(top, context);
    let available = AvailableGuards {
        // An invalid setting counts as configured, so that its mistake is reported only once.
        bot_check: context.variables.contains_key("TURNSTILE_SECRET"),
        policy: policy.is_some() || top.has("POLICY_URL"),
        feature: context.bindings.has("KV"),
    };
    GuardSettings { bot_check: bot_check(top, context), policy, available }
}

/// Parses `BOT_CHECK`. Without `TURNSTILE_SECRET`, returns `None`: no token can be verified.
fn bot_check(top: &Table<'_>, context: &ParseContext<'_>) -> Option<bot_check::Policy> {
    let ParseContext { variables, public_origins, development, mistakes, .. } = *context;
    let table = Table::open("BOT_CHECK", top.value("BOT_CHECK"), BOT_CHECK, mistakes);
    let verify_url = table.parse("verify_url", |text| parse_url(text, development));
    let header = table.parse_shape("header", |text| {
        (!text.is_empty() && text.bytes().all(crate::http::cookie::is_token_byte))
            .then(|| text.to_ascii_lowercase())
    });
    let field = table.parse_shape("field", |text| (1..=64).contains(&text.len()).then(|| text.to_owned()));
    let timeout = table.duration_within("timeout", TIMEOUT, "expected a duration from 1s to 10s");
    let mut hostnames = table.list("hostnames", |text| {
        let is_host =
            Origin::parse(&format!("https://{text}")).is_ok_and(|origin| origin.authority() == text);
        if is_host { Ok(text.to_owned()) } else { Err(format!("expected a host name, found {text:?}")) }
    });
    if !table.has("hostnames") {
        hostnames = public_origins.iter().map(|origin| host_of(origin.authority()).to_owned()).collect();
    } else if table.value("hostnames").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        table.report(
            "hostnames",
            "expected at least one host name (without this member: the hosts of PUBLIC_ORIGINS)",
        );
    }
    let report = |message: &str| mistakes.report("TURNSTILE_SECRET", message);
    let Some(secret) = variables.get("TURNSTILE_SECRET") else {
        if top.has("BOT_CHECK") {
            let how = how_to_set("TURNSTILE_SECRET", development);
            report(&format!("required with BOT_CHECK ({how})"));
        }
        return None;
    };
    let Some(secret) = secret.as_str().and_then(Opaque::parse) else {
        report("expected 1 to 256 visible ASCII characters");
        return None;
    };
    if bot_check::is_for_tests(secret.expose()) && !development {
        report("expected the secret of your own widget in production, found a test secret of Turnstile");
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

/// Returns the external policy: the service binding `POLICY`, or the service at `POLICY_URL`.
fn policy(top: &Table<'_>, context: &ParseContext<'_>) -> Option<PolicyEndpoint> {
    let policy_url = top.parse("POLICY_URL", |text| parse_url(text, context.development));
    if context.bindings.has("POLICY") {
        if top.has("POLICY_URL") {
            top.report("POLICY_URL", "not allowed with a service binding POLICY: remove one of them");
        }
        return Some(PolicyEndpoint::Binding);
    }
    policy_url.map(PolicyEndpoint::Url)
}

/// Parses the guards of a rule.
pub(super) fn parse_for_rule(members: &Table<'_>, available: AvailableGuards) -> Guards {
    let parse_name = |name| members.parse_shape(name, |text| is_plain_name(text).then(|| text.to_owned()));
    let bot_check = members.parse_shape("bot_check", parse_action);
    let (feature, policy) = (parse_name("feature"), parse_name("policy"));
    for (name, is_available, message) in [
        ("bot_check", available.bot_check, "requires the secret TURNSTILE_SECRET (see docs/policy.md)"),
        ("feature", available.feature, "requires a KV namespace with the binding KV (see docs/policy.md)"),
        ("policy", available.policy, "requires POLICY_URL or a service binding POLICY (see docs/policy.md)"),
    ] {
        if members.has(name) && !is_available {
            members.report(name, message);
        }
    }
    Guards { bot_check, feature, policy }
}

/// Parses the URL of a service. Credentials and a fragment are mistakes. `http` is allowed only in development.
pub(super) fn parse_url(text: &str, development: bool) -> Result<String, String> {
    let url_kind = if development { "an http or https URL" } else { "an https URL" };
    let error = || format!("expected {url_kind} without credentials and fragment, found {text:?}");
    let url = Url::parse(text).map_err(|_| error())?;
    let is_web = url.scheme() == "https" || (development && url.scheme() == "http");
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    if is_web && is_plain { Ok(url.into()) } else { Err(error()) }
}

/// Parses a Turnstile action: 1 to 32 of `A-Z`, `a-z`, `0-9`, `_` and `-`.
fn parse_action(text: &str) -> Option<String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    ((1..=32).contains(&text.len()) && text.bytes().all(is_allowed)).then(|| text.to_owned())
}

const TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(10);
