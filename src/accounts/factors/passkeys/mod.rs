//! Passkeys: credentials of Web Authentication Level 3. With user verification, a passkey signs a user in alone. It is
//! also a second factor after the password.
//!
//! | file | contents |
//! |---|---|
//! | `mod.rs` | stored passkeys: adding, finding, using and removing them |
//! | `ceremony.rs` | ceremonies, and their challenges |
//! | `relying_party.rs` | the site as authenticators know it, and the options for browsers |
//! | `messages.rs` | the messages of browsers and authenticators |
//! | `verify.rs` | the checks of a relying party |
//! | `tests.rs`, `tests/authenticator.rs`, `tests/hostile.rs`, `tests/store.rs`, `tests/model.rs` | tests: an authenticator, hostile messages, the store, random histories |
//!
//! 1. The Worker checks every message. `Accounts` accepts the result only if the passkey is still stored and the
//!    ceremony is unused, and uses both in one transaction.
//! 2. A passkey is made with user verification, and is discoverable. The user handle is the user's id, never the e-mail
//!    address.
//! 3. Attestation is neither asked for nor accepted: the only format is `none`.
//! 4. A credential id belongs to one user. The counter of a passkey never goes back, unless it stays zero.

pub mod ceremony;
pub mod messages;
pub mod relying_party;
pub mod verify;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use ceremony::UsedCeremony;
pub use relying_party::RelyingParty;

use super::{
    FactorReply,
    enrollment::{Enroller, replace_recovery_codes},
    factors_of,
    sign_in::{is_used, record_use},
};
use crate::{
    accounts::users::read_status,
    base::{encoding, time::Timestamp},
    crypto::public_key::Algorithm,
    platform::store::{Store, StoreError},
};

/// Maximum number of a user's passkeys.
pub const MOST_PASSKEYS: i64 = 20;

/// A passkey, as its user sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passkey {
    /// The id: `psk_…`. It is not the id of the credential.
    pub id: String,
    /// The name that the user gave it.
    pub name: String,
    /// When it was enrolled.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
}

/// A stored passkey, for the check of an assertion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPasskey {
    /// The id. The key of a passkey with this id never changes.
    pub id: String,
    /// The user's id.
    pub user: String,
    /// The number of the algorithm in COSE.
    pub algorithm: i64,
    /// The public key, in base64url.
    pub public_key: String,
}

/// A passkey to store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewPasskey {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
    /// The id of the credential, in base64url.
    pub credential: String,
    /// The number of the algorithm in COSE.
    pub algorithm: i64,
    /// The public key, in base64url.
    pub public_key: String,
    /// The signature counter.
    pub counter: u32,
    /// The ceremony that made it.
    pub ceremony: UsedCeremony,
    /// The hashes of recovery codes, which the user gets with a first factor.
    pub recovery_codes: Vec<String>,
}

/// A passkey whose assertion passed every check of the Worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UsedPasskey {
    /// The id of the passkey.
    pub id: String,
    /// The signature counter.
    pub counter: u32,
    /// The ceremony.
    pub ceremony: UsedCeremony,
}

/// What the options for a browser say of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasskeyUser {
    /// The e-mail address.
    pub email: String,
    /// The name, if there is one.
    pub name: Option<String>,
    /// The ids of the user's credentials, in base64url.
    pub credentials: Vec<String>,
}

/// Why a message of a browser is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasskeyError {
    /// A member is not strict base64url.
    Encoding,
    /// `id`, `rawId`, `type` and the authenticator's credential do not fit each other.
    Credential,
    /// The client data is not what a browser writes.
    ClientData,
    /// The message is of another type of ceremony.
    Type,
    /// The message belongs to another ceremony.
    Challenge,
    /// The origin is not a public one.
    Origin,
    /// The ceremony took place in a frame of another site.
    CrossOrigin,
    /// The authenticator data is too short, too long or contradicts itself.
    AuthenticatorData,
    /// The authenticator answered for another site.
    RelyingParty,
    /// No user was present.
    UserPresence,
    /// The user was not verified.
    UserVerification,
    /// The attestation is not `none`.
    Attestation,
    /// The algorithm is neither ES256 nor Ed25519.
    Algorithm,
    /// The public key is invalid.
    Key,
    /// No passkey has this credential id.
    Unknown,
    /// The signature is invalid.
    Signature,
    /// The user handle is missing, or names another user.
    UserHandle,
}

impl StoredPasskey {
    /// Returns a passkey that nobody has: its key is the generator of P-256.
    fn unknown() -> Self {
        const GENERATOR: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
            4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
        let key = encoding::from_hex(GENERATOR).unwrap_or_default();
        Self {
            id: String::new(),
            user: String::new(),
            algorithm: Algorithm::Es256.number(),
            public_key: encoding::base64url(&key),
        }
    }
}

