//! The Durable Objects: each a database, and what its class does with it.

use std::{cell::Cell, rc::Rc};

use js_sys::{Array, Date, Promise, RangeError, Uint8Array, WebAssembly::RuntimeError};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use worker::{
    Env, console_error,
    worker_sys::{DurableObjectState, DurableObjectStorage, SqlStorage},
};

use super::{
    calls::{self, Replied},
    deliveries::Deliveries,
    pending::{self, Answer, Deadline, Waiter},
    request::seconds,
    storage::Database,
    sys::{self, TransactionalStorage},
};
use crate::{
    config::CLASSES,
    store::{Class, Object, OutboxMessage, StoreError, decode, encode, migrate},
    time::Timestamp,
};

/// Declares the classes. This is the only list of them: the build exports a class of JavaScript for each.
///
/// It is not `worker`'s `#[durable_object]`, which exports `fetch` for each class, where these are called by RPC, and runs
/// `alarm` in a queue of futures, in which a trap reaches nobody.
macro_rules! objects {
    ($($name:ident = $object:ty, $soon:expr;)*) => {
        $(
            /// See the object's own module.
            #[wasm_bindgen]
            pub struct $name(Rc<Instance>);

            #[wasm_bindgen]
            impl $name {
                /// Called by the platform when the object starts.
                #[wasm_bindgen(constructor)]
                pub fn new(state: &DurableObjectState, env: Env) -> Result<Self, JsValue> {
                    const KIND: Kind = Kind::of::<$object>($soon);
                    Instance::new(&KIND, state, env).map(Self)
                }

                /// Carries out a command ([`crate::store::encode`]). `now` is the fixed clock of tests, in seconds, or empty. Bytes
                /// may be attached. Answers a reply, or a reply and the bytes attached to it.
                pub fn command(&self, command: &[u8], now: Option<String>, attached: JsValue) -> Answer {
                    self.0.command(command, now.as_deref(), attached).map(Replied::write)
                }

                /// Called by the platform when the object's alarm goes off.
                pub fn alarm(&self) -> Answer {
                    Instance::alarm(&self.0)
                }
            }
        )*
        const COUNT: usize = [$(stringify!($name)),*].len();
    };
}

objects! {
    Accounts = crate::accounts::Accounts, Some(SOON);
    Audit = crate::audit::Audit, Some(SOON);
    Checkouts = crate::checkouts::Checkouts, None;
    Confirmations = crate::confirmations::Confirmations, Some(SOON);
    Inbox = crate::inbox::Inbox, Some(0.0);
    Ledger = crate::ledger::Ledger, Some(SOON);
    Limiter = crate::limiter::Limiter, None;
    Sessions = crate::registry::Sessions, None;
    Tokens = crate::tokens::Tokens, None;
}

const _: () = assert!(COUNT == CLASSES.len(), "each class of the configuration is an object");

/// Milliseconds. The Worker that gave a command does what follows from it sooner, unless something stops it.
const SOON: f64 = 2_000.0;

