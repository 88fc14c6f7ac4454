//! An object's side of the edge: its database, and the one function that its commands come in by.

use wasm_bindgen::prelude::wasm_bindgen;

use crate::{
    accounts::{self, Accounts},
    limiter::Limiter,
    registry::Sessions,
    store::{Class, Object, Row, Store, StoreError, Value},
    time::Timestamp,
    tokens::Tokens,
};

#[wasm_bindgen(raw_module = "vestibule-storage")]
extern "C" {
    /// Runs a statement in the database of the object that was called: rows as JSON, or `!` and a message.
    fn run(statement: &str, parameters: &str) -> String;

    /// Fills with random bytes.
    pub(super) fn random(bytes: &mut [u8]);
}

/// Gives the statements that make the tables of a class, one after each NUL.
#[wasm_bindgen]
#[must_use]
pub fn schema(class: &str) -> String {
    CLASSES.iter().find(|known| known.name == class).map_or_else(String::new, |found| found.schema.join("\0"))
}

/// Has the object whose database is at hand do what a command says, at `now` in seconds since 1970. Answers
/// its reply, or `!` and a message.
#[wasm_bindgen]
#[must_use]
pub fn command(class: &str, text: &str, now: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "a cast from f64 saturates")]
    let now = Timestamp(now as i64);
    let done = match class {
        "Accounts" => handle::<Accounts>(text, now),
        "Limiter" => handle::<Limiter>(text, now),
        "Sessions" => handle::<Sessions>(text, now),
        "Tokens" => handle::<Tokens>(text, now),
        _ => Err(StoreError(format!("no class is called {class:?}"))),
    };
    done.unwrap_or_else(|error| format!("!{error}"))
}

fn handle<O: Object>(text: &str, now: Timestamp) -> Result<String, StoreError> {
    let unreadable = |error: serde_json::Error| StoreError(error.to_string());
    let command = serde_json::from_str(text).map_err(unreadable)?;
    serde_json::to_string(&O::handle(&Database, command, now)?).map_err(unreadable)
}

/// Lists what the accounts still have to see to elsewhere: after each NUL a binding, a name, a command for the
/// object of that name, and the command for this one when that is done; each on a line of its own.
#[wasm_bindgen]
#[must_use]
pub fn errands() -> String {
    let errands = accounts::errands(&Database).and_then(|errands| {
        let one = |(name, command, done): (String, _, _)| {
            let text = |error: serde_json::Error| StoreError(error.to_string());
            let command = serde_json::to_string::<<Sessions as Object>::Command>(&command).map_err(text)?;
            let done = serde_json::to_string::<<Accounts as Object>::Command>(&done).map_err(text)?;
            Ok(format!("{}\n{name}\n{command}\n{done}", Sessions::CLASS.binding))
        };
        errands.into_iter().map(one).collect::<Result<Vec<_>, _>>()
    });
    errands.map_or_else(|error| format!("!{error}"), |errands| errands.join("\0"))
}

struct Database;

impl Store for Database {
    fn run(&self, statement: &str, parameters: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        let unreadable = |error: serde_json::Error| StoreError(error.to_string());
        let parameters = serde_json::to_string(parameters).map_err(unreadable)?;
        let told = run(statement, &parameters);
        if let Some(message) = told.strip_prefix('!') {
            return Err(StoreError(message.to_owned()));
        }
        let rows: Vec<Vec<serde_json::Value>> = serde_json::from_str(&told).map_err(unreadable)?;
        Ok(rows.into_iter().map(Row::new).collect())
    }
}

const CLASSES: &[Class] = &[Accounts::CLASS, Limiter::CLASS, Sessions::CLASS, Tokens::CLASS];
