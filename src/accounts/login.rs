//! Opens, extends and ends sessions: tokens, registry rows and cookies.

use crate::{
    accounts::{self, Accounts},
    approvals::confirmations::{self, Confirmations},
    base::{outline::outlined, time::Timestamp},
    crypto::jwt::claims::SessionIds,
    http::{problem::Fault, request::Request},
    identity::{csrf, principal::Role},
    platform::{
        effects::{ClientPlace, Effects, UpstreamResponse},
        event::RequestMeta,
        once::LoggedOnce,
    },
    redirects::site::Site,
    routing::rule::Rule,
    sessions::{
        cache::SessionCache,
        cookies::{self, Browser, Live, SessionCookies, SessionTimes},
        device,
        loop_breaker::RedirectCount,
        registry::{self, Command, LONGEST_AGENT, RecentlyEnded, Reply, Session, Sessions, UserStatus},
        settings::{Check, Login, Settings},
    },
};

/// The settings by which sessions open and end.
#[derive(Clone, Copy, Debug)]
pub struct LoginContext<'a> {
    /// The public side of the deployment.
    pub site: &'a Site,
    /// Sessions and the sign-in method.
    pub sessions: &'a Settings,
    /// The CSRF policy.
    pub csrf: &'a csrf::Policy,
}

/// A user who has just proved their identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticatedUser {
    /// The user's id: 1–128 visible ASCII characters.
    pub user_id: String,
    /// The user's role and status.
    pub status: UserStatus,
}

/// A newly opened session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// The session's id.
    pub session_id: String,
    /// `Set-Cookie` values.
    pub cookies: Vec<String>,
    /// Whether the user has signed in before, but not with this device.
    pub is_new_device: bool,
}

/// The result of opening a session.
#[derive(Debug)]
pub enum Opening {
    /// The session is open.
    Opened(NewSession),
    /// The user may not sign in.
    Refused,
    /// The credentials have changed since they were read.
    Stale,
}

/// Opens a session. Ends the sessions that this browser had before, also those of another user. Returns `Ok(None)` if
/// the user may not sign in.
///
/// # Errors
/// [`Fault::StoreUnavailable`]; [`Fault::Internal`] if the token cannot be created.
pub async fn open<E: Effects>(
    cx: LoginContext<'_>,
    effects: &E,
    request: &Request<'_>,
    browser: Browser<'_>,
    user: AuthenticatedUser,
    meta: RequestMeta<'_>,
) -> Result<Option<NewSession>, Fault> {
    match open_by_copy(cx, effects, request, browser, user, meta, None).await? {
        Opening::Opened(session) => Ok(Some(session)),
        Opening::Refused | Opening::Stale => Ok(None),
    }
}

/// Opens a session as [`open`] does, for a sign-in that read the user's credentials at this clock of `Accounts`.
///
/// # Errors
/// As [`open`].
pub async fn open_by_copy<E: Effects>(
    cx: LoginContext<'_>,
    effects: &E,
    request: &Request<'_>,
    browser: Browser<'_>,
    user: AuthenticatedUser,
    meta: RequestMeta<'_>,
    credentials: Option<i64>,
) -> Result<Opening, Fault> {
    let session_id = effects.new_id("ses_");
    let mut is_new_device = false;
    let times = SessionTimes::of_sign_in(meta.now);
    let expires_at = times.expiry(&cx.sessions.policy);
    if let Check::Registry { .. } = cx.sessions.check {
        let agent = request.headers.value("user-agent").unwrap_or_default();
        let ClientPlace { city, country } = effects.client_place();
        let session = Session {
            user_agent: Some(agent.chars().take(LONGEST_AGENT).collect()).filter(|_| !agent.is_empty()),
            address: request.headers.value("cf-connecting-ip").map(str::to_owned),
            place: device::place(city.as_deref(), country.as_deref()),
            device: Some(device::recognized_by(agent, country.as_deref())),
            credentials,
            ..Session::opened(&session_id, meta.now, expires_at)
        };
        match effects.call_object::<Sessions>(&user.user_id, &Command::Open(user.status, session)).await? {
            Reply::Done(1) => {}
            Reply::OpenedOnNewDevice => is_new_device = true,
            Reply::Gone => return Ok(Opening::Refused),
            Reply::Stale => return Ok(Opening::Stale),
            _ => return Err(Fault::Internal),
        }
        // Best effort, after the new session is stored: an old one that cannot be ended now ends when it expires.
        let _ = end_presented_sessions(cx, effects, browser.cookies).await;
    }
    let Settings { policy, keys, .. } = cx.sessions;
    let ids = SessionIds { user: &user.user_id, session: &session_id };
    let token = cookies::mint(policy, keys, ids, times).ok_or(Fault::Internal)?;
    let mut cookies = browser.cookies.begin(policy, browser.context, &token, times);
    // The user has signed in, so the redirects that led here were not a loop.
    let cookie_header = request.headers.value("cookie").unwrap_or_default();
    let hops = RedirectCount::restart(cookie_header, &cx.site.hops_cookie, meta.now);
    let secure = cx.site.secure_cookies(request.scheme, request.authority);
    cookies.extend(hops.map(|hops| hops.remember(&cx.site.hops_cookie, secure)));
    Ok(Opening::Opened(NewSession { session_id, cookies, is_new_device }))
}

