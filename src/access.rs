//! May this principal use this rule?

use crate::{
    csrf::SameSite,
    principal::Principal,
    problem::{Reason, Rejection},
    rule::Access,
};

/// Leave to proceed. Holds whom upstream is told of, if anybody.
#[derive(Debug)]
pub struct Admission {
    principal: Option<Principal>,
}

impl Admission {
    /// Whom upstream is told of.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }
}

/// Judges who was identified, once the request is known not to be forged.
///
/// # Errors
/// [`Rejection::Unauthorized`] where somebody is needed and nobody was found.
pub fn admit(
    access: Access,
    _proof: SameSite,
    identity: Result<Principal, Reason>,
) -> Result<Admission, Rejection> {
    let principal = match (access, identity) {
        (Access::Public, _) | (Access::Optional, Err(_)) => None,
        (Access::Authenticated | Access::User, Err(reason)) => return Err(Rejection::Unauthorized(reason)),
        (Access::Optional | Access::Authenticated | Access::User, Ok(principal @ Principal::User { .. })) => {
            Some(principal)
        }
    };
    Ok(Admission { principal })
}
