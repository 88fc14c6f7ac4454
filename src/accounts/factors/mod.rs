//! Second factors: codes of an authenticator app, passkeys, and recovery codes. A passkey can also be the only factor.
//!
//! | file | contents |
//! |---|---|
//! | `mod.rs` | commands, replies and tables; which factors a user has |
//! | `totp.rs` | time-based codes (RFC 6238) |
//! | `recovery.rs` | recovery codes |
//! | `passkeys/` | passkeys (Web Authentication) |
//! | `ticket.rs` | tickets: proof of a finished step of a sign-in |
//! | `enrollment.rs` | enrolling and removing factors |
//! | `sign_in.rs` | the second step of a sign-in |
//! | `tests.rs`, `tests/model.rs` | tests; `model.rs` tests random histories of commands |
//!
//! 1. The Worker compares a code, because the stored secret is sealed and only the platform's asynchronous functions
//!    open it. `Accounts` accepts the comparison only if the factor is still the one that was compared.
//! 2. Whatever is used once is used in one transaction: the step of a code, a recovery code, a ticket. The same
//!    transaction checks the user: active, and of the ticket's generation.
//! 3. Enrollment has two steps: a new secret is pending, and counts for nothing, until a code proves that the user has
//!    it.
//! 4. A ticket for enrollment enrolls a first factor only. A user who has one enrolls further ones in person.
//! 5. While the policy requires a factor of a user, the user cannot remove the last one. An admin can.
//! 6. Without a factor there are no recovery codes.
//! 7. A session changes the factors of its user only if the user has authenticated within [`RECENT`]. Otherwise a
//!    session that was left open, or stolen, could enroll a factor and authenticate with it, or remove the one that
//!    keeps others out.

pub mod passkeys;
pub mod recovery;
pub mod ticket;
pub mod totp;

mod enrollment;
mod sign_in;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use enrollment::{ConfirmTotp, Enrollment, FactorWrite};
pub(super) use enrollment::{remove_all, write};
pub use sign_in::{Proof, UsedStep};
pub use ticket::Ticket;

use passkeys::{Passkey, PasskeyUser, StoredPasskey, UsedPasskey};

use super::settings::RequiredFactor;
use crate::{
    base::time::Timestamp,
    identity::principal::Role,
    platform::store::{SqlRow, Store, StoreError, run_all},
    sessions::registry::UserStatus,
};

/// Maximum time since the user of a session authenticated, for changing the user's own factors.
pub const RECENT: Duration = Duration::from_mins(10);

/// Commands to `Accounts` about second factors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum FactorCommand {
    /// Returns what a user has enrolled.
    Read(String),
    /// Returns a user's secret for codes: the confirmed one, or the pending one.
    FindTotp(String, TotpState),
    /// Enrolls a first factor, with a ticket.
    Enroll(Ticket, Enrollment),
    /// Finishes a sign-in with a second factor.
    SignIn(Ticket, Proof),
    /// Returns what the options for a browser say of the active user with this id.
    PasskeyUser(String),
    /// Finds a passkey by the id of its credential.
    FindPasskey(String),
    /// Signs in with a passkey alone.
    SignInWithPasskey(UsedPasskey),
}

/// Replies to commands about second factors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FactorReply {
    /// What the user has enrolled.
    Enrolled(Enrolled),
    /// The secret, if there is one.
    Totp(Option<StoredTotp>),
    /// A pending secret was stored for the user with this e-mail address.
    Begun(String),
    /// Done.
    Done,
    /// The sign-in is finished. The user's status now.
    SignedIn(UserStatus),
    /// The code was used before, or the factor is no longer the one that was compared.
    Wrong,
    /// The ticket was used, has expired, or its user has changed.
    TicketUnusable,
    /// The policy requires this factor, because it is the user's last one.
    LastFactor,
    /// There is no such factor.
    NotFound,
    /// What the options for a browser say of a user, if there is such an active user.
    PasskeyUser(Option<PasskeyUser>),
    /// A passkey, if it is known.
    Passkey(Option<StoredPasskey>),
    /// The passkey was stored.
    PasskeyAdded {
        /// Whether it is the user's first factor. Then the recovery codes were stored, too.
        is_first: bool,
    },
    /// The credential is registered already.
    PasskeyTaken,
    /// The user has [`MOST_PASSKEYS`](passkeys::MOST_PASSKEYS).
    PasskeyLimit,
    /// The ceremony was used, or has expired.
    CeremonyUnusable,
    /// The counter of the passkey is not higher than the stored one: the authenticator may have been cloned.
    CounterWentBack,
}

/// Which factors a user has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factors {
    /// Codes of an authenticator app.
    pub totp: bool,
    /// At least one passkey.
    pub passkeys: bool,
    /// At least one unused recovery code.
    pub recovery_codes: bool,
}

/// What a user has enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// Whether codes of an authenticator app are confirmed.
    pub totp: bool,
    /// Number of unused recovery codes.
    pub recovery_codes_left: i64,
    /// The passkeys.
    pub passkeys: Vec<Passkey>,
}

/// Whether a secret for codes was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TotpState {
    /// It waits for the first code.
    Pending,
    /// It counts.
    Confirmed,
}

