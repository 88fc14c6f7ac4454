//! The checks of a relying party: registering a credential (Web Authentication Level 3 §7.1) and verifying an assertion
//! (§7.2).

use sha2::{Digest, Sha256};

use super::{
    PasskeyError, RelyingParty, StoredPasskey,
    messages::{
        AssertionMessage, AuthenticatorData, ClientData, RegistrationMessage, credential_id, decoded,
        unattested,
    },
};
use crate::{
    base::encoding,
    crypto::public_key::{Algorithm, PublicKey},
};

/// What a message must be about.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The site.
    pub site: RelyingParty<'a>,
    /// The challenge of the ceremony.
    pub challenge: [u8; 32],
    /// Whether the authenticator must have verified the user, by a PIN or biometrics.
    pub user_verification: bool,
}

/// A credential that passed every check. Only [`register`] makes one.
#[derive(Debug)]
pub struct Registered {
    /// The id, in base64url.
    pub(in crate::accounts) credential: String,
    /// The number of its algorithm in COSE.
    pub(in crate::accounts) algorithm: i64,
    /// The public key, in base64url.
    pub(in crate::accounts) public_key: String,
    /// The signature counter.
    pub(in crate::accounts) counter: u32,
}

/// An assertion that passed every check that needs no store. Only [`assert()`] makes one.
#[derive(Debug)]
pub struct Asserted {
    /// The signature counter.
    pub(in crate::accounts) counter: u32,
}

/// Checks a new credential.
///
/// # Errors
/// [`PasskeyError`].
pub fn register(
    expected: &Expected<'_>,
    message: &RegistrationMessage<'_>,
) -> Result<Registered, PasskeyError> {
    let id = credential_id(message.id, message.raw_id, message.r#type)?;
    check_client_data(expected, &decoded(message.response.client_data)?, "webauthn.create")?;
    let data = unattested(&decoded(message.response.attestation_object)?)?;
    let data = AuthenticatorData::read(&data)?;
    check_authenticator_data(expected, &data)?;
    let attested = data.attested.as_ref().ok_or(PasskeyError::AuthenticatorData)?;
    if attested.id != id {
        return Err(PasskeyError::Credential);
    }
    let key = attested.key()?;
    Ok(Registered {
        credential: encoding::base64url(&id),
        algorithm: key.algorithm.number(),
        public_key: encoding::base64url(&key.bytes),
        counter: data.counter,
    })
}

/// Checks an assertion by a passkey. Without one, checks a signature all the same, so that the time does not tell
/// whether the credential is known.
///
/// # Errors
/// [`PasskeyError`]; always without a passkey.
pub fn assert(
    expected: &Expected<'_>,
    message: &AssertionMessage<'_>,
    known: Option<&StoredPasskey>,
    handle: UserHandle,
) -> Result<Asserted, PasskeyError> {
    credential_id(message.id, message.raw_id, message.r#type)?;
    let response = &message.response;
    let client_data = decoded(response.client_data)?;
    check_client_data(expected, &client_data, "webauthn.get")?;
    let bytes = decoded(response.authenticator_data)?;
    let data = AuthenticatorData::read(&bytes)?;
    check_authenticator_data(expected, &data)?;
    if data.attested.is_some() {
        return Err(PasskeyError::AuthenticatorData);
    }
    let unknown = StoredPasskey::unknown();
    let stored = known.unwrap_or(&unknown);
    let algorithm = Algorithm::from_number(stored.algorithm).ok_or(PasskeyError::Key)?;
    let key = PublicKey::parse(algorithm, &decoded(&stored.public_key)?).ok_or(PasskeyError::Key)?;
    let signed = [bytes.as_slice(), &Sha256::digest(&client_data)].concat();
    let verified = key.verify(&signed, &decoded(response.signature)?);
    let known = known.ok_or(PasskeyError::Unknown)?;
    verified.map_err(|_| PasskeyError::Signature)?;
    match (response.user_handle, handle) {
        (None, UserHandle::Optional) => {}
        (Some(found), _) if decoded(found)? == known.user.as_bytes() => {}
        _ => return Err(PasskeyError::UserHandle),
    }
    Ok(Asserted { counter: data.counter })
}

/// Whether an assertion must name its user: it must if nobody else does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserHandle {
    /// It must.
    Required,
    /// It may.
    Optional,
}

fn check_client_data(expected: &Expected<'_>, bytes: &[u8], kind: &str) -> Result<(), PasskeyError> {
    let data = ClientData::read(bytes)?;
    if data.r#type != kind {
        return Err(PasskeyError::Type);
    }
    if decoded(&data.challenge)? != expected.challenge {
        return Err(PasskeyError::Challenge);
    }
    expected.site.check_origin(&data.origin)?;
    data.check_context()
}

fn check_authenticator_data(
    expected: &Expected<'_>,
    data: &AuthenticatorData<'_>,
) -> Result<(), PasskeyError> {
    if data.rp_id_hash[..] != Sha256::digest(expected.site.id)[..] {
        return Err(PasskeyError::RelyingParty);
    }
    if !data.flags.user_present() {
        return Err(PasskeyError::UserPresence);
    }
    if expected.user_verification && !data.flags.user_verified() {
        return Err(PasskeyError::UserVerification);
    }
    if data.flags.contradict() { Err(PasskeyError::AuthenticatorData) } else { Ok(()) }
}
