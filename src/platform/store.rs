//! Durable Objects and their `SQLite` databases. Each object has its own database and one caller at a time.
//!
//! An [`Object`] is the only owner of its data. The platform gives it a database and calls it with one command
//! at a time. Each command runs in one transaction, and the reply leaves when the transaction is durable.
//!
//! Commands and replies are one byte with their [`FORMAT`], then [postcard](https://postcard.jamesmunns.com). Postcard
//! has no field names and cannot skip unknown fields. The format byte prevents misunderstandings: if a Worker and an
//! object have different formats, the command fails. *Stored* data is never postcard.
//!
//! `store/migration.rs` says how to add a column to a table.

mod migration;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer, de::DeserializeOwned};

pub use self::migration::{Migration, add_column, has_column, migrate, run_all};
use crate::base::time::Timestamp;

/// An object's database.
pub trait Store {
    /// Runs one statement and returns its rows.
    ///
    /// # Errors
    /// [`StoreError`] if the statement fails. This is a bug: a command first checks with queries what it can do.
    fn run(&self, statement: &str, parameters: &[Value<'_>]) -> Result<Vec<SqlRow>, StoreError>;
}

/// A class of Durable Object.
pub trait Object {
    /// Class name, binding name and migrations.
    const CLASS: Class;
    /// The commands it accepts.
    type Command: Serialize + DeserializeOwned + 'static;
    /// The replies to them.
    type Reply: Serialize + DeserializeOwned + 'static;

    /// Runs a command.
    ///
    /// # Errors
    /// [`StoreError`]. The transaction is then rolled back.
    fn handle(store: &impl Store, command: Self::Command, now: Timestamp) -> Result<Self::Reply, StoreError>;

    /// Checks whether a command only reads.
    #[must_use]
    fn is_read_only(_command: &Self::Command) -> bool {
        false
    }

    /// Returns the time of the next alarm, if one is needed. Called after each command.
    ///
    /// # Errors
    /// [`StoreError`].
    fn next_alarm(_store: &impl Store, _now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    /// Checks, after [`Object::alarm`], whether the object has no data left to keep. Its database is then deleted.
    ///
    /// # Errors
    /// [`StoreError`].
    fn is_deletable(_store: &impl Store) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Handles an alarm: does all work that is due, and returns the messages for other objects.
    ///
    /// # Errors
    /// [`StoreError`]. The platform then repeats the alarm.
    fn alarm(_store: &impl Store, _now: Timestamp) -> Result<Vec<OutboxMessage>, StoreError> {
        Ok(Vec::new())
    }
}

/// Describes a class of objects.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    /// Class name.
    pub name: &'static str,
    /// Binding name: the class name in capitals.
    pub binding: &'static str,
    /// Migrations of its tables, in order.
    pub migrations: &'static [Migration],
    /// The minimum delay of an alarm. Usually the Worker that sent a command does the follow-up work sooner. `None` if
    /// the class has no alarms.
    pub alarm_delay: Option<Duration>,
}

/// A message that an object sends after its transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboxMessage {
    /// A command for another object. It is repeated until that object replies; then `done` runs on the sender.
    Tell {
        /// Binding of the other object.
        binding: &'static str,
        /// Name of the other object.
        name: String,
        /// Encoded command for the other object.
        command: Vec<u8>,
        /// Encoded command for the sender after the reply.
        done: Vec<u8>,
    },
}

/// Format of commands and replies. Every change of their types must change it; `tests/commands.rs` checks this.
pub const FORMAT: u8 = 3;

/// Encodes a command or a reply.
///
/// # Errors
/// [`StoreError`] for a type that postcard cannot encode. Tests cover all types.
pub fn encode(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    postcard::to_extend(value, vec![FORMAT]).map_err(|error| StoreError(error.to_string()))
}

/// Decodes a command or a reply.
///
/// # Errors
/// [`StoreError`] if the bytes have another format, or are not exactly one value of this type.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, StoreError> {
    match bytes {
        [FORMAT, rest @ ..] => match postcard::take_from_bytes(rest) {
            Ok((value, [])) => Ok(value),
            Ok(_) => Err(StoreError("unexpected bytes after the value".to_owned())),
            Err(error) => Err(StoreError(error.to_string())),
        },
        [other, ..] => {
            Err(StoreError(format!("format {other}, expected {FORMAT}: another version is still deployed")))
        }
        [] => Err(StoreError("empty command or reply".to_owned())),
    }
}

