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

use super::{refuse, storage, wire};
use crate::{
    config::{Config, Upstream},
    context::Request,
    effects::{BodyError, Collected, Effects, Inbound, Memory, Outbound, Sealing},
    event::Moment,
    gateway, maintenance,
    origin::Origin,
    problem::Fault,
    store::Object,
    time::Timestamp,
};

/// The visits that have begun and are not over.
#[derive(Default)]
pub(super) struct Visits {
    memory: Rc<Memory>,
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
struct Seat {
    visit: u32,
    began: f64,
    now: Cell<f64>,
    /// When what was asked for is overdue, in milliseconds since 1970.
    until: Cell<f64>,
    asked: Cell<Option<String>>,
    /// What is to be done after the answer.
    later: RefCell<String>,
    told: Cell<Option<Vec<u8>>>,
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
        Some(self.go_on(visit))
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
            told: Cell::default(),
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
    /// comes back. (Of large ones it is told at once, by `forget`.) Looked for only when their number has doubled, so that it costs nothing by the request.
    fn sweep(&self, now: f64) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= self.sweep_at.get().max(FEW) {
            waiting.retain(|_, visit| visit.seat.until.get() + GRACE > now);
            self.sweep_at.set(waiting.len().saturating_mul(2));
        }
    }
}

async fn run(
    (config, memory): (Rc<Config>, Rc<Memory>),
    seat: Rc<Seat>,
    request_id: String,
    account: String,
) -> String {
    let Some(request) = Request::read(&account) else {
        return refuse(Fault::Internal, &request_id, &super::method_of(account.as_bytes()));
    };
    let now = config.fixed_now.unwrap_or_else(|| seconds(seat.began));
    let platform = Platform {
        config: &config,
        memory: &memory,
        seat: &seat,
        scheme: request.scheme,
        authority: request.authority,
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
    };
    let moment = Moment { now, milliseconds: milliseconds(seat.began), request_id: &request_id };
    wire::done_with(&maintenance::run(&config, &platform, due, moment).await)
}

/// The platform, for one request.
struct Platform<'a> {
    config: &'a Config,
    memory: &'a Memory,
    seat: &'a Seat,
    scheme: &'a str,
    authority: &'a str,
}

impl Effects for Platform<'_> {
    /// It stays with `worker.js`.
    type Response = ();

    async fn upstream(&self, outbound: Outbound<'_>) -> Result<Inbound<()>, Fault> {
        self.send("forward", outbound, None).await
    }

    async fn head(&self, outbound: Outbound<'_>) -> Result<Inbound<()>, Fault> {
        self.send("head", outbound, None).await
    }

    async fn post(&self, outbound: Outbound<'_>, body: &str) -> Result<Inbound<()>, Fault> {
        self.send("post", outbound, Some(body)).await
    }
    async fn ask<O: Object>(&self, name: &str, command: &O::Command) -> Result<O::Reply, Fault> {
        let command = serde_json::to_string(command).map_err(|_| Fault::Internal)?;
        let milliseconds = STORE_TIMEOUT.as_millis();
        let order = wire::ask(
            "ask",
            (self.seat.visit, milliseconds),
            O::CLASS.binding,
            (name, &command),
            self.config.fixed_now,
        );
        let told = self.seat.ask(order, STORE_TIMEOUT).await;
        let reply = wire::done(told).map_err(|_| Fault::StoreUnavailable)?;
        serde_json::from_str(&reply).map_err(|_| Fault::StoreUnavailable)
    }

    fn later<O: Object>(&self, name: &str, command: &O::Command) {
        let Ok(command) = serde_json::to_string(command) else { return };
        let order = wire::later(O::CLASS.binding, (name, &command), self.config.fixed_now);
        self.seat.later.borrow_mut().push_str(&order);
    }

    async fn body(&self, limit: usize) -> Result<String, BodyError> {
        let told =
            self.seat.ask(wire::read(self.seat.visit, BODY_TIMEOUT.as_millis(), limit), BODY_TIMEOUT).await;
        wire::done(told).map_err(|word| match word.as_str() {
            "large" => BodyError::TooLarge,
            "binary" => BodyError::NotText,
            _ => BodyError::BrokenOff,
        })
    }

    async fn bytes(&self, limit: usize) -> Result<Vec<u8>, BodyError> {
        let order = wire::bytes(self.seat.visit, BODY_TIMEOUT.as_millis(), limit);
        wire::done_bytes(self.seat.ask_bytes(order, BODY_TIMEOUT).await).map_err(|word| {
            match word.as_slice() {
                b"large" => BodyError::TooLarge,
                _ => BodyError::BrokenOff,
            }
        })
    }

    async fn digest(&self, limit: usize) -> Result<String, BodyError> {
        let order = wire::digest(self.seat.visit, BODY_TIMEOUT.as_millis(), limit);
        wire::done(self.seat.ask(order, BODY_TIMEOUT).await).map_err(|word| match word.as_str() {
            "large" => BodyError::TooLarge,
            _ => BodyError::BrokenOff,
        })
    }

    async fn hand_over<O: Object>(&self, name: &str, command: &O::Command) -> Result<O::Reply, Fault> {
        let command = serde_json::to_string(command).map_err(|_| Fault::Internal)?;
        let (visit, milliseconds) = (self.seat.visit, STORE_TIMEOUT.as_millis());
        let to = (name, command.as_str());
        let order = wire::ask("hand", (visit, milliseconds), O::CLASS.binding, to, self.config.fixed_now);
        let reply =
            wire::done(self.seat.ask(order, STORE_TIMEOUT).await).map_err(|_| Fault::StoreUnavailable)?;
        serde_json::from_str(&reply).map_err(|_| Fault::StoreUnavailable)
    }

    async fn collect(&self, limit: usize, timeout: Duration) -> Result<Collected, Fault> {
        let order = wire::collect(self.seat.visit, timeout.as_millis(), limit);
        match wire::done(self.seat.ask(order, timeout).await) {
            Ok(length) => Ok(Collected::Whole(length.parse().map_err(|_| Fault::Internal)?)),
            Err(word) => match word.as_str() {
                "stream" => Ok(Collected::Stream),
                "late" => Err(Fault::UpstreamTimeout),
                _ => Err(Fault::UpstreamFailed),
            },
        }
    }

    async fn collected(&self) -> Result<Vec<u8>, Fault> {
        let order = wire::collected(self.seat.visit, STORE_TIMEOUT.as_millis());
        wire::done_bytes(self.seat.ask_bytes(order, STORE_TIMEOUT).await).map_err(|_| Fault::Internal)
    }

    async fn keep<O: Object>(
        &self,
        name: &str,
        command: &O::Command,
        sealing: Sealing<'_>,
    ) -> Result<O::Reply, Fault> {
        let command = serde_json::to_string(command).map_err(|_| Fault::Internal)?;
        let to = (O::CLASS.binding, name, command.as_str());
        let order =
            wire::keep((self.seat.visit, KEEP_TIMEOUT.as_millis()), to, self.config.fixed_now, sealing);
        let told = self.seat.ask(order, KEEP_TIMEOUT).await;
        let reply = wire::done(told).map_err(|_| Fault::StoreUnavailable)?;
        serde_json::from_str(&reply).map_err(|_| Fault::StoreUnavailable)
    }

    async fn open(&self, keys: &[String], elsewhere: Option<&str>) -> Result<Option<Inbound<()>>, Fault> {
        let order = wire::open(self.seat.visit, STORE_TIMEOUT.as_millis(), keys, elsewhere);
        let told = self.seat.ask(order, STORE_TIMEOUT).await;
        if told == "sealed" {
            return Ok(None);
        }
        wire::inbound(told, 0).map(Some).map_err(|_| Fault::StoreUnavailable)
    }

    fn random(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        storage::random(&mut bytes);
        bytes
    }

    fn memory(&self) -> &Memory {
        self.memory
    }

    fn elapsed(&self) -> u64 {
        milliseconds(self.seat.now.get() - self.seat.began)
    }
}

