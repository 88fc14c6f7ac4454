//! How a session begins: its token is minted, its row opened, its cookie set.

use crate::{
    accounts::{self, Accounts},
    config::{Check, Config, Login},
    confirmations::{self, Confirmations},
    context::Request,
    csrf,
    effects::{Effects, UpstreamResponse},
    event::RequestMeta,
    loop_breaker::Hops,
    outline::outlined,
    principal::Role,
    problem::Fault,
    registry::{self, Command, LONGEST_AGENT, RecentlyEnded, Reply, Session, Sessions, Standing},
    rule::Rule,
    session::{self, CookieContext, Live, SessionCookies},
    time::Timestamp,
};

/// Who has just proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticatedUser {
    /// 1–128 visible ASCII characters.
    pub user_id: String,
    /// How they stand.
    pub standing: Standing,
}

/// A session that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its id.
    pub session_id: String,
    /// `Set-Cookie` lines.
    pub cookies: Vec<String>,
}

/// Begins a session. One that this browser had before is ended, whoever's it was.
///
/// # Errors
/// [`Fault::StoreUnavailable`]; `Ok(None)` where the user may not come in.
pub async fn open<E: Effects>(
    config: &Config,
    effects: &E,
    request: &Request<'_>,
    (presented, ending): (&SessionCookies<'_>, CookieContext<'_>),
    (proven, meta): (AuthenticatedUser, RequestMeta<'_>),
) -> Result<Option<Opened>, Fault> {
    let session_id = effects.new_id("ses_");
    let expires_at = meta.now.plus(config.session.lifetime);
    if let Check::Registry { .. } = config.check {
        let agent = request.headers.value("user-agent").unwrap_or_default();
        let session = Session {
            id: session_id.clone(),
            created_at: meta.now,
            last_seen_at: meta.now,
            expires_at,
            user_agent: Some(agent.chars().take(LONGEST_AGENT).collect()).filter(|_| !agent.is_empty()),
            address: request.headers.value("cf-connecting-ip").map(str::to_owned),
        };
        match effects
            .call_object::<Sessions>(&proven.user_id, &Command::Open(proven.standing, session))
            .await?
        {
            Reply::Done(1) => {}
            Reply::Gone => return Ok(None),
            _ => return Err(Fault::Internal),
        }
        // Tidiness, once the new one stands: what cannot be ended now ends with its expiry.
        let _ = end_presented(config, effects, presented).await;
    }
    let token = session::mint(&config.session, &config.keys, (&proven.user_id, &session_id), meta.now)
        .ok_or(Fault::Internal)?;
    let mut cookies = presented.begin(&config.session, ending, (&token, config.session.lifetime));
    // Somebody has signed in: the redirects that led here were no loop.
    let brought = request.headers.value("cookie").unwrap_or_default();
    let hops = Hops::start_anew(brought, &config.hops_cookie, meta.now);
    let secure = config.secure_cookies(request.scheme, request.authority);
    cookies.extend(hops.map(|hops| hops.remember(&config.hops_cookie, secure)));
    Ok(Some(Opened { session_id, cookies }))
}

/// Ends every session that a request presents: its row, and what this isolate remembers of it. Gives whose it was,
/// where there was one to end.
///
/// # Errors
/// [`Fault::StoreUnavailable`]: it may not be over.
pub async fn end_presented<E: Effects>(
    config: &Config,
    effects: &E,
    presented: &SessionCookies<'_>,
) -> Result<Option<String>, Fault> {
    let mut whose = None;
    if config.check == Check::Token {
        return Ok(whose);
    }
    for live in presented.all() {
        let (user, session) = (&live.claims.user_id, &live.claims.session_id);
        if effects.call_object::<Sessions>(user, &Command::SignOut(session.clone())).await? == Reply::Done(1)
        {
            whose = Some(user.clone());
        }
        tell_ended(config, effects, user).await?;
    }
    Ok(whose)
}

/// Tells those objects of a user's ended sessions that commands from them may still be on their way to. First this
/// isolate forgets the user, so that no request is let in by what it remembered, even if an object cannot be told.
///
/// # Errors
/// [`Fault::StoreUnavailable`]: such a command may still be carried out, so nobody may be told that it is not.
pub async fn tell_ended<E: Effects>(config: &Config, effects: &E, user: &str) -> Result<(), Fault> {
    effects.memory().forget_user(user);
    if config.login != Login::Accounts {
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

/// Moves the registry's expiry of a session that is due to be minted again. `false` where it may not be: it was
/// ended in the meantime, or the registry does not answer. Its cookie stays as it is until it is shown again:
/// by now the browser may have got another.
pub async fn extend<E: Effects>(
    config: &Config,
    effects: &E,
    presented: &SessionCookies<'_>,
    meta: RequestMeta<'_>,
) -> bool {
    if config.check == Check::Token {
        return true;
    }
    let Some((live, expires_at)) = presented.due(&config.session, meta.now) else { return true };
    outlined(extend_in_registry(effects, live, expires_at)).await
}

async fn extend_in_registry<E: Effects>(effects: &E, live: &Live<'_>, expires_at: Timestamp) -> bool {
    let (user, session) = (live.claims.user_id.clone(), live.claims.session_id.clone());
    let remembered = registry::remembered_as(&user, &session);
    match effects.call_object::<Sessions>(&user, &Command::Extend(session, expires_at)).await {
        Ok(Reply::Done(1)) => true,
        Ok(_) => {
            effects.memory().sessions.forget(&remembered);
            false
        }
        Err(_) => false,
    }
}

/// Begins a session where upstream's answer names who has just signed in: `Set-Cookie` lines.
///
/// # Errors
/// [`Fault::UpstreamFailed`] where it names nobody that can be, [`Fault::StoreUnavailable`].
pub async fn by_upstream<E: Effects, R>(
    config: &Config,
    effects: &E,
    (rule, request): (&Rule, &Request<'_>),
    browser: (&SessionCookies<'_>, CookieContext<'_>),
    (inbound, meta): (&UpstreamResponse<R>, RequestMeta<'_>),
) -> Result<Option<Vec<String>>, Fault> {
    let Some(value) = named_by(config, inbound) else { return Ok(None) };
    if let Err(unheard) = counts(config, rule, request, inbound.status) {
        unheard.tell(effects, rule, meta);
        return Ok(None);
    }
    let proven = proven(value, meta)?;
    let opened = outlined(open(config, effects, request, browser, (proven, meta))).await?;
    Ok(opened.map(|opened| opened.cookies))
}

/// Checks whether a replayed answer began a session. A session is never given twice.
#[must_use]
pub fn has_begun<R>(config: &Config, rule: &Rule, inbound: &UpstreamResponse<R>) -> bool {
    rule.login && named_by(config, inbound).is_some()
}

/// Why `X-Vestibule-Login` on an answer does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unheard {
    /// The rule does not say `login = true`.
    Rule,
    /// `HEAD`: a browser may send it without anybody having done anything.
    Method,
    /// 206 or 304: a partial answer, or none.
    Status,
    /// Another site may have sent the browser here.
    Site,
}

impl Unheard {
    /// Says so in the log, once in an isolate for each rule and reason.
    fn tell<E: Effects>(self, effects: &E, rule: &Rule, meta: RequestMeta<'_>) {
        let (code, wanted) = match self {
            Self::Rule => ("rule", "expected login = true, and the methods that sign in, on this rule"),
            Self::Method => ("method", "expected another method than HEAD"),
            Self::Status => ("status", "expected another status than 206 or 304"),
            Self::Site => (
                "site",
                "expected a POST, or a GET that shows by Sec-Fetch-Site or Referer that no other site sent it",
            ),
        };
        let methods = rule.methods.join(",");
        let known = format!("{code} {methods} {}", rule.path);
        if !effects.memory().is_new_line(known, meta.milliseconds) {
            return;
        }
        let line = serde_json::json!({
            "event": "login_ignored", "requestId": meta.request_id, "rule": rule.path, "methods": rule.methods,
            "reason": code, "detail": wanted,
        });
        effects.log(&line.to_string());
    }
}

/// Checks whether `X-Vestibule-Login` on an answer counts.
fn counts(config: &Config, rule: &Rule, request: &Request<'_>, status: u16) -> Result<(), Unheard> {
    if !rule.login || rule.webhook.is_some() {
        return Err(Unheard::Rule);
    }
    if request.method == "HEAD" {
        return Err(Unheard::Method);
    }
    if matches!(status, 206 | 304) {
        return Err(Unheard::Status);
    }
    // Other methods were checked before they reached upstream.
    if request.is_safe() && csrf::may_be_foreign(&config.csrf, request) {
        return Err(Unheard::Site);
    }
    Ok(())
}

/// Returns the value of `X-Vestibule-Login`.
fn named_by<'a, R>(config: &Config, inbound: &'a UpstreamResponse<R>) -> Option<&'a str> {
    if config.login != Login::Upstream || !inbound.is_success() {
        return None;
    }
    inbound.headers().value(HEADER)
}

/// Reads whom upstream names: the user's id, then `;role=admin` where they are one.
fn proven(value: &str, meta: RequestMeta<'_>) -> Result<AuthenticatedUser, Fault> {
    let (user_id, role) = value.split_once(';').unwrap_or((value, "role=user"));
    let role = role.trim().strip_prefix("role=").and_then(Role::parse).ok_or(Fault::UpstreamFailed)?;
    let user_id = user_id.trim();
    // Lines that are repeated arrive with a comma between them.
    if !crate::jwt::claims::is_id(user_id) || user_id.contains(',') {
        return Err(Fault::UpstreamFailed);
    }
    // Its latest word counts: to the millisecond, and of two in the same one the one that arrives later.
    let version = i64::try_from(meta.milliseconds).unwrap_or(i64::MAX);
    let standing = Standing { role, active: true, version };
    Ok(AuthenticatedUser { user_id: user_id.to_owned(), standing })
}

/// The field in which upstream names who has signed in. It never reaches the client.
const HEADER: &str = "x-vestibule-login";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_upstream_names() {
        let meta = RequestMeta { now: crate::time::Timestamp(1), milliseconds: 1_000, request_id: "req" };
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
            let found = proven(value, meta).ok();
            let found = found.as_ref().map(|proven| (proven.user_id.as_str(), proven.standing.role));
            assert_eq!(found, want, "{value}");
        }
    }
}
