//! Replays the requests of a log: counts, for each rule, what would be refused.
//!
//! Reads the same JSON as `explain`, with `"requests": [[method, url, count]…]` instead of a single request. A log does
//! not say who made a request. So each one is decided twice: without a credential, and with the one of `"as"`.

use std::{collections::BTreeMap, fmt::Write as _, process::ExitCode};

use serde_json::{Value, json};
use vestibule::{gateway::dry_run::Trace, platform::event::WOULD_REFUSE};

use super::{
    explain::{Explainer, GivenRequest, credential_for, trace},
    offline::OfflineEffects,
};

/// Runs the program on this input.
pub(super) fn main(input: &str) -> ExitCode {
    match replay(input) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(mistakes) => {
            for mistake in mistakes {
                eprintln!("{mistake}");
            }
            ExitCode::FAILURE
        }
    }
}

/// What distinguishes a row of the result.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    rule: String,
    without: String,
    with: String,
}

/// The requests of a group.
struct Counted {
    count: u64,
    example: String,
}

fn replay(input: &str) -> Result<String, Vec<String>> {
    let input: Value = serde_json::from_str(input).map_err(|error| vec![error.to_string()])?;
    let Explainer { config, now, .. } = Explainer::new(&input)?;
    let client = input.get("as").and_then(Value::as_str).unwrap_or_default();
    let (credential, role) = credential_for(&config, client, now)?;
    let effects = OfflineEffects::new(role, now);
    // As the application's own pages send requests.
    let own_page = ("sec-fetch-site", "same-origin");
    let mut with_credential = vec![own_page];
    with_credential.extend(credential.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let mut groups: BTreeMap<Group, Counted> = BTreeMap::new();
    for entry in input.get("requests").and_then(Value::as_array).into_iter().flatten() {
        let (Some(method), Some(url), Some(count)) = (
            entry.get(0).and_then(Value::as_str),
            entry.get(1).and_then(Value::as_str),
            entry.get(2).and_then(Value::as_u64),
        ) else {
            return Err(vec!["requests: expected [method, url, count]".to_owned()]);
        };
        let decide =
            |headers: &[(&str, &str)]| trace(&config, &effects, GivenRequest { method, url, headers }, now);
        let group = match (decide(&[own_page]), decide(&with_credential)) {
            (Ok(without), Ok(with)) => Group {
                rule: with.rule.as_ref().map_or("(no canonical path)".to_owned(), |rule| rule.path.clone()),
                without: decision(&without),
                with: decision(&with),
            },
            (Err(mistake), _) | (_, Err(mistake)) => {
                Group { rule: "(not a request)".to_owned(), without: mistake.clone(), with: mistake }
            }
        };
        let example = || Counted { count: 0, example: format!("{method} {}", path_of(url)) };
        let counted = groups.entry(group).or_insert_with(example);
        counted.count = counted.count.saturating_add(count);
    }
    if input.get("json").and_then(Value::as_bool).unwrap_or_default() {
        let rows = groups.iter().map(|(group, counted)| {
            json!({
                "rule": group.rule, "requests": counted.count, "nobody": group.without, "as": group.with,
                "example": counted.example,
            })
        });
        return serde_json::to_string_pretty(&rows.collect::<Vec<_>>())
            .map_err(|error| vec![error.to_string()]);
    }
    Ok(table(&groups, client))
}

/// Returns `pass`, or the status and code of the refusal. In report mode, `would_refuse` comes first.
fn decision(trace: &Trace) -> String {
    match (trace.status, trace.would_refuse) {
        (Some(status), _) => format!("{status} {}", trace.decision),
        (None, Some(refusal)) => format!("{WOULD_REFUSE} {} {}", refusal.status, refusal.code),
        (None, None) => "pass".to_owned(),
    }
}

fn path_of(url: &str) -> &str {
    let path = url.split_once("://").and_then(|(_, rest)| rest.find('/').and_then(|at| rest.get(at..)));
    path.unwrap_or(url)
}

/// Formats the result for people: the most refused requests first.
fn table(groups: &BTreeMap<Group, Counted>, client: &str) -> String {
    let mut rows: Vec<(&Group, &Counted)> = groups.iter().collect();
    rows.sort_by_key(|(group, counted)| (group.with == "pass", std::cmp::Reverse(counted.count)));
    let total: u64 = groups.values().map(|counted| counted.count).sum();
    let sum = |is_counted: &dyn Fn(&Group) -> bool| -> u64 {
        groups.iter().filter(|(group, _)| is_counted(group)).map(|(_, counted)| counted.count).sum()
    };
    let is_reported = |decision: &str| decision.starts_with(WOULD_REFUSE);
    let is_refused = |decision: &str| decision != "pass" && !is_reported(decision);
    let mut text = format!(
        "{total} requests. Refused: {} without a credential, {} as {client}.\n",
        sum(&|group| is_refused(&group.without)),
        sum(&|group| is_refused(&group.with)),
    );
    let without = sum(&|group| is_reported(&group.without));
    let with = sum(&|group| is_reported(&group.with));
    if without > 0 || with > 0 {
        let _ =
            writeln!(text, "Let through in report mode: {without} without a credential, {with} as {client}.");
    }
    let _ = writeln!(text, "\n{:>9}  {:<28} {:<28} {:<28} example", "requests", "rule", "nobody", client);
    for (Group { rule, without, with }, Counted { count, example }) in rows {
        let _ = writeln!(text, "{count:>9}  {rule:<28} {without:<28} {with:<28} {example}");
    }
    text.trim_end().to_owned()
}
