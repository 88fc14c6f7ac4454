//! Parses `MODE`, and the members `mode` and `report`: whose refusals are only reported.

use super::reader::Table;
use crate::{
    guards::limits::Limit,
    platform::step::Step,
    routing::report::{Mode, ReportedSteps},
};

/// The values of `MODE` and of each `mode`.
pub(super) const MODES: &[(&str, Mode)] = &[("enforce", Mode::Enforce), ("report", Mode::Report)];

/// The guards that `report` may name, and the step of each. A guard that is a member of the rule has that member's name.
pub(super) const GUARDS: &[(&str, Step)] = &[
    ("return_field", Step::ReturnField),
    ("bot_check", Step::BotCheck),
    ("feature", Step::Feature),
    ("hooks", Step::Hooks),
    ("policy", Step::Policy),
    ("confirm", Step::Confirmation),
];

/// Parses `mode` and `report` of a rule. `limit` is the limit that the rule names, `deployment` is `MODE`.
pub(super) fn parse_for_rule(members: &Table<'_>, limit: Option<&Limit>, deployment: Mode) -> ReportedSteps {
    let own_mode = members.choice("mode", MODES);
    let guards = members.list("report", |text| guard(members, text));
    if members.has("report") && own_mode == Some(Mode::Report) {
        members.report(
            "report",
            "not allowed with mode = \"report\", which reports every guard: remove one of them",
        );
    }
    if own_mode.unwrap_or(deployment) == Mode::Report {
        return ReportedSteps::ALL;
    }
    let is_limit_reported = limit.is_some_and(|limit| limit.mode == Mode::Report);
    let of_limit = if is_limit_reported { ReportedSteps::LIMIT } else { ReportedSteps::NONE };
    guards.into_iter().fold(of_limit, |all, step| all.or(ReportedSteps::of(&[step])))
}

/// Returns the steps that are reported under a rule that is not in `ROUTES`.
pub(super) fn of_deployment(deployment: Mode) -> ReportedSteps {
    match deployment {
        Mode::Enforce => ReportedSteps::NONE,
        Mode::Report => ReportedSteps::ALL,
    }
}

fn guard(members: &Table<'_>, text: &str) -> Result<Step, String> {
    match GUARDS.iter().find(|(name, _)| *name == text) {
        Some((name, _)) if *name != "hooks" && !members.has(name) => {
            Err(format!("requires {name}: this rule has no such guard"))
        }
        Some((_, step)) => Ok(*step),
        None if text == "limit" => {
            Err("expected a guard of the rule: for a limit, set mode = \"report\" in RATE_LIMITS".to_owned())
        }
        None => {
            let names = GUARDS.iter().map(|(name, _)| format!("{name:?}")).collect::<Vec<_>>().join(", ");
            Err(format!(
                "expected one of {names}, found {text:?} (for the whole rule, set mode = \"report\")"
            ))
        }
    }
}
