//! Decides whether a principal may use a rule.
//!
//! | rule | who is allowed |
//! |---|---|
//! | `public` | everybody; upstream gets no principal |
//! | `optional` | everybody; upstream gets the principal, if there is one |
//! | `authenticated` | any principal |
//! | `user` | a user, with any credential |
//! | `human` | a user in person: no machine acts, and the request has no machine credential beside the session |
//! | `agent` | an agent, with a token of its own |
//! | `admin` | a user with the role `admin` |
//! | `owner` | the user who owns the entity, or an admin. [`crate::routing::owner`] describes how upstream is asked |
//! | built-in: `AdminInPerson` | an admin in person, as for `human`: no machine gives or takes away access |
//! | built-in: `UserInPerson` | a user in person, of any role: no machine creates credentials |
//!
//! A refusal that is only reported (report mode) gives an admission, too ([`AdmittedBy::Report`]). It has the principal
//! whom a valid credential proves. Without one, and after a failed CSRF check, it has no principal.
//!
//! A rule with `recent` also demands that the user has authenticated recently (`step_up.rs`).

use std::time::Duration;

use crate::{
    base::time::Timestamp,
    http::problem::{Reason, Rejection},
    identity::{
        csrf::CsrfPassed,
        principal::{Principal, Role, Who},
        step_up,
        token_scope::{InScope, TokenScope},
    },
    routing::{
        owner::Ownership,
        report::ReportMode,
        rule::{Access, Rule},
    },
};

/// Proof that a request passed the access check, or that its refusal was only reported. Holds the principal that upstream
/// gets, if any.
#[derive(Debug)]
pub struct Admission {
    by: AdmittedBy,
    principal: Option<Principal>,
    scope: Option<TokenScope>,
    may_have_machine_credential: bool,
    checked_at: Timestamp,
    authenticated_at: Option<Timestamp>,
}

/// What admitted a request.
#[derive(Clone, Copy, Debug)]
pub enum AdmittedBy {
    /// It passed each check.
    Checks,
    /// A check refused it, and that was only reported.
    Report(ReportMode),
}

/// A request that failed the access check.
#[derive(Debug)]
pub struct NotAdmitted {
    /// The reason.
    pub rejection: Rejection,
    identity: Identity,
}

/// The result of identification.
#[derive(Debug)]
pub struct Identity {
    /// The principal, or the reason why it is missing.
    pub principal: Result<Principal, Reason>,
    /// The scope of the token, if a token identifies the principal and has a scope.
    pub scope: Option<TokenScope>,
    /// Whether the request has a machine's bearer token, or several credentials, of which one may be a machine's.
    pub may_have_machine_credential: bool,
    /// When the stores were read.
    pub as_of: Timestamp,
    /// When the user of the session last authenticated, if the registry was asked.
    pub authenticated_at: Option<Timestamp>,
}

impl Identity {
    /// The identity of a request whose credentials could not be checked: no principal.
    #[must_use]
    pub fn unknown(as_of: Timestamp) -> Self {
        let principal = Err(Reason::NoCredential);
        Self { principal, scope: None, may_have_machine_credential: false, as_of, authenticated_at: None }
    }

    /// Returns the identity that a request may use after its CSRF check: none, if another site may have sent it.
    #[must_use]
    pub fn usable_after(self, csrf_passed: CsrfPassed) -> Self {
        if csrf_passed.reported().is_some() { Self::unknown(self.as_of) } else { self }
    }
}

impl NotAdmitted {
    /// Admits the request although it was refused: with its principal, if its credential is valid.
    #[must_use]
    pub fn by_report(self, rule: &Rule, mode: ReportMode) -> Admission {
        Admission::of(rule, self.identity, AdmittedBy::Report(mode))
    }
}

impl Admission {
    fn of(rule: &Rule, identity: Identity, by: AdmittedBy) -> Self {
        let Identity { principal, scope, may_have_machine_credential, as_of: checked_at, authenticated_at } =
            identity;
        let principal = principal.ok().filter(|_| rule.access != Access::Public);
        let (scope, authenticated_at) =
            if principal.is_some() { (scope, authenticated_at) } else { (None, None) };
        Self { by, principal, scope, may_have_machine_credential, checked_at, authenticated_at }
    }

    /// Removes the principal, because it was not proven after all.
    #[must_use]
    pub fn without_principal(self, mode: ReportMode) -> Self {
        let by = AdmittedBy::Report(mode);
        Self { by, principal: None, scope: None, authenticated_at: None, ..self }
    }

    /// Returns whether the request was refused, and that was only reported.
    #[must_use]
    pub fn is_by_report(&self) -> bool {
        matches!(self.by, AdmittedBy::Report(_))
    }

    /// Returns the principal that upstream gets; `None` under `public`, or under `optional` without a principal.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    /// Returns the scope of the token that identifies the principal, if it has one.
    #[must_use]
    pub fn scope(&self) -> Option<&TokenScope> {
        self.scope.as_ref()
    }

