//! Report mode: a request that a check would refuse is let through, and the refusal is reported.
//!
//! 1. A rule in report mode reports the refusals of steps 5 to 10 ([`ReportedSteps::ALL`]). A single guard can be in
//!    report mode, too: then only its step is reported.
//! 2. All other steps always refuse: the path, the audit row that `audit = "required"` demands, claims, and everything
//!    at built-in routes, pages and webhooks.
//! 3. If servers may read a path as the path of several rules, a refusal is reported only if each of these rules reports
//!    it. So no spelling of a path evades a rule that refuses.
//! 4. The first refusal counts: it is what the client would have got. Under a rule in report mode, no later guard runs
//!    after it, as if the request had been refused. So counters, external services and approvals see the same requests
//!    in both modes.
//!
//! A proof that a check passed can also be made from a [`ReportMode`], and says so. Only [`Reports`] makes a
//! `ReportMode`, and only for a step that the rule reports. So no request of an enforcing rule gets such a proof.

use std::cell::{Cell, RefCell};

use crate::{http::reply::EarlyResponse, platform::step::Step};

/// Whether refusals are enforced or only reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The request is refused.
    #[default]
    Enforce,
    /// The request is let through, and the refusal is reported.
    Report,
}

/// Permission to let a request pass although a check refused it.
#[derive(Clone, Copy, Debug)]
pub struct ReportMode(());

/// The outcome of a check whose refusals may be reported only.
#[derive(Clone, Copy, Debug)]
pub enum Checked<T> {
    /// The check let the request pass.
    Passed(T),
    /// The check refused the request, or did not run because an earlier one had refused it.
    Reported(ReportMode),
}

/// The steps of a rule whose refusals are only reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportedSteps(u32);

impl ReportedSteps {
    /// No step: each one refuses.
    pub const NONE: Self = Self(0);
    /// All steps that can be reported: those of a rule in report mode.
    pub const ALL: Self = Self::of(&[
        Step::AddressLimit,
        Step::Csrf,
        Step::Identity,
        Step::Scope,
        Step::Access,
        Step::PrincipalLimit,
        Step::ReturnField,
        Step::BotCheck,
        Step::Feature,
        Step::Hooks,
        Step::Policy,
        Step::Confirmation,
    ]);
    /// The steps of a rate limit.
    pub const LIMIT: Self = Self::of(&[Step::AddressLimit, Step::PrincipalLimit]);

    /// Creates a set of steps.
    #[must_use]
    pub const fn of(steps: &[Step]) -> Self {
        match steps {
            [] => Self::NONE,
            [first, rest @ ..] => Self(bit(*first) | Self::of(rest).0),
        }
    }

    /// Returns the steps of both sets.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the steps that are in both sets.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns the steps that can be reported and are in this set.
    #[must_use]
    pub fn within_all(self) -> Self {
        self.and(Self::ALL)
    }

    /// Checks whether the set has a step.
    #[must_use]
    pub fn has(self, step: Step) -> bool {
        self.0 & bit(step) != 0
    }

    /// Checks for the steps of a rule in report mode.
    #[must_use]
    pub fn is_all(self) -> bool {
        self == Self::ALL
    }
}

const fn bit(step: Step) -> u32 {
    1 << step as u32
}

/// A refusal that was only reported.
#[derive(Debug)]
pub struct Refused {
    /// The step that refused the request.
    pub step: Step,
    /// The answer that the client would have got.
    pub early: EarlyResponse,
}

/// What is reported of a request.
#[derive(Debug, Default)]
pub struct Reports {
    steps: ReportedSteps,
    refused: Cell<ReportedSteps>,
    first: RefCell<Option<Refused>>,
}

impl Reports {
    /// Starts the reports of a request. Nothing is reported unless `steps` says so.
    #[must_use]
    pub fn new(steps: ReportedSteps) -> Self {
        Self { steps: steps.within_all(), ..Self::default() }
    }

    /// Checks whether the rule of the request is in report mode.
    #[must_use]
    pub fn is_of_whole_rule(&self) -> bool {
        self.steps.is_all()
    }

