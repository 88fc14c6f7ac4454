//! An object's database.
//!
//! Numbers, texts and nulls cross as what they are. Bytes stay in JavaScript: those that came with a command are bound as
//! they are, and those that a statement yields go with the reply.

use std::cell::{Cell, RefCell};

use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};
use worker::worker_sys::SqlStorage;

use super::sys;
use crate::store::{SqlRow, Store, StoreError, Value};

/// The database of an object, for one command.
pub(super) struct Database<'a> {
    sql: &'a SqlStorage,
    /// The bytes that came with the command.
    given: RefCell<Option<JsValue>>,
    /// The bytes that go with the reply.
    attached: RefCell<Option<JsValue>>,
    has_written: Cell<bool>,
}

impl<'a> Database<'a> {
    pub(super) fn new(sql: &'a SqlStorage, given: Option<JsValue>) -> Self {
        Self { sql, given: RefCell::new(given), attached: RefCell::default(), has_written: Cell::default() }
    }

    /// Tells whether anything but a `SELECT` was run.
    pub(super) fn has_written(&self) -> bool {
        self.has_written.get()
    }

    /// Returns the bytes that go with the reply.
    pub(super) fn into_attached(self) -> Option<JsValue> {
        self.attached.into_inner()
    }

    fn bind(&self, value: &Value<'_>) -> Result<JsValue, StoreError> {
        Ok(match value {
            Value::Null => JsValue::NULL,
            #[expect(clippy::cast_precision_loss, reason = "nothing that is stored is beyond 2^53")]
            Value::Integer(number) => JsValue::from_f64(*number as f64),
            Value::Text(text) => JsValue::from_str(text),
            Value::Attached => {
                self.given.take().ok_or_else(|| StoreError("nothing is attached".to_owned()))?
            }
        })
    }

    /// Reads a value. Bytes are attached to the reply, and null in their row.
    fn read(&self, value: JsValue) -> serde_json::Value {
        if let Some(text) = value.as_string() {
            return text.into();
        }
        if let Some(number) = value.as_f64() {
            return whole(number).map_or_else(|| number.into(), Into::into);
        }
        if value.is_object() {
            *self.attached.borrow_mut() = Some(value);
        }
        serde_json::Value::Null
    }
}

impl Store for Database<'_> {
    fn run(&self, statement: &str, parameters: &[Value<'_>]) -> Result<Vec<SqlRow>, StoreError> {
        if !statement.starts_with("SELECT") {
            self.has_written.set(true);
        }
        let bindings = Array::new();
        for parameter in parameters {
            bindings.push(&self.bind(parameter)?);
        }
        let failed = |error: JsValue| StoreError(sys::message(&error));
        // `raw` alone: the other ways to read a cursor throw past Rust's frames.
        let cursor = self.sql.exec(statement, bindings).map_err(failed)?;
        let rows = sys::collect(&cursor.raw()).map_err(failed)?;
        let row = |values: JsValue| {
            let values: Array = values.unchecked_into();
            SqlRow::new(values.iter().map(|value| self.read(value)).collect())
        };
        Ok(rows.iter().map(row).collect())
    }
}

/// Reads a whole number; the platform has none beyond 2^53.
#[expect(clippy::cast_possible_truncation, reason = "it is whole, and a cast from f64 saturates")]
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0).then_some(number as i64)
}
