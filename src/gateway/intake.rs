//! Reads the parts of a forwarded body that later steps need: in one place, before the guards.
//!
//! A client can send its body as slowly as it likes. So [`read`] takes the admission of the request, and returns it
//! only if nothing was read. Otherwise the gateway must identify and check the client again.
//!
//! Later steps get the result as [`Body`]. They do not read the body themselves.
//!
//! | step | reads | if |
//! |---|---|---|
//! | return field | a field | the rule names one |
//! | bot check | a field | its header is missing |
//! | confirmation | hash and first bytes | a person must approve the request, and it is valid so far |
//! | claim | hash | there is an idempotency key |
//! | claim | the key | the rule allows it in the body, and it is not in the headers |
//!
//! The claim of a webhook reads the body itself, because a webhook has no principal. The body for a built-in endpoint
//! is read before the client is identified.

use crate::{
    approvals::{
        approval::{self, ApprovalBody},
        confirmations,
    },
    base::outline::outlined,
    config::Config,
    gateway::request_claim,
    guards::{self, GuardBody},
    http::{body_field, problem::Rejection, reply::EarlyResponse, request::Request},
    idempotency::{Key, key_claim::KeyedBody},
    identity::{access::Admission, principal::Principal},
    platform::{
        effects::{Effects, HashedBody},
        step::{Step, StepTracker},
    },
    routing::{
        report::Reports,
        rule::{Destination, Idempotency, Rule},
    },
};

/// The parts of a request's body that were read.
#[derive(Debug, Default)]
pub struct Body {
    bot_token: Option<String>,
    preview: Option<HashedBody>,
    sha256: Option<String>,
    return_fields: Option<Vec<String>>,
    key: Option<Result<Option<Key>, Rejection>>,
}

/// The result of [`read`].
#[derive(Debug)]
pub struct Intake {
    /// The parts of the body that were read.
    pub body: Body,
    /// The state of the admission.
    pub admission: AdmissionState,
}

/// The state of an admission after reading.
#[derive(Debug)]
pub enum AdmissionState {
    /// Nothing was read, so the admission still holds.
    Valid(Admission),
    /// The body was read, so the client must be checked again. Contains the principal of the admission.
    MustRecheck(Option<Principal>),
}

impl Body {
    /// Returns what guards need.
    #[must_use]
    pub fn for_guards(&self) -> GuardBody<'_> {
        GuardBody { bot_token: self.bot_token.as_deref(), return_fields: self.return_fields.as_deref() }
    }

    /// Returns what a claim needs.
    #[must_use]
    pub fn for_claim(&self) -> KeyedBody<'_> {
        KeyedBody { key: self.key(), sha256: self.sha256() }
    }

    /// Returns what an approval needs.
    #[must_use]
    pub fn for_approval(&self) -> ApprovalBody<'_> {
        ApprovalBody { preview: self.preview.as_ref(), key: self.key() }
    }

    /// Returns the idempotency key from the body.
    ///
    /// # Errors
    /// [`Rejection::IdempotencyKeyMissing`], [`Rejection::IdempotencyKeyInvalid`].
    fn key(&self) -> Result<Option<&Key>, Rejection> {
        match &self.key {
            Some(Ok(key)) => Ok(key.as_ref()),
            Some(Err(rejection)) => Err(*rejection),
            None => Ok(None),
        }
    }

    /// Returns the SHA-256 in hex, if there is an idempotency key.
    #[must_use]
    fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref().or(self.preview.as_ref().map(|body| body.sha256.as_str()))
    }
}

/// The parts of the body to read.
struct Wanted<'a> {
    bot_token: Option<&'a str>,
    preview: bool,
    sha256: bool,
    return_field: Option<&'static str>,
    key: Option<Idempotency>,
}

impl Wanted<'_> {
    fn is_nothing(&self) -> bool {
        let Self { bot_token, preview, sha256, return_field, key } = self;
        bot_token.is_none() && !preview && !sha256 && return_field.is_none() && key.is_none()
    }
}

