//! Calls of Durable Objects: a command by RPC, and its reply.

use std::time::Duration;

use js_sys::Uint8Array;
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, JsValue};
use worker::{Env, worker_sys::DurableObjectNamespace};

use super::{
    pending::{JsResult, Waiter},
    sys::{self, ObjectStub},
};
use crate::{base::time::Timestamp, http::problem::Fault, platform::store::decode};

/// A command for an object.
pub(super) struct Call {
    pub(super) binding: &'static str,
    pub(super) name: String,
    /// The encoded command.
    pub(super) command: Vec<u8>,
    /// The fixed clock of tests.
    pub(super) now: Option<Timestamp>,
}

/// The reply of an object.
pub(super) struct ObjectReply {
    /// The encoded reply.
    pub(super) reply: Vec<u8>,
    /// The bytes attached to the reply.
    pub(super) attached: Option<JsValue>,
}

impl Call {
    /// Calls the object. Returns a promise of the reply.
    pub(super) fn start(&self, env: &Env, attached: &JsValue) -> JsResult {
        let now = self.now.map(|now| now.0.to_string()).unwrap_or_default();
        stub(env, self.binding, &self.name)?.command(&Uint8Array::from(&self.command[..]), &now, attached)
    }

    /// Calls the object and waits for the reply.
    pub(super) async fn run(&self, waiter: &Waiter, env: &Env, timeout: Duration) -> JsResult {
        waiter.value(self.start(env, &JsValue::UNDEFINED), waiter.deadline(timeout)).await
    }
}

/// Returns the stub of the object with this name.
pub(super) fn stub(env: &Env, binding: &str, name: &str) -> Result<ObjectStub, JsValue> {
    let namespace: DurableObjectNamespace = sys::binding(env, binding)?;
    Ok(namespace.get(&namespace.id_from_name(name)?)?.unchecked_into())
}

impl ObjectReply {
    /// Converts the value that `command` returns: a reply, or a reply with bytes.
    pub(super) fn from_js(value: &JsValue) -> Option<Self> {
        match value.dyn_ref::<Uint8Array>() {
            Some(reply) => Some(Self { reply: reply.to_vec(), attached: None }),
            None => Some(Self {
                reply: sys::property(value, "reply").ok()?.dyn_ref::<Uint8Array>()?.to_vec(),
                attached: sys::property(value, "sealed").ok().filter(JsValue::is_object),
            }),
        }
    }

    /// Converts the reply to the value that `command` returns.
    pub(super) fn into_js(self) -> JsValue {
        let reply = Uint8Array::from(&self.reply[..]).into();
        let Some(attached) = self.attached else { return reply };
        let both = sys::object_with("reply", &reply);
        // Setting a property fails only on a frozen object.
        let _ = js_sys::Reflect::set(&both, &JsValue::from_str("sealed"), &attached);
        both.into()
    }

    /// Decodes the reply.
    pub(super) fn parse<R: DeserializeOwned>(&self) -> Result<R, Fault> {
        decode(&self.reply).map_err(|_| Fault::StoreUnavailable)
    }
}
