//! A database as an object has it: `SQLite`, all its own, one caller at a time.
//!
//! An [`Object`] is the single place of some truth. The platform gives it a database and calls it with
//! one command after the other; whatever a command does is one transaction, and its reply leaves when
//! that is durable.
//!
//! Commands and replies are [postcard](https://postcard.jamesmunns.com), which has neither names nor a way to skip what it does not
//! know, behind a byte that says which [`FORMAT`] they have. So a Worker and an object of another format never misunderstand each
//! other: the command is an error. What is *stored* is never postcard.

mod migration;

use std::fmt;

use serde::{Deserialize, Serialize, Serializer, de::DeserializeOwned};

pub use self::migration::{Migration, add_column, has_column, migrate, run_all};
use crate::time::Timestamp;

/// A database.
pub trait Store {
    /// Runs one statement; gives the rows it yields.
    ///
    /// # Errors
    /// [`StoreError`], which is a bug: what a command cannot do it finds out by asking.
    fn run(&self, statement: &str, parameters: &[Value<'_>]) -> Result<Vec<SqlRow>, StoreError>;
}

/// A kind of object.
pub trait Object {
    /// What it is called: the class, and in capitals the binding.
    const CLASS: Class;
    /// What it can be asked.
    type Command: Serialize + DeserializeOwned;
    /// What it answers.
    type Reply: Serialize + DeserializeOwned;

    /// Does what a command says.
    ///
    /// # Errors
    /// [`StoreError`]; nothing has happened then.
    fn handle(store: &impl Store, command: Self::Command, now: Timestamp) -> Result<Self::Reply, StoreError>;

    /// Tells whether a command only asks: nothing is different after it.
    #[must_use]
    fn only_asks(_command: &Self::Command) -> bool {
        false
    }

    /// Tells when it wants to be woken, if ever. Asked after each command.
    ///
    /// # Errors
    /// [`StoreError`].
    fn wake_at(_store: &impl Store, _now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    /// Tells, once it has seen to what was due, whether nothing is left of it that must be kept: its database goes then.
    ///
    /// # Errors
    /// [`StoreError`].
    fn is_over(_store: &impl Store) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Sees to what is due, and lists what others are to be told.
    ///
    /// # Errors
    /// [`StoreError`]; it is woken again then.
    fn wake(_store: &impl Store, _now: Timestamp) -> Result<Vec<OutboxMessage>, StoreError> {
        Ok(Vec::new())
    }
}

/// The kinds of objects there are.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    /// The class.
    pub name: &'static str,
    /// The binding.
    pub binding: &'static str,
    /// How its tables came to their present form, in order.
    pub migrations: &'static [Migration],
}

/// What an object has to see to elsewhere, which is no part of any transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboxMessage {
    /// Another object is told until it has answered, and then this one is told so.
    Tell {
        /// The other object's binding.
        binding: &'static str,
        /// Its name.
        name: String,
        /// The command for it, encoded.
        command: Vec<u8>,
        /// The command for this one when that is done, encoded.
        done: Vec<u8>,
    },
}

/// The format of commands and replies. It changes with every change of their types; `tests/commands.rs` says so.
pub const FORMAT: u8 = 1;

/// Encodes a command or a reply.
///
/// # Errors
/// [`StoreError`] for a type that postcard cannot hold, which a test would have found.
pub fn encode(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    postcard::to_extend(value, vec![FORMAT]).map_err(|error| StoreError(error.to_string()))
}

/// Decodes a command or a reply.
///
/// # Errors
/// [`StoreError`] where the bytes have another format, or are not exactly one value of this type.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, StoreError> {
    match bytes {
        [FORMAT, rest @ ..] => match postcard::take_from_bytes(rest) {
            Ok((value, [])) => Ok(value),
            Ok(_) => Err(StoreError("more than one value".to_owned())),
            Err(error) => Err(StoreError(error.to_string())),
        },
        [other, ..] => {
            Err(StoreError(format!("format {other}, expected {FORMAT}: another version is still deployed")))
        }
        [] => Err(StoreError("empty".to_owned())),
    }
}

/// A value for a statement. Bytes are never part of a command or reply: they are attached to it. A column of
/// bytes that a statement yields is null in its row, and attached to the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value<'a> {
    /// `NULL`.
    Null,
    /// A number. Beyond 2^53 the platform would round it.
    Integer(i64),
    /// A text.
    Text(&'a str),
    /// The bytes that are attached to the command.
    #[serde(serialize_with = "attached")]
    Attached,
}

/// A row that a statement yields.
#[derive(Clone, Debug, PartialEq)]
pub struct SqlRow(Vec<serde_json::Value>);

/// What a database would not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError(pub String);

impl SqlRow {
    /// Takes the values of a row.
    #[must_use]
    pub fn new(values: Vec<serde_json::Value>) -> Self {
        Self(values)
    }

    /// Reads a column as text.
    ///
    /// # Errors
    /// [`StoreError`] where it is none.
    pub fn text(&self, column: usize) -> Result<String, StoreError> {
        self.optional_text(column)?.ok_or_else(|| StoreError(format!("column {column} is null")))
    }

    /// Reads a column as text or null.
    ///
    /// # Errors
    /// [`StoreError`] where it is neither.
    pub fn optional_text(&self, column: usize) -> Result<Option<String>, StoreError> {
        match self.0.get(column) {
            Some(serde_json::Value::Null) => Ok(None),
            Some(serde_json::Value::String(text)) => Ok(Some(text.clone())),
            _ => Err(StoreError(format!("column {column} is no text"))),
        }
    }

    /// Reads a column as a number.
    ///
    /// # Errors
    /// [`StoreError`] where it is none.
    pub fn integer(&self, column: usize) -> Result<i64, StoreError> {
        self.optional_integer(column)?.ok_or_else(|| StoreError(format!("column {column} is null")))
    }

    /// Reads a column as a number or null.
    ///
    /// # Errors
    /// [`StoreError`] where it is neither.
    pub fn optional_integer(&self, column: usize) -> Result<Option<i64>, StoreError> {
        match self.0.get(column) {
            Some(serde_json::Value::Null) => Ok(None),
            Some(serde_json::Value::Number(number)) => number
                .as_i64()
                .map(Some)
                .ok_or_else(|| StoreError(format!("column {column} is no whole number"))),
            _ => Err(StoreError(format!("column {column} is no number"))),
        }
    }
}

/// No other parameter is an object.
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
    fn from(point: Timestamp) -> Self {
        Self::Integer(point.0)
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
    fn only_this_format_is_decoded_and_all_of_it() {
        let encoded = encode(&("usr_1", 7_i64)).expect("bytes");
        assert_eq!(decode::<(String, i64)>(&encoded), Ok(("usr_1".to_owned(), 7)));
        let other = [&[FORMAT + 1], &encoded[1..]].concat();
        let longer = [&encoded[..], &[0]].concat();
        for bytes in [&[][..], &[FORMAT], &other, &longer, &encoded[..encoded.len() - 1], b"{\"Stand\":null}"]
        {
            assert!(decode::<(String, i64)>(bytes).is_err(), "{bytes:?}");
        }
    }
}

#[cfg(test)]
#[path = "../tests/common/sqlite.rs"]
#[allow(clippy::expect_used, clippy::panic, dead_code, missing_docs, reason = "a test may fail")]
pub(crate) mod sqlite;