impl Platform<'_> {
    /// Sends to upstream, by this order.
    async fn send(
        &self,
        order: &str,
        outbound: Outbound<'_>,
        body: Option<&str>,
    ) -> Result<Inbound<()>, Fault> {
        let public = format!("{}://{}", self.scheme, self.authority);
        let (via, base) = way(self.config, &public, outbound.personal);
        let milliseconds = outbound.timeout.as_millis();
        let asked = self.elapsed();
        let mut order = wire::forward(
            order,
            (self.seat.visit, milliseconds),
            via,
            (base, outbound.target),
            &outbound.edits,
        );
        if let Some(body) = body {
            order.push('\0');
            order.push_str(body);
        }
        let told = self.seat.ask(order, outbound.timeout).await;
        wire::inbound(told, self.elapsed().saturating_sub(asked))
    }
}

/// Tells by what way upstream is reached, and under which origin. A binding is asked by the public one; which
/// host that names is no matter to it.
pub(super) fn way<'a>(config: &'a Config, public: &'a str, is_personal: bool) -> (&'static str, &'a str) {
    match &config.upstream {
        Upstream::Origin(origin) if is_personal => ("network personal", origin.as_str()),
        Upstream::Origin(origin) => ("network", origin.as_str()),
        Upstream::Service => ("service", public),
        Upstream::Assets => ("assets", public),
    }
}

impl Seat {
    /// Asks the platform for something and waits until it is told what came of it.
    async fn ask(&self, order: String, timeout: Duration) -> String {
        text(self.ask_bytes(order, timeout).await)
    }

    /// The same of what need not be text.
    fn ask_bytes(&self, order: String, timeout: Duration) -> impl Future<Output = Vec<u8>> + '_ {
        self.until.set(self.now.get() + timeout.as_secs_f64() * 1_000.0);
        self.asked.set(Some(order));
        poll_fn(|_| self.told.take().map_or(Poll::Pending, Poll::Ready))
    }
}

/// JavaScript writes UTF-8 (WHATWG Encoding, encodeInto); anything else is no account of anything.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from f64 saturates")]
fn milliseconds(span: f64) -> u64 {
    span as u64
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast from f64 saturates, and now is far from either end"
)]
pub(super) fn seconds(milliseconds: f64) -> Timestamp {
    Timestamp((milliseconds / 1_000.0).floor() as i64)
}

/// How long a store may take. It answers in milliseconds or something is wrong with it.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a store may take to keep an answer, of which some have megabytes.
const KEEP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a small body may take to come in.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// So few given-up visits are no matter.
const FEW: usize = 256;

/// Milliseconds after which `worker.js` has surely said that something is late.
const GRACE: f64 = 2_000.0;
