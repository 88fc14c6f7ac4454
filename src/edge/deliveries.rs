//! Delivers the events of an inbox: many at a time, each settled on its own, so that none waits for a slow one.
//!
//! A delivery that has run for a second is slow. It no longer counts against [`AT_ONCE`], only against [`MOST`]. Repeated
//! deliveries never use all places. The object's database picks the next events. Only this instance knows which events
//! are being delivered: after a crash they are delivered again.

use std::{cell::RefCell, rc::Rc, time::Duration};

use js_sys::{Date, Function, Promise};
use wasm_bindgen::{JsCast, JsValue};

use super::{
    calls::Replied,
    objects::Instance,
    pending::{self, Waiter},
    sys,
    upstream::deliver,
};
use crate::{
    inbox::{Command, Pick, Picked, Reply},
    store::{decode, encode},
};

/// The deliveries in progress.
#[derive(Default)]
pub(super) struct Deliveries {
    flying: RefCell<Vec<Flying>>,
    /// Wakes the run that waits for a change.
    wake: RefCell<Option<Function>>,
}

struct Flying {
    id: String,
    since: f64,
    /// Bytes of its body.
    length: f64,
    /// Whether it has failed before.
    is_retry: bool,
}

impl Deliveries {
    pub(super) fn is_busy(&self) -> bool {
        !self.flying.borrow().is_empty()
    }

    /// Something new may be due.
    pub(super) fn nudge(&self) {
        let wake = self.wake.take();
        if let Some(wake) = wake {
            let _ = wake.call0(&JsValue::UNDEFINED);
        }
    }

    /// Delivers until nothing is left or this run has done enough. What is on its way then goes on.
    pub(super) async fn run(object: &Rc<Instance>, waiter: &Waiter) -> Result<(), JsValue> {
        let this = object.deliveries();
        let end = Date::now() + LONGEST_RUN;
        let mut left = MOST_OF_A_RUN;
        loop {
            match Self::start(object, left) {
                Ok(started) => left = left.saturating_sub(started),
                Err(error) => {
                    object.log(error)?;
                    // The alarm that is set handles the rest later.
                    this.change(waiter).await;
                    return Ok(());
                }
            }
            if !this.is_busy() || left == 0 || Date::now() > end {
                return Ok(());
            }
            this.change(waiter).await;
        }
    }

    /// Starts what there is room for; returns how many.
    fn start(object: &Rc<Instance>, left: usize) -> Result<usize, JsValue> {
        let this = object.deliveries();
        let pick = {
            let flying = this.flying.borrow();
            let now = Date::now();
            let young = flying.iter().filter(|one| now - one.since < SLOW).count();
            let failed = flying.iter().filter(|one| one.is_retry).count();
            let room = left.min(AT_ONCE.saturating_sub(young)).min(MOST.saturating_sub(flying.len()));
            Pick {
                flying: flying.iter().map(|one| one.id.clone()).collect(),
                room: i64::try_from(room).unwrap_or_default(),
                retries: i64::try_from(MOST_RETRIES.saturating_sub(failed)).unwrap_or_default(),
            }
        };
        if pick.room == 0 {
            return Ok(0);
        }
        let Reply::Picked(picked) = read(&Self::command(object, &Command::Pick(pick))?)? else {
            return Err(unexpected());
        };
        let mut started = 0_usize;
        for Picked { id, retry } in picked {
            if this.bytes() >= MOST_BYTES {
                break;
            }
            Self::fly(object, id, retry)?;
            started = started.saturating_add(1);
        }
        Ok(started)
    }

    fn fly(object: &Rc<Instance>, id: String, is_retry: bool) -> Result<(), JsValue> {
        let loaded = Self::command(object, &Command::Load(id.clone()))?;
        let length = loaded.attached.as_ref().and_then(|body| sys::member(body, "byteLength").ok());
        let length = length.and_then(|length| length.as_f64()).unwrap_or_default();
        let flying = Flying { id: id.clone(), since: Date::now(), length, is_retry };
        object.deliveries().flying.borrow_mut().push(flying);
        let object = Rc::clone(object);
        // Nobody waits for it: it takes itself off the list.
        let _ = pending::spawn(|waiter| async move {
            let status = deliver(&waiter, &object.env, &loaded).await;
            if let Err(error) = Self::command(&object, &Command::Tried(id.clone(), status)) {
                object.log(error)?;
                // The outcome cannot be stored: don't try again at once.
                let never = Promise::new(&mut |_, _| {});
                waiter.wait(never.into(), waiter.deadline(SLOW_TIME)).await;
            }
            object.deliveries().flying.borrow_mut().retain(|one| one.id != id);
            object.deliveries().nudge();
            Ok(JsValue::UNDEFINED)
        });
        Ok(())
    }

    fn command(object: &Instance, command: &Command) -> Result<Replied, JsValue> {
        let command = encode(command).map_err(|_| unexpected())?;
        object.command(&command, None, JsValue::UNDEFINED)
    }

    fn bytes(&self) -> f64 {
        self.flying.borrow().iter().map(|one| one.length).sum()
    }

    /// Waits until one is over, something new came, or a second has passed: by then more may be due, or slow.
    async fn change(&self, waiter: &Waiter) {
        let change = Promise::new(&mut |resolve, _| {
            *self.wake.borrow_mut() = Some(resolve.unchecked_into());
        });
        waiter.wait(change.into(), waiter.deadline(SLOW_TIME)).await;
        self.wake.take();
    }
}

fn read(replied: &Replied) -> Result<Reply, JsValue> {
    decode(&replied.reply).map_err(|_| unexpected())
}

fn unexpected() -> JsValue {
    js_sys::Error::new("Inbox: an unexpected reply").into()
}

/// Most deliveries at once that are younger than [`SLOW`].
const AT_ONCE: usize = 32;

/// Most deliveries at once, and most of them that have failed before.
const MOST: usize = 128;
const MOST_RETRIES: usize = 64;

/// Bytes of all bodies at once.
const MOST_BYTES: f64 = 24.0 * 1_048_576.0;

/// Milliseconds.
const SLOW: f64 = 1_000.0;
const SLOW_TIME: Duration = Duration::from_secs(1);

/// Deliveries that one alarm starts, and milliseconds that it goes on: the platform bounds both.
const MOST_OF_A_RUN: usize = 40;
const LONGEST_RUN: f64 = 300_000.0;
