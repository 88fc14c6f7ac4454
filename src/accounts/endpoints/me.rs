//! `/api/auth/me` and `/api/auth/logout`.

use serde::Serialize;

use super::{Call, users};
use crate::{
    accounts::login,
    http::reply::{EarlyResponse, Reply},
    identity::{
        call::{AuditFacts, EndpointResponse, json},
        principal::Actor,
    },
    platform::effects::Effects,
    redirects::return_path,
    sessions::{
        cookies::{Browser, SessionStatus},
        settings::Login,
    },
};

/// Returns the principal of the request and its credential; for a user of `Accounts`, also email address and name.
pub(super) async fn read<E: Effects>(call: Call<'_>, effects: &E) -> Result<Reply, EarlyResponse> {
    let principal = call.principal()?;
    let account = match principal.user_id() {
        Some(id) if call.cx.login.sessions.login == Login::Accounts => {
            users::find(effects, id.to_owned()).await?
        }
        _ => None,
    };
    let expires_at = match &call.cx.browser.cookies.status {
        SessionStatus::User(live) => Some(live.claims.expires_at.to_string()),
        SessionStatus::Anonymous | SessionStatus::Rejected(_) => None,
    };
    let (session_id, token_id, actor_source) = match &principal.actor {
        Actor::Session { id } => (Some(id.as_str()), None, None),
        Actor::Token { id, source, .. } => (None, Some(id.as_str()), source.name()),
    };
    Ok(json(
        200,
        &Me {
            kind: principal.kind(),
            user_id: principal.user_id(),
            role: principal.role.map(crate::identity::principal::Role::name),
            session_id,
            token_id,
            actor_source,
            expires_at,
            user: account.as_ref().map(|user| UserDetails { email: &user.email, name: user.name.as_deref() }),
        },
    ))
}

/// Responds to a logout: 204 to a script, a redirect (303) to the login page to a browser that wants a page.
/// `?cookies=all` makes the browser delete all cookies of the site (`Clear-Site-Data`).
fn signed_out(call: Call<'_>) -> Reply {
    let Call { cx, request, .. } = call;
    let mut reply = if request.wants_page() {
        let login = return_path::uri_reference(&cx.login.site.return_path.login);
        Reply { status: 303, headers: vec![("location", login)], body: None }
    } else {
        Reply { status: 204, ..Reply::default() }
    };
    if request.parameter("cookies").as_deref() == Some("all") {
        reply.headers.push(("clear-site-data", "\"cookies\"".to_owned()));
    }
    reply
}

/// Ends the sessions that the request presents.
pub(super) async fn log_out<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let Browser { cookies, context } = call.cx.browser;
    let user = login::end_presented_sessions(call.cx.login, effects, cookies).await?;
    let cookies = Some(cookies.end(&call.cx.login.sessions.policy, context));
    let audit = AuditFacts { user, detail: None };
    Ok(EndpointResponse { cookies, audit, ..signed_out(call).into() })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Me<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserDetails<'a>>,
}

#[derive(Serialize)]
struct UserDetails<'a> {
    email: &'a str,
    name: Option<&'a str>,
}
