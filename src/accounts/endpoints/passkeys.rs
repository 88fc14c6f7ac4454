//! `/api/auth/passkeys`: enrolling passkeys, and signing in with one alone. The second step of a sign-in and
//! reauthentication check passkeys here, too.
//!
//! 1. A client asks for options. It gets them with a ceremony, and sends the ceremony back with the browser's message.
//! 2. Attempts are counted by address before anything is compared.
//! 3. A sign-in is answered with the same refusal for every wrong message, known credential or not. The log has the
//!    reason.

use serde::Serialize;

use super::{
    Call,
    factors::{Enroller, PasskeyView, RecoveryCodes, enroll},
    second_step::{BY_ADDRESS, call_factors},
    users::{self, signed_in},
};
use crate::{
    accounts::{
        Command,
        factors::{
            Enrollment, FactorCommand, FactorReply,
            passkeys::{
                NewPasskey, Passkey, PasskeyError, PasskeyUser, RelyingParty, UsedCeremony, UsedPasskey,
                ceremony::{self, Ceremony, CeremonyPurpose},
                messages::{AssertionMessage, RegistrationMessage},
                verify::{self, Expected, UserHandle},
            },
            ticket::{self, Purpose},
        },
    },
    guards::limiter,
    http::{
        form::Form,
        problem::{Fault, ForbiddenBy, Rejection},
        reply::EarlyResponse,
    },
    identity::call::{EndpointResponse, json},
    platform::effects::Effects,
};

/// Begins the enrollment of a passkey.
pub(super) async fn begin_enrollment<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    limiter::check(effects, BY_ADDRESS, &call.request.client_group()).await?;
    let site = site(call)?;
    let enroller = Enroller::of(call, &call.form(&["ticket"])?)?;
    enroller.check_recent(call)?;
    let user = find_user(effects, enroller.user()).await?.ok_or(Rejection::NotFound)?;
    let begun = Begun::new(call, effects, CeremonyPurpose::Enrollment, enroller.user());
    let name = call.cx.accounts.branding.name.as_deref().unwrap_or(site.id);
    Ok(begun.with(site.creation_options(&begun.challenge, name, enroller.user(), &user)))
}

/// Finishes the enrollment of a passkey. With a user's first factor, returns recovery codes, too.
pub(super) async fn finish_enrollment<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    limiter::check(effects, BY_ADDRESS, &call.request.client_group()).await?;
    let form = call.form(&["ceremony", "passkey", "name", "ticket"])?;
    let enroller = Enroller::of(call, &form)?;
    let user = enroller.user().to_owned();
    let missing = Rejection::InvalidBody("name", "expected 1 to 100 visible characters, found nothing");
    let name = form.name("name")?.ok_or(missing)?.to_owned();
    let ceremony = ceremony(call, &form, CeremonyPurpose::Enrollment, &user)?;
    let message: RegistrationMessage<'_> = form.object("passkey", "expected RegistrationResponseJSON")?;
    let expected = Expected { site: site(call)?, challenge: ceremony.challenge, user_verification: true };
    let registered = verify::register(&expected, &message).map_err(|error| {
        log_rejection(call, effects, error);
        Rejection::InvalidBody("passkey", error.expected())
    })?;
    let codes = RecoveryCodes::new(effects, &user)?;
    let passkey = Passkey { id: effects.new_id("psk_"), name, created_at: call.meta.now, last_used_at: None };
    let new = NewPasskey {
        id: passkey.id.clone(),
        name: passkey.name.clone(),
        credential: registered.credential,
        algorithm: registered.algorithm,
        public_key: registered.public_key,
        counter: registered.counter,
        ceremony: ceremony.used,
        recovery_codes: codes.hashes,
    };
    match enroll(call, effects, enroller, Enrollment::AddPasskey(new)).await? {
        FactorReply::PasskeyAdded { is_first } => {
            let recovery_codes = is_first.then_some(codes.texts.as_slice());
            let added = json(201, &Added { passkey: PasskeyView::of(&passkey), recovery_codes });
            let detail = format!("passkey {}", passkey.id);
            Ok(EndpointResponse::from(added).with_user(user).with_detail(detail))
        }
        FactorReply::PasskeyTaken => {
            Err(Rejection::InvalidBody("passkey", "expected a passkey that is not registered yet").into())
        }
        FactorReply::PasskeyLimit => Err(Rejection::ForbiddenPolicy(ForbiddenBy::PasskeyLimit).into()),
        reply => Err(refusal(call, effects, &reply)),
    }
}

