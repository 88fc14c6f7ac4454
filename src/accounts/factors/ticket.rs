//! Tickets: short-lived, signed proof of a finished step of a sign-in.
//!
//! 1. A ticket is a token under a key of its own, derived from `AUTH_SECRET`. So it is never a session, and a session
//!    is never a ticket. `aud` says what it is for, and it is good for nothing else.
//! 2. It names a user and their *generation*: a hash of the stored password and of the version of their status. When
//!    either changes, the ticket is no longer valid.
//! 3. It ends after [`LIFETIME`]. `Accounts` accepts it once: a success records its id until then.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    base::{encoding, time::Timestamp},
    crypto::{
        derive::KeyDerivation,
        jwt::{DuplicateKey, Keys},
        secret::{self, Secret, SecretError},
    },
    http::{form, problem::Rejection},
    sessions::registry::UserStatus,
};

/// The time for which a ticket is valid.
pub const LIFETIME: Duration = Duration::from_mins(5);

/// What a ticket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Signing in with a second factor: the password was right.
    SignIn,
    /// Enrolling the first second factor: the password was right, and the policy requires a second factor.
    Enrollment,
}

/// The content of a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The id, under which its use is recorded.
    pub id: String,
    /// What it is for.
    pub purpose: Purpose,
    /// The user's id.
    pub user: String,
    /// The user's generation: see [`generation`].
    pub generation: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What is signed, in tickets and in the ceremonies of passkeys.
#[derive(Debug)]
pub(super) struct Claims {
    /// The id, under which its use is recorded.
    pub(super) id: String,
    /// The user, or what else it is about.
    pub(super) subject: String,
    /// The user's generation.
    pub(super) generation: String,
    /// When it ends.
    pub(super) expires_at: Timestamp,
}

/// The keys that sign and verify tickets, and ceremonies of passkeys.
#[derive(Clone, Debug)]
pub struct TicketKeys(Keys);

impl Purpose {
    fn audience(self) -> &'static str {
        match self {
            Self::SignIn => "vestibule-second-factor",
            Self::Enrollment => "vestibule-enrollment",
        }
    }
}

impl TicketKeys {
    /// Derives the keys. Returns `None` only if two derived keys have the same id.
    #[must_use]
    pub fn new(derivation: &KeyDerivation) -> Option<Self> {
        let secrets: Result<Vec<Secret>, SecretError> = derivation
            .keys(&["vestibule/ticket/1"])
            .into_iter()
            .map(|key| Secret::from_bytes(key.to_vec()))
            .collect();
        let secrets = secrets.ok()?;
        let current = secrets.first()?;
        let keys = match Keys::new(current, secrets.get(1)) {
            Ok(keys) => Ok(keys),
            Err(DuplicateKey) => Keys::new(current, None),
        };
        keys.ok().map(Self)
    }

    /// Signs a ticket.
    #[must_use]
    pub fn sign(&self, ticket: &Ticket) -> String {
        let Ticket { id, purpose, user, generation, expires_at } = ticket.clone();
        self.sign_claims(purpose.audience(), &Claims { id, subject: user, generation, expires_at })
    }

    /// Verifies a ticket. Only [`Accounts`](crate::accounts::Accounts) knows whether it was used, and whether its user
    /// still has this generation.
    ///
    /// # Errors
    /// [`Rejection::TicketUnusable`] if it is not a ticket for this purpose, or expired.
    pub fn verify(&self, text: &str, purpose: Purpose, now: Timestamp) -> Result<Ticket, Rejection> {
        let claims = self.verify_claims(purpose.audience(), text, now).ok_or(Rejection::TicketUnusable)?;
        let Claims { id, subject: user, generation, expires_at } = claims;
        Ok(Ticket { id, purpose, user, generation, expires_at })
    }

    /// Signs claims for one audience.
    pub(super) fn sign_claims(&self, audience: &str, claims: &Claims) -> String {
        let payload = Payload {
            aud: audience.into(),
            sub: (&claims.subject).into(),
            jti: (&claims.id).into(),
            generation: (&claims.generation).into(),
            exp: claims.expires_at.0,
        };
        self.0.sign(&serde_json::to_vec(&payload).unwrap_or_default())
    }

    /// Returns the claims in a text, if it was signed for this audience and has not expired.
    pub(super) fn verify_claims(&self, audience: &str, text: &str, now: Timestamp) -> Option<Claims> {
        let verified = self.0.verify(text).ok()?;
        let payload = form::answer_of::<Payload<'_>>(std::str::from_utf8(verified.payload()).ok()?)?;
        let expires_at = Timestamp(payload.exp);
        (payload.aud == audience && expires_at > now).then(|| Claims {
            id: payload.jti.into_owned(),
            subject: payload.sub.into_owned(),
            generation: payload.generation.into_owned(),
            expires_at,
        })
    }
}

