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
//! 4. A token's scope comes with its record. Step 8 checks it.
//! 5. For a public rule, no Durable Object is called.
//! 6. Under a rule with `recent`, a cached answer counts only if its time of authentication is recent enough. Otherwise
//!    the registry is asked, because the user may have authenticated again since.

use std::time::Duration;

use crate::{
    accounts::{profile, provision},
    base::{outline::outlined, time::whole_milliseconds},
    config::Config,
    crypto::jwt::claims::SessionIds,
    http::{
        problem::{Fault, Reason},
        request::Request,
    },
    identity::{
        access::Identity,
        principal::{Actor, Principal, Role, Who},
        step_up,
        token_scope::TokenScope,
    },
    platform::{effects::Effects, event::RequestMeta},
    routing::rule::{Access, Destination, Rule},
    sessions::{
        cache::SessionCache,
        cookies::{SessionCookies, SessionStatus},
        registry::{self, Command, LiveSession, Reply},
        settings::Check,
    },
    tokens::{self, Hash, Kind, Token, TokenCache, Tokens},
};

/// How recent the information about the principal must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// No principal is needed.
    NotNeeded,
    /// A cached answer of the registry is enough.
    Cached,
    /// The registry must answer now.
    Current,
    /// The registry is asked now. If it does not answer, there is no principal.
    CurrentIfAvailable,
}

impl Freshness {
    /// Returns what a rule needs.
    #[must_use]
    pub fn of(rule: &Rule, is_login_page: bool) -> Self {
        match (rule.access, rule.destination) {
            _ if is_login_page => Self::CurrentIfAvailable,
            (Access::Public, _) => Self::NotNeeded,
            (Access::Admin | Access::AdminInPerson, _) | (_, Destination::Endpoint(_)) => Self::Current,
            (
                Access::Optional
                | Access::Authenticated
                | Access::User
                | Access::Human
                | Access::UserInPerson
                | Access::Agent
                | Access::Owner,
                _,
            ) => Self::Cached,
        }
    }
}

/// What a rule needs to know about the principal.
#[derive(Clone, Copy, Debug)]
pub struct Needed {
    /// How recent the information must be.
    pub freshness: Freshness,
    /// Maximum time since the user authenticated.
    pub recent: Option<Duration>,
}

/// Identifies the principal. Rejects sessions in `cookies` that the registry does not know.
///
/// # Errors
/// [`Fault::StoreUnavailable`].
pub async fn identify<E: Effects>(
    config: &Config,
    effects: &E,
    cookies: &mut SessionCookies<'_>,
    needed: Needed,
    request: &Request<'_>,
    meta: RequestMeta<'_>,
) -> Result<Identity, Fault> {
    let Needed { freshness, recent } = needed;
    let ttl = match (config.sessions.check, freshness) {
        (Check::Registry { ttl }, Freshness::Cached) => whole_milliseconds(ttl),
        _ => 0,
    };
    let lookup = Lookup { config, effects, ttl, recent, meta };
    let (mut role, mut authenticated_at) = (None, None);
    let has_registry = config.sessions.check != Check::Token;
    if has_registry && freshness != Freshness::NotNeeded {
        while let SessionStatus::User(live) = &mut cookies.status {
            match lookup.session(live.claims.ids()).await {
                Ok(Some(found)) => {
                    // A renewed token may name a later time of the sign-in. The registry's time counts.
                    live.claims.started_at = live.claims.started_at.min(found.created_at);
                    (role, authenticated_at) = (Some(found.role), Some(found.authenticated_at));
                    break;
                }
                Ok(None) => cookies.reject(Reason::SessionEnded),
                Err(_) if freshness == Freshness::CurrentIfAvailable => {
                    let principal = Err(Reason::NoCredential);
                    let as_of = meta.now;
                    return Ok(Identity {
                        principal,
                        scope: None,
                        may_have_machine_credential: false,
                        as_of,
                        authenticated_at: None,
                    });
                }
                Err(fault) => return Err(fault),
            }
        }
    }
    let principal = match &cookies.status {
        SessionStatus::User(live) => Ok(Principal {
            who: Who::User { id: live.claims.user_id.clone() },
            role,
            actor: Actor::Session { id: live.claims.session_id.clone() },
        }),
        SessionStatus::Rejected(reason) => Err(*reason),
        SessionStatus::Anonymous => Err(Reason::NoCredential),
    };
    let Some(value) = request.bearer().filter(|_| freshness != Freshness::NotNeeded) else {
        let may_have_machine_credential = request.has_several_credentials();
        return Ok(Identity {
            principal,
            scope: None,
            may_have_machine_credential,
            as_of: meta.now,
            authenticated_at,
        });
    };
    let kind = config.tokens.kinds.iter().find(|kind| value.starts_with(&kind.prefix));
    // Of several credentials, one may belong to a machine.
    let may_have_machine_credential =
        request.has_several_credentials() || kind.is_some_and(|kind| kind.source.is_machine());
    // A valid session takes precedence over a token, and a token over an invalid cookie.
    let mut scope = None;
    let principal = match (principal, kind) {
        (Err(reason), _) if reason == Reason::SessionAmbiguous => Err(reason),
        (Err(_), Some(kind)) => match outlined(lookup.token_identity(kind, value)).await? {
            Ok(found) => {
                scope = found.scope;
                Ok(found.principal)
            }
            Err(reason) => Err(reason),
        },
        (Err(Reason::NoCredential), None) => Err(Reason::TokenUnknown),
        (known, _) => known,
    };
    Ok(Identity { principal, scope, may_have_machine_credential, as_of: meta.now, authenticated_at })
}

