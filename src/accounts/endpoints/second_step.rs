//! `/api/auth/factor`: the second step of a sign-in, and the decision whether it is needed.
//!
//! 1. A user with a second factor sends the password and gets a ticket (401 `second_factor_required`). Then the user
//!    sends the ticket and a code, and gets a session.
//! 2. A user who must have a factor, but has none, gets a ticket with which they can only enroll one
//!    (403 `second_factor_enrollment_required`). They get no session before they have enrolled it.
//! 3. Attempts are counted by address and by account before a code is compared. An attempt counts for an account only
//!    with a valid ticket. So a client that does not know the password cannot use up the account's attempts.

use serde::Serialize;

use super::{
    Call, passkeys,
    users::{signed_in, signed_in_by_copy},
};
use crate::{
    accounts::{
        self, Account, Accounts, Command,
        factors::{
            FactorCommand, FactorReply, Proof, Ticket, TotpState, UsedStep,
            passkeys::ceremony::CeremonyPurpose,
            recovery,
            ticket::{self, Purpose},
            totp::{SEALING, TotpSecret, is_code},
        },
        logins,
    },
    guards::limiter::{self, Limiter},
    http::{
        form::Form,
        problem::{Fault, RateLimit, Rejection},
        reply::{EarlyResponse, PendingSignIn},
    },
    identity::{
        call::{EndpointResponse, json},
        principal::Role,
    },
    platform::effects::{Effects, OpenedText},
    sessions::registry::UserStatus,
};

/// A user whose account was just made.
pub(super) struct SignedUp {
    /// The user's id.
    pub(super) id: String,
    /// The password, as it is stored.
    pub(super) stored_password: String,
    /// The user's status.
    pub(super) user_status: UserStatus,
}

/// Continues a sign-in whose password was right: with a session, or with a ticket for the next step. `version` is the
/// clock of `Accounts` at which the account was read. Returns `None` if the account has changed since.
pub(super) async fn after_password<E: Effects>(
    call: Call<'_>,
    effects: &E,
    account: Account,
    version: Option<i64>,
) -> Result<Option<EndpointResponse>, EarlyResponse> {
    let Account { id, password, status: user_status, factors } = account;
    let needed = if factors.is_enrolled() {
        Some((Purpose::SignIn, Some(factors.methods())))
    } else if call.cx.accounts.required_factor.applies_to(user_status.role) {
        Some((Purpose::Enrollment, None))
    } else {
        None
    };
    let Some((purpose, methods)) = needed else {
        return signed_in_by_copy(call, effects, id, user_status, 200, version).await;
    };
    let generation = ticket::generation(&password, &user_status);
    let issued = issue(call, effects, &id, generation, purpose);
    Err(EarlyResponse::SecondFactor(PendingSignIn {
        ticket: issued.text,
        methods,
        expires_at: issued.ticket.expires_at,
    }))
}

/// Continues after an account was made: with a session, or with a ticket to enroll a second factor.
pub(super) async fn after_sign_up<E: Effects>(
    call: Call<'_>,
    effects: &E,
    user: SignedUp,
) -> Result<EndpointResponse, EarlyResponse> {
    let SignedUp { id, stored_password, user_status } = user;
    if call.cx.accounts.has_shards {
        // The account is made, whatever happens here. The alarm tells it otherwise.
        let _ = logins::tell::tell(effects, &id).await;
    }
    if !call.cx.accounts.required_factor.applies_to(user_status.role) {
        return signed_in(call, effects, id, user_status, 201).await;
    }
    let generation = ticket::generation(&stored_password, &user_status);
    let issued = issue(call, effects, &id, generation, Purpose::Enrollment);
    let reply = json(
        201,
        &MadeAccount {
            user_id: &id,
            role: Role::name(user_status.role),
            enrollment: IssuedTicket {
                ticket: &issued.text,
                expires_at: issued.ticket.expires_at.to_string(),
            },
        },
    );
    Ok(EndpointResponse::from(reply).with_user(id))
}

