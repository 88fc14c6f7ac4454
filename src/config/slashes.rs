//! `encoded_slashes` of a rule, and the proof that nothing else asks for more.

use super::reader::{Mistakes, Table};
use crate::{owner::OwnerFrom, rule};

/// Reads the member of the rule for `path`.
pub(super) fn of_rule(members: &Table<'_>, path: &str, owner_from: Option<&OwnerFrom>) -> bool {
    let is_taken = members.flag("encoded_slashes");
    if is_taken && !path.contains('{') {
        members.note("encoded_slashes", "expected a path with a parameter");
    }
    if is_taken && owner_from.is_some_and(|from| !from.is_in_order(path)) {
        members.note(
            "owner_from",
            "expected the parameters of the path in their order, from the first one on, because of encoded_slashes",
        );
    }
    is_taken
}

/// Checks rules with `encoded_slashes`, each by its name and its index, against all that a decoded path may reach.
pub(super) fn check(table: &rule::Table, lenient: &[(String, usize)], mistakes: &Mistakes) {
    for (at, index) in lenient {
        let stricter = table.rules().get(*index).and_then(|rule| table.stricter_once_decoded(rule));
        if let Some(other) = stricter {
            let of = match other.path.as_str() {
                path if path.starts_with('/') => format!("the rule for {path:?}"),
                _ => "paths without a rule".to_owned(),
            };
            mistakes.note(
                format!("{at}.encoded_slashes"),
                format!(
                    "expected a rule that asks for at least as much as {of}: a decoded path may be under that"
                ),
            );
        }
    }
}
