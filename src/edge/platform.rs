//! The platform, as the core asks for it: each question is one [`wire`] text, and its answer another.

use std::{borrow::Cow, time::Duration};

use serde::de::DeserializeOwned;

use super::{
    storage,
    visit::{Seat, milliseconds},
    wire,
};
use crate::{
    config::{Config, Upstream},
    effects::{
        BodyError, Collected, Effects, Gate, Glimpse, Inbound, Memory, Outbound, Question, Rehearsal,
        Sealing, Told,
    },
    origin::host_of,
    policy::Hooks,
    problem::Fault,
    store::Object,
};

/// The platform, for one request.
pub(super) struct Platform<'a> {
    pub(super) config: &'a Config,
    pub(super) memory: &'a Memory,
    pub(super) seat: &'a Seat,
    pub(super) scheme: &'a str,
    pub(super) authority: &'a str,
    /// With it, hands are tied.
    pub(super) rehearsal: Option<Rehearsal>,
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
        self.command::<O>("ask", name, command).await
    }

    fn later<O: Object>(&self, name: &str, command: &O::Command) {
        let Ok(command) = serde_json::to_string(command) else { return };
        if self.rehearsal.is_some() {
            return;
        }
        let order = wire::later(O::CLASS.binding, (name, &command), self.config.fixed_now);
        self.seat.later.borrow_mut().push_str(&order);
    }

    async fn body(&self, limit: usize) -> Result<String, BodyError> {
        let order = wire::limited("read", (self.seat.visit, BODY_TIMEOUT.as_millis()), limit);
        wire::done(self.order(order, BODY_TIMEOUT).await).map_err(|word| why(word.as_bytes()))
    }

    async fn bytes(&self, limit: usize) -> Result<Vec<u8>, BodyError> {
        let order = wire::limited("bytes", (self.seat.visit, BODY_TIMEOUT.as_millis()), limit);
        wire::done_bytes(self.order_bytes(order, BODY_TIMEOUT).await).map_err(|word| why(&word))
    }

    async fn digest(&self, limit: usize) -> Result<String, BodyError> {
        let order = wire::limited("digest", (self.seat.visit, BODY_TIMEOUT.as_millis()), limit);
        wire::done(self.order(order, BODY_TIMEOUT).await).map_err(|word| why(word.as_bytes()))
    }

    async fn glimpse(&self, limit: usize, first: usize) -> Result<Glimpse, BodyError> {
        let order = wire::glimpse((self.seat.visit, BODY_TIMEOUT.as_millis()), limit, first);
        let told =
            wire::done_bytes(self.order_bytes(order, BODY_TIMEOUT).await).map_err(|word| why(&word))?;
        wire::seen(&told).ok_or(BodyError::BrokenOff)
    }

    async fn hand_over<O: Object>(&self, name: &str, command: &O::Command) -> Result<O::Reply, Fault> {
        self.command::<O>("hand", name, command).await
    }

    async fn collect(&self, limit: usize, timeout: Duration) -> Result<Collected, Fault> {
        let order = wire::limited("collect", (self.seat.visit, timeout.as_millis()), limit);
        match wire::done(self.order(order, timeout).await) {
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
        wire::done_bytes(self.order_bytes(order, STORE_TIMEOUT).await).map_err(|_| Fault::Internal)
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
        replied(self.order(order, KEEP_TIMEOUT).await)
    }

    async fn open(&self, keys: &[String], elsewhere: Option<&str>) -> Result<Option<Inbound<()>>, Fault> {
        let order = wire::open(self.seat.visit, STORE_TIMEOUT.as_millis(), keys, elsewhere);
        let told = self.order(order, STORE_TIMEOUT).await;
        if told == "sealed" {
            return Ok(None);
        }
        wire::inbound(told, 0).map(Some).map_err(|_| Fault::StoreUnavailable)
    }

    async fn field(&self, name: &str, limit: usize) -> Result<Option<String>, BodyError> {
        let order = wire::field((self.seat.visit, BODY_TIMEOUT.as_millis()), name, limit);
        let told = self.order(order, BODY_TIMEOUT).await;
        if told == "absent" {
            return Ok(None);
        }
        wire::done(told).map(Some).map_err(|word| why(word.as_bytes()))
    }

    async fn consult(&self, question: Question<'_>) -> Result<Told, Fault> {
        let order = wire::consult((self.seat.visit, question.timeout.as_millis()), question);
        let told = self.order(order, question.timeout).await;
        let (status, body) = told.split_once('\n').ok_or(Fault::StoreUnavailable)?;
        let status = status.parse().map_err(|_| Fault::StoreUnavailable)?;
        Ok(Told { status, body: body.to_owned() })
    }

    async fn gate(&self, binding: &str, key: &str) -> Result<Gate, Fault> {
        let order = wire::named("gate", (self.seat.visit, GATE_TIMEOUT.as_millis()), &[binding, key]);
        match self.order(order, GATE_TIMEOUT).await.as_str() {
            "open" => Ok(Gate::Open),
            "shut" => Ok(Gate::Shut),
            _ => Err(Fault::StoreUnavailable),
        }
    }

    async fn recall(&self, name: &str) -> Result<Option<String>, Fault> {
        let order = wire::named("recall", (self.seat.visit, STORE_TIMEOUT.as_millis()), &[name]);
        let told = self.seat.ask(order, STORE_TIMEOUT).await;
        if told == "absent" {
            return Ok(None);
        }
        wire::done(told).map(Some).map_err(|_| Fault::StoreUnavailable)
    }

    async fn store(&self, name: &str, value: &str) -> Result<(), Fault> {
        let order = wire::named("store", (self.seat.visit, STORE_TIMEOUT.as_millis()), &[name, value]);
        wire::done(self.order(order, STORE_TIMEOUT).await).map(drop).map_err(|_| Fault::StoreUnavailable)
    }

    fn log(&self, line: &str) {
        if self.rehearsal.is_none() {
            storage::log(line);
        }
    }

    fn outlive(&self) {
        self.seat.outlives.set(self.rehearsal.is_none());
    }

    fn tied(&self) -> Self {
        let Self { config, memory, seat, scheme, authority, .. } = *self;
        Self { config, memory, seat, scheme, authority, rehearsal: Some(Rehearsal::default()) }
    }

    fn rehearsal(&self) -> Option<&Rehearsal> {
        self.rehearsal.as_ref()
    }

    fn hooks(&self) -> &dyn Hooks {
        super::hooks()
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
    /// Has something done, unless hands are tied.
    async fn order(&self, order: String, timeout: Duration) -> String {
        if self.rehearsal.is_some() { TIED.to_owned() } else { self.seat.ask(order, timeout).await }
    }

    /// The same of what need not be text.
    async fn order_bytes(&self, order: String, timeout: Duration) -> Vec<u8> {
        if self.rehearsal.is_some() { TIED.into() } else { self.seat.ask_bytes(order, timeout).await }
    }

    /// Has an object do something, by this order.
    async fn command<O: Object>(
        &self,
        order: &str,
        name: &str,
        command: &O::Command,
    ) -> Result<O::Reply, Fault> {
        if self.rehearsal.is_some() && !O::only_asks(command) {
            return Err(Fault::Internal);
        }
        let command = serde_json::to_string(command).map_err(|_| Fault::Internal)?;
        let (visit, to) = ((self.seat.visit, STORE_TIMEOUT.as_millis()), (name, command.as_str()));
        let order = wire::ask(order, visit, O::CLASS.binding, to, self.config.fixed_now);
        replied(self.seat.ask(order, STORE_TIMEOUT).await)
    }

    /// Sends to upstream, by this order.
    async fn send(
        &self,
        order: &str,
        outbound: Outbound<'_>,
        body: Option<&str>,
    ) -> Result<Inbound<()>, Fault> {
        let public;
        let (via, base) = match way(&self.config.upstream, outbound.personal) {
            (via, Some(base)) => (via, base),
            (via, None) => {
                public = format!("{}://{}", self.scheme, self.authority);
                (via, public.as_str())
            }
        };
        let milliseconds = outbound.timeout.as_millis();
        let asked = self.elapsed();
        let mut order = wire::forward(
            order,
            (self.seat.visit, milliseconds),
            &via,
            (base, outbound.target),
            &outbound.edits,
        );
        if let Some(body) = body {
            order.push('\0');
            order.push_str(body);
        }
        let told = self.order(order, outbound.timeout).await;
        wire::inbound(told, self.elapsed().saturating_sub(asked))
    }
}

/// Tells by what way upstream is reached, and under which origin. A binding is asked by the public one; which
/// host that names is no matter to it.
pub(super) fn way(upstream: &Upstream, is_personal: bool) -> (Cow<'static, str>, Option<&str>) {
    let (via, base) = match upstream {
        Upstream::Origin(origin) if is_personal => ("network personal", Some(origin.as_str())),
        Upstream::Origin(origin) => ("network", Some(origin.as_str())),
        Upstream::SameZone(origin) => {
            let cache = if is_personal { "personal" } else { "cached" };
            let host = host_of(origin.authority());
            return (Cow::Owned(format!("zone {host} {cache}")), None);
        }
        Upstream::Service => ("service", None),
        Upstream::Assets => ("assets", None),
    };
    (Cow::Borrowed(via), base)
}

fn replied<R: DeserializeOwned>(told: String) -> Result<R, Fault> {
    let reply = wire::done(told).map_err(|_| Fault::StoreUnavailable)?;
    serde_json::from_str(&reply).map_err(|_| Fault::StoreUnavailable)
}

fn why(word: &[u8]) -> BodyError {
    match word {
        b"large" => BodyError::TooLarge,
        b"binary" => BodyError::NotText,
        b"busy" => BodyError::Overloaded,
        _ => BodyError::BrokenOff,
    }
}

/// What comes of an order where hands are tied: as of one that failed.
const TIED: &str = "failed";

/// How long a store may take. It answers in milliseconds or something is wrong with it.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the platform's own counter may take: it is there to be quick.
const GATE_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a store may take to keep an answer, of which some have megabytes.
const KEEP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a small body may take to come in.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
