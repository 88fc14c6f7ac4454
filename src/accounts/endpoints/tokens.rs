//! `/api/agent-tokens`: tokens for scripts and agents. A token's value is returned only when the token is made.
//!
//! A token may get a scope, which cuts what it may do. With `TOKEN_MAX_EXPIRY`, each new token must expire.
//!
//! A user makes tokens that act for that user; only an admin makes tokens of agents. With `TOKEN_MAKERS` set to admins,
//! only admins make tokens at all. Users see and revoke their own tokens, admins see and revoke all.

use serde::Serialize;

use super::{Call, delegation, users::write};
use crate::{
    accounts::{self, Accounts, Command, Write, provision},
    http::{
        form::Form,
        problem::{Fault, ForbiddenBy, Rejection},
        reply::{EarlyResponse, Reply},
    },
    identity::{
        call::{EndpointResponse, Page, json},
        principal::Role,
        token_scope::{self, TokenScope},
    },
    platform::effects::Effects,
    tokens::{self, Hash, Kind, Token, TokenCache, Tokens, settings::TokenMakers},
};

/// Checks a request to make a token, before its idempotency key is looked up.
pub(super) fn check_create(call: Call<'_>) -> Result<(), Rejection> {
    let principal = call.principal()?;
    let is_by_token = principal.session_id().is_none();
    if is_by_token {
        delegation::check_parent(call)?;
    }
    let form = call.form(MEMBERS)?;
    let kind = kind(call, &form)?;
    if is_by_token {
        delegation::check_kind(kind, &form)?;
    }
    if is_for_admins(call, kind) {
        if principal.role != Some(Role::Admin) {
            return Err(Rejection::ForbiddenRole);
        }
        // A token that makes another one can do no more with it.
        if !is_by_token {
            call.admission.check_recent(call.cx.login.sessions.recent_admin)?;
        }
    }
    Ok(())
}

pub(super) async fn create<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let form = call.form(MEMBERS)?;
    let name =
        form.name("name")?.ok_or(Rejection::InvalidBody("name", "expected a string, found nothing"))?;
    let kind = kind(call, &form)?;
    let is_machine = kind.source.is_machine();
    let id_of = |member| {
        let id = form.word(member, "expected 1 to 128 visible ASCII characters, and no user's id", id)?;
        // Otherwise upstream would take a person for an agent.
        let expected = "not allowed: a token of this kind acts as a person, not as a machine";
        id.map(|id| if is_machine { Ok(id) } else { Err(Rejection::InvalidBody(member, expected)) })
            .transpose()
    };
    let max_expiry = call.cx.tokens.max_expiry;
    let (mut expires_at, mut scope) = (form.until("expiresIn", call.meta.now)?, scope(&form)?);
    let parent = match call.principal()?.session_id() {
        Some(_) => None,
        None => Some(delegation::parent(call, effects).await?),
    };
    if parent.is_some() {
        expires_at = expires_at.or_else(|| Some(delegation::default_expiry(max_expiry, call.meta.now)));
    }
    if let Some(max) = max_expiry {
        let latest = call.meta.now.plus(max.lifetime);
        let is_allowed = expires_at.is_some_and(|end| end <= latest);
        is_allowed.then_some(()).ok_or(Rejection::InvalidBody("expiresIn", max.detail))?;
    }
    if let Some((_, parent)) = &parent {
        expires_at = expires_at.map(|end| delegation::capped_expiry(end, parent));
        scope = delegation::capped_scope(scope, parent)?;
    }
    let token = Token {
        id: effects.new_id("tok_"),
        name: name.to_owned(),
        prefix: kind.prefix.clone(),
        owner: call.principal()?.id().to_owned(),
        agent: id_of("agentId")?,
        task: id_of("taskId")?,
        created_at: call.meta.now,
        expires_at,
        revoked_at: None,
        last_used_at: None,
        made_by_token: parent.as_ref().map(|(hash, _)| hash.0.clone()),
        takeovers: 0,
        scope,
    };
    let value = effects.new_id(&kind.prefix);
    let hash = Hash::of(&value);
    // If the request is interrupted between the two writes, a token is listed whose value nobody knows.
    let command = Write::PutToken {
        hash: hash.0.clone(),
        token: token.clone(),
        is_for_admins: is_for_admins(call, kind),
    };
    match write(call, effects, command).await? {
        accounts::Reply::Done(true) => {}
        accounts::Reply::NotFound => return Err(delegation::PARENT_REVOKED.into()),
        _ => return Err(Rejection::ForbiddenPolicy(ForbiddenBy::TokenLimit).into()),
    }
    effects
        .call_object::<Tokens>(hash.object(), &tokens::Command::Put(hash.0.clone(), token.clone()))
        .await?;
    let by = parent.map(|(_, parent)| format!(" by {}", parent.id)).unwrap_or_default();
    let detail = format!("{} {}{by}", token.prefix, token.id);
    let created = json(201, &CreatedToken { plaintext: &value, token: TokenView::of(&token) });
    Ok(EndpointResponse::from(created).with_detail(detail))
}

