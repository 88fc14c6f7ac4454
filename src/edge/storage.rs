//! An object's database.
//!
//! Numbers, texts and nulls are converted. Bytes stay in JavaScript: bytes that are attached to a command are bound
//! unchanged, and bytes that a statement returns are attached to the reply.

use std::cell::{Cell, RefCell};

use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};
use worker::worker_sys::SqlStorage;

use super::sys;
use crate::platform::store::{SqlRow, Store, StoreError, Value};

/// The database of an object, for one command.
pub(super) struct Database<'a> {
    sql: &'a SqlStorage,
    /// The bytes attached to the command.
    command_bytes: RefCell<Option<JsValue>>,
    /// The bytes to attach to the reply.
    reply_bytes: RefCell<Option<JsValue>>,
    has_written: Cell<bool>,
}

impl<'a> Database<'a> {
    pub(super) fn new(sql: &'a SqlStorage, command_bytes: Option<JsValue>) -> Self {
        Self {
            sql,
            command_bytes: RefCell::new(command_bytes),
            reply_bytes: RefCell::default(),
            has_written: Cell::default(),
        }
    }

    /// Returns whether a statement other than a `SELECT` has run.
    pub(super) fn has_written(&self) -> bool {
        self.has_written.get()
    }

    /// Returns the bytes to attach to the reply.
    pub(super) fn into_reply_bytes(self) -> Option<JsValue> {
        self.reply_bytes.into_inner()
    }

    fn bind(&self, value: &Value<'_>) -> Result<JsValue, StoreError> {
        Ok(match value {
            Value::Null => JsValue::NULL,
            #[expect(clippy::cast_precision_loss, reason = "no stored number is beyond 2^53")]
            Value::Integer(number) => JsValue::from_f64(*number as f64),
            Value::Text(text) => JsValue::from_str(text),
            Value::Attached => self
                .command_bytes
                .take()
                .ok_or_else(|| StoreError("the command has no attached bytes".to_owned()))?,
        })
    }

    /// Converts a value. Bytes are attached to the reply, and become null in their row.
    fn read_value(&self, value: JsValue) -> serde_json::Value {
        if let Some(text) = value.as_string() {
            return text.into();
        }
        if let Some(number) = value.as_f64() {
            return whole(number).map_or_else(|| number.into(), Into::into);
        }
        if value.is_object() {
            *self.reply_bytes.borrow_mut() = Some(value);
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
        // Use only `raw`. The other ways to read a cursor throw through Rust's stack frames.
        let cursor = self.sql.exec(statement, bindings).map_err(failed)?;
        let rows = sys::array_from(&cursor.raw()).map_err(failed)?;
        let row = |values: JsValue| {
            let values: Array = values.unchecked_into();
            SqlRow::new(values.iter().map(|value| self.read_value(value)).collect())
        };
        Ok(rows.iter().map(row).collect())
    }
}

/// Converts a whole number; returns `None` for a fraction. The platform has no whole numbers beyond 2^53.
#[expect(clippy::cast_possible_truncation, reason = "it is whole, and a cast from f64 saturates")]
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0).then_some(number as i64)
}
