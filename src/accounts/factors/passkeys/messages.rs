//! The messages of browsers and authenticators (Web Authentication Level 3), read as untrusted bytes.
//!
//! JSON and CBOR are parsed by crates. Only the fixed layout of authenticator data (§6.1) is taken apart here. Whatever
//! is too short, too long or of another type is rejected.

use cbor4ii::core::{
    Value,
    dec::{Decode, Read, Reference},
    utils::SliceReader,
};
use serde::Deserialize;

use super::PasskeyError;
use crate::{
    base::encoding,
    crypto::public_key::{Algorithm, PublicKey},
    http::form,
};

/// A credential that was made, as `PublicKeyCredential.toJSON` writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationMessage<'a> {
    #[serde(borrow)]
    pub(super) id: &'a str,
    pub(super) raw_id: &'a str,
    pub(super) r#type: &'a str,
    pub(super) response: AttestationResponse<'a>,
}

/// The authenticator's response to a registration.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttestationResponse<'a> {
    #[serde(rename = "clientDataJSON")]
    pub(super) client_data: &'a str,
    pub(super) attestation_object: &'a str,
}

/// A credential that was used, as `PublicKeyCredential.toJSON` writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssertionMessage<'a> {
    /// The credential's id, in base64url.
    #[serde(borrow)]
    pub id: &'a str,
    pub(super) raw_id: &'a str,
    pub(super) r#type: &'a str,
    pub(super) response: AssertionResponse<'a>,
}

/// The authenticator's response to a sign-in.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AssertionResponse<'a> {
    #[serde(rename = "clientDataJSON")]
    pub(super) client_data: &'a str,
    pub(super) authenticator_data: &'a str,
    pub(super) signature: &'a str,
    pub(super) user_handle: Option<&'a str>,
}

/// The browser's statement about a ceremony (§5.8.1). Members that are not listed are ignored, as the specification
/// demands.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientData {
    pub(super) r#type: String,
    pub(super) challenge: String,
    pub(super) origin: String,
    cross_origin: Option<bool>,
    top_origin: Option<String>,
    token_binding: Option<TokenBinding>,
}

#[derive(Debug, Deserialize)]
struct TokenBinding {
    status: String,
}

/// Authenticator data (§6.1).
#[derive(Debug, PartialEq)]
pub(super) struct AuthenticatorData<'a> {
    pub(super) rp_id_hash: &'a [u8; 32],
    pub(super) flags: Flags,
    pub(super) counter: u32,
    pub(super) attested: Option<AttestedCredential<'a>>,
}

/// The flags of authenticator data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags(u8);

/// The credential in the authenticator data of a registration.
#[derive(Debug, PartialEq)]
pub(super) struct AttestedCredential<'a> {
    pub(super) id: &'a [u8],
    key: Value,
}

/// A public key that was read from COSE.
#[derive(Debug)]
pub(super) struct CoseKey {
    pub(super) algorithm: Algorithm,
    /// The bytes that [`PublicKey::parse`] reads.
    pub(super) bytes: Vec<u8>,
}

impl ClientData {
    /// Parses the browser's statement. A byte order mark before it does not count (§7.1, step 5).
    pub(super) fn read(bytes: &[u8]) -> Result<Self, PasskeyError> {
        let text = std::str::from_utf8(bytes).map_err(|_| PasskeyError::ClientData)?;
        form::answer_of(text.strip_prefix('\u{feff}').unwrap_or(text)).ok_or(PasskeyError::ClientData)
    }

    /// Rejects a ceremony in a frame of another site, and one that demands a binding to the connection, which nobody
    /// can check here.
    pub(super) fn check_context(&self) -> Result<(), PasskeyError> {
        if self.cross_origin == Some(true) || self.top_origin.is_some() {
            return Err(PasskeyError::CrossOrigin);
        }
        match &self.token_binding {
            Some(binding) if binding.status == "present" => Err(PasskeyError::ClientData),
            _ => Ok(()),
        }
    }
}

impl Flags {
    pub(super) fn user_present(self) -> bool {
        self.0 & 0x01 != 0
    }

    pub(super) fn user_verified(self) -> bool {
        self.0 & 0x04 != 0
    }

    /// Returns whether the flags contradict each other: a credential that is backed up, and cannot be.
    pub(super) fn contradict(self) -> bool {
        self.0 & 0x18 == 0x10
    }

    fn has_credential(self) -> bool {
        self.0 & 0x40 != 0
    }

    fn has_extensions(self) -> bool {
        self.0 & 0x80 != 0
    }
}

impl<'a> AuthenticatorData<'a> {
    /// Parses authenticator data. All bytes must belong to it.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, PasskeyError> {
        Self::parts(bytes).ok_or(PasskeyError::AuthenticatorData)
    }

    fn parts(bytes: &'a [u8]) -> Option<Self> {
        let (rp_id_hash, rest) = bytes.split_first_chunk()?;
        let (&[flags], rest) = rest.split_first_chunk()?;
        let (counter, mut rest) = rest.split_first_chunk()?;
        let flags = Flags(flags);
        let mut attested = None;
        if flags.has_credential() {
            let (_authenticator_model, after) = rest.split_first_chunk::<16>()?;
            let (length, after) = after.split_first_chunk()?;
            let (id, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            let (key, after) = item(after)?;
            attested = Some(AttestedCredential { id: checked_id(id)?, key });
            rest = after;
        }
        if flags.has_extensions() {
            let (Value::Map(_), after) = item(rest)? else { return None };
            rest = after;
        }
        let counter = u32::from_be_bytes(*counter);
        rest.is_empty().then_some(Self { rp_id_hash, flags, counter, attested })
    }
}

