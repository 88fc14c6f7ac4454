//! Parses `CREDENTIALS`, `TOKEN_MAKERS`, `TOKEN_MAX_EXPIRY` and `AGENT_TOKENS`.

use std::time::Duration;

use super::{parse::ParseContext, reader::Table, schema::CREDENTIAL};
use crate::{
    identity::principal::ActorSource,
    sessions::settings::Login,
    tokens::{
        ConfiguredToken, Hash, Kind,
        settings::{MaxExpiry, TokenMakers},
    },
};

/// Parses `CREDENTIALS`. Without the list, returns the four default kinds.
pub(super) fn parse(top: &Table<'_>) -> Vec<Kind> {
    if !top.has("CREDENTIALS") {
        return default_kinds();
    }
    let mut kinds: Vec<Kind> = Vec::new();
    for members in top.tables("CREDENTIALS", CREDENTIAL) {
        let Some(kind) = parse_entry(&members) else { continue };
        let overlaps =
            |other: &Kind| other.prefix.starts_with(&kind.prefix) || kind.prefix.starts_with(&other.prefix);
        if kinds.iter().any(overlaps) {
            members.report(
                "prefix",
                "expected a prefix that does not overlap with another credential's: a token has one kind",
            );
        }
        kinds.push(kind);
    }
    kinds
}

/// Parses `TOKEN_MAKERS`: which users may create tokens.
pub(super) fn token_makers(top: &Table<'_>, login: Option<Login>) -> Option<TokenMakers> {
    if top.has("TOKEN_MAKERS") && login.is_some_and(|login| login != Login::Accounts) {
        top.report("TOKEN_MAKERS", "requires SESSION.login = \"accounts\": tokens belong to accounts");
    }
    top.choice("TOKEN_MAKERS", &[("users", TokenMakers::Users), ("admins", TokenMakers::Admins)])
}

/// Parses `TOKEN_MAX_EXPIRY`: the longest lifetime of a new token.
pub(super) fn max_expiry(top: &Table<'_>, login: Option<Login>) -> Option<MaxExpiry> {
    if top.has("TOKEN_MAX_EXPIRY") && login.is_some_and(|login| login != Login::Accounts) {
        top.report("TOKEN_MAX_EXPIRY", "requires SESSION.login = \"accounts\": tokens belong to accounts");
    }
    let bounds = Duration::from_mins(1)..=Duration::from_hours(3_650 * 24);
    let lifetime = top.duration_within("TOKEN_MAX_EXPIRY", bounds, "expected a duration from 1m to 3650d")?;
    let written = top.borrowed_text("TOKEN_MAX_EXPIRY")?;
    // Leaked: the configuration lives as long as the isolate.
    let detail =
        format!("required, at most {written:?}: the operator limits how long tokens are valid").leak();
    Some(MaxExpiry { lifetime, detail })
}

/// Parses `AGENT_TOKENS`: names and values of agent tokens, written `name:value` and separated by commas. An invalid
/// entry is reported and refused. The other entries stay valid.
pub(super) fn agent_tokens(context: &ParseContext<'_>, kinds: &[Kind]) -> Vec<ConfiguredToken> {
    let ParseContext { variables, mistakes, .. } = *context;
    let Some(value) = variables.get("AGENT_TOKENS") else { return Vec::new() };
    let Some(text) = value.as_str() else {
        mistakes.report("AGENT_TOKENS", "expected a string \"name1:token1,name2:token2\"");
        return Vec::new();
    };
    if kinds.is_empty() {
        mistakes.report("AGENT_TOKENS", "requires SESSION.login = \"accounts\": tokens belong to accounts");
        return Vec::new();
    }
    let mut tokens: Vec<ConfiguredToken> = Vec::new();
    for (number, entry) in (1..).zip(text.split(',').map(str::trim)) {
        match parse_agent_token(number, entry, kinds, &tokens) {
            Ok(token) => tokens.push(token),
            Err(message) => mistakes.report_entry(
                "AGENT_TOKENS",
                format!("{message} (this entry is refused until you correct it)"),
            ),
        }
    }
    tokens
}

