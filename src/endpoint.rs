//! The endpoints of our own. They stand behind the same door as upstream's.

use serde::Serialize;

use crate::{
    config::Config,
    context::Request,
    effects::Reply,
    problem::Rejection,
    rule::Endpoint,
    session::{Ending, Holder, Presented},
};

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
/// [`Rejection::MethodNotAllowed`].
pub fn answer(
    endpoint: Endpoint,
    config: &Config,
    request: &Request<'_>,
    presented: &Presented<'_>,
    ending: Ending<'_>,
) -> Result<Answered, Rejection> {
    match endpoint {
        Endpoint::Me => Ok(Answered { reply: me(presented)?, cookies: None }),
        Endpoint::Logout => {
            let cookies = Some(presented.end(&config.session, ending));
            Ok(Answered { reply: logout(config, request), cookies })
        }
        Endpoint::WellKnown => {
            Ok(Answered { reply: json(&Health { version: VERSION, status: "ok" }), cookies: None })
        }
        Endpoint::WrongMethod(allowed) => Err(Rejection::MethodNotAllowed(allowed)),
    }
}

/// Who you are, as far as the token says.
fn me(presented: &Presented<'_>) -> Result<Reply, Rejection> {
    match &presented.holder {
        Holder::User(live) => Ok(json(&Me {
            kind: "user",
            user_id: &live.claims.user_id,
            session_id: &live.claims.session_id,
            expires_at: live.claims.expires_at.to_string(),
        })),
        Holder::Nobody | Holder::Rejected(_) => {
            Err(presented.principal().err().map_or(Rejection::ForbiddenKind, Rejection::Unauthorized))
        }
    }
}

/// 204 to a script, the login page to a person. `?cookies=all` has the browser drop every cookie.
fn logout(config: &Config, request: &Request<'_>) -> Reply {
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

fn json(value: &impl Serialize) -> Reply {
    Reply {
        status: 200,
        headers: vec![("content-type", "application/json".to_owned())],
        body: Some(serde_json::to_string(value).unwrap_or_default()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Me<'a> {
    kind: &'static str,
    user_id: &'a str,
    session_id: &'a str,
    expires_at: String,
}

#[derive(Serialize)]
struct Health {
    version: &'static str,
    status: &'static str,
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
