//! The decisions on a request's way, by name: for logs, and for whoever asks why.

use std::cell::Cell;

use serde::Serialize;

/// The decisions on a request's way, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// 2. One form of the path decides and is forwarded.
    Path,
    /// 4. One rule fits.
    Rule,
    /// 5. Not too many from this address.
    AddressLimit,
    /// 6. Not forged on another site.
    Csrf,
    /// 7. Who asks.
    Identity,
    /// 8. May they?
    Access,
    /// 9. Not too many of this principal.
    PrincipalLimit,
    /// 9. The return field names a place on this site.
    ReturnField,
    /// 9. A person is in front of the browser.
    BotCheck,
    /// 9. The feature is open to them.
    Feature,
    /// 9. The Worker's own hooks.
    Hooks,
    /// 9. The external policy.
    Policy,
    /// 10. A person consents to what a machine does.
    Confirmation,
    /// It is written down before it runs.
    Audit,
    /// 11. The right to run it once.
    Claim,
    /// 12. It is run.
    Dispatch,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Self; 16] = [
        Self::Path,
        Self::Rule,
        Self::AddressLimit,
        Self::Csrf,
        Self::Identity,
        Self::Access,
        Self::PrincipalLimit,
        Self::ReturnField,
        Self::BotCheck,
        Self::Feature,
        Self::Hooks,
        Self::Policy,
        Self::Confirmation,
        Self::Audit,
        Self::Claim,
        Self::Dispatch,
    ];
}

/// Where a request has got to.
#[derive(Debug)]
pub struct StepTracker(Cell<Step>);

impl StepTracker {
    /// Goes on to a step, which decides from here on.
    pub fn at(&self, step: Step) {
        self.0.set(step);
    }

    /// Gives the step that decides.
    #[must_use]
    pub fn step(&self) -> Step {
        self.0.get()
    }
}

impl Default for StepTracker {
    fn default() -> Self {
        Self(Cell::new(Step::Path))
    }
}
