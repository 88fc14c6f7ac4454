//! A user's name and e-mail address for upstream, if the operator sets `USER_HEADERS`.
//!
//! 1. `Accounts` stores them. A user's `Sessions` object keeps a copy and returns it with each reply, so that a request
//!    needs no extra call.
//! 2. If the copy is missing, the gateway asks `Accounts` once, and stores the copy after the response.
//! 3. If `Accounts` does not answer, the headers are left out: no request fails because of a name.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    accounts::{self, Accounts, settings::UserHeader},
    base::outline::outlined,
    http::problem::Fault,
    identity::principal::Principal,
    platform::{effects::Effects, event::RequestMeta},
    sessions::{
        cache::SessionCache,
        registry::{Command, Profile, Reply, Sessions},
    },
};

/// Sends a command to a user's registry, and caches the profile that comes with the reply.
///
/// # Errors
/// [`Fault::StoreUnavailable`].
pub async fn ask_registry<E: Effects>(
    user_headers: &[UserHeader],
    effects: &E,
    user: &str,
    command: Command,
    meta: RequestMeta<'_>,
) -> Result<Reply, Fault> {
    if user_headers.is_empty() {
        return effects.call_object::<Sessions>(user, &command).await;
    }
    match effects.call_object::<Sessions>(user, &Command::WithProfile(Box::new(command))).await? {
        Reply::WithProfile(reply, profile) => {
            if let Some(profile) = profile {
                effects.memory().of::<SessionCache>().profiles.put(
                    user.to_owned(),
                    profile,
                    meta.milliseconds,
                );
            }
            Ok(*reply)
        }
        _ => Err(Fault::Internal),
    }
}

/// Returns the name and e-mail address of the principal: those that `USER_HEADERS` names.
pub async fn for_upstream<E: Effects>(
    user_headers: &[UserHeader],
    effects: &E,
    principal: Option<&Principal>,
    meta: RequestMeta<'_>,
) -> Option<Profile> {
    if user_headers.is_empty() {
        return None;
    }
    let user = principal?.user_id()?;
    // Boxed: most deployments do not use it.
    let Profile { name, email } = outlined(find_profile(effects, user, meta)).await?;
    let is_wanted = |header| user_headers.contains(&header);
    Some(Profile {
        name: name.filter(|_| is_wanted(UserHeader::Name)),
        email: email.filter(|_| is_wanted(UserHeader::Email)),
    })
}

/// Returns the headers: UTF-8, percent-encoded except for ASCII letters, digits and `-._~@`.
#[must_use]
pub fn headers<'a>(profile: &Profile) -> Vec<(&'static str, Cow<'a, str>)> {
    let encoded = |text: &str| Cow::Owned(utf8_percent_encode(text, ENCODED).to_string());
    let name = profile.name.as_deref().map(|name| ("x-user-name", encoded(name)));
    let email = profile.email.as_deref().map(|email| ("x-user-email", encoded(email)));
    name.into_iter().chain(email).collect()
}

async fn find_profile<E: Effects>(effects: &E, user: &str, meta: RequestMeta<'_>) -> Option<Profile> {
    let cache = effects.memory().of::<SessionCache>();
    let cache = &cache.profiles;
    if let Some(profile) = cache.find(user, meta.milliseconds, CACHE_TTL) {
        return Some(profile);
    }
    let command = accounts::Command::User(user.to_owned());
    let Ok(accounts::Reply::User(Some(found))) =
        effects.call_object::<Accounts>(accounts::NAME, &command).await
    else {
        return None;
    };
    let profile = Profile { name: found.name, email: Some(found.email) };
    cache.put(user.to_owned(), profile.clone(), meta.milliseconds);
    effects.call_after_response::<Sessions>(user, &Command::Profile(profile.clone()));
    Some(profile)
}

/// Milliseconds for which a copy is cached: longer than any cache entry of a reply that contains one.
const CACHE_TTL: u64 = 120_000;

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded() {
        for (name, want) in [
            ("Ada", "Ada"),
            ("Zoë O'Neil", "Zo%C3%AB%20O%27Neil"),
            ("李 雷", "%E6%9D%8E%20%E9%9B%B7"),
            ("100%+\u{1f600}", "100%25%2B%F0%9F%98%80"),
        ] {
            let profile = Profile { name: Some(name.to_owned()), email: None };
            let found = headers(&profile);
            assert_eq!(found, [("x-user-name", Cow::Borrowed(want))], "{name}");
        }
        let profile = Profile { name: None, email: Some("ada+x@example.com".to_owned()) };
        let found = headers(&profile);
        assert_eq!(found, [("x-user-email", Cow::Borrowed("ada%2Bx@example.com"))]);
    }
}
