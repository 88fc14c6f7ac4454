//! `/api/sessions`: where a person is signed in, and the way to end it. An admin names another user with
//! `?user=`.
//!
//! - `GET` lists, the last seen first: `{items, next}`. There are never more than one page holds.
//! - `DELETE /api/sessions/{id}` ends one: 204, or 404 where there is none. Its own ends with its cookie.
//! - `DELETE /api/sessions` ends all but the one that asks; of another user, all: `{revoked}`.

use serde::Serialize;

use super::{Answered, Call, Page, accounts::write, json};
use crate::{
    accounts::Write,
    config::Login,
    effects::{Effects, Reply},
    login,
    principal::Role,
    problem::{Fault, Rejection},
    refusal::EarlyResponse,
    registry::{self, Command, End, Session, Sessions, Which},
};

pub(super) async fn list<E: Effects>(call: Call<'_>, effects: &E) -> Result<Answered, EarlyResponse> {
    let user = whose(call)?;
    let registry::Reply::Sessions(all) = effects.call_object::<Sessions>(&user, &Command::List).await? else {
        return Err(Fault::Internal.into());
    };
    let mine = call.principal()?.session_id();
    let items = all.iter().map(|session| Item::new(session, mine)).collect();
    Ok(json(200, &Page { items, next: None }).into())
}

pub(super) async fn revoke<E: Effects>(call: Call<'_>, effects: &E) -> Result<Answered, EarlyResponse> {
    let user = whose(call)?;
    let id = call.last_segment().ok_or(Rejection::NotFound)?;
    let ended = end(call, effects, &user, Which::One(id.clone())).await?;
    if ended != 1 {
        return Err(Rejection::NotFound.into());
    }
    let own = call.principal()?.session_id() == Some(&id);
    let cookies = own.then(|| call.presented.end(&call.config.session, call.ending));
    Ok(Answered { reply: Reply { status: 204, ..Reply::default() }, cookies, proved: None, detail: None })
}

pub(super) async fn revoke_others<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<Answered, EarlyResponse> {
    let user = whose(call)?;
    let principal = call.principal()?;
    // Of another user, no session is the one that asks.
    let which = if principal.user_id() == Some(&user) { Which::Others } else { Which::All };
    let revoked = end(call, effects, &user, which).await?;
    Ok(json(200, &Revoked { revoked }).into())
}

/// Ends sessions of a user on behalf of the principal, if they still may. Returns how many.
async fn end<E: Effects>(
    call: Call<'_>,
    effects: &E,
    user: &str,
    which: Which,
) -> Result<u64, EarlyResponse> {
    let mut author = Some(call.author()?);
    if call.config.login == Login::Accounts && call.principal()?.user_id() != Some(user) {
        // `Accounts` judges the admin; what follows from that has no author.
        write(call, effects, Write::EndSessions(user.to_owned())).await?;
        author = None;
    }
    let asked = Command::End(End { author, of: user.to_owned(), which });
    match effects.call_object::<Sessions>(user, &asked).await? {
        registry::Reply::Done(ended) => {
            login::tell_ended(call.config, effects, user).await?;
            Ok(ended)
        }
        registry::Reply::Refused(refusal) => {
            effects.memory().forget_user(user);
            Err(Rejection::from(refusal).into())
        }
        _ => Err(Fault::Internal.into()),
    }
}

/// Whose sessions are meant.
fn whose(call: Call<'_>) -> Result<String, Rejection> {
    let principal = call.principal()?;
    let own = principal.user_id().ok_or(Rejection::ForbiddenKind)?;
    match call.request.parameter("user") {
        Some(other) if other != own && principal.role != Some(Role::Admin) => Err(Rejection::ForbiddenRole),
        Some(other) if crate::jwt::claims::is_id(&other) => Ok(other),
        Some(_) => Err(Rejection::NotFound),
        None => Ok(own.to_owned()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    id: &'a str,
    current: bool,
    created_at: String,
    last_seen_at: String,
    expires_at: String,
    user_agent: Option<&'a str>,
    address: Option<&'a str>,
}

#[derive(Serialize)]
struct Revoked {
    revoked: u64,
}

impl<'a> Item<'a> {
    fn new(session: &'a Session, mine: Option<&str>) -> Self {
        Self {
            id: &session.id,
            current: mine == Some(&session.id),
            created_at: session.created_at.to_string(),
            last_seen_at: session.last_seen_at.to_string(),
            expires_at: session.expires_at.to_string(),
            user_agent: session.user_agent.as_deref(),
            address: session.address.as_deref(),
        }
    }
}