/// Parses an entry. Error messages contain only its name or its number, counted from 1, because the token is secret.
fn parse_agent_token(
    number: usize,
    entry: &str,
    kinds: &[Kind],
    others: &[ConfiguredToken],
) -> Result<ConfiguredToken, String> {
    let Some((name, token)) = entry.split_once(':') else {
        return Err(format!("expected name:token in entry {number}"));
    };
    if !((1..=64).contains(&name.len()) && name.bytes().all(is_name_byte)) {
        return Err(format!(
            "expected a name of 1 to 64 of a-z, A-Z, 0-9, \".\", \"-\" and \"_\" in entry {number}"
        ));
    }
    if others.iter().any(|other| other.name == name) {
        return Err(format!("expected the name {name:?} once, found it again in entry {number}"));
    }
    let Some(kind) = kinds.iter().find(|kind| kind.is_agent && token.starts_with(&kind.prefix)) else {
        return Err(format!(
            "expected a token with the prefix of a credential of kind \"agent\" for {name:?}"
        ));
    };
    if !((40..=256).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err(format!("expected a token of 40 to 256 visible characters for {name:?}"));
    }
    let hash = Hash::of(token);
    if others.iter().any(|other| other.hash == hash) {
        return Err(format!("expected a different token for {name:?}: another entry has the same token"));
    }
    Ok(ConfiguredToken { name: name.to_owned(), prefix: kind.prefix.clone(), hash })
}

/// Returns the error detail that lists the known prefixes.
pub(super) fn prefixes_detail(kinds: &[Kind]) -> &'static str {
    let prefixes: Vec<&str> = kinds.iter().map(|kind| kind.prefix.as_str()).collect();
    // Leaked: the configuration lives as long as the isolate.
    format!("expected one of {}", prefixes.join(", ")).leak()
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

fn parse_entry(members: &Table<'_>) -> Option<Kind> {
    members.require_members();
    let prefix = members.parse_shape("prefix", prefix);
    if prefix.as_deref().is_some_and(|prefix| matches!(prefix, "mki_" | "mkr_")) {
        members
            .report("prefix", "expected another prefix: the tokens of invites and reset links have this one");
    }
    let is_agent = members.choice("kind", &[("user", false), ("agent", true)]);
    let source = members.parse_shape("source", source);
    // `machine` has no default: the operator must state whether a machine uses the credential.
    let machine = members.flag("machine");
    match (members.has("machine"), machine, members.has("source")) {
        (true, true, false) => {
            members.report(
                "source",
                "source is required with machine = true: upstream gets it as X-Actor-Source",
            );
        }
        (true, false, true) => {
            members.report("source", "not allowed with machine = false: only machines have a source");
        }
        (true, false, false) if is_agent == Some(true) => {
            members.report("machine", "expected true with kind = \"agent\"");
        }
        _ => {}
    }
    let delegate = members.flag("delegate");
    if delegate && (machine || is_agent == Some(true)) {
        members.report(
            "delegate",
            "expected false: only a person's token (kind = \"user\", machine = false) may create tokens",
        );
    }
    let source = ActorSource::named(source.as_deref());
    Some(Kind { prefix: prefix?, is_agent: is_agent?, source, delegate })
}

fn prefix(text: &str) -> Option<String> {
    let fits = (2..=16).contains(&text.len()) && text.ends_with('_') && text.bytes().all(is_identifier_byte);
    fits.then(|| text.to_owned())
}

fn source(text: &str) -> Option<String> {
    ((1..=32).contains(&text.len()) && text.bytes().all(is_identifier_byte)).then(|| text.to_owned())
}

fn is_identifier_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
}

fn default_kinds() -> Vec<Kind> {
    let kind = |prefix: &str, is_agent, source| Kind {
        prefix: prefix.to_owned(),
        is_agent,
        source,
        delegate: false,
    };
    vec![
        kind("mul_", false, ActorSource::Human),
        kind("mat_", false, ActorSource::TaskToken),
        kind("mcn_", false, ActorSource::CloudPat),
        kind("mk_", true, ActorSource::AgentToken),
    ]
}
