//! The requests that wait for something.
//!
//! The core is one `async` function. What it waits for is JavaScript's to do, so its future needs no
//! executor: it is polled when the request comes in and again whenever `worker.js` has done what it asked
//! for. A request that waits for nothing is answered in the same call, and no promise, microtask or
//! closure exists on this side.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use foldhash::fast::FixedState;

use super::{platform::Platform, refuse, wire};
use crate::{
    body_budget::{BodyBudget, Reservation, Reserved},
    config::Config,
    context::Request,
    effects::Memory,
    event::Moment,
    gateway, maintenance,
    origin::Origin,
    problem::Fault,
    time::Timestamp,
};

/// The visits that have begun and are not over.
#[derive(Default)]
pub(super) struct Visits {
    memory: Rc<Memory>,
    bodies: Rc<BodyBudget>,
    waiting: RefCell<HashMap<u32, Visit, FixedState>>,
    last: Cell<u32>,
    /// How many may wait before it is looked whether some were given up.
    sweep_at: Cell<usize>,
}

/// A request that waits.
struct Visit {
    seat: Rc<Seat>,
    future: Pin<Box<dyn Future<Output = String>>>,
}

/// Where a visit and the platform leave word for each other.
pub(super) struct Seat {
    pub(super) visit: u32,
    pub(super) began: f64,
    pub(super) now: Cell<f64>,
    /// When what was asked for is overdue, in milliseconds since 1970.
    until: Cell<f64>,
    asked: Cell<Option<String>>,
    /// What is to be done after the answer.
    pub(super) later: RefCell<String>,
    /// Whether what is asked for next is to be seen to although the client goes away.
    pub(super) outlives: Cell<bool>,
    told: Cell<Option<Vec<u8>>>,
    /// The memory that its body takes, given back with the seat.
    body: Reservation,
}

impl Visits {
    /// Takes a request up; answers what to do.
    pub(super) fn begin(
        &self,
        config: &Rc<Config>,
        request_id: String,
        account: Vec<u8>,
        now: f64,
    ) -> String {
        let seat = self.seat(now);
        let future = Box::pin(run(
            (Rc::clone(config), Rc::clone(&self.memory)),
            Rc::clone(&seat),
            request_id,
            text(account),
        ));
        self.go_on(Visit { seat, future })
    }

    /// Takes a tick of the cron trigger up, at the time it was due in milliseconds since 1970.
    pub(super) fn tick(&self, config: &Rc<Config>, request_id: String, due: f64, now: f64) -> String {
        let seat = self.seat(now);
        let future = Box::pin(tick(
            (Rc::clone(config), Rc::clone(&self.memory)),
            Rc::clone(&seat),
            request_id,
            seconds(due),
        ));
        self.go_on(Visit { seat, future })
    }

    /// Goes on with a visit; `None` where there is none of that number.
    pub(super) fn resume(&self, visit: u32, told: Vec<u8>, now: f64) -> Option<String> {
        let visit = self.waiting.borrow_mut().remove(&visit)?;
        visit.seat.now.set(now);
        visit.seat.told.set(Some(told));
        visit.seat.body.complete();
        Some(self.go_on(visit))
    }

    /// Asks for memory for a chunk of a visit's body.
    pub(super) fn reserve(&self, visit: u32, bytes: u32, now: f64) -> Reserved {
        let ask = || {
            let waiting = self.waiting.borrow();
            let visit = waiting.get(&visit);
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            visit.map_or(Reserved::Exhausted, |visit| visit.seat.body.grow(bytes, now))
        };
        match ask() {
            Reserved::Exhausted => {
                // Abandoned visits may still hold some.
                self.drop_overdue(now);
                ask()
            }
            reserved => reserved,
        }
    }

    /// Gives a visit up.
    pub(super) fn forget(&self, visit: u32) {
        self.waiting.borrow_mut().remove(&visit);
    }

    fn seat(&self, now: f64) -> Rc<Seat> {
        let visit = self.last.get().wrapping_add(1);
        self.last.set(visit);
        Rc::new(Seat {
            visit,
            began: now,
            now: Cell::new(now),
            until: Cell::new(now),
            asked: Cell::default(),
            later: RefCell::default(),
            outlives: Cell::default(),
            told: Cell::default(),
            body: Reservation::new(&self.bodies, visit),
        })
    }