/// Carries out an encoded command; returns the encoded reply.
type Handle = fn(&Database<'_>, &[u8], Timestamp) -> Result<Vec<u8>, StoreError>;

/// The name of errors that are in the log already.
const LOGGED: &str = "StoreError";

/// What a class does, behind functions that all of them share.
struct Kind {
    class: Class,
    /// Milliseconds before which it is not woken; `None` if it never is.
    soon: Option<f64>,
    handle: Handle,
    wake_at: fn(&Database<'_>, Timestamp) -> Result<Option<Timestamp>, StoreError>,
    wake: fn(&Database<'_>, Timestamp) -> Result<Vec<OutboxMessage>, StoreError>,
    is_over: fn(&Database<'_>) -> Result<bool, StoreError>,
}

impl Kind {
    const fn of<O: Object>(soon: Option<f64>) -> Self {
        Self {
            class: O::CLASS,
            soon,
            handle: handle::<O>,
            wake_at: |store, now| O::wake_at(store, now),
            wake: |store, now| O::wake(store, now),
            is_over: |store| O::is_over(store),
        }
    }
}

fn handle<O: Object>(store: &Database<'_>, command: &[u8], now: Timestamp) -> Result<Vec<u8>, StoreError> {
    encode(&O::handle(store, decode(command)?, now)?)
}

/// An object that runs.
pub(super) struct Instance {
    kind: &'static Kind,
    storage: DurableObjectStorage,
    sql: SqlStorage,
    pub(super) env: Env,
    /// When it is woken next, in milliseconds, as far as this instance knows.
    due: Cell<f64>,
    /// Whether its database was migrated.
    is_prepared: Cell<bool>,
    /// Whether an alarm is running; the next one waits for it.
    is_alarmed: Cell<bool>,
    /// Whether the alarm fits what is stored. Only a write changes that, and an alarm that went off.
    is_armed: Cell<bool>,
    deliveries: Deliveries,
}

impl Instance {
    fn new(kind: &'static Kind, state: &DurableObjectState, env: Env) -> Result<Rc<Self>, JsValue> {
        sys::log_panics_briefly();
        let storage = state.storage()?;
        let sql = storage.sql();
        Ok(Rc::new(Self {
            kind,
            storage,
            sql,
            env,
            due: Cell::default(),
            is_prepared: Cell::default(),
            is_alarmed: Cell::default(),
            is_armed: Cell::default(),
            deliveries: Deliveries::default(),
        }))
    }

    /// Carries out a command in a transaction: if it fails, nothing of it is left.
    pub(super) fn command(
        &self,
        command: &[u8],
        now: Option<&str>,
        attached: JsValue,
    ) -> Result<Replied, JsValue> {
        let now = match now.filter(|now| !now.is_empty()) {
            Some(fixed) => Timestamp(fixed.parse().map_err(|_| self.failed("no whole number of seconds"))?),
            None => seconds(Date::now()),
        };
        let mut reply = Vec::new();
        let given = attached.is_object().then_some(attached);
        let attached = self.transaction(given, now, &mut |store| {
            reply = (self.kind.handle)(store, command, now)?;
            Ok(())
        })?;
        self.deliveries.nudge();
        Ok(Replied { reply, attached })
    }

    fn alarm(this: &Rc<Self>) -> Answer {
        this.due.set(0.0);
        this.is_armed.set(false);
        this.is_alarmed.set(true);
        let (waiter, object) = (Waiter::new(), Rc::clone(this));
        let waits = waiter.clone();
        pending::begin(&waiter, async move {
            let done = Self::do_all(&object, &waits).await;
            object.is_alarmed.set(false);
            done.map(|()| JsValue::UNDEFINED)
        })
    }

    async fn do_all(this: &Rc<Self>, waiter: &Waiter) -> Result<(), JsValue> {
        let now = seconds(waiter.now());
        let mut errands = Vec::new();
        this.transaction(None, now, &mut |store| {
            errands = (this.kind.wake)(store, now)?;
            Ok(())
        })?;
        let groups = by_recipient(errands);
        if !groups.is_empty() {
            let all: Array = groups.into_iter().map(|group| Self::run_all(this, group)).collect();
            waiter.value(Ok(Promise::all(&all).into()), Deadline::NEVER).await?;
        }
        let mut is_over = false;
        this.transaction(None, now, &mut |store| {
            is_over = (this.kind.is_over)(store)?;
            Ok(())
        })?;
        if is_over {
            return this.clear(waiter).await;
        }
        if this.kind.class.name != crate::inbox::Inbox::CLASS.name {
            return Ok(());
        }
        Deliveries::run(this, waiter).await?;
        // The next alarm handles the rest, and events that arrive in the meantime.
        if this.deliveries.is_busy() {
            this.set_alarm(Date::now())?;
        }
        Ok(())
    }

    /// Removes the database, and with it what it takes to keep one. If somebody asks again, there is another.
    async fn clear(&self, waiter: &Waiter) -> Result<(), JsValue> {
        self.is_prepared.set(false);
        self.is_armed.set(false);
        self.due.set(0.0);
        // Both at once: nothing comes in between that would go with it.
        let alarm = self.storage.delete_alarm(JsValue::UNDEFINED.unchecked_into())?;
        let both = Array::of2(&alarm.into(), &self.storage.delete_all()?.into());
        waiter.value(Ok(Promise::all(&both).into()), Deadline::NEVER).await.map(drop)
    }

    /// Runs errands one after the other: one object is told in order, and no further than it listens. What is left has
    /// an alarm already; the platform would only repeat this one a few times.
    fn run_all(this: &Rc<Self>, errands: Vec<OutboxMessage>) -> Promise {
        let object = Rc::clone(this);
        pending::spawn(|waiter| async move {
            for errand in errands {
                if let Err(error) = object.run(&waiter, &errand).await {
                    object.log(error)?;
                    break;
                }
            }
            Ok(JsValue::UNDEFINED)
        })
    }

    async fn run(&self, waiter: &Waiter, errand: &OutboxMessage) -> Result<(), JsValue> {
        let OutboxMessage::Tell { binding, name, command, done } = errand;
        let asked = calls::stub(&self.env, binding, name)
            .and_then(|stub| stub.command(&Uint8Array::from(&command[..]), "", &JsValue::UNDEFINED));
        waiter.value(asked, Deadline::NEVER).await?;
        self.command(done, None, JsValue::UNDEFINED).map(drop)
    }

    fn transaction(
        &self,
        given: Option<JsValue>,
        now: Timestamp,
        step: &mut dyn FnMut(&Database<'_>) -> Result<(), StoreError>,
    ) -> Result<Option<JsValue>, JsValue> {
        self.prepare()?;
        let attached = self.atomically(given, &mut |store| {
            step(store)?;
            if store.has_written() || !self.is_armed.get() { self.arm(store, now) } else { Ok(()) }
        })?;
        self.is_armed.set(true);
        Ok(attached)
    }

    /// Migrates the database, once in each instance.
    fn prepare(&self) -> Result<(), JsValue> {
        if self.is_prepared.get() {
            return Ok(());
        }
        self.atomically(None, &mut |store| migrate(store, self.kind.class.migrations))?;
        self.is_prepared.set(true);
        Ok(())
    }

    /// Takes a step whole or not at all; returns the bytes that it attached.
    fn atomically(
        &self,
        given: Option<JsValue>,
        step: &mut dyn FnMut(&Database<'_>) -> Result<(), StoreError>,
    ) -> Result<Option<JsValue>, JsValue> {
        let database = Database::new(&self.sql, given);
        let storage: &TransactionalStorage = self.storage.unchecked_ref();
        // A trap in it comes out here too, as an error that is handed on unchanged.
        storage.transaction_sync(&mut || {
            step(&database).map_err(|StoreError(message)| self.failed(&message))?;
            Ok(JsValue::UNDEFINED)
        })?;
        Ok(database.into_attached())
    }

    /// Logs an error that nobody else gets. A trap goes on to the entry: the instance of the module has stopped.
    pub(super) fn log(&self, error: JsValue) -> Result<(), JsValue> {
        if error.is_instance_of::<RuntimeError>() || error.is_instance_of::<RangeError>() {
            return Err(error);
        }
        if !sys::member(&error, "name").is_ok_and(|name| name == LOGGED) {
            console_error!("{}: {}", self.kind.class.name, sys::message(&error));
        }
        Ok(())
    }

    /// Logs why a command failed, which its caller gets too. By its name, `entry.js` knows that it was logged.
    fn failed(&self, message: &str) -> JsValue {
        console_error!("{}: {message}", self.kind.class.name);
        let error = js_sys::Error::new(message);
        error.set_name(LOGGED);
        error.into()
    }

    /// Sets the alarm for what is still to be done, so that it is done even if nobody comes back.
    fn arm(&self, store: &Database<'_>, now: Timestamp) -> Result<(), StoreError> {
        let Some(soon) = self.kind.soon else { return Ok(()) };
        let Some(Timestamp(at)) = (self.kind.wake_at)(store, now)? else { return Ok(()) };
        let (clock, armed) = (Date::now(), self.due.get());
        #[expect(clippy::cast_precision_loss, reason = "a time is far from 2^53 seconds")]
        let due = (at as f64 * 1_000.0).max(clock + soon);
        // Requests do not postpone it. No alarm goes off before the running one has ended.
        let is_armed = if self.is_alarmed.get() { armed > 0.0 } else { armed > clock };
        if is_armed && armed <= due {
            return Ok(());
        }
        self.due.set(due);
        self.set_alarm(due).map_err(|error| StoreError(sys::message(&error)))
    }

    fn set_alarm(&self, at: f64) -> Result<(), JsValue> {
        let at = Date::new(&JsValue::from_f64(at));
        // The answer of the command waits until it is stored.
        self.storage.set_alarm(at, JsValue::UNDEFINED.unchecked_into()).map(drop)
    }

    pub(super) fn deliveries(&self) -> &Deliveries {
        &self.deliveries
    }
}

/// Groups errands by whom they are for, in their order.
fn by_recipient(errands: Vec<OutboxMessage>) -> Vec<Vec<OutboxMessage>> {
    let mut groups: Vec<Vec<OutboxMessage>> = Vec::new();
    for errand in errands {
        let OutboxMessage::Tell { binding, name, .. } = &errand;
        let same = |other: &OutboxMessage| {
            let OutboxMessage::Tell { binding: its_binding, name: its_name, .. } = other;
            (its_binding, its_name) == (binding, name)
        };
        match groups.iter_mut().find(|group| group.first().is_some_and(same)) {
            Some(group) => group.push(errand),
            None => groups.push(vec![errand]),
        }
    }
    groups
}
