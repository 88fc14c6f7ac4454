//! The Durable Objects. Each has a database, and its class defines the commands.

use std::{cell::Cell, rc::Rc};

use js_sys::{Array, Date, Promise, RangeError, Uint8Array, WebAssembly::RuntimeError};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use worker::{
    Env, console_error,
    worker_sys::{DurableObjectState, DurableObjectStorage, SqlStorage},
};

use super::{
    calls::{self, ObjectReply},
    deliveries::Deliveries,
    pending::{self, Deadline, JsResult, Waiter},
    request::seconds,
    storage::Database,
    sys::{self, TransactionalStorage},
};
use crate::{
    base::time::Timestamp,
    config::classes::with_object_classes,
    platform::store::{Class, Object, OutboxMessage, StoreError, decode, encode, migrate},
};

/// Declares the classes. The build exports a JavaScript class for each.
///
/// The macro replaces `worker`'s `#[durable_object]`. That exports `fetch` for each class, but these objects are
/// called by RPC. It also runs `alarm` in a queue of futures, where a trap reaches no caller.
macro_rules! objects {
    ($($name:ident = $object:ty;)*) => {
        $(
            /// A Durable Object class, documented in its own module.
            #[wasm_bindgen]
            pub struct $name(Rc<Instance>);

            #[wasm_bindgen]
            impl $name {
                /// Called by the platform when the object starts.
                #[wasm_bindgen(constructor)]
                pub fn new(state: &DurableObjectState, env: Env) -> Result<Self, JsValue> {
                    const CLASS: ClassFunctions = ClassFunctions::of::<$object>();
                    Instance::new(&CLASS, state, env).map(Self)
                }

                /// Runs a command ([`crate::platform::store::encode`]). `now` is the fixed clock of tests, in seconds,
                /// or empty. Bytes may be attached. Returns a reply, or a reply with attached bytes.
                pub fn command(&self, command: &[u8], now: Option<String>, attached: JsValue) -> JsResult {
                    self.0.command(command, now.as_deref(), attached).map(ObjectReply::into_js)
                }

                /// Called by the platform when the object's alarm fires.
                pub fn alarm(&self) -> JsResult {
                    Instance::alarm(&self.0)
                }
            }
        )*
    };
}

with_object_classes!(objects);

