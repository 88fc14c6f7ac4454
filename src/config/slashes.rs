//! Parses a rule's `encoded_slashes`, and checks that a decoded path never reaches a stricter rule.

use super::{mistake::Mistakes, reader::Table};
use crate::routing::{owner::OwnerFrom, rule};

/// Parses `encoded_slashes` of the rule for `path`.
pub(super) fn parse_for_rule(members: &Table<'_>, path: &str, owner_from: Option<&OwnerFrom>) -> bool {
    let is_enabled = members.flag("encoded_slashes");
    if is_enabled && !path.contains('{') {
        members.report("encoded_slashes", "expected a path with a parameter");
    }
    if is_enabled && owner_from.is_some_and(|from| !from.is_in_order(path)) {
        members.report(
            "owner_from",
            "expected the parameters of the path in the same order, starting with the first (required by encoded_slashes)",
        );
    }
    is_enabled
}

/// Checks the rules with `encoded_slashes` against all rules that a decoded path may match. Each rule is given by its
/// configuration path and its index in the table.
pub(super) fn check(table: &rule::Table, slash_rules: &[(String, usize)], mistakes: &Mistakes) {
    for (location, index) in slash_rules {
        let stricter = table.rules().get(*index).and_then(|rule| table.stricter_once_decoded(rule));
        if let Some(other) = stricter {
            let stricter_rule = match other.path.as_str() {
                path if path.starts_with('/') => format!("the rule for {path:?}"),
                _ => "paths without a rule".to_owned(),
            };
            mistakes.report(
                format!("{location}.encoded_slashes"),
                format!(
                    "expected a rule that is at least as strict as {stricter_rule}: the decoded path may match it"
                ),
            );
        }
    }
}
