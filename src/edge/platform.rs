//! The platform, as the core asks for it.

use std::time::Duration;

use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Response;
use worker::worker_sys::RateLimiter;

use super::{
    bodies,
    calls::{Call, Replied},
    gate::hooks,
    kv,
    pending::{Answer, Deadline, Waited},
    request::{RequestState, milliseconds},
    response::{edits_of, inbound},
    sealing, sys,
    upstream::{self, Route},
};
use crate::{
    config::Config,
    effects::{
        BodyError, BufferedResponse, DryRun, Effects, ExternalRequest, ExternalResponse, Gate, HashedBody,
        Memory, Sealing, UpstreamRequest, UpstreamResponse,
    },
    policy::Hooks,
    problem::Fault,
    store::{Object, encode},
};

/// The platform, for one request.
pub(super) struct Platform<'a> {
    state: &'a RequestState,
    config: &'a Config,
    /// Scheme and authority of the request.
    origin: (&'a str, &'a str),
    /// With it, nothing is done and nobody outside is asked.
    dry_run: Option<DryRun>,
}

/// What is sent to upstream.
enum Sent<'a> {
    /// The request that is being answered.
    Forwarded,
    /// A `HEAD`, of which nothing is the client's.
    Head,
    /// A `POST` with this body, likewise.
    Post(&'a str),
}