/// Reads the parts of the body that later steps need.
///
/// What was read of a body cannot be given back. So a body that turns out to be too long or incomplete is refused in
/// report mode, too. Only if its `Content-Length` is too large, it is not read, and the refusal is reported.
///
/// # Errors
/// [`Rejection::BodyTooLarge`], [`Rejection::InvalidBody`], [`Rejection::Overloaded`].
pub async fn read<E: Effects>(
    config: &Config,
    effects: &E,
    rule: &Rule,
    request: &Request<'_>,
    steps: &StepTracker,
    reports: &Reports,
    admission: Admission,
) -> Result<Intake, EarlyResponse> {
    let is_too_long = effects.as_dry_run().is_none()
        && request.headers.value("content-length").is_some_and(|length| {
            length
                .parse()
                .is_ok_and(|length: u64| usize::try_from(length).is_ok_and(|length| length > rule.body_limit))
        });
    let is_read_for = |step| {
        reports.skip(step).is_none()
            && !(is_too_long && reports.refuse(step, Rejection::BodyTooLarge).is_ok())
    };
    // In this order: the first refusal counts.
    let return_field = guards::return_field_to_read(rule, request).filter(|_| is_read_for(Step::ReturnField));
    let bot_token =
        guards::field_to_read(&config.guards, rule, request).filter(|_| is_read_for(Step::BotCheck));
    let preview = approval::is_required(rule, &admission)
        && approval::check_eligible(rule, request, &admission).is_ok()
        && is_read_for(Step::Confirmation);
    let wanted = Wanted {
        bot_token,
        preview,
        sha256: !preview && request_claim::has_key_in_headers(rule, request),
        return_field,
        key: request_claim::policy_for_key_in_body(rule, request),
    };
    if wanted.is_nothing() || effects.as_dry_run().is_some() {
        return Ok(Intake { body: Body::default(), admission: AdmissionState::Valid(admission) });
    }
    // `outlined`, because most requests do not need this code.
    let body = outlined(read_parts(effects, rule, request, steps, wanted)).await?;
    let admission = match rule.destination {
        Destination::Endpoint(endpoint) if endpoint.takes_body => AdmissionState::Valid(admission),
        _ => AdmissionState::MustRecheck(admission.principal().cloned()),
    };
    Ok(Intake { body, admission })
}

/// Reads the wanted parts of the body.
async fn read_parts<E: Effects>(
    effects: &E,
    rule: &Rule,
    request: &Request<'_>,
    steps: &StepTracker,
    wanted: Wanted<'_>,
) -> Result<Body, EarlyResponse> {
    let mut body = Body::default();
    if let Some(name) = wanted.return_field {
        steps.at(Step::ReturnField);
        let bytes = effects.bytes(rule.body_limit).await.map_err(Rejection::from)?;
        body.return_fields = body_field::values(&request.headers, &bytes.bytes, name);
    }
    if let Some(name) = wanted.bot_token {
        steps.at(Step::BotCheck);
        body.bot_token = effects.field(name, rule.body_limit).await.map_err(Rejection::from)?;
    }
    if wanted.preview {
        steps.at(Step::Confirmation);
        let first = confirmations::LONGEST_PREVIEW;
        body.preview =
            Some(effects.hash_body_with_prefix(rule.body_limit, first).await.map_err(Rejection::from)?);
    }
    let mut has_key = wanted.sha256;
    if let Some(policy) = wanted.key
        && let Some(pointer) = policy.invocation_pointer
    {
        steps.at(Step::Claim);
        let bytes = effects.bytes(rule.body_limit).await.map_err(Rejection::from)?;
        let key = match &bytes.bytes[..] {
            // A compressed body may have a key, and then its client expects that the request runs only once.
            [_, ..] if body_field::is_compressed(&request.headers) => Err(Rejection::IdempotencyKeyInvalid),
            _ => Key::in_body(&bytes.bytes, pointer, &policy),
        };
        has_key = !wanted.preview && matches!(key, Ok(Some(_)));
        body.key = Some(key);
    }
    if has_key {
        steps.at(Step::Claim);
        body.sha256 = Some(effects.hash_body(rule.body_limit).await.map_err(Rejection::from)?);
    }
    Ok(body)
}