/// A parameter of a statement. Bytes are never part of a command or reply: they are attached to it. If a statement
/// returns a column of bytes, the row contains null, and the bytes are attached to the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value<'a> {
    /// `NULL`.
    Null,
    /// An integer. The platform rounds numbers beyond 2^53.
    Integer(i64),
    /// Text.
    Text(&'a str),
    /// The bytes attached to the command.
    #[serde(serialize_with = "attached")]
    Attached,
}

/// A row that a statement returns.
#[derive(Clone, Debug, PartialEq)]
pub struct SqlRow(Vec<serde_json::Value>);

/// Error of the database, or of a command's encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError(pub String);

impl SqlRow {
    /// Makes a row from the values of its columns.
    #[must_use]
    pub fn new(values: Vec<serde_json::Value>) -> Self {
        Self(values)
    }

    /// Reads a column as text.
    ///
    /// # Errors
    /// [`StoreError`] if it is missing, null or not text.
    pub fn text(&self, column: usize) -> Result<String, StoreError> {
        self.optional_text(column)?.ok_or_else(|| StoreError(format!("column {column} is null")))
    }

    /// Reads a column as text or null.
    ///
    /// # Errors
    /// [`StoreError`] if it is missing or neither.
    pub fn optional_text(&self, column: usize) -> Result<Option<String>, StoreError> {
        match self.0.get(column) {
            Some(serde_json::Value::Null) => Ok(None),
            Some(serde_json::Value::String(text)) => Ok(Some(text.clone())),
            _ => Err(StoreError(format!("column {column} is not text"))),
        }
    }

    /// Reads a column as an integer.
    ///
    /// # Errors
    /// [`StoreError`] if it is missing, null or not an integer.
    pub fn integer(&self, column: usize) -> Result<i64, StoreError> {
        self.optional_integer(column)?.ok_or_else(|| StoreError(format!("column {column} is null")))
    }

    /// Reads a column as an integer or null.
    ///
    /// # Errors
    /// [`StoreError`] if it is missing or neither.
    pub fn optional_integer(&self, column: usize) -> Result<Option<i64>, StoreError> {
        match self.0.get(column) {
            Some(serde_json::Value::Null) => Ok(None),
            Some(serde_json::Value::Number(number)) => number
                .as_i64()
                .map(Some)
                .ok_or_else(|| StoreError(format!("column {column} is not an integer"))),
            _ => Err(StoreError(format!("column {column} is not a number"))),
        }
    }
}

/// Serializes [`Value::Attached`] as an object. No other parameter is an object, so the edge recognizes it.
fn attached<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map([("attached", true)])
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(time: Timestamp) -> Self {
        Self::Integer(time.0)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_exactly_one_value_of_this_format() {
        let encoded = encode(&("usr_1", 7_i64)).expect("bytes");
        assert_eq!(decode::<(String, i64)>(&encoded), Ok(("usr_1".to_owned(), 7)));
        let other = [&[FORMAT + 1], &encoded[1..]].concat();
        let longer = [&encoded[..], &[0]].concat();
        for bytes in [&[][..], &[FORMAT], &other, &longer, &encoded[..encoded.len() - 1], b"{\"List\":null}"]
        {
            assert!(decode::<(String, i64)>(bytes).is_err(), "{bytes:?}");
        }
    }
}

#[cfg(test)]
#[path = "../../tests/common/sqlite.rs"]
#[allow(clippy::expect_used, clippy::panic, dead_code, missing_docs, reason = "a test may fail")]
pub(crate) mod sqlite;
