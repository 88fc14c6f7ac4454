//! Identifies the principal of a request: by the session cookie first, then by a bearer token.
//!
//! 1. A cookie with a valid token is checked against the registry, if the deployment has one. Of several copies of one
//!    user, the first one that the registry knows counts. An answer of the registry is cached for `check_ttl`, but a
//!    cached answer never counts for a rule that requires an admin, nor for a built-in route.
//! 2. If the registry does not answer, the client is not rejected: it gets 503 and keeps the cookie. At the login page,
//!    the request has no principal instead, so that the user can sign in.
//! 3. A token is recognized by its prefix and looked up. It acts for the principal in its record while that principal
//!    is active. A valid session takes precedence over a token, and a token over an invalid cookie. A token that a
//!    person made for an agent is valid while that person is an active admin.
//! 4. For a public rule, no object is asked.

use crate::{
    accounts::{profile, provision},
    base::{outline::outlined, time::whole_milliseconds},
    config::Config,
    http::{
        problem::{Fault, Reason},
        request::Request,
    },
    identity::{
        access::Identity,
        principal::{Actor, Principal, Role, Who},
    },
    platform::{effects::Effects, event::RequestMeta},
    routing::rule::{Access, Destination, Rule},
    sessions::{
        cache::SessionCache,
        cookies::{SessionCookies, SessionStatus},
        registry::{self, Command, Reply},
        settings::Check,
    },
    tokens::{self, Hash, Kind, Token, TokenCache, Tokens},
};

/// How recent the information about the principal must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// No principal is needed.
    Nothing,
    /// A cached answer of the registry is enough.
    Lately,
    /// The registry must answer now.
    Now,
    /// The registry is asked now. If it does not answer, there is no principal.
    AtLogin,
}

