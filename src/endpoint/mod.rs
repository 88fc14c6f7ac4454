//! The endpoints of our own. They stand behind the same door as upstream's.

mod sessions;

use serde::Serialize;

use crate::{
    access::Admission,
    config::Config,
    context::Request,
    effects::{Effects, Reply},
    event::Moment,
    login,
    principal::{Actor, Principal},
    problem::Rejection,
    refusal::Turned,
    rule::Endpoint,
    session::{Ending, Holder, Presented},
};

/// A request that an endpoint answers.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The request.
    pub request: &'a Request<'a>,
    /// Its moment.
    pub moment: Moment<'a>,
    /// Its session cookies.
    pub presented: &'a Presented<'a>,
    /// Whom it was let in as.
    pub admission: &'a Admission,
    /// How it ends, as far as the cookie is concerned.
    pub ending: Ending<'a>,
}

/// An endpoint's answer, and what becomes of the session cookie with it.
#[derive(Debug)]
pub struct Answered {
    /// The answer.
    pub reply: Reply,
    /// `Set-Cookie` lines in place of those that the session alone would ask for.
    pub cookies: Option<Vec<String>>,
}

/// Answers an admitted request for an endpoint.
///
/// # Errors
/// [`Turned`]: what the client sent is refused, or a store does not answer.
pub async fn answer<E: Effects>(endpoint: Endpoint, call: Call<'_>, effects: &E) -> Result<Answered, Turned> {
    match endpoint {
        Endpoint::Me => Ok(me(call)?.into()),
        Endpoint::Logout => {
            login::end_presented(call.config, effects, call.presented).await?;
            let cookies = Some(call.presented.end(&call.config.session, call.ending));
            Ok(Answered { reply: logout(call), cookies })
        }
        Endpoint::ListSessions => sessions::list(call, effects).await,
        Endpoint::RevokeSessions => sessions::revoke_others(call, effects).await,
        Endpoint::RevokeSession => sessions::revoke(call, effects).await,
        Endpoint::WellKnown => Ok(json(200, &Health { version: VERSION, status: "ok" }).into()),
        Endpoint::WrongMethod(allowed) => Err(Rejection::MethodNotAllowed(allowed).into()),
    }
}

impl<'a> Call<'a> {
    /// Gives whom the request was let in as, where the rule lets nobody else in.
    fn principal(&self) -> Result<&'a Principal, Rejection> {
        self.admission.principal().ok_or(Rejection::ForbiddenKind)
    }

    /// Gives the last segment of the path, decoded.
    fn last_segment(&self) -> Option<String> {
        let segment = self.request.path.rsplit('/').next()?;
        percent_encoding::percent_decode_str(segment).decode_utf8().ok().map(String::from)
    }
}

impl From<Reply> for Answered {
    fn from(reply: Reply) -> Self {
        Self { reply, cookies: None }
    }
}

/// Who you are.
fn me(call: Call<'_>) -> Result<Reply, Rejection> {
    let principal = call.principal()?;
    let expires_at = match &call.presented.holder {
        Holder::User(live) => Some(live.claims.expires_at.to_string()),
        Holder::Nobody | Holder::Rejected(_) => None,
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
            role: principal.role.map(crate::principal::Role::name),
            session_id,
            token_id,
            actor_source,
            expires_at,
        },
    ))
}

/// 204 to a script, the login page to a person. `?cookies=all` has the browser drop every cookie.
fn logout(call: Call<'_>) -> Reply {
    let Call { config, request, .. } = call;
    let mut reply = if request.wants_page() {
        Reply { status: 303, headers: vec![("location", config.return_path.login.clone())], body: None }
    } else {
        Reply { status: 204, ..Reply::default() }
    };
    if request.parameter("cookies").as_deref() == Some("all") {
        reply.headers.push(("clear-site-data", "\"cookies\"".to_owned()));
    }
    reply
}

fn json(status: u16, value: &impl Serialize) -> Reply {
    Reply {
        status,
        headers: vec![("content-type", "application/json".to_owned())],
        body: Some(serde_json::to_string(value).unwrap_or_default()),
    }
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
}

#[derive(Serialize)]
struct Health {
    version: &'static str,
    status: &'static str,
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