impl PasskeyError {
    /// Returns the stable code, for the log.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.texts().0
    }

    /// Returns what was expected, for a client that enrolls a passkey.
    #[must_use]
    pub fn expected(self) -> &'static str {
        self.texts().1
    }

    /// Returns the code, and what was expected: beside each other, so that they are changed together.
    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Encoding => ("encoding", "expected base64url without padding in each member"),
            Self::Credential => ("credential", "expected one credential of type \"public-key\""),
            Self::ClientData => ("client_data", "expected clientDataJSON as the browser wrote it"),
            Self::Type => ("type", "expected the type \"webauthn.create\""),
            Self::Challenge => ("challenge", "expected the challenge of this ceremony"),
            Self::Origin => {
                ("origin", "expected an origin in PUBLIC_ORIGINS, with the host of the first one")
            }
            Self::CrossOrigin => ("cross_origin", "expected a ceremony outside of frames of other sites"),
            Self::AuthenticatorData => {
                ("authenticator_data", "expected authenticator data as the authenticator wrote it")
            }
            Self::RelyingParty => ("relying_party", "expected the relying party id of the options"),
            Self::UserPresence => ("user_presence", "expected a person to be present"),
            Self::UserVerification => {
                ("user_verification", "expected the authenticator to verify the person, by PIN or biometrics")
            }
            Self::Attestation => ("attestation", "expected the attestation format \"none\""),
            Self::Algorithm => ("algorithm", "expected an ES256 or an Ed25519 key"),
            Self::Key => ("key", "expected a valid public key"),
            Self::Unknown => ("unknown", "expected a registered credential"),
            Self::Signature => ("signature", "expected a valid signature"),
            Self::UserHandle => ("user_handle", "expected the handle of the passkey's user"),
        }
    }
}

/// Lists a user's passkeys, the oldest first.
pub(super) fn list(store: &impl Store, user: &str) -> Result<Vec<Passkey>, StoreError> {
    let select =
        "SELECT id, name, created_at, last_used_at FROM passkeys WHERE user = ? ORDER BY created_at, id";
    let rows = store.run(select, &[user.into()])?;
    let passkey = |row: &crate::platform::store::SqlRow| {
        Ok(Passkey {
            id: row.text(0)?,
            name: row.text(1)?,
            created_at: Timestamp(row.integer(2)?),
            last_used_at: row.optional_integer(3)?.map(Timestamp),
        })
    };
    rows.iter().map(passkey).collect()
}

/// Returns what the options for a browser say of a user.
pub(super) fn user(store: &impl Store, user: &str) -> Result<Option<PasskeyUser>, StoreError> {
    let rows = store.run("SELECT email, name FROM users WHERE id = ? AND active = 1", &[user.into()])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let credentials =
        store.run("SELECT credential FROM passkeys WHERE user = ? ORDER BY id", &[user.into()])?;
    let credentials = credentials.iter().map(|row| row.text(0)).collect::<Result<_, _>>()?;
    Ok(Some(PasskeyUser { email: row.text(0)?, name: row.optional_text(1)?, credentials }))
}

/// Finds a passkey by the id of its credential.
pub(super) fn find(store: &impl Store, credential: &str) -> Result<Option<StoredPasskey>, StoreError> {
    let select = "SELECT id, user, algorithm, public_key FROM passkeys WHERE credential = ?";
    let rows = store.run(select, &[credential.into()])?;
    rows.first()
        .map(|row| {
            Ok(StoredPasskey {
                id: row.text(0)?,
                user: row.text(1)?,
                algorithm: row.integer(2)?,
                public_key: row.text(3)?,
            })
        })
        .transpose()
}

/// Stores a passkey. With a user's first factor, stores the recovery codes, too.
pub(super) fn add(
    store: &impl Store,
    enroller: &Enroller<'_>,
    new: &NewPasskey,
    now: Timestamp,
) -> Result<FactorReply, StoreError> {
    let user = enroller.user;
    if is_used(store, &new.ceremony.id)? || new.ceremony.expires_at <= now {
        return Ok(FactorReply::CeremonyUnusable);
    }
    let rows = store.run("SELECT count(*) FROM passkeys WHERE user = ?", &[user.into()])?;
    if rows.first().map_or(Ok(0), |row| row.integer(0))? >= MOST_PASSKEYS {
        return Ok(FactorReply::PasskeyLimit);
    }
    let is_first = !factors_of(store, user)?.is_enrolled();
    let added = store.run(
        "INSERT INTO passkeys (id, user, credential, name, algorithm, public_key, counter, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (credential) DO NOTHING RETURNING 1",
        &[
            (&new.id).into(),
            user.into(),
            (&new.credential).into(),
            (&new.name).into(),
            new.algorithm.into(),
            (&new.public_key).into(),
            i64::from(new.counter).into(),
            now.into(),
        ],
    )?;
    if added.is_empty() {
        return Ok(FactorReply::PasskeyTaken);
    }
    record_use(store, &new.ceremony.id, new.ceremony.expires_at, now)?;
    if is_first {
        replace_recovery_codes(store, user, &new.recovery_codes)?;
    }
    Ok(FactorReply::PasskeyAdded { is_first })
}

/// Uses a passkey and its ceremony, if both can still be used. With an owner, the passkey must be theirs.
pub(super) fn use_once(
    store: &impl Store,
    used: &UsedPasskey,
    owner: Option<&str>,
    now: Timestamp,
) -> Result<FactorReply, StoreError> {
    if is_used(store, &used.ceremony.id)? || used.ceremony.expires_at <= now {
        return Ok(FactorReply::CeremonyUnusable);
    }
    let select =
        "SELECT p.counter, u.role, u.active, u.version FROM passkeys AS p JOIN users AS u ON u.id = p.user
        WHERE p.id = ? AND p.user = coalesce(?, p.user) AND u.active = 1";
    let rows = store.run(select, &[(&used.id).into(), owner.into()])?;
    let Some(row) = rows.first() else { return Ok(FactorReply::Wrong) };
    let (stored, counter) = (row.integer(0)?, i64::from(used.counter));
    if (stored != 0 || counter != 0) && counter <= stored {
        return Ok(FactorReply::CounterWentBack);
    }
    store.run(
        "UPDATE passkeys SET counter = ?, last_used_at = ? WHERE id = ?",
        &[counter.into(), now.into(), (&used.id).into()],
    )?;
    record_use(store, &used.ceremony.id, used.ceremony.expires_at, now)?;
    Ok(FactorReply::SignedIn(read_status(row, 1)?))
}