/// The id that a dry run shows for a configured token that has no record yet: a dry run writes none.
const ID_IN_DRY_RUN: &str = "(not made yet)";

/// The principal for whom a token acts, and the scope of the token.
struct TokenIdentity {
    principal: Principal,
    scope: Option<TokenScope>,
}

/// Looks up what identifies a principal: in this isolate's caches first, then in the objects.
struct Lookup<'a, E> {
    config: &'a Config,
    effects: &'a E,
    /// Maximum age of a cached answer, in milliseconds. With 0, only a current answer counts.
    ttl: u64,
    /// Maximum time since the user authenticated. An answer that does not satisfy it is not taken from the cache.
    recent: Option<Duration>,
    meta: RequestMeta<'a>,
}

impl<E: Effects> Lookup<'_, E> {
    /// Returns the principal for whom a token acts and the token's scope, or the reason to reject the token.
    async fn token_identity(&self, kind: &Kind, value: &str) -> Result<Result<TokenIdentity, Reason>, Fault> {
        let Self { config, effects, meta, .. } = *self;
        let hash = Hash::of(value);
        let token = match self.token(hash.clone()).await? {
            Some(token) => token,
            None => match config.tokens.configured_token(&hash) {
                Some(configured) if effects.as_dry_run().is_some() => {
                    configured.token(ID_IN_DRY_RUN.to_owned(), meta.now)
                }
                Some(configured) => match provision::create(effects, configured, meta.now).await? {
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
        if let Some(parent) = &token.made_by_token
            && !self.still_delegates(parent).await?
        {
            return Ok(Err(Reason::TokenRevoked));
        }
        let (who, role) = if kind.is_agent {
            // If a person made this token, that person must be an active admin. Configured tokens belong to the
            // operator.
            let is_operators = token.owner == tokens::CONFIG_OWNER;
            if !is_operators && self.role_of(&token.owner).await? != Some(Role::Admin) {
                return Ok(Err(Reason::TokenRevoked));
            }
            (Who::Agent { id: token.agent.clone().unwrap_or_else(|| token.id.clone()) }, None)
        } else {
            let Some(role) = self.role_of(&token.owner).await? else {
                return Ok(Err(Reason::TokenRevoked));
            };
            (Who::User { id: token.owner }, Some(role))
        };
        let source = kind.source.clone();
        let Token { id, name, agent, task, scope, .. } = token;
        let actor = Actor::Token { id, name, source, agent, task };
        Ok(Ok(TokenIdentity { principal: Principal { who, role, actor }, scope }))
    }

    /// Checks whether the token that made another token is still valid, and its kind may still make tokens.
    async fn still_delegates(&self, parent: &str) -> Result<bool, Fault> {
        let Self { config, effects, ttl, meta, .. } = *self;
        let cache = effects.memory().of::<TokenCache>();
        let cache = &cache.0;
        let mut found = cache.find(parent, meta.milliseconds, ttl);
        if found.is_none() {
            let hash = Hash(parent.to_owned());
            found =
                effects.call_object::<Tokens>(hash.object(), &tokens::Command::Find(hash.0.clone())).await?;
            if let Some(parent) = &found {
                cache.put(hash.0, parent.clone(), meta.milliseconds);
            }
        }
        let may_be_parent = |parent: &Token| {
            config.tokens.kinds.iter().any(|kind| kind.prefix == parent.prefix && kind.delegate)
        };
        Ok(found.is_some_and(|parent| parent.is_live(meta.now) && may_be_parent(&parent)))
    }

    /// Returns a token from this isolate's cache, or else from its object.
    async fn token(&self, hash: Hash) -> Result<Option<Token>, Fault> {
        let Self { effects, ttl, meta, .. } = *self;
        let cache = effects.memory().of::<TokenCache>();
        let cache = &cache.0;
        if let Some(token) = cache.find(&hash.0, meta.milliseconds, ttl) {
            return Ok(Some(token));
        }
        let found =
            effects.call_object::<Tokens>(hash.object(), &tokens::Command::Find(hash.0.clone())).await?;
        if let Some(token) = &found {
            if token.must_record_use(meta.now) && effects.as_dry_run().is_none() {
                effects.call_after_response::<Tokens>(hash.object(), &tokens::Command::Used(hash.0.clone()));
            }
            cache.put(hash.0, token.clone(), meta.milliseconds);
        }
        Ok(found)
    }

    /// Returns the role of a user, or `None` if the user is unknown or not active.
    async fn role_of(&self, user: &str) -> Result<Option<Role>, Fault> {
        let Self { effects, ttl, meta, .. } = *self;
        let cache = effects.memory().of::<SessionCache>();
        let cache = &cache.statuses;
        let status = match cache.find(user, meta.milliseconds, ttl) {
            Some(status) => status,
            None => match self.ask_registry(user, Command::ReadUserStatus).await? {
                Reply::UserStatus(Some(status)) => {
                    cache.put(user.to_owned(), status.clone(), meta.milliseconds);
                    status
                }
                Reply::UserStatus(None) => return Ok(None),
                _ => return Err(Fault::Internal),
            },
        };
        Ok(status.active.then_some(status.role))
    }

    /// Returns a session, or `None` if it has ended.
    async fn session(&self, ids: SessionIds<'_>) -> Result<Option<LiveSession>, Fault> {
        let Self { effects, ttl, recent, meta, .. } = *self;
        let name = registry::cache_key(ids.user, ids.session);
        let cache = effects.memory().of::<SessionCache>();
        let cache = &cache.sessions;
        if let Some(found) = cache.find(&name, meta.milliseconds, ttl)
            && found.expires_at > meta.now
            && recent.is_none_or(|recent| step_up::is_recent(recent, found.authenticated_at, meta.now))
        {
            return Ok(Some(found));
        }
        outlined(self.current_session(ids, name)).await
    }

    /// Asks the registry for a session, and caches the answer under this name.
    async fn current_session(&self, ids: SessionIds<'_>, name: String) -> Result<Option<LiveSession>, Fault> {
        let Self { config, effects, meta, .. } = *self;
        let cache = effects.memory().of::<SessionCache>();
        let cache = &cache.sessions;
        let command = if effects.as_dry_run().is_some() { Command::CheckReadOnly } else { Command::Check };
        let limits = config.sessions.policy.lifetime.limits();
        match self.ask_registry(ids.user, command(ids.session.to_owned(), limits)).await? {
            Reply::Live(found) => {
                cache.put(name, found, meta.milliseconds);
                Ok(Some(found))
            }
            Reply::Gone => {
                cache.forget(&name);
                Ok(None)
            }
            _ => Err(Fault::Internal),
        }
    }

    /// Sends a command to a user's registry.
    async fn ask_registry(&self, user: &str, command: Command) -> Result<Reply, Fault> {
        let Self { config, effects, meta, .. } = *self;
        profile::ask_registry(&config.accounts.user_headers, effects, user, command, meta).await
    }
}
