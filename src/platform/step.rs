//! The names of the steps that decide a request, for logs and for `explain`.

use std::cell::Cell;

use serde::{Serialize, Serializer};

/// The steps that decide a request, in order. The numbers are those of `gateway`, where 1 (reading the request), 3
/// (removing headers) and 13 (finishing the answer) decide nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// 2. Finds the canonical path, which is matched and forwarded.
    Path,
    /// 4. Finds the rule.
    Rule,
    /// 5. Applies the rate limit by address.
    AddressLimit,
    /// 6. Rejects cross-site requests.
    Csrf,
    /// 7. Identifies the principal.
    Identity,
    /// 8. Checks that the token's scope covers the request.
    Scope,
    /// 8. Checks the principal's access.
    Access,
    /// 9. Applies the rate limit by principal.
    PrincipalLimit,
    /// 9. Checks that the return field names a path on this site.
    ReturnField,
    /// 9. Checks that a person uses the browser.
    BotCheck,
    /// 9. Checks that the feature is on for the principal.
    Feature,
    /// 9. Calls the Worker's own hooks.
    Hooks,
    /// 9. Asks the external policy.
    Policy,
    /// 10. Checks that a person approved a machine's request.
    Confirmation,
    /// After 10: writes the audit record that is required before the request runs.
    Audit,
    /// 11. Claims the right to run the request once.
    Claim,
    /// 12. Forwards the request, or calls the endpoint.
    Dispatch,
}

impl Step {
    /// All steps, in order.
    pub const ALL: [Self; 17] = [
        Self::Path,
        Self::Rule,
        Self::AddressLimit,
        Self::Csrf,
        Self::Identity,
        Self::Scope,
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

    /// Returns the name, as in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Rule => "rule",
            Self::AddressLimit => "address_limit",
            Self::Csrf => "csrf",
            Self::Identity => "identity",
            Self::Scope => "scope",
            Self::Access => "access",
            Self::PrincipalLimit => "principal_limit",
            Self::ReturnField => "return_field",
            Self::BotCheck => "bot_check",
            Self::Feature => "feature",
            Self::Hooks => "hooks",
            Self::Policy => "policy",
            Self::Confirmation => "confirmation",
            Self::Audit => "audit",
            Self::Claim => "claim",
            Self::Dispatch => "dispatch",
        }
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The step that a request has reached.
#[derive(Debug)]
pub struct StepTracker(Cell<Step>);

impl StepTracker {
    /// Records that the request has reached a step.
    pub fn at(&self, step: Step) {
        self.0.set(step);
    }

    /// Returns the step that the request has reached.
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
