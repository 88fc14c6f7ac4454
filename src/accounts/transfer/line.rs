//! The line of a record (JSON Lines). What people may read is plain. All that an import takes is in the sealed text.
//!
//! 1. The text is sealed by AES-256-GCM under a key that is derived from `EXPORT_KEY`, the id and the e-mail address.
//!    So it opens in no other line, and only with the key.
//! 2. The plain members repeat what is sealed. A line in which they differ was changed, and is refused.
//! 3. A stored secret for codes is opened first, and sealed again by the deployment that imports it. If it does not
//!    open, it goes along as it is stored: the user keeps the factor, and signs in with a recovery code.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{PasskeyRecord, TotpRecord, UserRecord};
use crate::{
    accounts::factors::{
        recovery,
        totp::{self, TotpSecret},
    },
    base::time::Timestamp,
    crypto::{
        derive::{DerivedKey, KeyDerivation},
        password,
    },
    http::{form, problem::Fault},
    identity::principal::Role,
    platform::effects::SealedTexts,
};

/// The maximum number of lines in one request.
pub const MOST_LINES: usize = 100;

/// The media type of JSON Lines.
pub const MEDIA_TYPE: &str = "application/jsonl";

/// The keys of an export or an import.
#[derive(Clone, Copy, Debug)]
pub struct LineKeys<'a> {
    /// Derives the keys that seal lines, from `EXPORT_KEY`.
    pub export: &'a KeyDerivation,
    /// Derives the keys that seal stored secrets, from `AUTH_SECRET`.
    pub stored: &'a KeyDerivation,
}

/// Why a line is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineError {
    /// It is no JSON object of the members of a line.
    Form,
    /// The sealed text does not open under the key, for this id and address.
    Key,
    /// The sealed text is not that of a record of this version.
    Version,
    /// Plain members differ from the sealed ones.
    Changed,
    /// The id, address, name, password hash or a factor does not have its form.
    Member(&'static str),
}

#[derive(Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Line {
    id: String,
    email: String,
    #[serde(deserialize_with = "present")]
    name: Option<String>,
    role: Role,
    status: Status,
    created_at: String,
    sealed: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sealed {
    v: u8,
    name: Option<String>,
    role: Role,
    status: Status,
    created_at: i64,
    password: String,
    totp: Option<SealedTotp>,
    recovery_codes: Vec<String>,
    passkeys: Vec<PasskeyRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SealedTotp {
    id: String,
    /// The secret in base32.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// The secret as it is stored, if it did not open.
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<String>,
    last_step: i64,
    created_at: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Active,
    Disabled,
}

/// Reads a member that may be null, but must be there.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)
}

/// Writes the line of a record, without a line feed.
///
/// # Errors
/// [`Fault::Internal`].
pub async fn write<E: SealedTexts>(
    effects: &E,
    keys: LineKeys<'_>,
    record: &UserRecord,
) -> Result<String, Fault> {
    let failed = Fault::Internal;
    let status = if record.active { Status::Active } else { Status::Disabled };
    let totp = match &record.totp {
        Some(totp) => Some(open_totp(effects, keys, &record.id, totp).await?),
        None => None,
    };
    let sealed = Sealed {
        v: VERSION,
        name: record.name.clone(),
        role: record.role,
        status,
        created_at: record.created_at.0,
        password: record.password.clone(),
        totp,
        recovery_codes: record.recovery_codes.clone(),
        passkeys: record.passkeys.clone(),
    };
    let text = serde_json::to_string(&sealed).map_err(|_| failed)?;
    let key = line_key(keys.export, &record.id, &record.email).ok_or(failed)?;
    let line = Line {
        id: record.id.clone(),
        email: record.email.clone(),
        name: record.name.clone(),
        role: record.role,
        status,
        created_at: record.created_at.to_string(),
        sealed: effects.seal_text(&key, &text).await?,
    };
    serde_json::to_string(&line).map_err(|_| failed)
}

/// Reads a line.
///
/// # Errors
/// [`Fault::Internal`]; the inner error if the line is no record.
pub async fn read<E: SealedTexts>(
    effects: &E,
    keys: LineKeys<'_>,
    text: &str,
) -> Result<Result<UserRecord, LineError>, Fault> {
    let Some(line) = form::answer_of::<Line>(text) else { return Ok(Err(LineError::Form)) };
    let Some(key) = line_key(keys.export, &line.id, &line.email) else { return Ok(Err(LineError::Key)) };
    let Some(opened) = effects.open_text(&[key], &line.sealed).await? else {
        return Ok(Err(LineError::Key));
    };
    let sealed = match parse(&line, &opened.text) {
        Ok(sealed) => sealed,
        Err(error) => return Ok(Err(error)),
    };
    let totp = match sealed.totp {
        Some(totp) => match seal_totp(effects, keys, &line.id, totp).await? {
            Some(totp) => Some(totp),
            None => return Ok(Err(LineError::Member("totp"))),
        },
        None => None,
    };
    Ok(Ok(UserRecord {
        id: line.id,
        email: line.email,
        name: sealed.name,
        role: sealed.role,
        active: sealed.status == Status::Active,
        created_at: Timestamp(sealed.created_at),
        password: sealed.password,
        totp,
        recovery_codes: sealed.recovery_codes,
        passkeys: sealed.passkeys,
    }))
}

