//! From `CREDENTIALS` to the kinds of tokens there are.

use super::{
    parse::Variables,
    reader::{Mistakes, Table},
    schema::CREDENTIAL,
};
use crate::{
    principal::ActorSource,
    tokens::{Hash, Kind, Seed},
};

/// Reads the list; without one, the four kinds that the contract knows.
pub(super) fn parse(top: &Table<'_>) -> Vec<Kind> {
    if !top.has("CREDENTIALS") {
        return known();
    }
    let mut kinds: Vec<Kind> = Vec::new();
    for members in top.tables("CREDENTIALS", CREDENTIAL) {
        let Some(kind) = read(&members) else { continue };
        let overlaps =
            |other: &Kind| other.prefix.starts_with(&kind.prefix) || kind.prefix.starts_with(&other.prefix);
        if kinds.iter().any(overlaps) {
            members.note("prefix", "expected no other credential's to begin like it: a token has one kind");
        }
        kinds.push(kind);
    }
    kinds
}

/// Reads `AGENT_TOKENS`: names and values of agents' tokens, `name:value` after a comma each.
pub(super) fn seeds(variables: &Variables, kinds: &[Kind], mistakes: &Mistakes) -> Vec<Seed> {
    let Some(value) = variables.get("AGENT_TOKENS") else { return Vec::new() };
    let note = |wanted: &str| mistakes.note("AGENT_TOKENS", wanted);
    let Some(text) = value.as_str() else {
        note("expected a text \"name1:token1,name2:token2\"");
        return Vec::new();
    };
    if kinds.is_empty() {
        note("expected SESSION.login = \"accounts\" beside it: tokens are kept with accounts");
        return Vec::new();
    }
    let mut seeds: Vec<Seed> = Vec::new();
    for (index, entry) in text.split(',').map(str::trim).enumerate() {
        // Nothing of an entry is said but its name: the rest is secret.
        let Some((name, token)) = entry.split_once(':') else {
            note(&format!("expected name:token, found none in entry {index}"));
            continue;
        };
        let kind = kinds.iter().find(|kind| kind.is_agent && token.starts_with(&kind.prefix));
        let fits = (1..=64).contains(&name.len()) && name.bytes().all(is_name);
        let is_long = (40..=256).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
        match kind {
            _ if !fits => note(&format!(
                "expected a name of 1 to 64 of a-z, A-Z, 0-9, \".\", \"-\" and \"_\" in entry {index}"
            )),
            _ if seeds.iter().any(|seed| seed.name == name) => note(&format!("expected {name:?} once")),
            None => note(&format!("expected a token with the prefix of an agent's credential for {name:?}")),
            _ if !is_long => note(&format!("expected a token of 40 to 256 visible characters for {name:?}")),
            Some(kind) => {
                let hash = Hash::of(token);
                if seeds.iter().any(|seed| seed.hash == hash) {
                    note(&format!("expected a token of its own for {name:?}"));
                }
                seeds.push(Seed { name: name.to_owned(), prefix: kind.prefix.clone(), hash });
            }
        }
    }
    seeds
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

fn read(members: &Table<'_>) -> Option<Kind> {
    members.demand(&["prefix", "kind", "machine"]);
    let prefix = members.parse_shape("prefix", prefix);
    if prefix.as_deref() == Some("mki_") {
        members.note("prefix", "expected another one: tokens of invites begin so");
    }
    let is_agent = members.choice("kind", &[("user", false), ("agent", true)]);
    let source = members.parse_shape("source", source);
    // It has no default: whoever adds a credential says what acts by it.
    let machine = members.flag("machine");
    match (members.has("machine"), machine, members.has("source")) {
        (true, true, false) => {
            members.note("source", "expected a name beside machine = true: it is what upstream is told");
        }
        (true, false, true) => {
            members.note("source", "expected nothing beside machine = false: a person is no source");
        }
        (true, false, false) if is_agent == Some(true) => {
            members.note("machine", "expected true beside kind = \"agent\"");
        }
        _ => {}
    }
    Some(Kind { prefix: prefix?, is_agent: is_agent?, source: ActorSource::named(source.as_deref()) })
}

fn prefix(text: &str) -> Option<String> {
    let fits = (2..=16).contains(&text.len()) && text.ends_with('_') && text.bytes().all(is_plain);
    fits.then(|| text.to_owned())
}

fn source(text: &str) -> Option<String> {
    ((1..=32).contains(&text.len()) && text.bytes().all(is_plain)).then(|| text.to_owned())
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
}

fn known() -> Vec<Kind> {
    let kind = |prefix: &str, is_agent, source| Kind { prefix: prefix.to_owned(), is_agent, source };
    vec![
        kind("mul_", false, ActorSource::Human),
        kind("mat_", false, ActorSource::TaskToken),
        kind("mcn_", false, ActorSource::CloudPat),
        kind("mk_", true, ActorSource::AgentToken),
    ]
}