impl Asking {
    /// Returns what a rule needs.
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

/// Identifies the principal. Rejects sessions in `cookies` that the registry does not know.
///
/// # Errors
/// [`Fault::StoreUnavailable`].
pub async fn establish<E: Effects>(
    config: &Config,
    effects: &E,
    cookies: &mut SessionCookies<'_>,
    (asking, request, meta): (Asking, &Request<'_>, RequestMeta<'_>),
) -> Result<Identity, Fault> {
    let mut role = None;
    if let (Check::Registry { ttl }, true) = (config.sessions.check, asking != Asking::Nothing) {
        let ttl = if asking == Asking::Lately { whole_milliseconds(ttl) } else { 0 };
        while let SessionStatus::User(live) = &cookies.holder {
            let ids = (live.claims.user_id.as_str(), live.claims.session_id.as_str());
            match session_role((config, effects), ids, ttl, meta).await {
                Ok(Some(found)) => {
                    role = Some(found);
                    break;
                }
                Ok(None) => cookies.reject(Reason::SessionRevoked),
                Err(_) if asking == Asking::AtLogin => {
                    let principal = Err(Reason::NoCredential);
                    return Ok(Identity { principal, machine_beside: false, as_of: meta.now });
                }
                Err(fault) => return Err(fault),
            }
        }
    }
    let principal = match &cookies.holder {
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
    let kind = config.tokens.kinds.iter().find(|kind| value.starts_with(&kind.prefix));
    // Of several credentials, one may belong to a machine.
    let machine_beside =
        request.has_several_credentials() || kind.is_some_and(|kind| kind.source.is_machine());
    // A valid session takes precedence over a token, and a token over an invalid cookie.
    let principal = match (principal, kind) {
        (Err(reason), _) if reason == Reason::SessionAmbiguous => Err(reason),
        (Err(_), Some(kind)) => {
            outlined(token_principal(config, effects, (kind, value), (asking, meta))).await?
        }
        (Err(Reason::NoCredential), None) => Err(Reason::TokenUnknown),
        (known, _) => known,
    };
    Ok(Identity { principal, machine_beside, as_of: meta.now })
}

/// Returns the principal for whom a token acts, or the reason to reject the token.
async fn token_principal<E: Effects>(
    config: &Config,
    effects: &E,
    (kind, value): (&Kind, &str),
    (asking, meta): (Asking, RequestMeta<'_>),
) -> Result<Result<Principal, Reason>, Fault> {
    let ttl = match (config.sessions.check, asking) {
        (Check::Registry { ttl }, Asking::Lately) => whole_milliseconds(ttl),
        _ => 0,
    };
    let hash = Hash::of(value);
    let token = match find_token(effects, hash.clone(), ttl, meta).await? {
        Some(token) => token,
        None => match config.tokens.configured_token(&hash) {
            Some(seed) if effects.as_dry_run().is_some() => seed.token("(not made yet)".to_owned(), meta.now),
            Some(seed) => match provision::create(effects, seed, meta.now).await? {
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
        // If a person made this token, that person must be an active admin. Configured tokens belong to the operator.
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

/// Checks whether the token that made another token is still valid, and its kind may still make tokens.
async fn still_delegates<E: Effects>(
    config: &Config,
    effects: &E,
    maker: &str,
    (ttl, meta): (u64, RequestMeta<'_>),
) -> Result<bool, Fault> {
    let cache = effects.memory().of::<TokenCache>();
    let cache = &cache.0;
    let mut found = cache.find(maker, meta.milliseconds, ttl);
    if found.is_none() {
        let hash = Hash(maker.to_owned());
        found = effects.call_object::<Tokens>(hash.object(), &tokens::Command::Find(hash.0.clone())).await?;
        if let Some(maker) = &found {
            cache.put(hash.0, maker.clone(), meta.milliseconds);
        }
    }
    let may_make =
        |maker: &Token| config.tokens.kinds.iter().any(|kind| kind.prefix == maker.prefix && kind.delegate);
    Ok(found.is_some_and(|maker| maker.is_live(meta.now) && may_make(&maker)))
}

/// Returns a token from this isolate's cache, or else from its object.
async fn find_token<E: Effects>(
    effects: &E,
    hash: Hash,
    ttl: u64,
    meta: RequestMeta<'_>,
) -> Result<Option<Token>, Fault> {
    let cache = effects.memory().of::<TokenCache>();
    let cache = &cache.0;
    if let Some(token) = cache.find(&hash.0, meta.milliseconds, ttl) {
        return Ok(Some(token));
    }
    let found = effects.call_object::<Tokens>(hash.object(), &tokens::Command::Find(hash.0.clone())).await?;
    if let Some(token) = &found {
        if token.is_due(meta.now) && effects.as_dry_run().is_none() {
            effects.call_after_response::<Tokens>(hash.object(), &tokens::Command::Used(hash.0.clone()));
        }
        cache.put(hash.0, token.clone(), meta.milliseconds);
    }
    Ok(found)
}

/// Returns the role of a user, or `None` if the user is unknown or not active.
async fn role_of<E: Effects>(
    (config, effects): (&Config, &E),
    user: &str,
    ttl: u64,
    meta: RequestMeta<'_>,
) -> Result<Option<Role>, Fault> {
    let cache = effects.memory().of::<SessionCache>();
    let cache = &cache.statuses;
    let status = match cache.find(user, meta.milliseconds, ttl) {
        Some(status) => status,
        None => {
            match profile::ask_registry(&config.accounts.user_headers, effects, (user, Command::Stand), meta)
                .await?
            {
                Reply::Standing(Some(status)) => {
                    cache.put(user.to_owned(), status.clone(), meta.milliseconds);
                    status
                }
                Reply::Standing(None) => return Ok(None),
                _ => return Err(Fault::Internal),
            }
        }
    };
    Ok(status.active.then_some(status.role))
}

/// Returns the role of a session's user, or `None` if the session has ended.
async fn session_role<E: Effects>(
    (config, effects): (&Config, &E),
    (user, session): (&str, &str),
    ttl: u64,
    meta: RequestMeta<'_>,
) -> Result<Option<Role>, Fault> {
    let name = registry::remembered_as(user, session);
    let cache = effects.memory().of::<SessionCache>();
    let cache = &cache.sessions;
    if let Some((role, expires_at)) = cache.find(&name, meta.milliseconds, ttl)
        && expires_at > meta.now
    {
        return Ok(Some(role));
    }
    outlined(find_session_role((config, effects), (user, session), name, meta)).await
}

/// Asks the registry for the role of a session's user.
async fn find_session_role<E: Effects>(
    (config, effects): (&Config, &E),
    (user, session): (&str, &str),
    name: String,
    meta: RequestMeta<'_>,
) -> Result<Option<Role>, Fault> {
    let cache = effects.memory().of::<SessionCache>();
    let cache = &cache.sessions;
    let command = if effects.as_dry_run().is_some() { Command::Look } else { Command::Check };
    match profile::ask_registry(
        &config.accounts.user_headers,
        effects,
        (user, command(session.to_owned())),
        meta,
    )
    .await?
    {
        Reply::Live(role, expires_at) => {
            cache.put(name, (role, expires_at), meta.milliseconds);
            Ok(Some(role))
        }
        Reply::Gone => {
            cache.forget(&name);
            Ok(None)
        }
        _ => Err(Fault::Internal),
    }
}