/// Parses a sealed text, and checks everything as when an account is made.
fn parse(line: &Line, text: &str) -> Result<Sealed, LineError> {
    let sealed: Sealed =
        form::answer_of(text).filter(|sealed: &Sealed| sealed.v == VERSION).ok_or(LineError::Version)?;
    let created_at = Timestamp(sealed.created_at);
    if (&sealed.name, sealed.role, sealed.status) != (&line.name, line.role, line.status)
        || created_at.to_string() != line.created_at
    {
        return Err(LineError::Changed);
    }
    let has_factor = sealed.totp.is_some() || !sealed.passkeys.is_empty();
    let codes = &sealed.recovery_codes;
    for (member, is_right) in [
        ("id", is_user_id(&line.id)),
        ("email", form::is_email(&line.email) && line.email == line.email.to_ascii_lowercase()),
        ("name", sealed.name.as_deref().is_none_or(form::is_display_name)),
        ("createdAt", (0..=LATEST).contains(&sealed.created_at)),
        ("password", password::is_stored(&sealed.password)),
        (
            "recoveryCodes",
            (has_factor || codes.is_empty())
                && codes.len() <= recovery::COUNT
                && codes.is_sorted_by(|one, other| one < other)
                && codes.iter().all(|hash| is_short(hash)),
        ),
        ("passkeys", are_passkeys(&sealed.passkeys)),
    ] {
        if !is_right {
            return Err(LineError::Member(member));
        }
    }
    Ok(sealed)
}

fn are_passkeys(passkeys: &[PasskeyRecord]) -> bool {
    let is_distinct = |of: fn(&PasskeyRecord) -> &String| {
        passkeys.iter().map(of).collect::<BTreeSet<_>>().len() == passkeys.len()
    };
    passkeys.len() <= MOST_PASSKEYS
        && passkeys.iter().all(is_passkey)
        && is_distinct(|passkey| &passkey.id)
        && is_distinct(|passkey| &passkey.credential)
}

fn is_passkey(passkey: &PasskeyRecord) -> bool {
    let texts = [&passkey.id, &passkey.credential, &passkey.public_key];
    form::is_display_name(&passkey.name)
        && texts.iter().all(|text| is_short(text))
        && (0..=i64::from(u32::MAX)).contains(&passkey.counter)
}

/// Checks for a text of visible ASCII whose length an import accepts.
fn is_short(text: &str) -> bool {
    (1..=2_048).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Checks for an id as the gateway makes them.
fn is_user_id(id: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    id.strip_prefix("usr_").is_some_and(|rest| (16..=64).contains(&rest.len()) && rest.bytes().all(is_letter))
}

async fn open_totp<E: SealedTexts>(
    effects: &E,
    keys: LineKeys<'_>,
    user: &str,
    record: &TotpRecord,
) -> Result<SealedTotp, Fault> {
    let opened = effects.open_text(&keys.stored.keys(&[totp::SEALING, user]), &record.sealed).await?;
    let stored = if opened.is_none() { Some(record.sealed.clone()) } else { None };
    Ok(SealedTotp {
        id: record.id.clone(),
        secret: opened.map(|opened| opened.text),
        stored,
        last_step: record.last_step,
        created_at: record.created_at.0,
    })
}

/// Seals a secret for codes under the key of this deployment. Returns `None` if it does not have the form of one.
async fn seal_totp<E: SealedTexts>(
    effects: &E,
    keys: LineKeys<'_>,
    user: &str,
    from: SealedTotp,
) -> Result<Option<TotpRecord>, Fault> {
    let sealed = match (from.secret, from.stored) {
        (Some(secret), None) if TotpSecret::from_base32(&secret).is_some() => {
            let keys = keys.stored.keys(&[totp::SEALING, user]);
            effects.seal_text(keys.first().ok_or(Fault::Internal)?, &secret).await?
        }
        (None, Some(stored)) if is_short(&stored) => stored,
        _ => return Ok(None),
    };
    if !is_short(&from.id) {
        return Ok(None);
    }
    let (last_step, created_at) = (from.last_step, Timestamp(from.created_at));
    Ok(Some(TotpRecord { id: from.id, sealed, last_step, created_at }))
}

fn line_key(export: &KeyDerivation, id: &str, email: &str) -> Option<DerivedKey> {
    export.keys(&["vestibule/export/1", id, email]).first().copied()
}

/// The version of the sealed text.
const VERSION: u8 = 1;

/// The most passkeys that an import accepts for one user.
const MOST_PASSKEYS: usize = 100;

/// The latest time that a record may have: the end of the year 9999.
const LATEST: i64 = 253_402_300_799;