/// Ends every session that the request presents: deletes its row in the registry, and its entry in this isolate's
/// memory. Returns the id of the user, if a session was ended.
///
/// # Errors
/// [`Fault::StoreUnavailable`]: a session may still be live.
pub async fn end_presented_sessions<E: Effects>(
    cx: LoginContext<'_>,
    effects: &E,
    session_cookies: &SessionCookies<'_>,
) -> Result<Option<String>, Fault> {
    let mut ended_user = None;
    if cx.sessions.check == Check::Token {
        return Ok(ended_user);
    }
    for live in session_cookies.all() {
        let (user, session) = (&live.claims.user_id, &live.claims.session_id);
        if effects.call_object::<Sessions>(user, &Command::SignOut(session.clone())).await? == Reply::Done(1)
        {
            ended_user = Some(user.clone());
        }
        notify_ended_sessions(cx, effects, user).await?;
    }
    Ok(ended_user)
}

/// Notifies `Accounts` and `Confirmations` objects of a user's ended sessions, because commands from these sessions may
/// still be on their way to them. First removes the user from this isolate's memory, so that no cached entry admits a
/// request, even if an object cannot be reached.
///
/// # Errors
/// [`Fault::StoreUnavailable`]: such a command may still be carried out, so the caller must not report success.
pub async fn notify_ended_sessions<E: Effects>(
    cx: LoginContext<'_>,
    effects: &E,
    user: &str,
) -> Result<(), Fault> {
    effects.memory().of::<SessionCache>().forget_user(user);
    if cx.sessions.login != Login::Accounts {
        return Ok(());
    }
    let Reply::RecentlyEnded(RecentlyEnded { sessions, objects }) =
        effects.call_object::<Sessions>(user, &Command::RecentlyEnded).await?
    else {
        return Err(Fault::Internal);
    };
    let Some(sessions) = sessions else { return Ok(()) };
    for object in objects.split_whitespace() {
        let ended = confirmations::Command::EndedSessions(sessions.clone());
        effects.call_object::<Confirmations>(object, &ended).await?;
    }
    effects.call_object::<Accounts>(accounts::NAME, &accounts::Command::EndedSessions(sessions)).await?;
    Ok(())
}

/// Extends a session in the registry, if it is due for a new token. Returns `false` if it must not get one: the session
/// was ended in the meantime, or the registry does not answer. Its cookie is then left unchanged until the browser
/// sends it again, because the browser may have received another cookie by now.
pub async fn extend<E: Effects>(
    cx: LoginContext<'_>,
    effects: &E,
    session_cookies: &SessionCookies<'_>,
    meta: RequestMeta<'_>,
) -> bool {
    if cx.sessions.check == Check::Token {
        return true;
    }
    let Some((live, expires_at)) = session_cookies.needing_refresh(&cx.sessions.policy, meta.now) else {
        return true;
    };
    outlined(extend_in_registry(effects, live, expires_at)).await
}

async fn extend_in_registry<E: Effects>(effects: &E, live: &Live<'_>, expires_at: Timestamp) -> bool {
    let (user, session) = (live.claims.user_id.clone(), live.claims.session_id.clone());
    let cache_key = registry::cache_key(&user, &session);
    match effects.call_object::<Sessions>(&user, &Command::Extend(session, expires_at)).await {
        Ok(Reply::Done(1)) => true,
        Ok(_) => {
            effects.memory().of::<SessionCache>().sessions.forget(&cache_key);
            false
        }
        Err(_) => false,
    }
}

/// Opens a session if upstream's response names a user who has just signed in. Returns `Set-Cookie` values.
///
/// # Errors
/// [`Fault::UpstreamFailed`] if the user id or the role is invalid; the errors of [`open`].
pub async fn open_for_upstream<E: Effects, R>(
    cx: LoginContext<'_>,
    effects: &E,
    rule: &Rule,
    request: &Request<'_>,
    browser: Browser<'_>,
    response: &UpstreamResponse<R>,
    meta: RequestMeta<'_>,
) -> Result<Option<Vec<String>>, Fault> {
    let Some(value) = login_header(cx, response) else { return Ok(None) };
    if let Err(ignored) = check_login_header(cx, rule, request, response.status) {
        ignored.log(effects, rule, meta);
        return Ok(None);
    }
    let user = parse_user(value, meta)?;
    let opened = outlined(open(cx, effects, request, browser, user, meta)).await?;
    Ok(opened.map(|opened| opened.cookies))
}

