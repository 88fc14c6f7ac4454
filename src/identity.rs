//! Who is asking: the session cookie, then a bearer token, then nobody.
//!
//! 1. A cookie whose token holds is held against the registry, where sessions are kept in one. What the
//!    registry said less than `check_ttl` ago still counts, but never for a rule that asks for an admin.
//! 2. A registry that does not answer is no rejection: 503, and the cookie stays.
//! 3. A public rule asks nobody.

use crate::{
    access::Identity,
    config::{Check, Config},
    context::Request,
    effects::Effects,
    event::Moment,
    principal::{Actor, Principal, Role, Who},
    problem::{Fault, Reason},
    registry::{self, Command, Reply, Sessions},
    rule::Access,
    session::{Holder, Presented},
    time::whole_milliseconds,
};

/// Finds out who is asking; a session that is over becomes a rejected one.
///
/// # Errors
/// [`Fault::StoreUnavailable`].
pub async fn establish<E: Effects>(
    config: &Config,
    effects: &E,
    presented: &mut Presented<'_>,
    (access, request, moment): (Access, &Request<'_>, Moment<'_>),
) -> Result<Identity, Fault> {
    let role = match (&presented.holder, config.check) {
        (Holder::User(live), Check::Registry { ttl }) if access != Access::Public => {
            let ttl = if access == Access::Admin { 0 } else { whole_milliseconds(ttl) };
            let (user, session) = (&live.claims.user_id, &live.claims.session_id);
            let role = standing(effects, (user, session), ttl, moment).await?;
            if role.is_none() {
                presented.reject(Reason::SessionRevoked);
            }
            role
        }
        _ => None,
    };
    let principal = match &presented.holder {
        Holder::User(live) => Ok(Principal {
            who: Who::User { id: live.claims.user_id.clone() },
            role,
            actor: Actor::Session { id: live.claims.session_id.clone() },
        }),
        Holder::Rejected(reason) => Err(*reason),
        Holder::Nobody if request.bearer().is_some() => Err(Reason::TokenUnknown),
        Holder::Nobody => Err(Reason::NoCredential),
    };
    Ok(Identity { principal, machine_beside: false })
}

/// Asks how the holder of a session stands; `None` where it is over.
async fn standing<E: Effects>(
    effects: &E,
    (user, session): (&str, &str),
    ttl: u64,
    moment: Moment<'_>,
) -> Result<Option<Role>, Fault> {
    let name = registry::remembered_as(user, session);
    let known = &effects.memory().sessions;
    if let Some((role, expires_at)) = known.find(&name, moment.milliseconds, ttl)
        && expires_at > moment.now
    {
        return Ok(Some(role));
    }
    match effects.ask::<Sessions>(user, &Command::Check(session.to_owned())).await? {
        Reply::Live(role, expires_at) => {
            known.put(name, (role, expires_at), moment.milliseconds);
            Ok(Some(role))
        }
        Reply::Gone => {
            known.forget(&name);
            Ok(None)
        }
        _ => Err(Fault::Internal),
    }
}