/// Finishes a sign-in with a code of an authenticator app, a recovery code or a passkey.
pub(super) async fn finish_sign_in<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    limiter::check(effects, BY_ADDRESS, &call.request.client_group()).await?;
    let form = call.form(&["ticket", "code", "recoveryCode", "ceremony", "passkey"])?;
    let offered = Offered::read(&form)?;
    let ticket = call.cx.accounts.tickets.verify(form.text("ticket")?, Purpose::SignIn, call.meta.now)?;
    count_attempt(effects, &ticket.user).await?;
    let proof = match offered {
        Offered::Code(code) => {
            compare_code(call, effects, &ticket.user, TotpState::Confirmed, code).await?.map(Proof::Totp)
        }
        Offered::RecoveryCode(code) => recovery::hash(&ticket.user, code).map(Proof::RecoveryCode),
        Offered::Passkey => {
            let ceremony = passkeys::ceremony(call, &form, CeremonyPurpose::SecondFactor, &ticket.id)?;
            let check = passkeys::Check::of_user(&ticket.user, passkeys::Verification::Preferred);
            Some(Proof::Passkey(passkeys::check(call, effects, &form, ceremony, check).await?.used))
        }
    };
    let proof = proof.ok_or(Rejection::InvalidCredentials)?;
    let detail = proof.name();
    let user = ticket.user.clone();
    let user_status = use_proof(call, effects, ticket, proof).await?;
    forget_attempts(effects, &user).await?;
    let response = signed_in(call, effects, user, user_status, 200).await?;
    let session = response.audit.detail.clone().unwrap_or_default();
    Ok(response.with_detail(format!("{session} {detail}")))
}

/// Counts an attempt of an account, before anything is compared.
///
/// # Errors
/// [`Rejection::RateLimited`].
pub(super) async fn count_attempt<E: Effects>(effects: &E, user: &str) -> Result<(), EarlyResponse> {
    limiter::check(effects, BY_ACCOUNT, user).await?;
    limiter::check(effects, BY_ACCOUNT_AND_DAY, user).await
}

/// Compares a code with a user's secret. Returns the time step to which the code belongs; `None` if the code is wrong.
pub(super) async fn compare_code<E: Effects>(
    call: Call<'_>,
    effects: &E,
    user: &str,
    state: TotpState,
    code: &str,
) -> Result<Option<UsedStep>, EarlyResponse> {
    let command = Command::Factor(FactorCommand::FindTotp(user.to_owned(), state));
    let FactorReply::Totp(stored) = call_factors(effects, &command).await? else {
        return Err(Fault::Internal.into());
    };
    let Some(stored) = stored else { return Ok(None) };
    let keys = call.cx.accounts.derivation.keys(&[SEALING, user]);
    let Some(OpenedText { text, has_stale_key }) = effects.open_text(&keys, &stored.sealed).await? else {
        let line = serde_json::json!({
            "event": "totp_unreadable", "requestId": call.meta.request_id,
            "detail": "AUTH_SECRET and AUTH_SECRET_PREVIOUS do not open a stored secret: an admin has to remove the user's factors",
        });
        effects.log(&line.to_string());
        return Ok(None);
    };
    let secret = TotpSecret::from_base32(&text).ok_or(Fault::Internal)?;
    let Some(step) = secret.matching_step(code, call.meta.now) else { return Ok(None) };
    let resealed = if has_stale_key { Some(seal(call, effects, user, &secret).await?) } else { None };
    Ok(Some(UsedStep { id: stored.id, step: step.0, resealed }))
}

/// Seals a user's secret under the current key.
pub(super) async fn seal<E: Effects>(
    call: Call<'_>,
    effects: &E,
    user: &str,
    secret: &TotpSecret,
) -> Result<String, Fault> {
    let keys = call.cx.accounts.derivation.keys(&[SEALING, user]);
    effects.seal_text(keys.first().ok_or(Fault::Internal)?, &secret.to_base32()).await
}