impl Effects for Platform<'_> {
    /// It stays with the request's state.
    type Response = ();

    async fn upstream(&self, outbound: UpstreamRequest<'_>) -> Result<UpstreamResponse<()>, Fault> {
        self.send(Sent::Forwarded, outbound).await
    }

    async fn head(&self, outbound: UpstreamRequest<'_>) -> Result<UpstreamResponse<()>, Fault> {
        self.send(Sent::Head, outbound).await
    }

    async fn post(&self, outbound: UpstreamRequest<'_>, body: &str) -> Result<UpstreamResponse<()>, Fault> {
        self.send(Sent::Post(body), outbound).await
    }

    async fn call_object<O: Object>(&self, name: &str, command: &O::Command) -> Result<O::Reply, Fault> {
        let call = self.call::<O>(name, command)?;
        self.run_call(call, &JsValue::UNDEFINED).await?.parse()
    }

    fn call_after_response<O: Object>(&self, name: &str, command: &O::Command) {
        if self.dry_run.is_some() {
            return;
        }
        self.state.later.borrow_mut().extend(self.call::<O>(name, command));
    }

    async fn body(&self, limit: usize) -> Result<String, BodyError> {
        let body = self.read(limit, self.deadline(BODY_TIMEOUT)).await?;
        String::from_utf8(body.to_vec()).map_err(|_| BodyError::NotText)
    }

    async fn bytes(&self, limit: usize) -> Result<Vec<u8>, BodyError> {
        self.survive_disconnect();
        Ok(self.read(limit, self.deadline(BODY_TIMEOUT)).await?.to_vec())
    }

    async fn hash_body(&self, limit: usize) -> Result<String, BodyError> {
        self.survive_disconnect();
        let deadline = self.deadline(BODY_TIMEOUT);
        let body = self.read(limit, deadline).await?;
        bodies::sha256(&self.state.waiter, &body, deadline).await
    }

    async fn hash_body_with_prefix(&self, limit: usize, first: usize) -> Result<HashedBody, BodyError> {
        self.survive_disconnect();
        let deadline = self.deadline(BODY_TIMEOUT);
        let body = self.read(limit, deadline).await?;
        let sha256 = bodies::sha256(&self.state.waiter, &body, deadline).await?;
        let end = u32::try_from(first).unwrap_or(u32::MAX);
        Ok(HashedBody { sha256, length: bodies::length(&body), first: body.subarray(0, end).to_vec() })
    }

    async fn call_with_body<O: Object>(&self, name: &str, command: &O::Command) -> Result<O::Reply, Fault> {
        let call = self.call::<O>(name, command)?;
        let body = self.state.incoming.whole().map(JsValue::from).unwrap_or_default();
        self.run_call(call, &body).await?.parse()
    }

    async fn buffer_response(&self, limit: usize, timeout: Duration) -> Result<BufferedResponse, Fault> {
        self.check(Fault::UpstreamFailed)?;
        bodies::collect(self.state, limit, self.deadline(timeout)).await
    }

    async fn buffered_body(&self) -> Result<Vec<u8>, Fault> {
        self.check(Fault::Internal)?;
        self.state.collected.borrow().as_ref().map(Uint8Array::to_vec).ok_or(Fault::Internal)
    }

    async fn seal_and_store<O: Object>(
        &self,
        name: &str,
        command: &O::Command,
        sealing: Sealing<'_>,
    ) -> Result<O::Reply, Fault> {
        self.check(Fault::StoreUnavailable)?;
        let call = self.call::<O>(name, command)?;
        let told = self.write_sealed(&call, sealing).await.map_err(|_| Fault::StoreUnavailable)?;
        self.replied(&told)?.parse()
    }

    async fn load_sealed(
        &self,
        keys: &[String],
        elsewhere: Option<&str>,
    ) -> Result<Option<UpstreamResponse<()>>, Fault> {
        self.check(Fault::StoreUnavailable)?;
        let Some(response) = self.read_sealed(keys, elsewhere).await.map_err(|_| Fault::StoreUnavailable)?
        else {
            return Ok(None);
        };
        let found = inbound(&response, 0).map_err(|_| Fault::StoreUnavailable)?;
        *self.state.response.borrow_mut() = Some(response);
        Ok(Some(found))
    }

    async fn field(&self, name: &str, limit: usize) -> Result<Option<String>, BodyError> {
        self.survive_disconnect();
        let deadline = self.deadline(BODY_TIMEOUT);
        let body = self.read(limit, deadline).await?;
        let content_type =
            self.state.request.headers().get("content-type").ok().flatten().unwrap_or_default();
        Ok(bodies::field(&self.state.waiter, &body, &content_type, name, deadline).await)
    }

    async fn call_external(&self, question: ExternalRequest<'_>) -> Result<ExternalResponse, Fault> {
        self.check(Fault::StoreUnavailable)?;
        upstream::call_external(&self.state.waiter, &self.state.env, question).await
    }

    async fn platform_rate_limit(&self, binding: &str, key: &str) -> Result<Gate, Fault> {
        self.check(Fault::StoreUnavailable)?;
        let limiter = sys::binding::<RateLimiter>(&self.state.env, binding);
        let key = sys::object_with("key", &JsValue::from_str(key));
        let asked = limiter.and_then(|limiter| limiter.limit(key)).map(JsValue::from);
        let told = self.value(asked, self.deadline(GATE_TIMEOUT)).await?;
        // Nothing else than a yes or a no counts as either.
        match sys::member(&told, "success").ok().and_then(|success| success.as_bool()) {
            Some(true) => Ok(Gate::Open),
            Some(false) => Ok(Gate::Shut),
            None => Err(Fault::StoreUnavailable),
        }
    }

    async fn kv_get(&self, name: &str) -> Result<Option<String>, Fault> {
        let found = self.value(kv::get(&self.state.env, name), self.deadline(STORE_TIMEOUT)).await?;
        Ok(found.as_string())
    }

    async fn kv_put(&self, name: &str, value: &str) -> Result<(), Fault> {
        self.check(Fault::StoreUnavailable)?;
        self.value(kv::put(&self.state.env, name, value), self.deadline(STORE_TIMEOUT)).await.map(drop)
    }

    fn log(&self, line: &str) {
        if self.dry_run.is_none() {
            sys::log(line);
        }
    }

    fn survive_disconnect(&self) {
        if self.dry_run.is_none() {
            self.state.waiter.survive_disconnect(&self.state.event);
        }
    }

    fn dry_run(&self) -> Self {
        let Self { state, config, origin, .. } = *self;
        Self { state, config, origin, dry_run: Some(DryRun::default()) }
    }

    fn as_dry_run(&self) -> Option<&DryRun> {
        self.dry_run.as_ref()
    }

    fn hooks(&self) -> &dyn Hooks {
        hooks()
    }

    fn random(&self) -> [u8; 32] {
        sys::random()
    }

    fn memory(&self) -> &Memory {
        &self.state.gate.memory
    }

    fn elapsed(&self) -> u64 {
        milliseconds(self.state.waiter.now() - self.state.waiter.began())
    }
}

impl<'a> Platform<'a> {
    pub(super) fn new(state: &'a RequestState, config: &'a Config, origin: (&'a str, &'a str)) -> Self {
        Self { state, config, origin, dry_run: None }
    }

    /// Refuses to do anything in a dry run, as if it had failed.
    fn check<E>(&self, error: E) -> Result<(), E> {
        if self.dry_run.is_some() { Err(error) } else { Ok(()) }
    }

    fn deadline(&self, timeout: Duration) -> Deadline {
        self.state.waiter.deadline(timeout)
    }

    async fn value(&self, asked: Answer, deadline: Deadline) -> Result<JsValue, Fault> {
        self.state.waiter.value(asked, deadline).await.map_err(|_| Fault::StoreUnavailable)
    }

    async fn read(&self, limit: usize, deadline: Deadline) -> Result<Uint8Array, BodyError> {
        self.check(BodyError::BrokenOff)?;
        bodies::read(self.state, limit, deadline).await
    }

