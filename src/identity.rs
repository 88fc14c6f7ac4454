//! Who is asking: the session cookie, then a bearer token, then nobody.
//!
//! 1. A cookie whose token holds is held against the registry, where sessions are kept in one; of several
//!    copies of one user's, the first that it knows. What it said less than `check_ttl` ago still counts, but
//!    never for a rule that asks for an admin, nor for an endpoint of ours.
//! 2. A registry that does not answer is no rejection: 503, and the cookie stays. At the login page it is
//!    nobody, for that is the way out.
//! 3. A token is known by its prefix, looked up, and stands for whom its record names as long as they may
//!    come in. A session that holds goes before it; a cookie that does not hold does not.
//!    A token that a person made for an agent is good while they are an active admin.
//! 4. A public rule asks nobody.

use crate::{
    access::Identity,
    accounts::{self, Accounts},
    config::{Check, Config},
    context::Request,
    effects::Effects,
    event::RequestMeta,
    outline::outlined,
    principal::{Actor, Principal, Role, Who},
    problem::{Fault, Reason},
    profile,
    registry::{self, Command, Reply},
    rule::{Access, Destination, Rule},
    session::{SessionCookies, SessionStatus},
    time::{Timestamp, whole_milliseconds},
    tokens::{self, Hash, Kind, Seed, Token, Tokens},
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
            (Access::Admin | Access::AdminInPerson, _) | (_, Destination::Endpoint(_)) => Self::Now,
            (
                Access::Optional
                | Access::Authenticated
                | Access::User
                | Access::Human
                | Access::UserInPerson
                | Access::Agent
                | Access::Owner,
                _,
            ) => Self::Lately,
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
    presented: &mut SessionCookies<'_>,
    (asking, request, meta): (Asking, &Request<'_>, RequestMeta<'_>),
) -> Result<Identity, Fault> {
    let mut role = None;
    if let (Check::Registry { ttl }, true) = (config.check, asking != Asking::Nothing) {
        let ttl = if asking == Asking::Lately { whole_milliseconds(ttl) } else { 0 };
        while let SessionStatus::User(live) = &presented.holder {
            let ids = (live.claims.user_id.as_str(), live.claims.session_id.as_str());
            match standing((config, effects), ids, ttl, meta).await {
                Ok(Some(found)) => {
                    role = Some(found);
                    break;
                }
                Ok(None) => presented.reject(Reason::SessionRevoked),
                Err(_) if asking == Asking::AtLogin => {
                    let principal = Err(Reason::NoCredential);
                    return Ok(Identity { principal, machine_beside: false, as_of: meta.now });
                }
                Err(fault) => return Err(fault),
            }
        }
    }
    let principal = match &presented.holder {
        SessionStatus::User(live) => Ok(Principal {
            who: Who::User { id: live.claims.user_id.clone() },
            role,
            actor: Actor::Session { id: live.claims.session_id.clone() },
        }),
        SessionStatus::Rejected(reason) => Err(*reason),
        SessionStatus::Nobody => Err(Reason::NoCredential),
    };
    let Some(value) = request.bearer().filter(|_| asking != Asking::Nothing) else {
        let machine_beside = request.has_several_credentials();
        return Ok(Identity { principal, machine_beside, as_of: meta.now });
    };
    let kind = config.credentials.iter().find(|kind| value.starts_with(&kind.prefix));
    // Of several, one may be a machine's.
    let machine_beside =
        request.has_several_credentials() || kind.is_some_and(|kind| kind.source.is_machine());
    // A session that holds goes before a token; a token before a cookie that does not.
    let principal = match (principal, kind) {
        (Err(reason), _) if reason == Reason::SessionAmbiguous => Err(reason),
        (Err(_), Some(kind)) => outlined(by_token(config, effects, (kind, value), (asking, meta))).await?,
        (Err(Reason::NoCredential), None) => Err(Reason::TokenUnknown),
        (known, _) => known,
    };
    Ok(Identity { principal, machine_beside, as_of: meta.now })
}