/// Begins the use of a passkey: as a second factor with the ticket in the body, to reauthenticate, or to sign in with
/// it alone. Only the first two need a store, and are counted.
pub(super) async fn begin_use<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let site = site(call)?;
    let form = call.form(&["ticket", "for"])?;
    let is_for_reauthentication = form
        .word("for", "expected \"reauthentication\"", |text| (text == "reauthentication").then_some(()))?
        .is_some();
    let ticket = form.optional("ticket")?;
    let requested = match (ticket, is_for_reauthentication) {
        (None, false) => {
            let begun = Begun::new(call, effects, CeremonyPurpose::SignIn, "");
            return Ok(begun.with(site.request_options(&begun.challenge, None, true)));
        }
        (Some(text), false) => {
            let ticket = call.cx.accounts.tickets.verify(text, Purpose::SignIn, call.meta.now)?;
            RequestedOptions {
                purpose: CeremonyPurpose::SecondFactor,
                subject: ticket.id,
                user: ticket.user,
                must_verify: false,
            }
        }
        (None, true) => {
            let Enroller::InPerson(user) = Enroller::of(call, &form)? else {
                return Err(Fault::Internal.into());
            };
            RequestedOptions {
                purpose: CeremonyPurpose::Reauthentication,
                subject: user.clone(),
                user,
                must_verify: true,
            }
        }
        (Some(_), true) => {
            return Err(Rejection::InvalidBody("for", "expected either ticket or for").into());
        }
    };
    limiter::check(effects, BY_ADDRESS, &call.request.client_group()).await?;
    let RequestedOptions { purpose, subject, user, must_verify } = requested;
    let allowed = find_user(effects, &user).await?.ok_or(Rejection::NotFound)?;
    let begun = Begun::new(call, effects, purpose, &subject);
    Ok(begun.with(site.request_options(&begun.challenge, Some(&allowed), must_verify)))
}

/// The options that a known user asks for.
struct RequestedOptions {
    purpose: CeremonyPurpose,
    /// What the ceremony is bound to: the ticket, or the user.
    subject: String,
    /// The user's id.
    user: String,
    /// Whether the authenticator must verify the user.
    must_verify: bool,
}

/// Signs in with a passkey alone. The authenticator must have verified the user, so it counts as two factors.
pub(super) async fn log_in<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    users::count_by_address(call, effects).await?;
    let form = call.form(&["ceremony", "passkey"])?;
    let ceremony = ceremony(call, &form, CeremonyPurpose::SignIn, "")?;
    let check = Check { user: None, verification: Verification::Required };
    let Checked { used, user } = self::check(call, effects, &form, ceremony, check).await?;
    let passkey = used.id.clone();
    match call_factors(effects, &Command::Factor(FactorCommand::SignInWithPasskey(used))).await? {
        FactorReply::SignedIn(user_status) => {
            let response = signed_in(call, effects, user, user_status, 200).await?;
            let session = response.audit.detail.clone().unwrap_or_default();
            Ok(response.with_detail(format!("{session} passkey {passkey}")))
        }
        reply => Err(refusal(call, effects, &reply)),
    }
}

/// Whether the authenticator must have verified the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verification {
    /// It must: the passkey stands for two factors.
    Required,
    /// It should: the password was right before.
    Preferred,
}

/// What a passkey's message has to prove.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check<'a> {
    /// The user, if they are known before.
    user: Option<&'a str>,
    verification: Verification,
}

impl<'a> Check<'a> {
    /// Returns the check of a passkey of a known user.
    pub(super) fn of_user(user: &'a str, verification: Verification) -> Self {
        Self { user: Some(user), verification }
    }
}

/// A passkey's message that passed every check of the Worker. `Accounts` has to accept it.
pub(super) struct Checked {
    pub(super) used: UsedPasskey,
    /// The id of the passkey's user.
    user: String,
}

/// Verifies the ceremony in a form.
pub(super) fn ceremony(
    call: Call<'_>,
    form: &Form,
    purpose: CeremonyPurpose,
    subject: &str,
) -> Result<Ceremony, Rejection> {
    let keys = &call.cx.accounts.tickets;
    Ceremony::verify(keys, form.text("ceremony")?, purpose, subject, call.meta.now)
}