    fn go_on(&self, mut visit: Visit) -> String {
        match visit.future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => {
                let Some(order) = visit.seat.asked.take() else {
                    // It waits for something that is not the platform's to do: it would wait for ever.
                    return refuse(Fault::Internal, "", "");
                };
                self.sweep(visit.seat.now.get());
                self.waiting.borrow_mut().insert(visit.seat.visit, visit);
                order
            }
        }
    }

    /// Forgets the visits whose client went away: the platform then drops what they waited for and never
    /// comes back. (Of large ones it is told at once, by `forget`.) Looked for only when their number has doubled, so
    /// that it costs nothing by the request.
    fn sweep(&self, now: f64) {
        if self.waiting.borrow().len() >= self.sweep_at.get().max(FEW) {
            self.drop_overdue(now);
            self.sweep_at.set(self.waiting.borrow().len().saturating_mul(2));
        }
    }

    fn drop_overdue(&self, now: f64) {
        self.waiting.borrow_mut().retain(|_, visit| visit.seat.until.get() + GRACE > now);
    }
}

async fn run(
    (config, memory): (Rc<Config>, Rc<Memory>),
    seat: Rc<Seat>,
    request_id: String,
    account: String,
) -> String {
    let Some(request) = Request::read(&account) else {
        return refuse(Fault::Internal, &request_id, &account);
    };
    let now = config.fixed_now.unwrap_or_else(|| seconds(seat.began));
    let platform = Platform {
        config: &config,
        memory: &memory,
        seat: &seat,
        scheme: request.scheme,
        authority: request.authority,
        rehearsal: None,
    };
    let moment = Moment { now, milliseconds: milliseconds(seat.began), request_id: &request_id };
    let (answer, event) = gateway::handle(&config, &platform, &request, moment).await;
    let mut text = seat.later.take();
    text.push_str(&wire::answer(&answer, &event));
    text
}

/// Does what is to be done at a tick. Its answer is nobody's.
async fn tick(
    (config, memory): (Rc<Config>, Rc<Memory>),
    seat: Rc<Seat>,
    request_id: String,
    due: Timestamp,
) -> String {
    let now = config.fixed_now.unwrap_or_else(|| seconds(seat.began));
    let public = config.return_path.public.first();
    let platform = Platform {
        config: &config,
        memory: &memory,
        seat: &seat,
        scheme: public.map_or("", Origin::scheme),
        authority: public.map_or("", Origin::authority),
        rehearsal: None,
    };
    let moment = Moment { now, milliseconds: milliseconds(seat.began), request_id: &request_id };
    let lines = maintenance::run(&config, &platform, due, moment).await;
    let mut text = seat.later.take();
    text.push_str(&wire::ticked(&lines));
    text
}

impl Seat {
    /// Asks the platform for something and waits until it is told what came of it.
    pub(super) async fn ask(&self, order: String, timeout: Duration) -> String {
        text(self.ask_bytes(order, timeout).await)
    }

    /// The same of what need not be text.
    pub(super) fn ask_bytes(&self, order: String, timeout: Duration) -> impl Future<Output = Vec<u8>> + '_ {
        self.until.set(self.now.get() + timeout.as_secs_f64() * 1_000.0);
        // Once is enough: it holds for all that follows.
        let order = if self.outlives.take() { wire::stays(&order) } else { order };
        self.asked.set(Some(order));
        poll_fn(|_| self.told.take().map_or(Poll::Pending, Poll::Ready))
    }
}

/// JavaScript writes UTF-8 (WHATWG Encoding, encodeInto); anything else is no account of anything.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from f64 saturates")]
pub(super) fn milliseconds(span: f64) -> u64 {
    span as u64
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast from f64 saturates, and now is far from either end"
)]
pub(super) fn seconds(milliseconds: f64) -> Timestamp {
    Timestamp((milliseconds / 1_000.0).floor() as i64)
}

/// So few given-up visits are no matter.
const FEW: usize = 256;

/// Milliseconds after which `worker.js` has surely said that something is late.
const GRACE: f64 = 2_000.0;
