//! Parses a rule's `confirm`.

use super::reader::Table;
use crate::{
    approvals::confirmations::Confirmations,
    platform::store::Object,
    routing::rule::{Access, Confirm},
};

/// Parses a rule's `confirm`.
pub(super) fn parse_for_rule(
    members: &Table<'_>,
    access: Option<Access>,
    has_confirmations: bool,
) -> Confirm {
    let confirm = members.choice("confirm", &[("human", Confirm::Human)]);
    if members.has("confirm") {
        members.require_binding("confirm", has_confirmations, Confirmations::CLASS, "policy.md");
        match access {
            Some(Access::Public | Access::Optional) => {
                members
                    .report("confirm", "requires an access that identifies the caller: a user approves the requests of the user's machines");
            }
            Some(Access::Human) => {
                members.report("confirm", "not allowed with access = \"human\": it admits no machine");
            }
            _ => {}
        }
    }
    confirm.unwrap_or(Confirm::Never)
}
