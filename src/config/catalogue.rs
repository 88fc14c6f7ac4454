//! From a rule's `catalogue` to what agents are told of it.

use serde_json::Value;
use url::Url;

use super::{
    Limit, LimitBy,
    reader::{Mistakes, Table, expected},
    schema::CATALOGUE,
};
use crate::{
    catalogue::{Catalogue, Said},
    rule::{Listed, Table as Rules},
};

/// Reads it; `None` where the rule is not listed.
pub(super) fn of_rule(members: &Table<'_>, mistakes: &Mistakes) -> Option<Listed> {
    let value = members.value("catalogue")?;
    let listed = match value {
        Value::Bool(true) => Listed::default(),
        Value::Bool(false) => return None,
        Value::Object(_) => {
            let table = Table::open(members.at("catalogue"), Some(value), CATALOGUE, mistakes);
            Listed {
                summary: table.parse_shape("summary", |text| {
                    (1..=200).contains(&text.chars().count()).then(|| text.to_owned())
                }),
                schema: table.parse_shape("schema", |text| {
                    let is_one =
                        text.starts_with('/') || Url::parse(text).is_ok_and(|url| url.scheme() == "https");
                    is_one.then(|| text.to_owned())
                }),
            }
        }
        other => {
            members.note("catalogue", expected("true, or a table", other));
            return None;
        }
    };
    for (name, wanted) in [
        ("operation", "expected beside catalogue: agents call operations by it"),
        ("methods", "expected beside catalogue: agents are told which"),
    ] {
        if !members.has(name) {
            members.note(name, wanted);
        }
    }
    Some(listed)
}

/// Writes the catalogue of all rules.
pub(super) fn of_all(rules: &Rules, limits: &[Limit], said: Said<'_>) -> Catalogue {
    let all = rules.rules().iter().map(|rule| {
        let limit = rule.limit.and_then(|at| limits.get(at)).map(|limit| {
            let by = match limit.by {
                LimitBy::Address => "address",
                LimitBy::Principal => "principal",
            };
            (limit.rate, by)
        });
        (rule, limit)
    });
    Catalogue::of(all, said)
}