/// Checks the message of a passkey in a form. Consumes the ceremony.
///
/// # Errors
/// [`Rejection::InvalidCredentials`], for every wrong message.
pub(super) async fn check<E: Effects>(
    call: Call<'_>,
    effects: &E,
    form: &Form,
    ceremony: Ceremony,
    check: Check<'_>,
) -> Result<Checked, EarlyResponse> {
    let message: AssertionMessage<'_> = form.object("passkey", "expected AuthenticationResponseJSON")?;
    let expected = Expected {
        site: site(call)?,
        challenge: ceremony.challenge,
        user_verification: check.verification == Verification::Required,
    };
    let command = Command::Factor(FactorCommand::FindPasskey(message.id.to_owned()));
    let FactorReply::Passkey(found) = call_factors(effects, &command).await? else {
        return Err(Fault::Internal.into());
    };
    let known = found.as_ref().filter(|found| check.user.is_none_or(|user| user == found.user));
    let handle = if check.user.is_some() { UserHandle::Optional } else { UserHandle::Required };
    match (verify::assert(&expected, &message, known, handle), known) {
        (Ok(asserted), Some(known)) => Ok(Checked {
            used: UsedPasskey { id: known.id.clone(), counter: asserted.counter, ceremony: ceremony.used },
            user: known.user.clone(),
        }),
        (result, _) => {
            log_rejection(call, effects, result.err().unwrap_or(PasskeyError::Unknown));
            Err(Rejection::InvalidCredentials.into())
        }
    }
}

/// Returns the refusal for a reply of `Accounts` that accepts no passkey.
pub(super) fn refusal<E: Effects>(call: Call<'_>, effects: &E, reply: &FactorReply) -> EarlyResponse {
    match reply {
        FactorReply::CeremonyUnusable => Rejection::CeremonyUnusable.into(),
        FactorReply::Wrong => Rejection::InvalidCredentials.into(),
        FactorReply::CounterWentBack => {
            log(call, effects, "counter");
            Rejection::InvalidCredentials.into()
        }
        _ => Fault::Internal.into(),
    }
}

/// Returns the site as authenticators know it. Without one, there are no passkeys.
fn site(call: Call<'_>) -> Result<RelyingParty<'_>, Rejection> {
    RelyingParty::of(call.cx.login.site).ok_or(Rejection::NotFound)
}

async fn find_user<E: Effects>(effects: &E, user: &str) -> Result<Option<PasskeyUser>, Fault> {
    match call_factors(effects, &Command::Factor(FactorCommand::PasskeyUser(user.to_owned()))).await? {
        FactorReply::PasskeyUser(found) => Ok(found),
        _ => Err(Fault::Internal),
    }
}

fn log_rejection<E: Effects>(call: Call<'_>, effects: &E, error: PasskeyError) {
    log(call, effects, error.code());
}

/// Logs why a passkey was refused. The client does not learn it.
fn log<E: Effects>(call: Call<'_>, effects: &E, reason: &str) {
    let line = serde_json::json!({
        "event": "passkey_rejected", "requestId": call.meta.request_id, "reason": reason,
    });
    effects.log(&line.to_string());
}

/// A ceremony that began.
struct Begun {
    text: String,
    challenge: [u8; 32],
    expires_at: String,
}

impl Begun {
    fn new<E: Effects>(call: Call<'_>, effects: &E, purpose: CeremonyPurpose, subject: &str) -> Self {
        let expires_at = call.meta.now.plus(ticket::LIFETIME);
        let used = UsedCeremony { id: effects.new_id("cer_"), expires_at };
        let text = Ceremony::sign(&call.cx.accounts.tickets, purpose, subject, &used);
        Self { challenge: ceremony::challenge(&text), text, expires_at: expires_at.to_string() }
    }

    fn with(&self, public_key: impl Serialize) -> EndpointResponse {
        json(200, &Options { ceremony: &self.text, expires_at: &self.expires_at, public_key }).into()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Options<'a, T> {
    ceremony: &'a str,
    expires_at: &'a str,
    public_key: T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Added<'a> {
    #[serde(flatten)]
    passkey: PasskeyView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_codes: Option<&'a [String]>,
}