/// Checks whether a replayed response opened a session. The gateway never gives out the same session twice.
#[must_use]
pub fn opened_session<R>(cx: LoginContext<'_>, rule: &Rule, response: &UpstreamResponse<R>) -> bool {
    rule.login && login_header(cx, response).is_some()
}

/// The reason why the gateway ignores `X-Vestibule-Login` on a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IgnoredLogin {
    /// The rule does not have `login = true`, or is for a webhook.
    Rule,
    /// `HEAD`: a browser may send it without any action of the user.
    Method,
    /// 206 or 304: the response is partial, or has no body.
    Status,
    /// Another site may have caused the request.
    Site,
}

impl IgnoredLogin {
    /// Logs the reason, once per isolate, rule and reason.
    fn log<E: Effects>(self, effects: &E, rule: &Rule, meta: RequestMeta<'_>) {
        let (code, detail) = match self {
            Self::Rule => (
                "rule",
                "this rule may not sign users in: set login = true and methods on the rule that does",
            ),
            Self::Method => ("method", "a response to HEAD cannot sign a user in: use another method"),
            Self::Status => {
                ("status", "a response with 206 or 304 cannot sign a user in: use another status")
            }
            Self::Site => (
                "site",
                "another site may have sent this request: use POST, or a GET whose Sec-Fetch-Site or Referer names this site",
            ),
        };
        let methods = rule.methods.join(",");
        let log_key = format!("{code} {methods} {}", rule.path);
        if !effects.memory().of::<LoggedOnce>().is_new_line(log_key, meta.milliseconds) {
            return;
        }
        let line = serde_json::json!({
            "event": "login_ignored", "requestId": meta.request_id, "rule": rule.path, "methods": rule.methods,
            "reason": code, "detail": detail,
        });
        effects.log(&line.to_string());
    }
}

/// Checks whether the gateway accepts `X-Vestibule-Login` on a response with this status.
fn check_login_header(
    cx: LoginContext<'_>,
    rule: &Rule,
    request: &Request<'_>,
    status: u16,
) -> Result<(), IgnoredLogin> {
    if !rule.login || rule.webhook.is_some() {
        return Err(IgnoredLogin::Rule);
    }
    if request.method == "HEAD" {
        return Err(IgnoredLogin::Method);
    }
    if matches!(status, 206 | 304) {
        return Err(IgnoredLogin::Status);
    }
    // In report mode, a request can come this far although the CSRF check of other methods refused it.
    let is_foreign = request.is_safe() && csrf::may_be_foreign(cx.csrf, request);
    if is_foreign || csrf::check(cx.csrf, rule.csrf, request).is_err() {
        return Err(IgnoredLogin::Site);
    }
    Ok(())
}

/// Returns the value of `X-Vestibule-Login`, if upstream signs users in and the response is 2xx or 3xx.
fn login_header<'a, R>(cx: LoginContext<'_>, response: &'a UpstreamResponse<R>) -> Option<&'a str> {
    if cx.sessions.login != Login::Upstream || !response.is_success() {
        return None;
    }
    response.headers().value(HEADER)
}

/// Parses a value of `X-Vestibule-Login`: a user id, optionally followed by `;role=user` or `;role=admin`.
fn parse_user(value: &str, meta: RequestMeta<'_>) -> Result<AuthenticatedUser, Fault> {
    let (user_id, role) = value.split_once(';').unwrap_or((value, "role=user"));
    let role = role.trim().strip_prefix("role=").and_then(Role::parse).ok_or(Fault::UpstreamFailed)?;
    let user_id = user_id.trim();
    // Repeated headers arrive joined with a comma.
    if !crate::crypto::jwt::claims::is_id(user_id) || user_id.contains(',') {
        return Err(Fault::UpstreamFailed);
    }
    // The latest status counts. Within the same millisecond, the one that arrives later counts.
    let version = i64::try_from(meta.milliseconds).unwrap_or(i64::MAX);
    let status = UserStatus { role, active: true, version };
    Ok(AuthenticatedUser { user_id: user_id.to_owned(), status })
}

/// The header in which upstream names a user who has just signed in. It never reaches the client.
const HEADER: &str = "x-vestibule-login";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_user_that_upstream_names() {
        let meta =
            RequestMeta { now: crate::base::time::Timestamp(1), milliseconds: 1_000, request_id: "req" };
        for (value, want) in [
            ("usr_v", Some(("usr_v", Role::User))),
            (" usr_v ;role=admin", Some(("usr_v", Role::Admin))),
            ("a@b.example", Some(("a@b.example", Role::User))),
            ("usr_v,usr_w", None),
            ("usr_v, usr_w", None),
            ("usr_v,", None),
            (",", None),
            ("usr_v; role=admin, usr_w", None),
            ("usr_v, usr_w; role=admin", None),
            ("usr_v; role=user; role=admin", None),
            ("", None),
        ] {
            let found = parse_user(value, meta).ok();
            let found = found.as_ref().map(|user| (user.user_id.as_str(), user.status.role));
            assert_eq!(found, want, "{value}");
        }
    }
}