/// A stored secret for codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTotp {
    /// The factor's id.
    pub id: String,
    /// The sealed secret.
    pub sealed: String,
}

impl Factors {
    /// Returns whether the user has a second factor. Recovery codes are none: they stand in for one.
    #[must_use]
    pub fn is_enrolled(self) -> bool {
        self.totp || self.passkeys
    }

    /// Returns the names of what the user can sign in with.
    #[must_use]
    pub fn methods(self) -> Vec<&'static str> {
        [(self.totp, "totp"), (self.recovery_codes, "recovery_code"), (self.passkeys, "passkey")]
            .into_iter()
            .filter_map(|(has, name)| has.then_some(name))
            .collect()
    }
}

impl RequiredFactor {
    /// Returns whether users of this role need a second factor.
    #[must_use]
    pub fn applies_to(self, role: Role) -> bool {
        match self {
            Self::Nobody => false,
            Self::Admins => role == Role::Admin,
            Self::Everybody => true,
        }
    }
}

impl TotpState {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
        }
    }
}

/// Executes a command about second factors.
pub(super) fn handle(
    store: &impl Store,
    command: FactorCommand,
    now: Timestamp,
) -> Result<FactorReply, StoreError> {
    match command {
        FactorCommand::Read(user) => enrolled(store, &user).map(FactorReply::Enrolled),
        FactorCommand::FindTotp(user, state) => find_totp(store, &user, state).map(FactorReply::Totp),
        FactorCommand::Enroll(ticket, enrollment) => {
            enrollment::enroll_with_ticket(store, &ticket, enrollment, now)
        }
        FactorCommand::SignIn(ticket, proof) => sign_in::sign_in(store, &ticket, proof, now),
        FactorCommand::PasskeyUser(user) => passkeys::user(store, &user).map(FactorReply::PasskeyUser),
        FactorCommand::FindPasskey(credential) => {
            passkeys::find(store, &credential).map(FactorReply::Passkey)
        }
        FactorCommand::SignInWithPasskey(used) => passkeys::use_once(store, &used, None, now),
    }
}

/// Reads the three columns of [`HAS_FACTORS`].
pub(super) fn read_factors(row: &SqlRow, first: usize) -> Result<Factors, StoreError> {
    let has = |offset: usize| row.integer(first.saturating_add(offset)).map(|found| found == 1);
    Ok(Factors { totp: has(0)?, passkeys: has(1)?, recovery_codes: has(2)? })
}

/// Returns which factors a user has.
pub(super) fn factors_of(store: &impl Store, user: &str) -> Result<Factors, StoreError> {
    let rows = store.run(&format!("SELECT {HAS_FACTORS} FROM (SELECT ? AS id) AS users"), &[user.into()])?;
    rows.first().map_or(Ok(Factors::default()), |row| read_factors(row, 0))
}

fn enrolled(store: &impl Store, user: &str) -> Result<Enrolled, StoreError> {
    let factors = factors_of(store, user)?;
    let rows = store.run("SELECT count(*) FROM recovery_codes WHERE user = ?", &[user.into()])?;
    let recovery_codes_left = rows.first().map_or(Ok(0), |row| row.integer(0))?;
    Ok(Enrolled { totp: factors.totp, recovery_codes_left, passkeys: passkeys::list(store, user)? })
}

fn find_totp(store: &impl Store, user: &str, state: TotpState) -> Result<Option<StoredTotp>, StoreError> {
    let select = "SELECT id, sealed FROM totp WHERE user = ? AND state = ?";
    let rows = store.run(select, &[user.into(), state.name().into()])?;
    rows.first().map(|row| Ok(StoredTotp { id: row.text(0)?, sealed: row.text(1)? })).transpose()
}

/// Columns that say which factors a row of `users` has.
pub(super) const HAS_FACTORS: &str =
    "EXISTS (SELECT 1 FROM totp WHERE totp.user = users.id AND state = 'confirmed'),
     EXISTS (SELECT 1 FROM passkeys WHERE passkeys.user = users.id),
     EXISTS (SELECT 1 FROM recovery_codes WHERE recovery_codes.user = users.id)";

/// Adds the tables of second factors.
pub(super) fn add_factors(store: &dyn Store) -> Result<(), StoreError> {
    run_all(store, TABLES)
}

const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS totp (
        user TEXT NOT NULL, state TEXT NOT NULL, id TEXT NOT NULL, sealed TEXT NOT NULL,
        last_step INTEGER NOT NULL, created_at INTEGER NOT NULL,
        PRIMARY KEY (user, state)) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS recovery_codes (
        user TEXT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (user, hash)) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS passkeys (
        id TEXT PRIMARY KEY, user TEXT NOT NULL, credential TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
        algorithm INTEGER NOT NULL, public_key TEXT NOT NULL, counter INTEGER NOT NULL,
        created_at INTEGER NOT NULL, last_used_at INTEGER) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS passkeys_by_user ON passkeys (user)",
    // Ids of tickets that were used, until they would end anyway.
    "CREATE TABLE IF NOT EXISTS used_tickets (id TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS used_tickets_until ON used_tickets (until)",
];
