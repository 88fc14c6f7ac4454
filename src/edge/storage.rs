//! An object's side of the edge: its database, and the one function that its commands come in by.

use wasm_bindgen::prelude::wasm_bindgen;

use crate::{
    accounts::Accounts,
    audit::Audit,
    checkouts::Checkouts,
    config::CLASSES,
    confirmations::Confirmations,
    inbox::Inbox,
    ledger::Ledger,
    limiter::Limiter,
    registry::Sessions,
    store::{Errand, Object, Row, Store, StoreError, Value, is_there},
    time::Timestamp,
    tokens::Tokens,
};

#[wasm_bindgen(raw_module = "vestibule-storage")]
extern "C" {
    /// Runs a statement in the database of the object that was called: rows as JSON, or `!` and a message.
    fn run(statement: &str, parameters: &str) -> String;

    /// Writes a line to the log.
    pub(super) fn log(line: &str);

    /// Fills with random bytes.
    pub(super) fn random(bytes: &mut [u8]);
}

/// Gives the statements that make the tables of a class, one after each NUL.
#[wasm_bindgen]
#[must_use]
pub fn schema(class: &str) -> String {
    CLASSES.iter().find(|known| known.name == class).map_or_else(String::new, |found| found.schema.join("\0"))
}

/// Tells whether a statement of a schema failed because it was carried out before.
#[wasm_bindgen]
#[must_use]
pub fn was_done(statement: &str, message: &str) -> bool {
    is_there(statement, message)
}

/// Brings the database at hand up to date, which an earlier version may have made. Answers nothing, or `!` and a
/// message.
#[wasm_bindgen]
#[must_use]
pub fn migrate(class: &str) -> String {
    said(
        match class {
            "Checkouts" => Checkouts::migrate(&Database),
            "Inbox" => Inbox::migrate(&Database),
            _ => Ok(()),
        }
        .map(|()| String::new()),
    )
}

/// Has the object whose database is at hand do what a command says, at `now` in seconds since 1970. Answers
/// its reply, or `!` and a message.
#[wasm_bindgen]
#[must_use]
pub fn command(class: &str, text: &str, now: f64) -> String {
    let now = whole(now);
    said(match class {
        "Accounts" => handle::<Accounts>(text, now),
        "Audit" => handle::<Audit>(text, now),
        "Checkouts" => handle::<Checkouts>(text, now),
        "Confirmations" => handle::<Confirmations>(text, now),
        "Inbox" => handle::<Inbox>(text, now),
        "Ledger" => handle::<Ledger>(text, now),
        "Limiter" => handle::<Limiter>(text, now),
        "Sessions" => handle::<Sessions>(text, now),
        "Tokens" => handle::<Tokens>(text, now),
        _ => Err(nameless(class)),
    })
}

/// Tells when the object whose database is at hand wants to be woken, in seconds since 1970, or nothing.
#[wasm_bindgen]
#[must_use]
pub fn wakes(class: &str, now: f64) -> String {
    let at = match class {
        "Accounts" => Accounts::wake_at(&Database, whole(now)),
        "Audit" => Audit::wake_at(&Database, whole(now)),
        "Confirmations" => Confirmations::wake_at(&Database, whole(now)),
        "Inbox" => Inbox::wake_at(&Database, whole(now)),
        "Ledger" => Ledger::wake_at(&Database, whole(now)),
        "Checkouts" | "Limiter" | "Sessions" | "Tokens" => Ok(None),
        _ => Err(nameless(class)),
    };
    said(at.map(|at| at.map(|at| at.0.to_string()).unwrap_or_default()))
}

/// Tells whether nothing is left of it that must be kept, by `yes`.
#[wasm_bindgen]
#[must_use]
pub fn over(class: &str) -> String {
    let is_over = if class == "Audit" { Audit::is_over(&Database) } else { Ok(false) };
    said(is_over.map(|is_over| if is_over { "yes".to_owned() } else { String::new() }))
}

/// Has it see to what is due. Answers its errands: after each NUL a binding, a name, a command for the object
/// of that name, and the command for this one when that is done, each on a line of its own.
#[wasm_bindgen]
#[must_use]
pub fn wake(class: &str, now: f64) -> String {
    let errands = match class {
        "Accounts" => Accounts::wake(&Database, whole(now)),
        "Audit" => Audit::wake(&Database, whole(now)),
        "Confirmations" => Confirmations::wake(&Database, whole(now)),
        "Inbox" => Inbox::wake(&Database, whole(now)),
        "Ledger" => Ledger::wake(&Database, whole(now)),
        "Checkouts" | "Limiter" | "Sessions" | "Tokens" => Ok(Vec::new()),
        _ => Err(nameless(class)),
    };
    let line = |Errand::Tell { binding, name, command, done }: &Errand| {
        format!("{binding}\n{name}\n{command}\n{done}")
    };
    said(errands.map(|errands| errands.iter().map(line).collect::<Vec<_>>().join("\0")))
}

fn handle<O: Object>(text: &str, now: Timestamp) -> Result<String, StoreError> {
    let unreadable = |error: serde_json::Error| StoreError(error.to_string());
    let command = serde_json::from_str(text).map_err(unreadable)?;
    serde_json::to_string(&O::handle(&Database, command, now)?).map_err(unreadable)
}

fn said(done: Result<String, StoreError>) -> String {
    done.unwrap_or_else(|error| format!("!{error}"))
}

fn nameless(class: &str) -> StoreError {
    StoreError(format!("no class is called {class:?}"))
}

#[expect(clippy::cast_possible_truncation, reason = "a cast from f64 saturates")]
fn whole(seconds: f64) -> Timestamp {
    Timestamp(seconds as i64)
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
