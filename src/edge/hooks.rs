//! Hooks in JavaScript: a function of the Worker's own code, which decides about each request.

use js_sys::{Function, JSON, Promise};
use wasm_bindgen::{JsCast, JsValue};
use worker::console_error;

use crate::guards::policy::{Act, Decision, Hooks};

/// A function that gets an [`Act`] and returns a decision, both in the form of the external policy. If it throws, or
/// returns anything else, the request is forbidden.
pub(super) struct JavaScriptHook(pub(super) Function);

impl JavaScriptHook {
    fn call(&self, act: &Act<'_>) -> Result<String, JsValue> {
        let answer = self.0.call1(&JsValue::NULL, &JSON::parse(&act.to_json())?)?;
        if answer.is_instance_of::<Promise>() {
            return Err("a hook cannot be asynchronous".into());
        }
        Ok(JSON::stringify(&answer)?.into())
    }
}

impl Hooks for JavaScriptHook {
    fn judge(&self, act: &Act<'_>) -> Decision {
        let answer = self.call(act).unwrap_or_else(|error| {
            console_error!("the hook failed: {error:?}");
            String::new()
        });
        Decision::read(200, &answer).map_or(Decision::INVALID, |(decision, _)| decision)
    }
}