    /// Makes a call of an object. In a dry run, only what asks is called.
    fn call<O: Object>(&self, name: &str, command: &O::Command) -> Result<Call, Fault> {
        if self.dry_run.is_some() && !O::only_asks(command) {
            return Err(Fault::Internal);
        }
        let command = encode(command).map_err(|_| Fault::Internal)?;
        Ok(Call { binding: O::CLASS.binding, name: name.to_owned(), command, now: self.config.fixed_now })
    }

    async fn run_call(&self, call: Call, attached: &JsValue) -> Result<Replied, Fault> {
        let promise = call.start(&self.state.env, attached);
        self.replied(&self.value(promise, self.deadline(STORE_TIMEOUT)).await?)
    }

    /// Reads a reply. The bytes that came with it wait for `open`.
    fn replied(&self, told: &JsValue) -> Result<Replied, Fault> {
        let mut replied = Replied::read(told).ok_or(Fault::StoreUnavailable)?;
        if told.is_object() {
            *self.state.attached.borrow_mut() = replied.attached.take();
        }
        Ok(replied)
    }

    async fn write_sealed(&self, call: &Call, sealing: Sealing<'_>) -> Answer {
        let RequestState { waiter, env, collected, .. } = self.state;
        let deadline = self.deadline(KEEP_TIMEOUT);
        let body = match sealing.body {
            Some(body) => Some(Uint8Array::from(body.as_bytes())),
            None => collected.borrow().clone(),
        };
        let body = body.ok_or_else(|| js_sys::Error::new("no body was collected"))?;
        let sealed = sealing::seal(waiter, sealing.key, sealing.head, &body, deadline).await?;
        let Some((name, seconds)) = sealing.elsewhere else {
            return waiter.value(call.start(env, &sealed), deadline).await;
        };
        waiter.value(kv::put_bytes(env, name, &sealed, seconds), deadline).await?;
        waiter.value(call.start(env, &JsValue::UNDEFINED), deadline).await
    }

    async fn read_sealed(
        &self,
        keys: &[String],
        elsewhere: Option<&str>,
    ) -> Result<Option<Response>, JsValue> {
        let RequestState { waiter, env, attached, .. } = self.state;
        let deadline = self.deadline(STORE_TIMEOUT);
        let sealed = match elsewhere {
            Some(name) => waiter.value(kv::get_bytes(env, name), deadline).await?,
            None => attached.borrow().clone().unwrap_or_default(),
        };
        if !sealed.is_object() {
            return Err(js_sys::Error::new("the answer is not there").into());
        }
        sealing::unseal(waiter, keys, &sealed, deadline).await
    }

    /// Sends something to upstream and waits for the headers of its response.
    async fn send(
        &self,
        sent: Sent<'_>,
        outbound: UpstreamRequest<'_>,
    ) -> Result<UpstreamResponse<()>, Fault> {
        self.check(Fault::UpstreamFailed)?;
        let RequestState { waiter, request, env, incoming, response, .. } = self.state;
        let (route, base) = Route::to(&self.config.upstream, outbound.personal);
        let url = match base {
            Some(base) => format!("{base}{}", outbound.target),
            None => format!("{}://{}{}", self.origin.0, self.origin.1, outbound.target),
        };
        let edits = edits_of(&outbound.edits);
        let copied = match sent {
            Sent::Forwarded => sys::copy_request(request, &url, &edits, incoming.whole().as_ref()),
            Sent::Head => upstream::request("HEAD", &url, &edits, &JsValue::UNDEFINED),
            Sent::Post(body) => upstream::request("POST", &url, &edits, &JsValue::from_str(body)),
        };
        let (asked, deadline) = (self.elapsed(), self.deadline(outbound.timeout));
        let promise = copied.and_then(|copy| route.send(env, &copy)).map_err(|_| Fault::UpstreamFailed)?;
        let found: Response = match waiter.wait(promise, deadline).await {
            Waited::Done(found) => found.unchecked_into(),
            Waited::Failed(_) => return Err(Fault::UpstreamFailed),
            Waited::Late => return Err(Fault::UpstreamTimeout),
        };
        let told = inbound(&found, self.elapsed().saturating_sub(asked))?;
        match sent {
            Sent::Forwarded => *response.borrow_mut() = Some(found),
            Sent::Head => {}
            Sent::Post(_) => upstream::discard(waiter, &found, deadline).await,
        }
        Ok(told)
    }
}

/// How long a store may take. It answers in milliseconds or something is wrong with it.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the platform's own counter may take: it is there to be quick.
const GATE_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a store may take to keep an answer, of which some have megabytes.
const KEEP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a small body may take to come in.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