/// Finds out whom a token acts for.
async fn by_token<E: Effects>(
    config: &Config,
    effects: &E,
    (kind, value): (&Kind, &str),
    (asking, meta): (Asking, RequestMeta<'_>),
) -> Result<Result<Principal, Reason>, Fault> {
    let ttl = match (config.check, asking) {
        (Check::Registry { ttl }, Asking::Lately) => whole_milliseconds(ttl),
        _ => 0,
    };
    let hash = Hash::of(value);
    let token = match find_token(effects, hash.clone(), ttl, meta).await? {
        Some(token) => token,
        None => match config.seed(&hash) {
            Some(seed) if effects.as_dry_run().is_some() => seed.token("(not made yet)".to_owned(), meta.now),
            Some(seed) => match plant(effects, seed, meta.now).await? {
                Some(token) => token,
                None => return Ok(Err(Reason::TokenUnknown)),
            },
            None => return Ok(Err(Reason::TokenUnknown)),
        },
    };
    if token.revoked_at.is_some() {
        return Ok(Err(Reason::TokenRevoked));
    }
    if token.expires_at.is_some_and(|end| end <= meta.now) {
        return Ok(Err(Reason::TokenExpired));
    }
    if let Some(maker) = &token.made_by_token
        && !still_delegates(config, effects, maker, (ttl, meta)).await?
    {
        return Ok(Err(Reason::TokenRevoked));
    }
    let (who, role) = if kind.is_agent {
        // A token that a person made for an agent depends on that person; the configuration's tokens are the operator's.
        let is_operators = token.owner == tokens::SEEDED_BY;
        if !is_operators && role_of((config, effects), &token.owner, ttl, meta).await? != Some(Role::Admin) {
            return Ok(Err(Reason::TokenRevoked));
        }
        (Who::Agent { id: token.agent.clone().unwrap_or_else(|| token.id.clone()) }, None)
    } else {
        let Some(role) = role_of((config, effects), &token.owner, ttl, meta).await? else {
            return Ok(Err(Reason::TokenRevoked));
        };
        (Who::User { id: token.owner }, Some(role))
    };
    let source = kind.source.clone();
    let Token { id, name, agent, task, .. } = token;
    let actor = Actor::Token { id, name, source, agent, task };
    Ok(Ok(Principal { who, role, actor }))
}

/// Tells whether the token that made another one is still valid, and its kind may still make tokens.
async fn still_delegates<E: Effects>(
    config: &Config,
    effects: &E,
    maker: &str,
    (ttl, meta): (u64, RequestMeta<'_>),
) -> Result<bool, Fault> {
    let known = &effects.memory().tokens;
    let mut found = known.find(maker, meta.milliseconds, ttl);
    if found.is_none() {
        let hash = Hash(maker.to_owned());
        found = effects.call_object::<Tokens>(hash.object(), &tokens::Command::Find(hash.0.clone())).await?;
        if let Some(maker) = &found {
            known.put(hash.0, maker.clone(), meta.milliseconds);
        }
    }
    let may_make =
        |maker: &Token| config.credentials.iter().any(|kind| kind.prefix == maker.prefix && kind.delegate);
    Ok(found.is_some_and(|maker| maker.is_live(meta.now) && may_make(&maker)))
}

/// Makes a token that the configuration names. Isolates that do so at the same time make the same one. `None` if
/// another token has that name.
pub(crate) async fn plant<E: Effects>(
    effects: &E,
    seed: &Seed,
    now: Timestamp,
) -> Result<Option<Token>, Fault> {
    let Hash(hash) = &seed.hash;
    let command = accounts::Command::SeedToken(hash.clone(), seed.token(effects.new_id("tok_"), now));
    let token = match effects.call_object::<Accounts>(accounts::NAME, &command).await? {
        accounts::Reply::Token(token) => token,
        accounts::Reply::NameTaken => return Ok(None),
        _ => return Err(Fault::Internal),
    };
    let put = tokens::Command::Put(hash.clone(), token);
    effects.call_object::<Tokens>(seed.hash.object(), &put).await?.map(Some).ok_or(Fault::Internal)
}

/// Lists the configuration's tokens at this isolate's first request. After the answer: no request waits for it,
/// or fails because of it.
pub(crate) fn seed_once<E: Effects>(config: &Config, effects: &E, now: Timestamp) {
    if config.seeds.is_empty() || effects.memory().seeded.replace(true) {
        return;
    }
    seed(config, effects, now);
}

#[inline(never)]
fn seed<E: Effects>(config: &Config, effects: &E, now: Timestamp) {
    effects.call_after_response::<Accounts>(accounts::NAME, &seeding(config, effects, now));
}

/// Writes the command that has all of them listed.
pub(crate) fn seeding<E: Effects>(config: &Config, effects: &E, now: Timestamp) -> accounts::Command {
    let token = |seed: &Seed| (seed.hash.0.clone(), seed.token(effects.new_id("tok_"), now));
    accounts::Command::SeedTokens(config.seeds.iter().map(token).collect())
}

async fn find_token<E: Effects>(
    effects: &E,
    hash: Hash,
    ttl: u64,
    meta: RequestMeta<'_>,
) -> Result<Option<Token>, Fault> {
    let known = &effects.memory().tokens;
    if let Some(token) = known.find(&hash.0, meta.milliseconds, ttl) {
        return Ok(Some(token));
    }
    let found = effects.call_object::<Tokens>(hash.object(), &tokens::Command::Find(hash.0.clone())).await?;
    if let Some(token) = &found {
        if token.is_due(meta.now) && effects.as_dry_run().is_none() {
            effects.call_after_response::<Tokens>(hash.object(), &tokens::Command::Used(hash.0.clone()));
        }
        known.put(hash.0, token.clone(), meta.milliseconds);
    }
    Ok(found)
}

/// Asks what a user may do; `None` where they may not come in.
async fn role_of<E: Effects>(
    (config, effects): (&Config, &E),
    user: &str,
    ttl: u64,
    meta: RequestMeta<'_>,
) -> Result<Option<Role>, Fault> {
    let known = &effects.memory().standings;
    let standing = match known.find(user, meta.milliseconds, ttl) {
        Some(standing) => standing,
        None => match profile::ask_registry(config, effects, (user, Command::Stand), meta).await? {
            Reply::Standing(Some(standing)) => {
                known.put(user.to_owned(), standing.clone(), meta.milliseconds);
                standing
            }
            Reply::Standing(None) => return Ok(None),
            _ => return Err(Fault::Internal),
        },
    };
    Ok(standing.active.then_some(standing.role))
}

/// Asks how the holder of a session stands; `None` where it is over.
async fn standing<E: Effects>(
    (config, effects): (&Config, &E),
    (user, session): (&str, &str),
    ttl: u64,
    meta: RequestMeta<'_>,
) -> Result<Option<Role>, Fault> {
    let name = registry::remembered_as(user, session);
    let known = &effects.memory().sessions;
    if let Some((role, expires_at)) = known.find(&name, meta.milliseconds, ttl)
        && expires_at > meta.now
    {
        return Ok(Some(role));
    }
    outlined(ask_registry((config, effects), (user, session), name, meta)).await
}

async fn ask_registry<E: Effects>(
    (config, effects): (&Config, &E),
    (user, session): (&str, &str),
    name: String,
    meta: RequestMeta<'_>,
) -> Result<Option<Role>, Fault> {
    let known = &effects.memory().sessions;
    let look = if effects.as_dry_run().is_some() { Command::Look } else { Command::Check };
    match profile::ask_registry(config, effects, (user, look(session.to_owned())), meta).await? {
        Reply::Live(role, expires_at) => {
            known.put(name, (role, expires_at), meta.milliseconds);
            Ok(Some(role))
        }
        Reply::Gone => {
            known.forget(&name);
            Ok(None)
        }
        _ => Err(Fault::Internal),
    }
}
