//! `POST /api/auth/reauthenticate`: a signed-in user proves again that they are present, for rules with `recent`.
//!
//! The user gets a new session in place of the present one, in the transaction that checks the present one.
//! Attempts count like sign-ins, under the same limits, before anything is compared. A token is rejected: a program
//! that has it does not prove that a person is present.

use super::{Call, factors, passkeys, second_step, users};
use crate::{
    accounts::{
        factors::{FactorReply, FactorWrite, TotpState, passkeys::ceremony::CeremonyPurpose},
        rotation::rotate,
    },
    http::{
        form::Form,
        problem::Rejection,
        reply::{EarlyResponse, Reply},
    },
    identity::call::EndpointResponse,
    platform::effects::Effects,
};

/// What proves that the user is present. A further factor is a further variant.
enum Proof<'a> {
    /// The user's password.
    Password(&'a str),
    /// A code of the user's authenticator app.
    Code(&'a str),
    /// A passkey of the user. Its message is in the form.
    Passkey,
}

impl<'a> Proof<'a> {
    fn of(form: &'a Form) -> Result<Self, Rejection> {
        match (form.optional("password")?, second_step::code(form)?, form.has("passkey")) {
            (Some(password), None, false) => Ok(Self::Password(password)),
            (None, Some(code), false) => Ok(Self::Code(code)),
            (None, None, true) => Ok(Self::Passkey),
            _ => Err(Rejection::InvalidBody("password", "expected one of password, code and passkey")),
        }
    }
}

/// Checks the proof, and replaces the caller's session by one that has authenticated now.
pub(super) async fn reauthenticate<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let principal = call.principal()?;
    let (Some(user), Some(_)) = (principal.user_id(), principal.session_id()) else {
        return Err(Rejection::ForbiddenHumanOnly.into());
    };
    users::count_by_address(call, effects).await?;
    let form = call.form(&["password", "code", "ceremony", "passkey"])?;
    match Proof::of(&form)? {
        Proof::Password(password) => check_password(call, effects, user, password).await?,
        Proof::Code(code) => check_code(call, effects, user, code).await?,
        Proof::Passkey => check_passkey(call, effects, user, &form).await?,
    }
    let cookies = rotate(call.cx.login, effects, call.cx.browser, call.author()?, call.meta).await?;
    let response = EndpointResponse::from(Reply { status: 204, ..Reply::default() });
    Ok(EndpointResponse { cookies: Some(cookies), ..response.with_user(user) })
}

/// Compares the password of the user, under the limits of a sign-in.
async fn check_password<E: Effects>(
    call: Call<'_>,
    effects: &E,
    user: &str,
    password: &str,
) -> Result<(), EarlyResponse> {
    let found = users::find(effects, user.to_owned()).await?.ok_or(Rejection::InvalidCredentials)?;
    let account = users::check_password(call, effects, found.email, password).await?;
    if account.id == user { Ok(()) } else { Err(Rejection::InvalidCredentials.into()) }
}

/// Compares a code of the user's authenticator app, under the limits of a second factor, and uses it.
async fn check_code<E: Effects>(
    call: Call<'_>,
    effects: &E,
    user: &str,
    code: &str,
) -> Result<(), EarlyResponse> {
    second_step::count_attempt(effects, user).await?;
    let used_step = second_step::compare_code(call, effects, user, TotpState::Confirmed, code).await?;
    let used_step = used_step.ok_or(Rejection::InvalidCredentials)?;
    match factors::write_factor(call, effects, FactorWrite::UseStep(used_step)).await? {
        FactorReply::Done => Ok(second_step::forget_attempts(effects, user).await?),
        // The code was used before, or the factor is no longer the one that was compared.
        _ => Err(Rejection::InvalidCredentials.into()),
    }
}

/// Checks a message of the user's passkey, and uses the passkey.
async fn check_passkey<E: Effects>(
    call: Call<'_>,
    effects: &E,
    user: &str,
    form: &Form,
) -> Result<(), EarlyResponse> {
    let ceremony = passkeys::ceremony(call, form, CeremonyPurpose::Reauthentication, user)?;
    let check = passkeys::Check::of_user(user, passkeys::Verification::Required);
    let checked = passkeys::check(call, effects, form, ceremony, check).await?;
    match factors::write_factor(call, effects, FactorWrite::UsePasskey(checked.used)).await? {
        FactorReply::SignedIn(_) => Ok(()),
        reply => Err(passkeys::refusal(call, effects, &reply)),
    }
}
