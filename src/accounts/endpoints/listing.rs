//! `GET /api/users`: the list of users, with a search and filters.

use super::{Call, users::UserView};
use crate::{
    accounts::{self, Accounts, Command, Cursor, UserQuery},
    http::{
        problem::{Fault, Rejection},
        reply::EarlyResponse,
    },
    identity::{
        call::{EndpointResponse, Page, json},
        principal::Role,
    },
    platform::effects::Effects,
};

/// Lists users: all, or those with a role or status, or those whose address or name has words that begin with `q`.
pub(super) async fn list<E: Effects>(call: Call<'_>, effects: &E) -> Result<EndpointResponse, EarlyResponse> {
    let command = Command::Users(user_query(call)?);
    let accounts::Reply::Users(page) = effects.call_object::<Accounts>(accounts::NAME, &command).await?
    else {
        return Err(Fault::Internal.into());
    };
    let next = page.next.map(|cursor| cursor.text());
    let items = page.users.iter().map(UserView::of).collect();
    Ok(json(200, &Page { items, next: next.as_deref() }).into())
}

fn user_query(call: Call<'_>) -> Result<UserQuery, Rejection> {
    call.reject_unknown_parameters(&["q", "role", "status", "cursor", "limit"])?;
    let parameter = |name| call.request.parameter(name);
    let text = parameter("q").filter(|text| !text.trim().is_empty());
    if text.as_ref().is_some_and(|text| text.len() > LONGEST_SEARCH) {
        return Err(Rejection::InvalidBody("q", "expected at most 254 bytes"));
    }
    let role = parameter("role").map(|role| {
        Role::parse(&role).ok_or(Rejection::InvalidBody("role", "expected \"user\" or \"admin\""))
    });
    let active = parameter("status").map(|status| {
        parse_status(&status).ok_or(Rejection::InvalidBody("status", "expected \"active\" or \"disabled\""))
    });
    let after = parameter("cursor").map(|cursor| {
        Cursor::parse(cursor, text.is_some())
            .ok_or(Rejection::InvalidBody("cursor", "expected the value of \"next\" of the page before"))
    });
    let (role, active, after) = (role.transpose()?, active.transpose()?, after.transpose()?);
    Ok(UserQuery { role, active, after, limit: call.limit()?, text })
}

/// Parses the status of a user. Returns whether the user is active.
pub(super) fn parse_status(text: &str) -> Option<bool> {
    match text {
        "active" => Some(true),
        "disabled" => Some(false),
        _ => None,
    }
}

/// The most bytes of a search: as many as an e-mail address has.
const LONGEST_SEARCH: usize = 254;