    /// Checks whether refusals of a step are only reported.
    #[must_use]
    pub fn reports(&self, step: Step) -> bool {
        self.steps.has(step)
    }

    /// Reports a refusal.
    ///
    /// # Errors
    /// The refusal, if this step refuses requests.
    pub fn refuse(&self, step: Step, early: impl Into<EarlyResponse>) -> Result<ReportMode, EarlyResponse> {
        let early = early.into();
        if !self.steps.has(step) {
            return Err(early);
        }
        self.refused.set(self.refused.get().or(ReportedSteps::of(&[step])));
        self.first.borrow_mut().get_or_insert(Refused { step, early });
        Ok(ReportMode(()))
    }

    /// Turns a refusal into a report, if this step is only reported.
    ///
    /// # Errors
    /// The refusal, if this step refuses requests.
    pub fn check<T>(
        &self,
        step: Step,
        outcome: Result<T, impl Into<EarlyResponse>>,
    ) -> Result<Checked<T>, EarlyResponse> {
        match outcome {
            Ok(passed) => Ok(Checked::Passed(passed)),
            Err(refusal) => self.refuse(step, refusal).map(Checked::Reported),
        }
    }

    /// Returns the permission to skip a step: the request would not have reached it, or this step has refused it already.
    #[must_use]
    pub fn skip(&self, step: Step) -> Option<ReportMode> {
        let refused = self.refused.get();
        let is_over = if self.steps.is_all() { refused != ReportedSteps::NONE } else { refused.has(step) };
        (is_over && self.steps.has(step)).then_some(ReportMode(()))
    }

    /// Takes the first refusal.
    #[must_use]
    pub fn take_first(&self) -> Option<Refused> {
        self.first.take()
    }
}

impl<T> Checked<T> {
    /// Returns what the check found, or `None` if its refusal was reported.
    pub fn passed(self) -> Option<T> {
        match self {
            Self::Passed(passed) => Some(passed),
            Self::Reported(_) => None,
        }
    }

    /// Returns the permission, if a refusal was reported.
    pub fn reported(&self) -> Option<ReportMode> {
        match self {
            Self::Passed(_) => None,
            Self::Reported(mode) => Some(*mode),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::Rejection;

    #[test]
    fn only_reported_steps_give_a_permission() {
        for step in Step::ALL {
            let is_reportable = (Step::AddressLimit..=Step::Confirmation).contains(&step);
            for (steps, is_reported) in [
                (ReportedSteps::NONE, false),
                (ReportedSteps::ALL, is_reportable),
                (ReportedSteps::of(&[step]), is_reportable),
                (ReportedSteps::of(&Step::ALL), is_reportable),
                (ReportedSteps::LIMIT, matches!(step, Step::AddressLimit | Step::PrincipalLimit)),
            ] {
                let reports = Reports::new(steps);
                assert!(reports.skip(step).is_none(), "{step:?}: nothing was refused yet");
                let refused = reports.refuse(step, Rejection::ForbiddenRole);
                assert_eq!(refused.is_ok(), is_reported, "{step:?} {steps:?}");
                assert_eq!(reports.skip(step).is_some(), is_reported, "{step:?} {steps:?}");
                assert_eq!(reports.take_first().is_some(), is_reported, "{step:?} {steps:?}");
            }
        }
    }

    #[test]
    fn later_guards_are_skipped_only_under_a_rule_in_report_mode() {
        let whole = Reports::new(ReportedSteps::ALL);
        let guard = Reports::new(ReportedSteps::of(&[Step::BotCheck, Step::Policy]));
        for (reports, skips_later) in [(whole, true), (guard, false)] {
            assert!(reports.refuse(Step::BotCheck, Rejection::ForbiddenRole).is_ok());
            assert!(reports.skip(Step::BotCheck).is_some());
            assert_eq!(reports.skip(Step::Policy).is_some(), skips_later);
            assert!(reports.skip(Step::Claim).is_none() && reports.skip(Step::Audit).is_none());
            assert!(reports.refuse(Step::Policy, Rejection::NotFound).is_ok());
            let first = reports.take_first().map(|refused| refused.step);
            assert_eq!(first, Some(Step::BotCheck), "the first refusal counts");
        }
    }
}