/// Sends a command about second factors.
pub(super) async fn call_factors<E: Effects>(effects: &E, command: &Command) -> Result<FactorReply, Fault> {
    match effects.call_object::<Accounts>(accounts::NAME, command).await? {
        accounts::Reply::Factor(reply) => Ok(reply),
        _ => Err(Fault::Internal),
    }
}

/// Parses a code of an authenticator app.
pub(super) fn code(form: &Form) -> Result<Option<&str>, Rejection> {
    let code = form.optional("code")?;
    if code.is_none_or(is_code) {
        Ok(code)
    } else {
        Err(Rejection::InvalidBody("code", "expected six digits"))
    }
}

/// Deletes the counts of an account's attempts: a client with a right code is not guessing.
pub(super) async fn forget_attempts<E: Effects>(effects: &E, user: &str) -> Result<(), Fault> {
    let (group, cleared) = limiter::clear(BY_ACCOUNT, user);
    effects.call_object::<Limiter>(&group, &cleared).await.map(drop)
}

async fn use_proof<E: Effects>(
    call: Call<'_>,
    effects: &E,
    ticket: Ticket,
    proof: Proof,
) -> Result<UserStatus, EarlyResponse> {
    match call_factors(effects, &Command::Factor(FactorCommand::SignIn(ticket, proof))).await? {
        FactorReply::SignedIn(user_status) => Ok(user_status),
        FactorReply::TicketUnusable => Err(Rejection::TicketUnusable.into()),
        reply => Err(passkeys::refusal(call, effects, &reply)),
    }
}

/// A ticket and its signed text.
struct Issued {
    ticket: Ticket,
    text: String,
}

fn issue<E: Effects>(
    call: Call<'_>,
    effects: &E,
    user: &str,
    generation: String,
    purpose: Purpose,
) -> Issued {
    let ticket = Ticket {
        id: effects.new_id("tkt_"),
        purpose,
        user: user.to_owned(),
        generation,
        expires_at: call.meta.now.plus(ticket::LIFETIME),
    };
    Issued { text: call.cx.accounts.tickets.sign(&ticket), ticket }
}

/// What the client offers as a second factor.
enum Offered<'a> {
    Code(&'a str),
    RecoveryCode(&'a str),
    /// The form has a passkey's message.
    Passkey,
}

impl<'a> Offered<'a> {
    fn read(form: &'a Form) -> Result<Self, Rejection> {
        match (code(form)?, form.optional("recoveryCode")?, form.has("passkey")) {
            (Some(code), None, false) => Ok(Self::Code(code)),
            (None, Some(code), false) => Ok(Self::RecoveryCode(code)),
            (None, None, true) => Ok(Self::Passkey),
            _ => Err(Rejection::InvalidBody("code", "expected one of code, recoveryCode and passkey")),
        }
    }
}

impl Proof {
    /// Returns the name, for the audit trail.
    fn name(&self) -> &'static str {
        match self {
            Self::Totp(_) => "totp",
            Self::RecoveryCode(_) => "recovery_code",
            Self::Passkey(_) => "passkey",
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MadeAccount<'a> {
    user_id: &'a str,
    role: &'static str,
    #[serde(rename = "secondFactorEnrollment")]
    enrollment: IssuedTicket<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IssuedTicket<'a> {
    ticket: &'a str,
    expires_at: String,
}

/// Attempts from one address.
pub(super) const BY_ADDRESS: RateLimit = RateLimit { name: "factor-address", limit: 50, period: 300 };
const BY_ACCOUNT: RateLimit = RateLimit { name: "factor-account", limit: 10, period: 900 };
const BY_ACCOUNT_AND_DAY: RateLimit = RateLimit { name: "factor-daily", limit: 100, period: 86_400 };