pub(super) async fn list<E: Effects>(call: Call<'_>, effects: &E) -> Result<EndpointResponse, EarlyResponse> {
    let limit = call.limit()?;
    if call.principal()?.role == Some(Role::Admin) && !call.cx.tokens.configured.is_empty() {
        // Repeated here, because the call after the isolate's first response may have failed.
        let seeding = provision::store_command(call.cx.tokens, effects, call.meta.now);
        effects.call_object::<Accounts>(accounts::NAME, &seeding).await?;
    }
    let command =
        Command::Tokens(owner_filter(call)?, call.request.parameter("cursor"), limit.saturating_add(1));
    let accounts::Reply::Tokens(all) = effects.call_object::<Accounts>(accounts::NAME, &command).await?
    else {
        return Err(Fault::Internal.into());
    };
    let mut known: Vec<Token> = Vec::with_capacity(all.len());
    for (hash, token) in all {
        // The time of the last use is stored in the token's own object.
        let hash = Hash(hash);
        let found =
            effects.call_object::<Tokens>(hash.object(), &tokens::Command::Find(hash.0.clone())).await?;
        let token = found.unwrap_or(token);
        if token.revoked_at.is_some() {
            // An earlier version revoked it, or its revocation was interrupted.
            effects.call_after_response::<Accounts>(accounts::NAME, &Command::DeleteToken(token.id.clone()));
        }
        known.push(token);
    }
    let mut page = Page::new(&known, limit, |token| &token.id, |token| token);
    page.items.retain(|token| token.revoked_at.is_none());
    let Page { items, next } = page;
    Ok(json(200, &Page { items: items.into_iter().map(TokenView::of).collect(), next }).into())
}

pub(super) async fn delete<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let id = call.last_segment().ok_or(Rejection::NotFound)?;
    // If the request is interrupted after this, an alarm of `Accounts` does the rest.
    let (hash, token) = single_token(write(call, effects, Write::RevokeToken(id.clone())).await?)?;
    effects.call_object::<Tokens>(hash.object(), &tokens::Command::Revoke(hash.0.clone(), token)).await?;
    effects.memory().of::<TokenCache>().0.forget(&hash.0);
    effects.call_object::<Accounts>(accounts::NAME, &Command::DeleteToken(id)).await?;
    Ok(Reply { status: 204, ..Reply::default() }.into())
}

/// Checks a request to take over a token, before its idempotency key is looked up.
pub(super) fn check_take_over(call: Call<'_>) -> Result<(), Rejection> {
    // Needs a session, as making an agent's token does. Otherwise a token could keep access beyond its own expiry.
    call.principal()?.session_id().map(drop).ok_or(Rejection::ForbiddenHumanOnly)
}

/// Makes the calling admin the owner of an agent's token, so that it does not depend on its former owner.
pub(super) async fn take_over<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let id = call.segment_before("take-over").ok_or(Rejection::NotFound)?;
    let command = Command::Token(None, id.clone());
    let (_, token) = single_token(effects.call_object::<Accounts>(accounts::NAME, &command).await?)?;
    // A token of any other kind would then act for another user.
    let is_agents = |kind: &Kind| kind.is_agent && kind.prefix == token.prefix;
    if !call.cx.tokens.kinds.iter().any(is_agents) {
        return Err(Rejection::NotFound.into());
    }
    let (hash, token) = match write(call, effects, Write::TakeOverToken(id)).await? {
        accounts::Reply::Done(false) => {
            return Err(Rejection::ForbiddenPolicy(ForbiddenBy::TokenLimit).into());
        }
        reply => single_token(reply)?,
    };
    let takeovers = token.takeovers;
    let own = tokens::Command::Own(hash.0.clone(), token);
    let token = effects.call_object::<Tokens>(hash.object(), &own).await?.ok_or(Fault::Internal)?;
    effects.memory().of::<TokenCache>().0.forget(&hash.0);
    // If the request is interrupted before this, an alarm of `Accounts` does the rest.
    let delivered = Command::TakeoverDelivered(token.id.clone(), takeovers);
    effects.call_object::<Accounts>(accounts::NAME, &delivered).await?;
    let detail = format!("{} {}", token.prefix, token.id);
    Ok(EndpointResponse::from(json(200, &TokenView::of(&token))).with_detail(detail))
}