impl AttestedCredential<'_> {
    /// Reads the public key (RFC 9052 §7, RFC 9053 §7). It must have exactly the members of its type.
    pub(super) fn key(&self) -> Result<CoseKey, PasskeyError> {
        let Value::Map(members) = &self.key else { return Err(PasskeyError::Key) };
        let member = |label: i128| {
            let found = members.iter().find(|(name, _)| *name == Value::Integer(label));
            found.map(|(_, value)| value)
        };
        let number = |label| match member(label) {
            Some(Value::Integer(number)) => i64::try_from(*number).ok(),
            _ => None,
        };
        let coordinate = |label| match member(label) {
            Some(Value::Bytes(bytes)) if bytes.len() == 32 => Ok(bytes.as_slice()),
            _ => Err(PasskeyError::Key),
        };
        let algorithm = number(ALG).and_then(Algorithm::from_number).ok_or(PasskeyError::Algorithm)?;
        let (kind, curve, size) = match algorithm {
            Algorithm::Es256 => (2, 1, 5),
            Algorithm::Ed25519 => (1, 6, 4),
        };
        if (number(KTY), number(CRV), members.len()) != (Some(kind), Some(curve), size) {
            return Err(PasskeyError::Key);
        }
        let bytes = match algorithm {
            Algorithm::Es256 => [&[4], coordinate(X)?, coordinate(Y)?].concat(),
            Algorithm::Ed25519 => coordinate(X)?.to_vec(),
        };
        PublicKey::parse(algorithm, &bytes).ok_or(PasskeyError::Key)?;
        Ok(CoseKey { algorithm, bytes })
    }
}

/// Returns the authenticator data of an attestation object (§6.5). The only accepted format is `none`, which states
/// nothing about the authenticator: nothing here could verify a statement.
pub(super) fn unattested(bytes: &[u8]) -> Result<Vec<u8>, PasskeyError> {
    let Some((Value::Map(members), [])) = item(bytes) else { return Err(PasskeyError::Attestation) };
    let member = |name: &str| {
        let found =
            members.iter().find(|(found, _)| matches!(found, Value::Text(text) if text.as_str() == name));
        found.map(|(_, value)| value)
    };
    let is_none = matches!(member("fmt"), Some(Value::Text(format)) if format.as_str() == "none")
        && matches!(member("attStmt"), Some(Value::Map(statement)) if statement.is_empty());
    match member("authData") {
        Some(Value::Bytes(data)) if is_none && members.len() == 3 => Ok(data.clone()),
        _ => Err(PasskeyError::Attestation),
    }
}

/// Decodes the id of a credential from base64url.
pub(super) fn credential_id(id: &str, raw_id: &str, kind: &str) -> Result<Vec<u8>, PasskeyError> {
    if id != raw_id || kind != "public-key" {
        return Err(PasskeyError::Credential);
    }
    let id = decoded(id)?;
    if checked_id(&id).is_some() { Ok(id) } else { Err(PasskeyError::Credential) }
}

/// Decodes a member in base64url.
pub(super) fn decoded(text: &str) -> Result<Vec<u8>, PasskeyError> {
    encoding::from_base64url(text).ok_or(PasskeyError::Encoding)
}

/// Returns an id of 1 to 1023 bytes (§4, credential id).
fn checked_id(id: &[u8]) -> Option<&[u8]> {
    (1..=1_023).contains(&id.len()).then_some(id)
}

/// Reads one CBOR item. Returns the bytes after it, too.
fn item(bytes: &[u8]) -> Option<(Value, &[u8])> {
    let mut reader = Shallow { bytes: SliceReader::new(bytes), levels: DEEPEST };
    let value = Value::decode(&mut reader).ok()?;
    match reader.fill(bytes.len()).ok()? {
        Reference::Long(rest) => Some((value, rest)),
        Reference::Short(_) => None,
    }
}

/// Reads bytes, and limits how deeply their values are nested.
struct Shallow<'a> {
    bytes: SliceReader<'a>,
    levels: u8,
}

impl<'a> Read<'a> for Shallow<'a> {
    type Error = <SliceReader<'a> as Read<'a>>::Error;

    fn fill<'short>(&'short mut self, want: usize) -> Result<Reference<'a, 'short>, Self::Error> {
        self.bytes.fill(want)
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn step_in(&mut self) -> bool {
        let Some(levels) = self.levels.checked_sub(1) else { return false };
        self.levels = levels;
        true
    }

    fn step_out(&mut self) {
        self.levels = self.levels.saturating_add(1);
    }
}

/// Maximum depth of a value. An attestation object has three levels, extensions may have more.
const DEEPEST: u8 = 8;

// Labels of a COSE key.
const KTY: i128 = 1;
const ALG: i128 = 3;
const CRV: i128 = -1;
const X: i128 = -2;
const Y: i128 = -3;
