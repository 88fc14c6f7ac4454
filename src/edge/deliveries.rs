//! Delivers the events of an inbox: many at a time. Each is settled on its own, so no delivery waits for a slow one.
//!
//! A delivery that has run for a second is slow. It no longer counts against [`MAX_FAST`], only against
//! [`MAX_IN_FLIGHT`]. Retries never use all slots ([`MAX_RETRIES`]). The object's database picks the next events. Only
//! this instance knows which events are being delivered: after a crash they are delivered again.

use std::{cell::RefCell, rc::Rc, time::Duration};

use js_sys::{Date, Function, Promise};
use wasm_bindgen::{JsCast, JsValue};

use super::{
    calls::ObjectReply,
    objects::Instance,
    pending::{self, Waiter},
    sys,
    upstream::deliver,
};
use crate::{
    platform::store::{decode, encode},
    webhooks::inbox::{Command, Pick, Picked, Reply},
};

/// The deliveries in progress.
#[derive(Default)]
pub(super) struct Deliveries {
    in_flight: RefCell<Vec<InFlight>>,
    /// Resumes the run that waits for a change.
    resume: RefCell<Option<Function>>,
}

struct InFlight {
    id: String,
    started_at: f64,
    /// Length of the event's body, in bytes.
    length: f64,
    /// Whether the event's delivery has failed before.
    is_retry: bool,
}

impl Deliveries {
    pub(super) fn is_busy(&self) -> bool {
        !self.in_flight.borrow().is_empty()
    }

    /// Tells the waiting run that new events may be due.
    pub(super) fn notify(&self) {
        let resume = self.resume.take();
        if let Some(resume) = resume {
            let _ = resume.call0(&JsValue::UNDEFINED);
        }
    }

    /// Delivers events until none is left or this run reaches its limits. Deliveries in progress then continue.
    pub(super) async fn run(object: &Rc<Instance>, waiter: &Waiter) -> Result<(), JsValue> {
        let this = object.deliveries();
        let end = Date::now() + MAX_RUN_MS;
        let mut left = MAX_PER_RUN;
        loop {
            match Self::start_due(object, left) {
                Ok(started) => left = left.saturating_sub(started),
                Err(error) => {
                    object.log(error)?;
                    // The alarm that is already set handles the rest.
                    this.wait_for_change(waiter).await;
                    return Ok(());
                }
            }
            if !this.is_busy() || left == 0 || Date::now() > end {
                return Ok(());
            }
            this.wait_for_change(waiter).await;
        }
    }

    /// Starts as many deliveries as there is room for. Returns their number.
    fn start_due(object: &Rc<Instance>, left: usize) -> Result<usize, JsValue> {
        let this = object.deliveries();
        let pick = {
            let in_flight = this.in_flight.borrow();
            let now = Date::now();
            let fast = in_flight.iter().filter(|delivery| now - delivery.started_at < SLOW_MS).count();
            let failed = in_flight.iter().filter(|delivery| delivery.is_retry).count();
            let room =
                left.min(MAX_FAST.saturating_sub(fast)).min(MAX_IN_FLIGHT.saturating_sub(in_flight.len()));
            Pick {
                flying: in_flight.iter().map(|delivery| delivery.id.clone()).collect(),
                room: i64::try_from(room).unwrap_or_default(),
                retries: i64::try_from(MAX_RETRIES.saturating_sub(failed)).unwrap_or_default(),
            }
        };
        if pick.room == 0 {
            return Ok(0);
        }
        let Reply::Picked(picked) = decode_reply(&Self::command(object, &Command::Pick(pick))?)? else {
            return Err(unexpected_reply());
        };
        let mut started = 0_usize;
        for Picked { id, retry } in picked {
            if this.bytes() >= MAX_BYTES {
                break;
            }
            Self::start_delivery(object, id, retry)?;
            started = started.saturating_add(1);
        }
        Ok(started)
    }

    fn start_delivery(object: &Rc<Instance>, id: String, is_retry: bool) -> Result<(), JsValue> {
        let loaded = Self::command(object, &Command::Load(id.clone()))?;
        let length = loaded.attached.as_ref().and_then(|body| sys::property(body, "byteLength").ok());
        let length = length.and_then(|length| length.as_f64()).unwrap_or_default();
        let in_flight = InFlight { id: id.clone(), started_at: Date::now(), length, is_retry };
        object.deliveries().in_flight.borrow_mut().push(in_flight);
        let object = Rc::clone(object);
        // The delivery is not awaited. It removes itself from the list.
        let _ = pending::spawn(|waiter| async move {
            let status = deliver(&waiter, &object.env, &loaded).await;
            if let Err(error) = Self::command(&object, &Command::RecordAttempt(id.clone(), status)) {
                object.log(error)?;
                // The outcome cannot be stored. Wait before the event can be delivered again.
                let never = Promise::new(&mut |_, _| {});
                waiter.wait(never.into(), waiter.deadline(SLOW_DURATION)).await;
            }
            object.deliveries().in_flight.borrow_mut().retain(|delivery| delivery.id != id);
            object.deliveries().notify();
            Ok(JsValue::UNDEFINED)
        });
        Ok(())
    }

    fn command(object: &Instance, command: &Command) -> Result<ObjectReply, JsValue> {
        let command = encode(command).map_err(|_| unexpected_reply())?;
        object.command(&command, None, JsValue::UNDEFINED)
    }

    fn bytes(&self) -> f64 {
        self.in_flight.borrow().iter().map(|delivery| delivery.length).sum()
    }

    /// Waits until a delivery ends, an event arrives, or a second has passed. After a second, more events may be due,
    /// and deliveries may have become slow.
    async fn wait_for_change(&self, waiter: &Waiter) {
        let change = Promise::new(&mut |resolve, _| {
            *self.resume.borrow_mut() = Some(resolve.unchecked_into());
        });
        waiter.wait(change.into(), waiter.deadline(SLOW_DURATION)).await;
        self.resume.take();
    }
}

fn decode_reply(reply: &ObjectReply) -> Result<Reply, JsValue> {
    decode(&reply.reply).map_err(|_| unexpected_reply())
}

fn unexpected_reply() -> JsValue {
    js_sys::Error::new("Inbox: unexpected reply").into()
}

/// Maximum number of concurrent deliveries that are not slow yet.
const MAX_FAST: usize = 32;

/// Maximum number of concurrent deliveries, and of retries among them.
const MAX_IN_FLIGHT: usize = 128;
const MAX_RETRIES: usize = 64;

/// No further delivery is started while the bodies in progress have this many bytes or more.
const MAX_BYTES: f64 = 24.0 * 1_048_576.0;

/// Age from which a delivery is slow, in milliseconds and as a duration.
const SLOW_MS: f64 = 1_000.0;
const SLOW_DURATION: Duration = Duration::from_secs(1);

/// Limits of one alarm: the number of deliveries that it starts, and its length in milliseconds. The platform limits
/// both.
const MAX_PER_RUN: usize = 40;
const MAX_RUN_MS: f64 = 300_000.0;
