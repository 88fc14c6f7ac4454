//! `/api/auth/factors`: enrolling and removing second factors. `/api/users/{id}/factors`: an admin removes those of a
//! user.
//!
//! Enrollment is for a user with a session, or for a client with a ticket for enrollment. Everything else needs a
//! session. A session changes its user's own factors only if the user has authenticated recently.

use serde::Serialize;

use super::{
    Call,
    second_step::{BY_ADDRESS, call_factors, code, compare_code, count_attempt, seal},
    users::write,
};
use crate::{
    accounts::{
        self, Command, Write,
        factors::{
            ConfirmTotp, Enrolled, Enrollment, FactorCommand, FactorReply, FactorWrite, RECENT, Ticket,
            TotpState, passkeys::Passkey, recovery, ticket::Purpose, totp::TotpSecret,
        },
        logins,
    },
    guards::limiter,
    http::{
        form::Form,
        origin::{Origin, host_of},
        problem::{Fault, ForbiddenBy, Reason, Rejection},
        reply::{EarlyResponse, Reply},
    },
    identity::call::{EndpointResponse, json},
    platform::effects::Effects,
};

/// The user who enrolls a factor.
pub(super) enum Enroller {
    /// The user of the request's session, by id.
    InPerson(String),
    /// The user of a ticket for enrollment.
    WithTicket(Ticket),
}

/// Returns what the user has enrolled.
pub(super) async fn read<E: Effects>(call: Call<'_>, effects: &E) -> Result<EndpointResponse, EarlyResponse> {
    let user = call.principal()?.user_id().ok_or(Rejection::ForbiddenKind)?.to_owned();
    let FactorReply::Enrolled(Enrolled { totp, recovery_codes_left, passkeys }) =
        call_factors(effects, &Command::Factor(FactorCommand::Read(user))).await?
    else {
        return Err(Fault::Internal.into());
    };
    let passkeys = passkeys.iter().map(PasskeyView::of).collect();
    Ok(json(200, &FactorsView { totp, passkeys, recovery_codes_left }).into())
}

/// Makes a secret for codes. It counts once a code has confirmed it.
pub(super) async fn begin_totp<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    limiter::check(effects, BY_ADDRESS, &call.request.client_group()).await?;
    let enroller = Enroller::of(call, &call.form(&["ticket"])?)?;
    count_attempt(effects, enroller.user()).await?;
    let secret = TotpSecret::from_random(&effects.random()).ok_or(Fault::Internal)?;
    let sealed = seal(call, effects, enroller.user(), &secret).await?;
    let enrollment = Enrollment::BeginTotp { id: effects.new_id("fac_"), sealed };
    let FactorReply::Begun(email) = enroll(call, effects, enroller, enrollment).await? else {
        return Err(Fault::Internal.into());
    };
    let origin = call.cx.login.site.canonical_origin().map_or("", Origin::authority);
    let uri = secret.uri(host_of(origin), &email);
    Ok(json(200, &PendingTotp { secret: secret.to_base32(), uri }).into())
}

/// Confirms a pending secret with its first code. Returns new recovery codes, which replace all earlier ones.
pub(super) async fn confirm_totp<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    limiter::check(effects, BY_ADDRESS, &call.request.client_group()).await?;
    let form = call.form(&["ticket", "code"])?;
    let enroller = Enroller::of(call, &form)?;
    let offered = code(&form)?.ok_or(Rejection::InvalidBody("code", "expected six digits, found nothing"))?;
    let user = enroller.user().to_owned();
    count_attempt(effects, &user).await?;
    let right = compare_code(call, effects, &user, TotpState::Pending, offered).await?;
    let right = right.ok_or(Rejection::InvalidCredentials)?;
    let codes = RecoveryCodes::new(effects, &user)?;
    let confirm = ConfirmTotp { id: right.id, step: right.step, recovery_codes: codes.hashes };
    match enroll(call, effects, enroller, Enrollment::ConfirmTotp(confirm)).await? {
        FactorReply::Done => {
            let confirmed = json(200, &RecoveryCodesView { recovery_codes: &codes.texts });
            Ok(EndpointResponse::from(confirmed).with_user(user).with_detail("totp"))
        }
        // Another secret became the pending one.
        FactorReply::Wrong => Err(Rejection::InvalidCredentials.into()),
        _ => Err(Fault::Internal.into()),
    }
}

/// Removes the codes of the user's authenticator app.
pub(super) async fn remove_totp<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    require_recent_session(call)?;
    let required = call.cx.accounts.required_factor;
    removed(&write_factor(call, effects, FactorWrite::RemoveTotp(required)).await?)
}

/// Removes a passkey of the user.
pub(super) async fn remove_passkey<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    require_recent_session(call)?;
    let id = call.last_segment().ok_or(Rejection::NotFound)?;
    let remove = FactorWrite::RemovePasskey(id.clone(), call.cx.accounts.required_factor);
    Ok(removed(&write_factor(call, effects, remove).await?)?.with_detail(format!("passkey {id}")))
}

/// Makes new recovery codes, which replace all earlier ones.
pub(super) async fn renew_recovery_codes<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    require_recent_session(call)?;
    let user = call.principal()?.user_id().ok_or(Rejection::ForbiddenKind)?;
    let codes = RecoveryCodes::new(effects, user)?;
    match write_factor(call, effects, FactorWrite::RenewRecoveryCodes(codes.hashes)).await? {
        FactorReply::Done => Ok(json(200, &RecoveryCodesView { recovery_codes: &codes.texts }).into()),
        FactorReply::NotFound => Err(Rejection::NotFound.into()),
        _ => Err(Fault::Internal.into()),
    }
}

