//! Who is asking: the session cookie, then a bearer token, then nobody.
//!
//! 1. A cookie whose token holds is held against the registry, where sessions are kept in one; of several
//!    copies of one user's, the first that it knows. What it said less than `check_ttl` ago still counts, but
//!    never for a rule that asks for an admin, nor for an endpoint of ours.
//! 2. A registry that does not answer is no rejection: 503, and the cookie stays. At the login page it is
//!    nobody, for that is the way out.
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
    rule::{Access, Destination, Rule},
    session::{Holder, Presented},
    time::whole_milliseconds,
};

/// How much has to be known of who is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// Nothing.
    Nothing,
    /// What the registry has said a moment ago.
    Lately,
    /// What it says now.
    Now,
    /// What it says now, if it says anything.
    AtLogin,
}

impl Asking {
    /// Tells what a rule asks for.
    #[must_use]
    pub fn of(rule: &Rule, at_login: bool) -> Self {
        match (rule.access, rule.destination) {
            _ if at_login => Self::AtLogin,
            (Access::Public, _) => Self::Nothing,
            (Access::Admin, _) | (_, Destination::Endpoint(_)) => Self::Now,
            (Access::Optional | Access::Authenticated | Access::User | Access::Human, _) => Self::Lately,
        }
    }
}

/// Finds out who is asking; a session that is over becomes a rejected one.
///
/// # Errors
/// [`Fault::StoreUnavailable`].
pub async fn establish<E: Effects>(
    config: &Config,
    effects: &E,
    presented: &mut Presented<'_>,
    (asking, request, moment): (Asking, &Request<'_>, Moment<'_>),
) -> Result<Identity, Fault> {
    let mut role = None;
    if let (Check::Registry { ttl }, true) = (config.check, asking != Asking::Nothing) {
        let ttl = if asking == Asking::Lately { whole_milliseconds(ttl) } else { 0 };
        while let Holder::User(live) = &presented.holder {
            let ids = (live.claims.user_id.as_str(), live.claims.session_id.as_str());
            match standing(effects, ids, ttl, moment).await {
                Ok(Some(found)) => {
                    role = Some(found);
                    break;
                }
                Ok(None) => presented.reject(Reason::SessionRevoked),
                Err(_) if asking == Asking::AtLogin => {
                    let principal = Err(Reason::NoCredential);
                    return Ok(Identity { principal, machine_beside: false });
                }
                Err(fault) => return Err(fault),
            }
        }
    }
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