/// Returns a user's generation, from the stored password and the status. It tells nothing about the password, because a
/// stored password has a random salt.
#[must_use]
pub fn generation(stored_password: &str, status: &UserStatus) -> String {
    let digest =
        Sha256::new().chain_update("vestibule/generation/1\0").chain_update(status.version.to_be_bytes());
    encoding::hex(&digest.chain_update(stored_password).finalize())
}

/// Compares the generation in a ticket with the user's present one, in constant time.
pub(super) fn is_of_generation(ticket: &Ticket, present: &str) -> bool {
    secret::compare(present.as_bytes(), ticket.generation.as_bytes()).is_ok()
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload<'a> {
    #[serde(borrow)]
    aud: Cow<'a, str>,
    #[serde(borrow)]
    sub: Cow<'a, str>,
    #[serde(borrow)]
    jti: Cow<'a, str>,
    #[serde(borrow, rename = "gen")]
    generation: Cow<'a, str>,
    exp: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{crypto::jwt::claims, identity::principal::Role};

    const NOW: Timestamp = Timestamp(1_700_000_000);

    fn secret(byte: u8) -> Secret {
        Secret::from_bytes(vec![byte; 32]).expect("a secret")
    }

    fn keys(current: u8, previous: Option<u8>) -> TicketKeys {
        let previous = previous.map(secret);
        TicketKeys::new(&KeyDerivation::new(&secret(current), previous.as_ref())).expect("keys")
    }

    fn ticket(purpose: Purpose) -> Ticket {
        Ticket {
            id: "tkt_1".into(),
            purpose,
            user: "usr_a".into(),
            generation: "g".into(),
            expires_at: NOW.plus(LIFETIME),
        }
    }

    #[test]
    fn is_good_for_one_purpose_until_it_ends() {
        let text = keys(1, None).sign(&ticket(Purpose::SignIn));
        let read =
            |keys: TicketKeys, text: &str, purpose, now| keys.verify(text, purpose, Timestamp(now)).ok();
        let (end, found) = (NOW.0 + 300, Some(ticket(Purpose::SignIn)));
        assert_eq!(read(keys(1, None), &text, Purpose::SignIn, end - 1), found);
        assert_eq!(read(keys(1, None), &text, Purpose::SignIn, end), None);
        assert_eq!(read(keys(1, None), &text, Purpose::Enrollment, NOW.0), None);
        assert_eq!(read(keys(2, Some(1)), &text, Purpose::SignIn, NOW.0), found, "the secret was rotated");
        assert_eq!(read(keys(2, None), &text, Purpose::SignIn, NOW.0), None);
        for changed in ["", "x", &text[1..], &text[..text.len() - 1], &format!("{text}A")] {
            assert_eq!(read(keys(1, None), changed, Purpose::SignIn, NOW.0), None, "{changed}");
        }
    }

    #[test]
    fn is_no_session_and_no_session_is_a_ticket() {
        let sessions = Keys::new(&secret(1), None).expect("keys");
        let text = keys(1, None).sign(&ticket(Purpose::SignIn));
        assert!(sessions.verify(&text).is_err());
        let expected = claims::Expected {
            user_claim: "sub".into(),
            session_claim: "jti".into(),
            issuer: None,
            audience: None,
            leeway: Duration::ZERO,
        };
        let ids = claims::SessionIds { user: "usr_a", session: "ses_1" };
        let session = claims::fresh(&expected, ids, NOW, NOW.plus(LIFETIME), None).expect("claims");
        let rejected = keys(1, None).verify(&sessions.sign(&session), Purpose::SignIn, NOW);
        assert_eq!(rejected, Err(Rejection::TicketUnusable));
    }

    #[test]
    fn the_generation_changes_with_password_and_status() {
        let status = |version| UserStatus { role: Role::User, active: true, version };
        let first = generation("1$a$b", &status(1));
        assert_ne!(first, generation("1$a$c", &status(1)));
        assert_ne!(first, generation("1$a$b", &status(2)));
        let of_ticket = Ticket { generation: first.clone(), ..ticket(Purpose::SignIn) };
        assert!(is_of_generation(&of_ticket, &first));
        assert!(!is_of_generation(&of_ticket, ""));
    }
}
