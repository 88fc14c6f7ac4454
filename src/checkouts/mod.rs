//! Checkouts: payments that are under way, and whether they were made. One object for each of 16 groups of refs.
//!
//! | file | contents |
//! |---|---|
//! | `mod.rs` | checkouts, and the commands about them |
//! | `object.rs` | the `Checkouts` objects: their tables, and how they carry out commands |
//! | `migration.rs` | migrates early databases |
//! | `reference.rs` | the ref of a checkout, in upstream's response and in a provider's event |
//! | `endpoints.rs` | `/api/checkouts` |
//! | `settings.rs` | the settings |
//! | `tests.rs`, `tests/model.rs` | tests, with a comparison with a simple model |
//!
//! A provider and a ref identify a checkout. Each time that upstream begins it anew is an attempt. The last attempt
//! counts; the earlier ones are kept as its history.
//!
//! | from | cause | to |
//! |---|---|---|
//! | – | upstream's response | `pending`, until it expires |
//! | – | upstream's response, after a verified event that arrived earlier | `confirmed` |
//! | `pending` | the browser cancels | `cancelled` |
//! | `pending` | the reservation ends | `expired` |
//! | `pending` | a verified event | `confirmed` |
//! | `cancelled`, `expired` | a verified event | `confirmed`, and late |
//! | `cancelled`, `expired` | upstream's response to the same owner | a new attempt: `pending` |
//! | `pending`, `confirmed` | upstream's response to the same owner | no change, but a longer reservation |
//! | any | upstream's response to another owner | no change; the conflict is reported |
//!
//! A checkout that was begun anonymously has no owner yet: the next user who begins it becomes its owner.
//!
//! Only events of the provider for which a checkout was begun count. An event for a checkout that was not begun yet is
//! stored, and not shown until the checkout is begun. Nothing else leads to `confirmed`, and nothing leads away from
//! it. The gateway tells upstream to release cancelled and expired attempts until upstream confirms that it did. Once
//! the same checkout is begun again, only its new reservation is left to release.

pub mod endpoints;
mod object;
pub mod settings;

mod migration;
mod reference;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    base::{encoding, time::Timestamp},
    identity::author::Author,
};

pub use reference::{Unusable, read as reference_in};

/// The `Checkouts` object of one group of refs.
#[derive(Debug)]
pub struct Checkouts;

/// A command to the object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Registers a checkout that upstream has begun.
    Begin(Begin),
    /// Confirms the checkout of this ref that was begun for the event's provider.
    Confirm {
        /// The ref.
        reference: String,
        /// The verified event.
        evidence: Evidence,
    },
    /// Reads all attempts under a ref.
    Read(String),
    /// Cancels a pending attempt. Without an author, the client is anonymous and knows the ref.
    Cancel(Option<Author>, Attempt),
    /// Expires overdue attempts, and lists attempts whose reservation upstream has to release, at most this many.
    Due(i64),
    /// Marks these attempts as released.
    Released(Vec<Attempt>),
}

/// A checkout that upstream has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The provider: the name of the webhook that confirms the checkout.
    pub provider: String,
    /// The ref: upstream's id of the checkout.
    pub reference: String,
    /// The owner: the scope of the principal who began the checkout; `None` if it was begun anonymously.
    pub owner: Option<String>,
    /// How long the checkout is reserved, in seconds.
    pub reserve: i64,
}

/// Identifies an attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attempt {
    /// The provider: the name of the webhook that confirms the checkout.
    pub provider: String,
    /// The ref: upstream's id of the checkout.
    pub reference: String,
    /// The number of the attempt under this provider and ref, counted from 1.
    pub number: i64,
}

/// A reply of the object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The outcome of beginning a checkout.
    Begun(BeginOutcome),
    /// All attempts under a ref, sorted by provider, the last attempt first.
    Checkouts(Vec<Checkout>),
    /// Attempts whose reservation upstream has to release.
    Due(Vec<Due>),
    /// The command is done, or there was nothing to do.
    Done,
}

/// The outcome of beginning a checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BeginOutcome {
    /// A new attempt was registered.
    Started,
    /// An attempt of the same owner continues: it is neither cancelled nor expired.
    Continued,
    /// The checkout belongs to another owner. Nothing was registered.
    Conflict,
}

/// An attempt whose reservation upstream has to release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// The attempt.
    pub attempt: Attempt,
    /// Whether another provider's checkout under the same ref is pending or confirmed. The ref alone is then ambiguous.
    pub is_shared: bool,
}

/// An attempt at a checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkout {
    /// The attempt.
    pub attempt: Attempt,
    /// The owner: the scope of the principal who began the checkout; `None` if it was begun anonymously.
    pub owner: Option<String>,
    /// The status, as of now.
    pub status: Status,
    /// Whether the attempt was cancelled or expired when it was confirmed.
    pub late: bool,
    /// The event that confirmed the attempt.
    pub evidence: Option<Evidence>,
    /// When the reservation ends.
    pub expires_at: Timestamp,
}

/// The event that confirmed a checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The webhook that received the event.
    pub webhook: String,
    /// The provider's id of the event, or the hash of its content.
    pub event: String,
    /// The provider's type of the event.
    pub event_type: String,
    /// When the event was received.
    pub at: Timestamp,
}

/// The status of an attempt at a checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The attempt waits for a verified event.
    Pending,
    /// A verified event has confirmed the attempt.
    Confirmed,
    /// The browser has cancelled the attempt.
    Cancelled,
    /// The reservation has ended.
    Expired,
}

impl Status {
    /// Returns the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// Number of objects.
pub const GROUPS: u8 = 16;

/// Number of attempts that are kept per provider and ref.
pub const MOST_ATTEMPTS: i64 = 20;

/// Returns the name of the object that stores a ref.
#[must_use]
pub fn group_of(reference: &str) -> String {
    encoding::hex(&Sha256::digest(reference)).get(..1).unwrap_or_default().to_owned()
}

/// Returns the names of all objects.
pub fn groups() -> impl Iterator<Item = String> {
    (0..GROUPS).map(|group| format!("{group:x}"))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may fail")]
mod tests;
