//! `POST /api/auth/backchannel-logout`: upstream ends the sessions of a user, or one of them, with a logout token.
//!
//! The form has the token in `logout_token` (`OpenID` Connect Back-Channel Logout 1.0 §2.5). A browser is rejected,
//! even with a valid token: only a server sends this request. The answer is the same whether or not there was a session
//! to end.

use super::Call;
use crate::{
    accounts::login,
    http::{
        problem::{Fault, Rejection},
        reply::{EarlyResponse, Reply},
    },
    identity::call::EndpointResponse,
    platform::effects::{BodyError, Effects},
    sessions::{
        logout_token::{self, LogoutTokenError},
        registry::{self, Command, Logout, Sessions, Which},
    },
};

pub(super) async fn end<E: Effects>(call: Call<'_>, effects: &E) -> Result<EndpointResponse, EarlyResponse> {
    let headers = &call.request.headers;
    if headers.iter().any(|(name, _)| name == "origin" || name.starts_with("sec-fetch-")) {
        return Err(Rejection::ForbiddenOrigin { development: false }.into());
    }
    let media_type = headers.value("content-type").unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Rejection::UnsupportedMediaType.into());
    }
    let text =
        call.body.unwrap_or(&Err(BodyError::BrokenOff)).as_ref().map_err(|error| Rejection::from(*error))?;
    let mut tokens = url::form_urlencoded::parse(text.as_bytes()).filter(|(name, _)| name == "logout_token");
    let (Some((_, token)), None) = (tokens.next(), tokens.next()) else {
        return Err(Rejection::InvalidBody("logout_token", "expected one logout token").into());
    };
    // Without the secret, this route does not exist.
    let key = call.cx.login.sessions.logout_key.as_ref().ok_or(Rejection::NotFound)?;
    let token = logout_token::verify(key, &token, call.meta.now).map_err(rejected)?;
    let detail = token.session.clone().unwrap_or_else(|| "all".to_owned());
    let which = token.session.map_or(Which::All, Which::One);
    let command = Command::LogOut(Logout { token: token.id, until: token.until, which });
    match effects.call_object::<Sessions>(&token.user, &command).await? {
        registry::Reply::Done(_) => {}
        registry::Reply::AlreadyUsed => return Err(rejected(LogoutTokenError::Used).into()),
        _ => return Err(Fault::Internal.into()),
    }
    login::notify_ended_sessions(call.cx.login, effects, &token.user).await?;
    let reply = Reply { status: 204, ..Reply::default() };
    Ok(EndpointResponse::from(reply).with_user(token.user).with_detail(detail))
}

fn rejected(error: LogoutTokenError) -> Rejection {
    Rejection::LogoutTokenInvalid(error.code())
}
