//! `/api/sessions`: lists and ends the sessions of a user. An admin can name another user with `?user=`.
//!
//! - `GET` lists them, the last seen first: `{items, next}`. A page holds all of them, so `next` is always null.
//! - `DELETE /api/sessions/{id}` ends one: 204, or 404 for an unknown one. For the caller's own session, the response
//!   also deletes the session cookie.
//! - `DELETE /api/sessions` ends all sessions except the caller's; for another user, or with `?all=true`, all of them:
//!   `{revoked}`. If the caller's session is among them, the response also deletes the session cookie.
//!
//! What is written: the user's `Sessions` object deletes the rows and keeps the ids for a minute. `Accounts` and
//! `Confirmations` objects record them, too, so that they refuse late commands (`identity/ended.rs`). The audit trail
//! gets a row with the user whose sessions ended.

use serde::Serialize;

use super::{Call, users::write};
use crate::{
    accounts::{Write, login},
    http::{
        problem::{Fault, Rejection},
        reply::{EarlyResponse, Reply},
    },
    identity::{
        call::{EndpointResponse, Page, json},
        principal::Role,
    },
    platform::effects::Effects,
    sessions::{
        cache::SessionCache,
        device,
        registry::{self, Command, End, Session, Sessions, Which},
        settings::Login,
    },
};

pub(super) async fn list<E: Effects>(call: Call<'_>, effects: &E) -> Result<EndpointResponse, EarlyResponse> {
    let user = requested_user(call)?;
    let registry::Reply::Sessions(all) = effects
        .call_object::<Sessions>(&user, &Command::List(call.cx.login.sessions.policy.lifetime.limits()))
        .await?
    else {
        return Err(Fault::Internal.into());
    };
    let current = call.principal()?.session_id();
    let items = all.iter().map(|session| SessionView::new(session, current)).collect();
    Ok(json(200, &Page { items, next: None }).into())
}

pub(super) async fn end<E: Effects>(call: Call<'_>, effects: &E) -> Result<EndpointResponse, EarlyResponse> {
    let user = requested_user(call)?;
    let id = call.last_segment().ok_or(Rejection::NotFound)?;
    let ended = end_sessions(call, effects, &user, Which::One(id.clone())).await?;
    if ended != 1 {
        return Err(Rejection::NotFound.into());
    }
    let is_current = call.principal()?.session_id() == Some(&id);
    let cookies = is_current
        .then(|| call.cx.browser.cookies.end(&call.cx.login.sessions.policy, call.cx.browser.context));
    let response = EndpointResponse::from(Reply { status: 204, ..Reply::default() });
    Ok(EndpointResponse { cookies, ..response }.with_detail(user))
}

pub(super) async fn end_others<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let user = requested_user(call)?;
    let principal = call.principal()?;
    let is_everywhere = match call.request.parameter("all").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Rejection::InvalidBody("all", "expected true or false").into()),
    };
    let is_own = principal.user_id() == Some(&user);
    // No session of another user is the caller's.
    let which = if is_own && !is_everywhere { Which::Others } else { Which::All };
    let ended = end_sessions(call, effects, &user, which).await?;
    let is_signed_out = is_own && is_everywhere && principal.session_id().is_some();
    let cookies = is_signed_out
        .then(|| call.cx.browser.cookies.end(&call.cx.login.sessions.policy, call.cx.browser.context));
    let response = EndpointResponse { cookies, ..json(200, &EndedCount { ended }).into() };
    Ok(response.with_detail(format!("{user} {ended}")))
}

/// Ends sessions of a user, if the principal still may do so. Returns the number of sessions that ended.
async fn end_sessions<E: Effects>(
    call: Call<'_>,
    effects: &E,
    user: &str,
    which: Which,
) -> Result<u64, EarlyResponse> {
    let mut author = Some(call.author()?);
    if call.cx.login.sessions.login == Login::Accounts && call.principal()?.user_id() != Some(user) {
        // `Accounts` checks that the author is an active admin. So the command to `Sessions` has no author.
        write(call, effects, Write::AuthorizeEndingSessions(user.to_owned())).await?;
        author = None;
    }
    let command = Command::End(End { author, of: user.to_owned(), which });
    match effects.call_object::<Sessions>(user, &command).await? {
        registry::Reply::Done(ended) => {
            login::notify_ended_sessions(call.cx.login, effects, user).await?;
            Ok(ended)
        }
        registry::Reply::Refused(refusal) => {
            effects.memory().of::<SessionCache>().forget_user(user);
            Err(Rejection::from(refusal).into())
        }
        _ => Err(Fault::Internal.into()),
    }
}

/// Returns the user whose sessions the request is about: `?user=` for an admin, who must have authenticated recently if
/// `SESSION.recent_admin` says so; otherwise the caller.
fn requested_user(call: Call<'_>) -> Result<String, Rejection> {
    let principal = call.principal()?;
    let own = principal.user_id().ok_or(Rejection::ForbiddenKind)?;
    match call.request.parameter("user") {
        Some(other) if other != own && principal.role != Some(Role::Admin) => Err(Rejection::ForbiddenRole),
        Some(other) if crate::crypto::jwt::claims::is_id(&other) => {
            if other != own {
                call.admission.check_recent(call.cx.login.sessions.recent_admin)?;
            }
            Ok(other)
        }
        Some(_) => Err(Rejection::NotFound),
        None => Ok(own.to_owned()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionView<'a> {
    id: &'a str,
    current: bool,
    created_at: String,
    last_seen_at: String,
    expires_at: String,
    user_agent: Option<&'a str>,
    address: Option<&'a str>,
    device: Option<String>,
    place: Option<&'a str>,
    authenticated_at: String,
}

#[derive(Serialize)]
struct EndedCount {
    /// The name is part of the API.
    #[serde(rename = "revoked")]
    ended: u64,
}

impl<'a> SessionView<'a> {
    fn new(session: &'a Session, current: Option<&str>) -> Self {
        Self {
            id: &session.id,
            current: current == Some(&session.id),
            created_at: session.created_at.to_string(),
            last_seen_at: session.last_seen_at.to_string(),
            expires_at: session.expires_at.to_string(),
            user_agent: session.user_agent.as_deref(),
            address: session.address.as_deref(),
            device: session.user_agent.as_deref().and_then(device::name),
            place: session.place.as_deref(),
            authenticated_at: session.authenticated_at.to_string(),
        }
    }
}
