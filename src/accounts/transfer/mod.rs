//! Export and import of users: with password hashes and second factors, for another deployment.
//!
//! | file | contents |
//! |---|---|
//! | `mod.rs` | a user's record, and reading records |
//! | `import.rs` | adding users from records |
//! | `line.rs` | the line of a record: what is plain, and what is sealed |
//! | `tests.rs` | tests |
//!
//! 1. Both are commands of people, so `Accounts` judges the author in the transaction that reads or writes.
//! 2. A page of an export is one transaction, in the order of ids. So each record is of one moment, no user comes
//!    twice, and every user who is there throughout the export comes once.
//! 3. A batch of an import is one transaction. Each record is added, is there already, or is refused with a reason. A
//!    refused record changes nothing and stops no other one. So an import can be repeated.
//! 4. An import never changes a user, and opens no session.

mod import;
pub mod line;

use serde::{Deserialize, Serialize};

pub(super) use import::import;

use super::{
    Reply,
    factors::TotpState,
    users::{read_role, read_status},
    writes::Authorized,
};
use crate::{
    base::time::Timestamp,
    identity::principal::Role,
    platform::store::{SqlRow, Store, StoreError},
};

/// A user with all that the user signs in with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRecord {
    /// The id.
    pub id: String,
    /// The e-mail address, in lower case.
    pub email: String,
    /// The name, if there is one.
    pub name: Option<String>,
    /// The role.
    pub role: Role,
    /// Whether the user is active.
    pub active: bool,
    /// When the user was added.
    pub created_at: Timestamp,
    /// The hash of the password.
    pub password: String,
    /// The confirmed codes of an authenticator app.
    pub totp: Option<TotpRecord>,
    /// The hashes of the unused recovery codes.
    pub recovery_codes: Vec<String>,
    /// The passkeys.
    pub passkeys: Vec<PasskeyRecord>,
}

/// Codes of an authenticator app.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotpRecord {
    /// The factor's id.
    pub id: String,
    /// The secret, sealed as `Accounts` stores it.
    pub sealed: String,
    /// The last step whose code was used.
    pub last_step: i64,
    /// When it was enrolled.
    pub created_at: Timestamp,
}

/// A passkey.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PasskeyRecord {
    /// The passkey's id.
    pub id: String,
    /// The id of the credential.
    pub credential: String,
    /// Its name for people.
    pub name: String,
    /// The algorithm (COSE).
    pub algorithm: i64,
    /// The public key.
    pub public_key: String,
    /// The signature counter.
    pub counter: i64,
    /// When it was enrolled.
    pub created_at: i64,
    /// When it was last used.
    pub last_used_at: Option<i64>,
}

/// A record to import, with the number of its line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NumberedRecord {
    /// The line, from 1.
    pub line: u32,
    /// The record.
    pub record: UserRecord,
}

/// The result for one record of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The user was added; in a dry run, would be added.
    Added,
    /// The same user is there.
    Unchanged,
    /// Nothing was changed, for this reason.
    Refused(RefusedRecord),
}

/// Why a record was not imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusedRecord {
    /// A user with this id and address exists, and is not the same.
    Differs,
    /// Another user has this id.
    IdTaken,
    /// Another user has this e-mail address.
    EmailTaken,
    /// Another user has one of the passkeys.
    PasskeyTaken,
}

impl std::fmt::Debug for UserRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UserRecord({})", self.id)
    }
}

/// Returns records by id: those after this id, at most this many.
pub(super) fn export(
    store: &impl Store,
    _proof: &Authorized<'_>,
    after: Option<&str>,
    limit: i64,
) -> Result<Reply, StoreError> {
    let select = format!("SELECT {RECORD} FROM users WHERE id > ? ORDER BY id LIMIT ?");
    let rows = store.run(&select, &[after.unwrap_or("").into(), limit.into()])?;
    rows.iter().map(|row| read(store, row)).collect::<Result<_, _>>().map(Reply::Exported)
}

/// The columns of a user's own row, in the order in which [`read`] takes them.
const RECORD: &str = "id, email, name, password, created_at, role, active, version";

/// Reads a record: the row, and the user's factors.
fn read(store: &impl Store, row: &SqlRow) -> Result<UserRecord, StoreError> {
    let id = row.text(0)?;
    let status = read_status(row, 5)?;
    let totp = store.run(
        "SELECT id, sealed, last_step, created_at FROM totp WHERE user = ? AND state = ?",
        &[(&id).into(), TotpState::Confirmed.name().into()],
    )?;
    let totp = totp.first().map(|row| {
        Ok::<_, StoreError>(TotpRecord {
            id: row.text(0)?,
            sealed: row.text(1)?,
            last_step: row.integer(2)?,
            created_at: Timestamp(row.integer(3)?),
        })
    });
    let codes = store.run("SELECT hash FROM recovery_codes WHERE user = ? ORDER BY hash", &[(&id).into()])?;
    let passkeys = store.run(
        "SELECT id, credential, name, algorithm, public_key, counter, created_at, last_used_at FROM passkeys
         WHERE user = ? ORDER BY id",
        &[(&id).into()],
    )?;
    Ok(UserRecord {
        email: row.text(1)?,
        name: row.optional_text(2)?,
        role: read_role(row, 5)?,
        active: status.active,
        created_at: Timestamp(row.integer(4)?),
        password: row.text(3)?,
        totp: totp.transpose()?,
        recovery_codes: codes.iter().map(|row| row.text(0)).collect::<Result<_, _>>()?,
        passkeys: passkeys.iter().map(passkey).collect::<Result<_, _>>()?,
        id,
    })
}

fn passkey(row: &SqlRow) -> Result<PasskeyRecord, StoreError> {
    Ok(PasskeyRecord {
        id: row.text(0)?,
        credential: row.text(1)?,
        name: row.text(2)?,
        algorithm: row.integer(3)?,
        public_key: row.text(4)?,
        counter: row.integer(5)?,
        created_at: row.integer(6)?,
        last_used_at: row.optional_integer(7)?,
    })
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::needless_pass_by_value, reason = "a test may fail")]
mod tests;