/// Runs an encoded command. Returns the encoded reply.
type Handle = fn(&Database<'_>, &[u8], Timestamp) -> Result<Vec<u8>, StoreError>;

/// Milliseconds after which an alarm that has not fired counts as lost.
const OVERDUE_MS: f64 = 5_000.0;

/// The name of errors that are already logged.
const LOGGED: &str = "StoreError";

/// The functions of a class, as pointers, so that all classes share [`Instance`].
struct ClassFunctions {
    class: Class,
    handle: Handle,
    next_alarm: fn(&Database<'_>, Timestamp) -> Result<Option<Timestamp>, StoreError>,
    alarm: fn(&Database<'_>, Timestamp) -> Result<Vec<OutboxMessage>, StoreError>,
    is_deletable: fn(&Database<'_>) -> Result<bool, StoreError>,
}

impl ClassFunctions {
    const fn of<O: Object>() -> Self {
        Self {
            class: O::CLASS,
            handle: handle::<O>,
            next_alarm: |store, now| O::next_alarm(store, now),
            alarm: |store, now| O::alarm(store, now),
            is_deletable: |store| O::is_deletable(store),
        }
    }
}

fn handle<O: Object>(store: &Database<'_>, command: &[u8], now: Timestamp) -> Result<Vec<u8>, StoreError> {
    encode(&O::handle(store, decode(command)?, now)?)
}

/// A running object.
pub(super) struct Instance {
    functions: &'static ClassFunctions,
    storage: DurableObjectStorage,
    sql: SqlStorage,
    pub(super) env: Env,
    /// The time of the next alarm, in milliseconds since 1970, as far as this instance knows.
    alarm_at: Cell<f64>,
    /// Whether the database is migrated.
    is_migrated: Cell<bool>,
    /// Whether an alarm is running. The next alarm waits for it.
    is_alarm_running: Cell<bool>,
    /// Whether the alarm matches the stored data. Only a write or a fired alarm changes that.
    is_alarm_current: Cell<bool>,
    deliveries: Deliveries,
}

impl Instance {
    fn new(
        functions: &'static ClassFunctions,
        state: &DurableObjectState,
        env: Env,
    ) -> Result<Rc<Self>, JsValue> {
        sys::log_panic_locations();
        let storage = state.storage()?;
        let sql = storage.sql();
        Ok(Rc::new(Self {
            functions,
            storage,
            sql,
            env,
            alarm_at: Cell::default(),
            is_migrated: Cell::default(),
            is_alarm_running: Cell::default(),
            is_alarm_current: Cell::default(),
            deliveries: Deliveries::default(),
        }))
    }

    /// Runs a command in a transaction. If the command fails, none of its changes are stored.
    pub(super) fn command(
        &self,
        command: &[u8],
        now: Option<&str>,
        attached: JsValue,
    ) -> Result<ObjectReply, JsValue> {
        let now = match now.filter(|now| !now.is_empty()) {
            Some(fixed) => Timestamp(
                fixed
                    .parse()
                    .map_err(|_| self.logged_error("the fixed time is not a whole number of seconds"))?,
            ),
            None => seconds(Date::now()),
        };
        let mut reply = Vec::new();
        let command_bytes = attached.is_object().then_some(attached);
        let attached = self.transaction(command_bytes, now, &mut |store| {
            reply = (self.functions.handle)(store, command, now)?;
            Ok(())
        })?;
        self.deliveries.notify();
        Ok(ObjectReply { reply, attached })
    }

    fn alarm(this: &Rc<Self>) -> JsResult {
        this.alarm_at.set(0.0);
        this.is_alarm_current.set(false);
        this.is_alarm_running.set(true);
        let (waiter, object) = (Waiter::new(), Rc::clone(this));
        let future_waiter = waiter.clone();
        pending::begin(&waiter, async move {
            let result = Self::run_alarm(&object, &future_waiter).await;
            object.is_alarm_running.set(false);
            result.map(|()| JsValue::UNDEFINED)
        })
    }

    async fn run_alarm(this: &Rc<Self>, waiter: &Waiter) -> Result<(), JsValue> {
        let now = seconds(waiter.now());
        let mut messages = Vec::new();
        this.transaction(None, now, &mut |store| {
            messages = (this.functions.alarm)(store, now)?;
            Ok(())
        })?;
        let groups = by_recipient(messages);
        if !groups.is_empty() {
            let all: Array = groups.into_iter().map(|group| Self::send_all(this, group)).collect();
            waiter.value(Ok(Promise::all(&all).into()), Deadline::NEVER).await?;
        }
        let mut is_over = false;
        this.transaction(None, now, &mut |store| {
            is_over = (this.functions.is_deletable)(store)?;
            Ok(())
        })?;
        if is_over {
            return this.delete_storage(waiter).await;
        }
        if this.functions.class.name != crate::webhooks::inbox::Inbox::CLASS.name {
            return Ok(());
        }
        Deliveries::run(this, waiter).await?;
        // The next alarm handles the rest, and events that arrive in the meantime.
        if this.deliveries.is_busy() {
            this.set_alarm(Date::now())?;
        }
        Ok(())
    }

    /// Deletes the database and the alarm, so that the object uses no storage. The next command creates a new database.
    async fn delete_storage(&self, waiter: &Waiter) -> Result<(), JsValue> {
        self.is_migrated.set(false);
        self.is_alarm_current.set(false);
        self.alarm_at.set(0.0);
        // Start both without waiting in between, so that no command can run in between and lose its data.
        let alarm = self.storage.delete_alarm(JsValue::UNDEFINED.unchecked_into())?;
        let both = Array::of2(&alarm.into(), &self.storage.delete_all()?.into());
        waiter.value(Ok(Promise::all(&both).into()), Deadline::NEVER).await.map(drop)
    }

    /// Sends messages to one object, in order, and stops at the first failure. The alarm for the remaining messages is
    /// already set. A failure does not fail the running alarm, because the platform would repeat it only a few times.
    fn send_all(this: &Rc<Self>, messages: Vec<OutboxMessage>) -> Promise {
        let object = Rc::clone(this);
        pending::spawn(|waiter| async move {
            for message in messages {
                if let Err(error) = object.send(&waiter, &message).await {
                    object.log(error)?;
                    break;
                }
            }
            Ok(JsValue::UNDEFINED)
        })
    }

    async fn send(&self, waiter: &Waiter, message: &OutboxMessage) -> Result<(), JsValue> {
        let OutboxMessage::Tell { binding, name, command, done } = message;
        let promise = calls::stub(&self.env, binding, name)
            .and_then(|stub| stub.command(&Uint8Array::from(&command[..]), "", &JsValue::UNDEFINED));
        waiter.value(promise, Deadline::NEVER).await?;
        self.command(done, None, JsValue::UNDEFINED).map(drop)
    }

    fn transaction(
        &self,
        command_bytes: Option<JsValue>,
        now: Timestamp,
        step: &mut dyn FnMut(&Database<'_>) -> Result<(), StoreError>,
    ) -> Result<Option<JsValue>, JsValue> {
        self.migrate_once()?;
        let attached = self.atomically(command_bytes, &mut |store| {
            step(store)?;
            if store.has_written() || !self.is_alarm_current.get() || self.is_alarm_overdue() {
                self.schedule_alarm(store, now)
            } else {
                Ok(())
            }
        })?;
        self.is_alarm_current.set(true);
        Ok(attached)
    }

    /// Returns whether the alarm should have fired by now. The local runtime can lose one when it is killed.
    fn is_alarm_overdue(&self) -> bool {
        let at = self.alarm_at.get();
        at > 0.0 && !self.is_alarm_running.get() && at + OVERDUE_MS < Date::now()
    }

    /// Migrates the database, once per instance.
    fn migrate_once(&self) -> Result<(), JsValue> {
        if self.is_migrated.get() {
            return Ok(());
        }
        self.atomically(None, &mut |store| migrate(store, self.functions.class.migrations))?;
        self.is_migrated.set(true);
        Ok(())
    }

    /// Runs a step in a transaction: all of it or nothing is stored. Returns the bytes that the step attached.
    fn atomically(
        &self,
        command_bytes: Option<JsValue>,
        step: &mut dyn FnMut(&Database<'_>) -> Result<(), StoreError>,
    ) -> Result<Option<JsValue>, JsValue> {
        let database = Database::new(&self.sql, command_bytes);
        let storage: &TransactionalStorage = self.storage.unchecked_ref();
        // A trap in the step also surfaces here, as an error. It is returned unchanged.
        storage.transaction_sync(&mut || {
            step(&database).map_err(|StoreError(message)| self.logged_error(&message))?;
            Ok(JsValue::UNDEFINED)
        })?;
        Ok(database.into_reply_bytes())
    }

    /// Logs an error that no caller gets. Returns a trap, so that it reaches `entry.js`: the instance of the module
    /// has stopped.
    pub(super) fn log(&self, error: JsValue) -> Result<(), JsValue> {
        if error.is_instance_of::<RuntimeError>() || error.is_instance_of::<RangeError>() {
            return Err(error);
        }
        if !sys::property(&error, "name").is_ok_and(|name| name == LOGGED) {
            console_error!("{}: {}", self.functions.class.name, sys::message(&error));
        }
        Ok(())
    }

    /// Logs why a command failed, and returns the error for the caller. Its name tells `entry.js` that it is already
    /// logged.
    fn logged_error(&self, message: &str) -> JsValue {
        console_error!("{}: {message}", self.functions.class.name);
        let error = js_sys::Error::new(message);
        error.set_name(LOGGED);
        error.into()
    }

    /// Sets the alarm for the pending work, so that the work is done even without further requests.
    fn schedule_alarm(&self, store: &Database<'_>, now: Timestamp) -> Result<(), StoreError> {
        let Some(delay) = self.functions.class.alarm_delay else { return Ok(()) };
        let Some(Timestamp(at)) = (self.functions.next_alarm)(store, now)? else { return Ok(()) };
        let (clock, scheduled) = (Date::now(), self.alarm_at.get());
        #[expect(clippy::cast_precision_loss, reason = "a time is far from 2^53 seconds")]
        let due = (at as f64 * 1_000.0).max(clock + delay.as_secs_f64() * 1_000.0);
        // A request does not postpone the alarm. No alarm fires before the running one has ended.
        let is_set = if self.is_alarm_running.get() { scheduled > 0.0 } else { scheduled > clock };
        if is_set && scheduled <= due {
            return Ok(());
        }
        self.alarm_at.set(due);
        self.set_alarm(due).map_err(|error| StoreError(sys::message(&error)))
    }

    fn set_alarm(&self, at: f64) -> Result<(), JsValue> {
        let at = Date::new(&JsValue::from_f64(at));
        // The platform holds back the command's reply until the alarm is stored.
        self.storage.set_alarm(at, JsValue::UNDEFINED.unchecked_into()).map(drop)
    }

    pub(super) fn deliveries(&self) -> &Deliveries {
        &self.deliveries
    }
}

/// Groups messages by recipient. Keeps their order.
fn by_recipient(messages: Vec<OutboxMessage>) -> Vec<Vec<OutboxMessage>> {
    let mut groups: Vec<Vec<OutboxMessage>> = Vec::new();
    for message in messages {
        let OutboxMessage::Tell { binding, name, .. } = &message;
        let same = |other: &OutboxMessage| {
            let OutboxMessage::Tell { binding: other_binding, name: other_name, .. } = other;
            (other_binding, other_name) == (binding, name)
        };
        match groups.iter_mut().find(|group| group.first().is_some_and(same)) {
            Some(group) => group.push(message),
            None => groups.push(vec![message]),
        }
    }
    groups
}
