//! May this principal use this rule?
//!
//! | rule | who may |
//! |---|---|
//! | `public` | everybody; nobody is told of |
//! | `optional` | everybody; who is known is told of |
//! | `authenticated` | any principal |
//! | `user` | a user, whatever acts for them |
//! | `human` | a user in person: neither does a machine act nor does a machine's credential come along |
//! | `agent` | an agent, by a token of its own |
//! | `admin` | a user who is an admin |
//! | (ours) | an admin in person, as for `human`: who lets people in or shuts them out is no machine |
//! | (ours) | a user in person, of any role: no machine may make credentials |
//! | `owner` | the user whose it is, or an admin |

use crate::{
    csrf::SameSite,
    owner::Ownership,
    principal::{Principal, Role, Who},
    problem::{Reason, Rejection},
    rule::Access,
    time::Timestamp,
};

/// Leave to proceed. Holds whom upstream is told of, if anybody.
#[derive(Debug)]
pub struct Admission {
    principal: Option<Principal>,
    machine_beside: bool,
    judged_at: Timestamp,
}

/// Who was identified.
#[derive(Debug)]
pub struct Identity {
    /// Who, or why nobody.
    pub principal: Result<Principal, Reason>,
    /// Whether a machine's credential came along with a person's.
    pub machine_beside: bool,
    /// When the stores were asked.
    pub as_of: Timestamp,
}

impl Admission {
    /// Whom upstream is told of.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    /// Tells whether a person acts for themselves, and no machine's credential came along.
    #[must_use]
    pub fn is_by_a_person(&self) -> bool {
        self.principal.as_ref().is_some_and(Principal::is_human) && !self.machine_beside
    }

    /// Returns when they were judged.
    #[must_use]
    pub fn judged_at(&self) -> Timestamp {
        self.judged_at
    }

    /// Tells whether a machine's credential came along with a person's.
    #[must_use]
    pub fn has_machine_beside(&self) -> bool {
        self.machine_beside
    }
}

/// Judges who was identified, once the request is known not to be forged and, where it matters, whose it is.
///
/// # Errors
/// [`Rejection::Unauthorized`] where somebody is needed and nobody was found; else why it is not enough.
pub fn admit(
    access: Access,
    _proof: SameSite,
    identity: Identity,
    ownership: Ownership,
) -> Result<Admission, Rejection> {
    let Identity { principal, machine_beside, as_of: judged_at } = identity;
    let principal = match (access, principal) {
        (Access::Public, _) | (Access::Optional, Err(_)) => {
            return Ok(Admission { principal: None, machine_beside, judged_at });
        }
        (_, Err(reason)) => return Err(Rejection::Unauthorized(reason)),
        (_, Ok(principal)) => principal,
    };
    let is_user = matches!(principal.who, Who::User { .. });
    let lacks = match access {
        Access::User => (!is_user).then_some(Rejection::ForbiddenKind),
        Access::Human => (!principal.is_human() || machine_beside).then_some(Rejection::ForbiddenHumanOnly),
        Access::Agent => is_user.then_some(Rejection::ForbiddenKind),
        Access::Admin | Access::AdminInPerson | Access::UserInPerson | Access::Owner if !is_user => {
            Some(Rejection::ForbiddenKind)
        }
        Access::AdminInPerson | Access::UserInPerson if !principal.is_human() || machine_beside => {
            Some(Rejection::ForbiddenHumanOnly)
        }
        Access::Public | Access::Optional | Access::Authenticated | Access::UserInPerson => None,
        Access::Admin | Access::AdminInPerson => {
            (principal.role != Some(Role::Admin)).then_some(Rejection::ForbiddenRole)
        }
        Access::Owner if principal.role == Some(Role::Admin) => None,
        Access::Owner => match ownership {
            Ownership::Theirs => None,
            Ownership::Others | Ownership::Unasked => Some(Rejection::ForbiddenOwner),
            Ownership::Gone => Some(Rejection::NotFound),
        },
    };
    if let Some(rejection) = lacks {
        return Err(rejection);
    }
    Ok(Admission { principal: Some(principal), machine_beside, judged_at })
}
