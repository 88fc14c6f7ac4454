//! A new session for a user who has authenticated again, in place of the present one (OWASP ASVS 5.0, 7.2.4).
//!
//! Somebody may have copied the session's cookie. If the session stayed the same, the copy would count as recently
//! authenticated, too, and survive a change of the password.

use crate::{
    accounts::login::LoginContext,
    crypto::jwt::claims::SessionIds,
    http::{
        problem::{Fault, Rejection},
        reply::EarlyResponse,
    },
    identity::author::Author,
    platform::{effects::Effects, event::RequestMeta},
    sessions::{
        cache::SessionCache,
        cookies::{self, Browser, SessionStatus, SessionTimes},
        registry::{self, Command, Reauthentication, Replacement, Reply, Sessions},
    },
};

/// Replaces the session of an author who has just proved a password or a factor. Returns `Set-Cookie` values.
///
/// # Errors
/// [`Rejection::Unauthorized`] if the session has ended; [`Rejection::ForbiddenHumanOnly`] without a session;
/// [`Fault::StoreUnavailable`].
pub(super) async fn rotate<E: Effects>(
    cx: LoginContext<'_>,
    effects: &E,
    browser: Browser<'_>,
    author: Author,
    meta: RequestMeta<'_>,
) -> Result<Vec<String>, EarlyResponse> {
    let SessionStatus::User(present) = &browser.cookies.status else {
        return Err(Rejection::ForbiddenHumanOnly.into());
    };
    let (user, policy) = (&present.claims.user_id, &cx.sessions.policy);
    let times = SessionTimes { started_at: present.claims.started_at, issued_at: meta.now };
    let request =
        Reauthentication { author, new_session: effects.new_id("ses_"), expires_at: times.expiry(policy) };
    let cache = effects.memory().of::<SessionCache>();
    let reply = effects.call_object::<Sessions>(user, &Command::Reauthenticate(request)).await?;
    let Replacement { id, live } = match reply {
        Reply::Replacement(replacement) => replacement,
        Reply::Refused(refusal) => {
            cache.forget_user(user);
            return Err(Rejection::from(refusal).into());
        }
        _ => return Err(Fault::Internal.into()),
    };
    // The replaced session ends soon, so this isolate asks again.
    cache.sessions.forget(&registry::cache_key(user, &present.claims.session_id));
    cache.sessions.put(registry::cache_key(user, &id), live, meta.milliseconds);
    let ids = SessionIds { user, session: &id };
    let token = cookies::mint(policy, &cx.sessions.keys, ids, times).ok_or(Fault::Internal)?;
    Ok(browser.cookies.begin(policy, browser.context, &token, times))
}
