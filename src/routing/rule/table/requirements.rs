//! What a rule requires, as a set of strings, for comparison with the order of rules.

use std::{collections::BTreeSet, time::Duration};

use crate::routing::rule::{Access, Audit, Confirm, Csrf, Destination, Redirects, Rule};

/// Returns the requirements of a rule as a set of strings. A rule that lacks a string of another rule requires less.
pub(super) fn requirements(rule: &Rule) -> BTreeSet<String> {
    let kinds = ["nobody", "agent", "user's machine", "user", "admin's machine", "admin"];
    let admitted: &[&str] = match rule.access {
        Access::Public | Access::Optional => &kinds,
        Access::Authenticated => &kinds[1..],
        Access::User => &kinds[2..],
        Access::Human => &["user", "admin"],
        Access::Agent => &["agent"],
        Access::Admin => &["admin's machine", "admin"],
        _ => &["admin"],
    };
    let mut requirements: BTreeSet<String> =
        kinds.iter().filter(|kind| !admitted.contains(kind)).map(|kind| format!("not {kind}")).collect();
    requirements.extend(rule.limit.map(|limit| format!("limit {limit}")));
    requirements.extend(rule.feature.as_ref().map(|feature| format!("feature {feature}")));
    let within = [10, 5].map(Duration::from_mins);
    let met = within.iter().filter(|most| rule.recent.is_some_and(|recent| recent <= **most));
    requirements.extend(met.map(|most| format!("recent {most:?}")));
    let within = [30, 10].map(Duration::from_secs);
    let met = within.iter().filter(|most| rule.stream_check.is_some_and(|check| check <= **most));
    requirements.extend(met.map(|most| format!("stream check {most:?}")));
    requirements.extend(rule.webhook.map(|webhook| format!("webhook {webhook}")));
    let marks = [
        (rule.confirm == Confirm::Human, "confirm"),
        (rule.audit >= Audit::BestEffort, "audit row"),
        (rule.audit == Audit::Required, "audit row before"),
        (rule.csrf >= Csrf::Standard, "csrf"),
        (rule.csrf == Csrf::Strict, "strict csrf"),
        (rule.redirects == Redirects::Strict, "strict redirects"),
        (rule.destination == Destination::InternalOnly, "internal only"),
    ];
    requirements.extend(marks.iter().filter(|(applies, _)| *applies).map(|(_, label)| (*label).to_owned()));
    requirements
}

/// Changes that add or relax one requirement.
pub(super) const MEMBERS: &[fn(&mut Rule)] = &[
    |_| {},
    |rule| rule.access = Access::Public,
    |rule| rule.access = Access::Authenticated,
    |rule| rule.access = Access::User,
    |rule| rule.access = Access::Human,
    |rule| rule.access = Access::Agent,
    |rule| rule.access = Access::Admin,
    |rule| rule.limit = Some(0),
    |rule| rule.limit = Some(1),
    |rule| rule.feature = Some("f".into()),
    |rule| rule.recent = Some(Duration::from_mins(10)),
    |rule| rule.recent = Some(Duration::from_mins(5)),
    |rule| rule.stream_check = Some(Duration::from_secs(30)),
    |rule| rule.stream_check = Some(Duration::from_secs(10)),
    |rule| rule.confirm = Confirm::Human,
    |rule| rule.audit = Audit::BestEffort,
    |rule| rule.audit = Audit::Required,
    |rule| rule.csrf = Csrf::Strict,
    |rule| rule.csrf = Csrf::InsecureSkip,
    |rule| rule.redirects = Redirects::Strict,
    |rule| rule.webhook = Some(0),
    |rule| rule.destination = Destination::InternalOnly,
];
