//! Calls of Durable Objects: a command by RPC, and its reply.

use std::time::Duration;

use js_sys::Uint8Array;
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, JsValue};
use worker::{Env, worker_sys::DurableObjectNamespace};

use super::{
    pending::{Answer, Waiter},
    sys::{self, ObjectStub},
};
use crate::{problem::Fault, store::decode, time::Timestamp};

/// A command for an object.
pub(super) struct Call {
    pub(super) binding: &'static str,
    pub(super) name: String,
    /// Encoded.
    pub(super) command: Vec<u8>,
    /// The fixed clock of tests.
    pub(super) now: Option<Timestamp>,
}

/// What an object has answered.
pub(super) struct Replied {
    /// Encoded.
    pub(super) reply: Vec<u8>,
    /// The bytes that came with it.
    pub(super) attached: Option<JsValue>,
}

impl Call {
    /// Calls the object; gives a promise.
    pub(super) fn start(&self, env: &Env, attached: &JsValue) -> Answer {
        let now = self.now.map(|now| now.0.to_string()).unwrap_or_default();
        stub(env, self.binding, &self.name)?.command(&Uint8Array::from(&self.command[..]), &now, attached)
    }

    /// Calls the object and waits for it to be done.
    pub(super) async fn within(&self, waiter: &Waiter, env: &Env, timeout: Duration) -> Answer {
        waiter.value(self.start(env, &JsValue::UNDEFINED), waiter.deadline(timeout)).await
    }
}

/// Finds an object by its name.
pub(super) fn stub(env: &Env, binding: &str, name: &str) -> Result<ObjectStub, JsValue> {
    let namespace: DurableObjectNamespace = sys::binding(env, binding)?;
    Ok(namespace.get(&namespace.id_from_name(name)?)?.unchecked_into())
}

impl Replied {
    /// Reads what `command` has answered: a reply, or a reply and bytes.
    pub(super) fn read(told: &JsValue) -> Option<Self> {
        match told.dyn_ref::<Uint8Array>() {
            Some(reply) => Some(Self { reply: reply.to_vec(), attached: None }),
            None => Some(Self {
                reply: sys::member(told, "reply").ok()?.dyn_ref::<Uint8Array>()?.to_vec(),
                attached: sys::member(told, "sealed").ok().filter(JsValue::is_object),
            }),
        }
    }

    /// Writes it as `command` answers it.
    pub(super) fn write(self) -> JsValue {
        let reply = Uint8Array::from(&self.reply[..]).into();
        let Some(attached) = self.attached else { return reply };
        let both = sys::object_with("reply", &reply);
        // It fails on a frozen object.
        let _ = js_sys::Reflect::set(&both, &JsValue::from_str("sealed"), &attached);
        both.into()
    }

    /// Parses the reply.
    pub(super) fn parse<R: DeserializeOwned>(&self) -> Result<R, Fault> {
        decode(&self.reply).map_err(|_| Fault::StoreUnavailable)
    }
}
