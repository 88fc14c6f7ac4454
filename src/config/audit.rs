//! Parses `AUDIT_RETENTION` and a rule's `audit`.

use std::{ops::RangeInclusive, time::Duration};

use super::reader::Table;
use crate::{
    audit::Audit as AuditObject, platform::store::Object, routing::rule::Audit, sessions::settings::Check,
};

/// Parses `AUDIT_RETENTION`.
pub(super) fn retention(top: &Table<'_>) -> Option<Duration> {
    top.duration_within("AUDIT_RETENTION", RETENTION, "expected a duration from 1d to 3650d")
}

/// Parses a rule's `audit`.
pub(super) fn parse_for_rule(members: &Table<'_>, has_audit: bool, check: Option<Check>) -> Audit {
    let audit = members.choice("audit", &[("best_effort", Audit::BestEffort), ("required", Audit::Required)]);
    if members.has("audit") {
        members.require_binding("audit", has_audit, AuditObject::CLASS, "operations.md");
        if check == Some(Check::Token) {
            members.report(
                "audit",
                "requires SESSION.check = \"registry\": otherwise no admin can read the audit trail",
            );
        }
    }
    audit.unwrap_or(Audit::Off)
}

const RETENTION: RangeInclusive<Duration> = Duration::from_hours(24)..=Duration::from_hours(3_650 * 24);
