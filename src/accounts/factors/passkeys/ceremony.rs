//! Ceremonies: one registration or one assertion each.
//!
//! 1. The client gets a ceremony as a signed text (see [`TicketKeys`]), and sends it back with the authenticator's
//!    message. Nothing is stored before that, so asking for ceremonies costs no storage.
//! 2. The challenge is the hash of that text, so a message is good for its own ceremony only. The text has 160 random
//!    bits.
//! 3. A ceremony has a purpose and a subject: the user who enrolls, the ticket of the sign-in, or the user who is
//!    signed in.
//! 4. It ends after five minutes. `Accounts` accepts it once: a success records its id until then.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    accounts::factors::ticket::{Claims, TicketKeys},
    base::time::Timestamp,
    http::problem::Rejection,
};

/// What a ceremony is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CeremonyPurpose {
    /// Enrolling a passkey. The subject is the user.
    Enrollment,
    /// Signing in with a passkey alone. There is no subject.
    SignIn,
    /// Finishing a sign-in whose password was right. The subject is the ticket.
    SecondFactor,
    /// Proving that a signed-in user is present. The subject is the user.
    Reauthentication,
}

/// A ceremony whose text was verified. Only [`Ceremony::verify`] makes one.
#[derive(Debug)]
pub struct Ceremony {
    /// Its use.
    pub(in crate::accounts) used: UsedCeremony,
    /// The challenge.
    pub(in crate::accounts) challenge: [u8; 32],
}

/// What `Accounts` records of a ceremony, so that it is used once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedCeremony {
    /// The id.
    pub id: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl CeremonyPurpose {
    fn audience(self) -> &'static str {
        match self {
            Self::Enrollment => "vestibule-passkey-enrollment",
            Self::SignIn => "vestibule-passkey-sign-in",
            Self::SecondFactor => "vestibule-passkey-second-factor",
            Self::Reauthentication => "vestibule-passkey-reauthentication",
        }
    }
}

impl Ceremony {
    /// Signs a new ceremony.
    #[must_use]
    pub fn sign(keys: &TicketKeys, purpose: CeremonyPurpose, subject: &str, used: &UsedCeremony) -> String {
        keys.sign_claims(
            purpose.audience(),
            &Claims {
                id: used.id.clone(),
                subject: subject.to_owned(),
                generation: String::new(),
                expires_at: used.expires_at,
            },
        )
    }

    /// Verifies the text of a ceremony. Only [`Accounts`](crate::accounts::Accounts) knows whether it was used.
    ///
    /// # Errors
    /// [`Rejection::CeremonyUnusable`] if it is not one for this purpose and subject, or expired.
    pub fn verify(
        keys: &TicketKeys,
        text: &str,
        purpose: CeremonyPurpose,
        subject: &str,
        now: Timestamp,
    ) -> Result<Self, Rejection> {
        let claims = keys.verify_claims(purpose.audience(), text, now).ok_or(Rejection::CeremonyUnusable)?;
        if claims.subject != subject {
            return Err(Rejection::CeremonyUnusable);
        }
        let used = UsedCeremony { id: claims.id, expires_at: claims.expires_at };
        Ok(Self { used, challenge: challenge(text) })
    }
}

/// Returns the challenge of a ceremony.
#[must_use]
pub fn challenge(text: &str) -> [u8; 32] {
    Sha256::new().chain_update("vestibule/passkey-challenge/1\0").chain_update(text).finalize().into()
}