/// Removes all factors of a user, for an admin.
pub(super) async fn remove_all<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let id = call.segment_before("factors").ok_or(Rejection::NotFound)?;
    if call.principal()?.user_id() == Some(&id) {
        require_recent_session(call)?;
    }
    removed(&write_factor(call, effects, FactorWrite::RemoveAll(id)).await?)
}

/// Returns the response to a removal.
fn removed(reply: &FactorReply) -> Result<EndpointResponse, EarlyResponse> {
    match reply {
        FactorReply::Done => Ok(Reply { status: 204, ..Reply::default() }.into()),
        FactorReply::LastFactor => Err(Rejection::ForbiddenPolicy(ForbiddenBy::LastFactor).into()),
        FactorReply::NotFound => Err(Rejection::NotFound.into()),
        _ => Err(Fault::Internal.into()),
    }
}

/// Rejects a token, even one that acts as a person, and a session whose user has authenticated too long ago.
fn require_recent_session(call: Call<'_>) -> Result<(), Rejection> {
    call.admission.check_recent(Some(RECENT))
}

impl Enroller {
    /// Returns the user of the ticket in the body; without a ticket, the user of the session.
    pub(super) fn of(call: Call<'_>, form: &Form) -> Result<Self, Rejection> {
        if let Some(text) = form.optional("ticket")? {
            let ticket = call.cx.accounts.tickets.verify(text, Purpose::Enrollment, call.meta.now)?;
            return Ok(Self::WithTicket(ticket));
        }
        let no_credential = Rejection::Unauthorized(Reason::NoCredential);
        let principal = call.admission.principal().ok_or(no_credential)?;
        if !call.admission.is_by_a_person() || principal.session_id().is_none() {
            return Err(Rejection::ForbiddenHumanOnly);
        }
        principal.user_id().map(|id| Self::InPerson(id.to_owned())).ok_or(Rejection::ForbiddenKind)
    }

    /// Checks that a user with a session has authenticated recently.
    pub(super) fn check_recent(&self, call: Call<'_>) -> Result<(), Rejection> {
        match self {
            Self::InPerson(_) => require_recent_session(call),
            Self::WithTicket(_) => Ok(()),
        }
    }

    pub(super) fn user(&self) -> &str {
        match self {
            Self::InPerson(id) => id,
            Self::WithTicket(ticket) => &ticket.user,
        }
    }
}

/// Sends a step of an enrollment.
pub(super) async fn enroll<E: Effects>(
    call: Call<'_>,
    effects: &E,
    enroller: Enroller,
    enrollment: Enrollment,
) -> Result<FactorReply, EarlyResponse> {
    // Only who has begun has the secret that is confirmed.
    if !matches!(enrollment, Enrollment::ConfirmTotp(_)) {
        enroller.check_recent(call)?;
    }
    let reply = match enroller {
        Enroller::InPerson(_) => write_factor(call, effects, FactorWrite::Enroll(enrollment)).await?,
        Enroller::WithTicket(ticket) => {
            let user = ticket.user.clone();
            let reply =
                call_factors(effects, &Command::Factor(FactorCommand::Enroll(ticket, enrollment))).await?;
            // Whatever was enrolled: a code or a passkey.
            if reply != FactorReply::TicketUnusable && call.cx.accounts.has_shards {
                logins::tell::tell(effects, &user).await?;
            }
            reply
        }
    };
    if reply == FactorReply::TicketUnusable { Err(Rejection::TicketUnusable.into()) } else { Ok(reply) }
}

pub(super) async fn write_factor<E: Effects>(
    call: Call<'_>,
    effects: &E,
    change: FactorWrite,
) -> Result<FactorReply, EarlyResponse> {
    match write(call, effects, Write::Factor(change)).await? {
        accounts::Reply::Factor(reply) => Ok(reply),
        _ => Err(Fault::Internal.into()),
    }
}

/// New recovery codes, and their hashes.
pub(super) struct RecoveryCodes {
    pub(super) texts: Vec<String>,
    pub(super) hashes: Vec<String>,
}

impl RecoveryCodes {
    pub(super) fn new<E: Effects>(effects: &E, user: &str) -> Result<Self, Fault> {
        let texts: Vec<String> = (0..recovery::COUNT).map(|_| recovery::code(&effects.random())).collect();
        let hashes: Option<Vec<String>> = texts.iter().map(|code| recovery::hash(user, code)).collect();
        Ok(Self { hashes: hashes.ok_or(Fault::Internal)?, texts })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FactorsView<'a> {
    totp: bool,
    passkeys: Vec<PasskeyView<'a>>,
    recovery_codes_left: i64,
}

/// A passkey, as its user sees it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PasskeyView<'a> {
    id: &'a str,
    name: &'a str,
    created_at: String,
    last_used_at: Option<String>,
}

impl<'a> PasskeyView<'a> {
    pub(super) fn of(passkey: &'a Passkey) -> Self {
        Self {
            id: &passkey.id,
            name: &passkey.name,
            created_at: passkey.created_at.to_string(),
            last_used_at: passkey.last_used_at.map(|used| used.to_string()),
        }
    }
}

#[derive(Serialize)]
struct PendingTotp {
    secret: String,
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecoveryCodesView<'a> {
    recovery_codes: &'a [String],
}