/// Returns the single token of a reply, or 404 if it is missing.
fn single_token(reply: accounts::Reply) -> Result<(Hash, Token), EarlyResponse> {
    match reply {
        accounts::Reply::Tokens(found) => {
            let (hash, token) = found.into_iter().next().ok_or(Rejection::NotFound)?;
            Ok((Hash(hash), token))
        }
        accounts::Reply::NotFound => Err(Rejection::NotFound.into()),
        _ => Err(Fault::Internal.into()),
    }
}

/// Returns whether only an admin may make tokens of this kind.
fn is_for_admins(call: Call<'_>, kind: &Kind) -> bool {
    kind.is_agent || call.cx.tokens.makers == TokenMakers::Admins
}

/// Returns the kind that the form's `prefix` names; without `prefix`, the default kind.
fn kind<'a>(call: Call<'a>, form: &Form) -> Result<&'a Kind, Rejection> {
    let kinds = &call.cx.tokens.kinds;
    let found = match form.optional("prefix")? {
        Some(prefix) => kinds.iter().find(|kind| kind.prefix == prefix),
        None => default_kind(kinds),
    };
    found.ok_or(Rejection::InvalidBody("prefix", call.cx.tokens.prefixes_detail))
}

/// Returns the default kind: an agent's own token, `mk_` or otherwise the only such kind.
fn default_kind(kinds: &[Kind]) -> Option<&Kind> {
    let mut agents = kinds.iter().filter(|kind| kind.is_agent);
    if let Some(known) = agents.clone().find(|kind| kind.prefix == "mk_") {
        return Some(known);
    }
    agents.next().filter(|_| agents.next().is_none())
}

/// Parses the scope of the token to be made. Returns `None` if the form has no part of one.
fn scope(form: &Form) -> Result<Option<TokenScope>, Rejection> {
    let part = |member, wanted, fits: fn(&str) -> bool| {
        let items = form.texts(member, wanted, MOST_ITEMS, fits)?;
        // An empty list would allow nothing, which is not what a client means.
        if items.as_ref().is_some_and(Vec::is_empty) {
            return Err(Rejection::InvalidBody(member, wanted));
        }
        Ok(items)
    };
    let scope = TokenScope {
        operations: part("operations", OPERATIONS, token_scope::is_operation_pattern)?,
        methods: part("methods", METHODS, token_scope::is_method)?,
        addresses: part("addresses", ADDRESSES, token_scope::is_address_range)?,
    };
    Ok((!scope.is_unlimited()).then_some(scope))
}

const MEMBERS: &[&str] =
    &["name", "prefix", "agentId", "taskId", "expiresIn", "operations", "methods", "addresses"];

/// Maximum number of items in one part of a scope.
const MOST_ITEMS: usize = 32;

const OPERATIONS: &str = "expected 1 to 32 names of operations, such as \"orders.list\" or \"orders.*\"";
const METHODS: &str = "expected 1 to 32 methods in upper case, such as \"GET\"";
const ADDRESSES: &str = "expected 1 to 32 addresses or ranges, such as \"192.0.2.0/24\" or \"2001:db8::/32\", with zeros after the prefix";

/// Returns the owner whose tokens are listed; `None` lists the tokens of all owners.
fn owner_filter(call: Call<'_>) -> Result<Option<String>, Rejection> {
    let principal = call.principal()?;
    Ok((principal.role != Some(Role::Admin)).then(|| principal.id().to_owned()))
}

fn id(text: &str) -> Option<String> {
    (crate::crypto::jwt::claims::is_id(text) && !text.starts_with("usr_")).then(|| text.to_owned())
}

#[derive(Serialize)]
struct CreatedToken<'a> {
    plaintext: &'a str,
    #[serde(flatten)]
    token: TokenView<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenView<'a> {
    id: &'a str,
    name: &'a str,
    prefix: &'a str,
    owner: &'a str,
    agent_id: Option<&'a str>,
    task_id: Option<&'a str>,
    created_at: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    operations: Option<&'a [String]>,
    methods: Option<&'a [String]>,
    addresses: Option<&'a [String]>,
}

impl<'a> TokenView<'a> {
    fn of(token: &'a Token) -> Self {
        let time = |point: Option<crate::base::time::Timestamp>| point.map(|point| point.to_string());
        let scope = token.scope.as_ref();
        Self {
            id: &token.id,
            name: &token.name,
            prefix: &token.prefix,
            owner: &token.owner,
            agent_id: token.agent.as_deref(),
            task_id: token.task.as_deref(),
            created_at: token.created_at.to_string(),
            expires_at: time(token.expires_at),
            last_used_at: time(token.last_used_at),
            operations: scope.and_then(|scope| scope.operations.as_deref()),
            methods: scope.and_then(|scope| scope.methods.as_deref()),
            addresses: scope.and_then(|scope| scope.addresses.as_deref()),
        }
    }
}
