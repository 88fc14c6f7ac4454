//! Reads what later steps need of a body that goes to upstream: in one place, and before the guards.
//!
//! A client can send its body as slowly as it likes. So [`read`] takes the admission of the request, and gives it
//! back only where nothing was read. Otherwise the client has to be judged again.
//!
//! Later steps get the result as [`Body`]. None of them reads.
//!
//! | step | reads | where |
//! |---|---|---|
//! | return field | a field | the rule names one |
//! | bot check | a field | its header is not there |
//! | confirmation | hash and first bytes | a machine asks, and nothing else is wrong |
//! | claim | hash | there is an idempotency key |
//! | claim | the key | the rule says that it may be in the body, and the headers have none |
//!
//! Webhooks are read by their own claim, because they have no principal. The body for one of our endpoints was read
//! before the client was judged.

use crate::{
    access::Admission,
    body_field, claim,
    config::Config,
    confirmations, consent,
    context::Request,
    effects::{Effects, HashedBody},
    guards,
    idempotency::Key,
    outline::outlined,
    principal::Principal,
    problem::Rejection,
    refusal::EarlyResponse,
    rule::{Destination, Idempotency, Rule},
    step::{Step, StepTracker},
};

/// What is known of a request's body.
#[derive(Debug, Default)]
pub struct Body {
    field: Option<String>,
    seen: Option<HashedBody>,
    sha256: Option<String>,
    return_fields: Option<Vec<String>>,
    key: Option<Result<Option<Key>, Rejection>>,
}

/// The result of reading.
#[derive(Debug)]
pub struct Intake {
    /// What is known of the body.
    pub body: Body,
    /// The state of the admission.
    pub standing: Standing,
}

/// The state of an admission after reading.
#[derive(Debug)]
pub enum Standing {
    /// Nothing was read, so the admission still holds.
    Holds(Admission),
    /// The body was read, so the client must be judged again. The principal of the admission.
    WasRead(Option<Principal>),
}

impl Body {
    /// Returns the field that has the token of a bot check.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// Returns the hash, the length and the first bytes, where a person may have to consent.
    #[must_use]
    pub fn seen(&self) -> Option<&HashedBody> {
        self.seen.as_ref()
    }

    /// Returns every value of the field that says where upstream will lead to; `None` if the body can be read in more than
    /// one way.
    #[must_use]
    pub fn return_fields(&self) -> Option<&[String]> {
        self.return_fields.as_deref()
    }

    /// Returns the idempotency key that the body has.
    ///
    /// # Errors
    /// [`Rejection::IdempotencyKeyMissing`], [`Rejection::IdempotencyKeyInvalid`].
    pub fn key(&self) -> Result<Option<&Key>, Rejection> {
        match &self.key {
            Some(Ok(key)) => Ok(key.as_ref()),
            Some(Err(rejection)) => Err(*rejection),
            None => Ok(None),
        }
    }

    /// Returns the SHA-256 in hex, where there is an idempotency key.
    #[must_use]
    pub fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref().or(self.seen.as_ref().map(|seen| seen.sha256.as_str()))
    }
}

/// What has to be read.
struct Wanted<'a> {
    field: Option<&'a str>,
    seen: bool,
    sha256: bool,
    return_field: Option<&'static str>,
    key: Option<Idempotency>,
}

impl Wanted<'_> {
    fn is_nothing(&self) -> bool {
        let Self { field, seen, sha256, return_field, key } = self;
        field.is_none() && !seen && !sha256 && return_field.is_none() && key.is_none()
    }
}

/// Reads the parts of the body that later steps need.
///
/// # Errors
/// [`Rejection::BodyTooLarge`], [`Rejection::InvalidBody`].
pub async fn read<E: Effects>(
    config: &Config,
    effects: &E,
    rule: &Rule,
    request: &Request<'_>,
    way: &StepTracker,
    admission: Admission,
) -> Result<Intake, EarlyResponse> {
    let seen = consent::is_asked_for(rule, &admission) && consent::check(rule, request, &admission).is_ok();
    let wanted = Wanted {
        field: guards::field_to_read(config, rule, request),
        seen,
        sha256: !seen && claim::has_key(rule, request),
        return_field: guards::return_field_to_read(rule, request),
        key: claim::key_to_read(rule, request),
    };
    if wanted.is_nothing() || effects.as_dry_run().is_some() {
        return Ok(Intake { body: Body::default(), standing: Standing::Holds(admission) });
    }
    // Boxed: most requests do not carry it.
    let body = outlined(take_in(effects, rule, request, way, wanted)).await?;
    let standing = match rule.destination {
        Destination::Endpoint(endpoint) if endpoint.takes_body() => Standing::Holds(admission),
        Destination::Endpoint(_) | Destination::Upstream => Standing::WasRead(admission.principal().cloned()),
    };
    Ok(Intake { body, standing })
}

async fn take_in<E: Effects>(
    effects: &E,
    rule: &Rule,
    request: &Request<'_>,
    way: &StepTracker,
    wanted: Wanted<'_>,
) -> Result<Body, EarlyResponse> {
    let mut body = Body::default();
    if let Some(name) = wanted.return_field {
        way.at(Step::ReturnField);
        let bytes = effects.bytes(rule.body_limit).await.map_err(Rejection::from)?;
        body.return_fields = body_field::values(&request.headers, &bytes, name);
    }
    if let Some(name) = wanted.field {
        way.at(Step::BotCheck);
        body.field = effects.field(name, rule.body_limit).await.map_err(Rejection::from)?;
    }
    if wanted.seen {
        way.at(Step::Confirmation);
        let first = confirmations::LONGEST_PREVIEW;
        body.seen =
            Some(effects.hash_body_with_prefix(rule.body_limit, first).await.map_err(Rejection::from)?);
    }
    let mut has_key = wanted.sha256;
    if let Some(policy) = wanted.key
        && let Some(pointer) = policy.invocation_pointer
    {
        way.at(Step::Claim);
        let bytes = effects.bytes(rule.body_limit).await.map_err(Rejection::from)?;
        let key = match &bytes[..] {
            // It may have a key, and its client would expect that the request runs once.
            [_, ..] if body_field::is_compressed(&request.headers) => Err(Rejection::IdempotencyKeyInvalid),
            _ => Key::in_body(&bytes, pointer, &policy),
        };
        has_key = !wanted.seen && matches!(key, Ok(Some(_)));
        body.key = Some(key);
    }
    if has_key {
        way.at(Step::Claim);
        body.sha256 = Some(effects.hash_body(rule.body_limit).await.map_err(Rejection::from)?);
    }
    Ok(body)
}