    /// Returns whether a person acts for themselves, without a machine credential in the request.
    #[must_use]
    pub fn is_by_a_person(&self) -> bool {
        self.principal.as_ref().is_some_and(Principal::is_human) && !self.may_have_machine_credential
    }

    /// Returns when the principal was checked.
    #[must_use]
    pub fn checked_at(&self) -> Timestamp {
        self.checked_at
    }

    /// Checks that the principal has authenticated recently, for an endpoint that demands it of some of its requests
    /// only.
    ///
    /// # Errors
    /// As a rule with this `recent`; [`Rejection::Unauthorized`] without a principal.
    pub fn check_recent(&self, recent: Option<Duration>) -> Result<(), Rejection> {
        let principal = self.principal.as_ref().ok_or(Rejection::Unauthorized(Reason::NoCredential))?;
        step_up::check(recent, principal, self.authenticated_at, self.checked_at)
    }

    /// Returns whether the request has, or may have, a machine credential (see
    /// [`Identity::may_have_machine_credential`]).
    #[must_use]
    pub fn may_have_machine_credential(&self) -> bool {
        self.may_have_machine_credential
    }
}

/// Checks that the identified principal may use a rule. The CSRF check and the check of the token's scope come first
/// (`csrf_passed`, `in_scope`), and so does the owner check if the rule needs one (`ownership`).
///
/// # Errors
/// [`Rejection::Unauthorized`] if the rule needs a principal and it is missing. Otherwise the reason why the principal
/// may not use the rule: it is forbidden, the owned entity does not exist ([`Rejection::NotFound`]), or the user
/// authenticated too long ago ([`Rejection::ReauthenticationRequired`]).
pub fn admit(
    rule: &Rule,
    csrf_passed: CsrfPassed,
    in_scope: InScope,
    identity: Identity,
    ownership: Ownership,
) -> Result<Admission, Box<NotAdmitted>> {
    let identity = identity.usable_after(csrf_passed);
    if let Err(rejection) = check(rule, &identity, ownership) {
        return Err(Box::new(NotAdmitted { rejection, identity }));
    }
    let reported = csrf_passed.reported().or(in_scope.reported());
    Ok(Admission::of(rule, identity, reported.map_or(AdmittedBy::Checks, AdmittedBy::Report)))
}

/// Checks that an identity may use a rule.
fn check(rule: &Rule, identity: &Identity, ownership: Ownership) -> Result<(), Rejection> {
    let Identity { principal, may_have_machine_credential, as_of, authenticated_at, .. } = identity;
    let principal = match (rule.access, principal) {
        (Access::Public, _) | (Access::Optional, Err(_)) => return Ok(()),
        (_, Err(reason)) => return Err(Rejection::Unauthorized(*reason)),
        (_, Ok(principal)) => principal,
    };
    if let Some(rejection) = rejection(rule.access, principal, *may_have_machine_credential, ownership) {
        return Err(rejection);
    }
    // Last, so that a person is asked to authenticate only for what they may do.
    step_up::check(rule.recent, principal, *authenticated_at, *as_of)
}

/// Checks whether a principal may use a rule, provided that the principal owns the entity that the rule guards. If the
/// rule demands a recent authentication, only a principal with a session may use it.
#[must_use]
pub fn may_use(rule: &Rule, principal: &Principal) -> bool {
    rejection(rule.access, principal, false, Ownership::Owner).is_none()
        && (rule.recent.is_none() || principal.session_id().is_some())
}

/// Returns the reason why a principal may not use a rule.
fn rejection(
    access: Access,
    principal: &Principal,
    may_have_machine_credential: bool,
    ownership: Ownership,
) -> Option<Rejection> {
    let is_user = matches!(principal.who, Who::User { .. });
    match access {
        Access::User => (!is_user).then_some(Rejection::ForbiddenKind),
        Access::Human => {
            (!principal.is_human() || may_have_machine_credential).then_some(Rejection::ForbiddenHumanOnly)
        }
        Access::Agent => is_user.then_some(Rejection::ForbiddenKind),
        Access::Admin | Access::AdminInPerson | Access::UserInPerson | Access::Owner if !is_user => {
            Some(Rejection::ForbiddenKind)
        }
        Access::AdminInPerson | Access::UserInPerson
            if !principal.is_human() || may_have_machine_credential =>
        {
            Some(Rejection::ForbiddenHumanOnly)
        }
        Access::Public | Access::Optional | Access::Authenticated | Access::UserInPerson => None,
        Access::Admin | Access::AdminInPerson => {
            (principal.role != Some(Role::Admin)).then_some(Rejection::ForbiddenRole)
        }
        Access::Owner if principal.role == Some(Role::Admin) => None,
        Access::Owner => match ownership {
            Ownership::Owner => None,
            Ownership::NotOwner | Ownership::NotChecked => Some(Rejection::ForbiddenOwner),
            Ownership::NotFound => Some(Rejection::NotFound),
        },
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may fail")]
mod tests;
