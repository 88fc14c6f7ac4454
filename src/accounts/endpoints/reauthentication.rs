//! `POST /api/auth/reauthenticate`: a signed-in user proves again that they are present, for rules with `recent`.
//!
//! The session stays the same. Only its time of authentication changes, in the transaction that judges the session.
//! Attempts count like sign-ins, under the same limits, before anything is compared. A token is rejected: a program
//! that has it does not prove that a person is present.

use super::{Call, users};
use crate::{
    http::{
        form::Form,
        problem::{Fault, Rejection},
        reply::{EarlyResponse, Reply},
    },
    identity::call::EndpointResponse,
    platform::effects::Effects,
    sessions::{
        cache::SessionCache,
        registry::{self, Command, Sessions},
    },
};

/// What proves that the user is present. A further factor is a further variant.
enum Proof<'a> {
    /// The user's password.
    Password(&'a str),
}

impl<'a> Proof<'a> {
    fn of(form: &'a Form) -> Result<Self, Rejection> {
        Ok(Self::Password(form.text("password")?))
    }
}

/// Checks the proof, and moves the time of authentication of the caller's session to now.
pub(super) async fn renew<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let principal = call.principal()?;
    let (Some(user), Some(session)) = (principal.user_id(), principal.session_id()) else {
        return Err(Rejection::ForbiddenHumanOnly.into());
    };
    users::count_by_address(call, effects).await?;
    let form = call.form(&["password"])?;
    let proof = Proof::of(&form)?;
    let found = users::find(effects, user.to_owned()).await?.ok_or(Rejection::InvalidCredentials)?;
    match proof {
        Proof::Password(password) => {
            let account = users::check_password(call, effects, found.email, password).await?;
            if account.id != user {
                return Err(Rejection::InvalidCredentials.into());
            }
        }
    }
    let cache = effects.memory().of::<SessionCache>();
    match effects.call_object::<Sessions>(user, &Command::Reauthenticate(call.author()?)).await? {
        registry::Reply::Live(live) => {
            cache.sessions.put(registry::cache_key(user, session), live, call.meta.milliseconds);
            let reply = Reply { status: 204, ..Reply::default() };
            Ok(EndpointResponse { reply, cookies: None, proved: Some(user.to_owned()), detail: None })
        }
        registry::Reply::Refused(refusal) => {
            cache.forget_user(user);
            Err(Rejection::from(refusal).into())
        }
        _ => Err(Fault::Internal.into()),
    }
}
