//! Implements the core's [`Effects`](crate::platform::effects::Effects) over the platform.
//!
//! | file | contents |
//! |---|---|
//! | `effects.rs` | requests to upstream, calls of objects, the request's body, KV, the isolate, dry runs |
//! | `effects/external.rs` | external services, and the platform's rate limit |
//! | `effects/sealed.rs` | sealed responses and texts |

mod external;
mod sealed;

pub(super) use external::send_post;

use std::time::Duration;

use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Response;

use super::{
    analytics, bodies,
    calls::{Call, ObjectReply},
    headers::serialize_edits,
    isolate::hooks,
    kv,
    pending::{Deadline, JsResult, WaitOutcome},
    request::{self, RequestState, milliseconds},
    response::read_response,
    sys,
    upstream::{self, Transport},
};
use crate::{
    config::Config,
    guards::policy::{Hooks, WithHooks},
    http::problem::Fault,
    platform::{
        effects::{
            AssetRequest, BodyError, BodyWasRead, Buffered, BufferedResponse, ClientPlace, DataPoint, DryRun,
            DryRuns, HashedBody, Isolate, Kv, ObjectCalls, ReadBody, RequestBody, UpstreamCalls,
            UpstreamRequest, UpstreamResponse,
        },
        memory::Memory,
        store::{Object, encode},
    },
};

/// The platform for one request.
pub(super) struct EdgeEffects<'a> {
    state: &'a RequestState,
    config: &'a Config,
    /// The request's scheme and authority.
    origin: (&'a str, &'a str),
    /// Set in a dry run. Then nothing is written, and neither upstream nor an external service is called.
    dry_run: Option<DryRun>,
}

/// The kinds of requests to upstream.
enum RequestKind<'a> {
    /// The client's request.
    Forwarded,
    /// A `HEAD` request that contains nothing from the client's request.
    Head,
    /// A `POST` request with this body, likewise.
    Post(&'a str),
}

impl UpstreamCalls for EdgeEffects<'_> {
    /// The response stays in [`RequestState`].
    type Response = ();

    async fn upstream(&self, outbound: UpstreamRequest<'_>) -> Result<UpstreamResponse<()>, Fault> {
        self.send(RequestKind::Forwarded, outbound).await
    }

    async fn asset(&self, asset: AssetRequest<'_>) -> Result<UpstreamResponse<()>, Fault> {
        self.reject_in_dry_run(Fault::UpstreamFailed)?;
        let origin = format!("{}://{}", self.origin.0, self.origin.1);
        let promise = upstream::request_asset(&self.state.env, &origin, asset);
        let (started, deadline) = (self.elapsed(), self.deadline(ASSET_TIMEOUT));
        let found = self.receive(promise, deadline).await?;
        let asset = read_response(&found, self.elapsed().saturating_sub(started))?;
        *self.state.response.borrow_mut() = Some(found);
        Ok(asset)
    }

    async fn head(&self, outbound: UpstreamRequest<'_>) -> Result<UpstreamResponse<()>, Fault> {
        self.send(RequestKind::Head, outbound).await
    }

    async fn post(&self, outbound: UpstreamRequest<'_>, body: &str) -> Result<UpstreamResponse<()>, Fault> {
        self.send(RequestKind::Post(body), outbound).await
    }

    async fn buffer_response(&self, limit: usize, timeout: Duration) -> Result<BufferedResponse, Fault> {
        self.reject_in_dry_run(Fault::UpstreamFailed)?;
        bodies::buffer_response(self.state, limit, self.deadline(timeout)).await
    }

    async fn buffered_body(&self, _: Buffered) -> Result<Vec<u8>, Fault> {
        self.reject_in_dry_run(Fault::Internal)?;
        self.state.response_body.borrow().as_ref().map(Uint8Array::to_vec).ok_or(Fault::Internal)
    }
}

impl ObjectCalls for EdgeEffects<'_> {
    /// An `ArrayBuffer`.
    type Attachment = JsValue;

    async fn call_for_attachment<O: Object>(
        &self,
        name: &str,
        command: &O::Command,
    ) -> Result<(O::Reply, Option<JsValue>), Fault> {
        let call = self.call::<O>(name, command)?;
        let reply = self.call_and_wait(call, &JsValue::UNDEFINED).await?;
        Ok((reply.parse()?, reply.attached))
    }

    async fn call_object<O: Object>(&self, name: &str, command: &O::Command) -> Result<O::Reply, Fault> {
        let call = self.call::<O>(name, command)?;
        self.call_and_wait(call, &JsValue::UNDEFINED).await?.parse()
    }

    fn call_after_response<O: Object>(&self, name: &str, command: &O::Command) {
        if self.dry_run.is_some() {
            return;
        }
        self.state.deferred_calls.borrow_mut().extend(self.call::<O>(name, command));
    }

    async fn call_with_body<O: Object>(
        &self,
        name: &str,
        command: &O::Command,
        _: BodyWasRead,
    ) -> Result<O::Reply, Fault> {
        let call = self.call::<O>(name, command)?;
        let body = self.state.request_body.bytes().map(JsValue::from).unwrap_or_default();
        self.call_and_wait(call, &body).await?.parse()
    }
}

impl RequestBody for EdgeEffects<'_> {
    async fn body(&self, limit: usize) -> Result<String, BodyError> {
        let body = self.read(limit, self.deadline(BODY_TIMEOUT)).await?;
        String::from_utf8(body.to_vec()).map_err(|_| BodyError::NotText)
    }

    async fn bytes(&self, limit: usize) -> Result<ReadBody, BodyError> {
        self.survive_disconnect();
        Ok(ReadBody::new(self.read(limit, self.deadline(BODY_TIMEOUT)).await?.to_vec()))
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

    async fn field(&self, name: &str, limit: usize) -> Result<Option<String>, BodyError> {
        self.survive_disconnect();
        let deadline = self.deadline(BODY_TIMEOUT);
        let body = self.read(limit, deadline).await?;
        let content_type =
            self.state.request.headers().get("content-type").ok().flatten().unwrap_or_default();
        Ok(bodies::field(&self.state.waiter, &body, &content_type, name, deadline).await)
    }
}

impl Kv for EdgeEffects<'_> {
    async fn kv_get(&self, name: &str) -> Result<Option<String>, Fault> {
        let found = self.value(kv::get(&self.state.env, name), self.deadline(STORE_TIMEOUT)).await?;
        Ok(found.as_string())
    }

    async fn kv_put(&self, name: &str, value: &str) -> Result<(), Fault> {
        self.reject_in_dry_run(Fault::StoreUnavailable)?;
        self.value(kv::put(&self.state.env, name, value), self.deadline(STORE_TIMEOUT)).await.map(drop)
    }
}

impl Isolate for EdgeEffects<'_> {
    fn log(&self, line: &str) {
        if self.dry_run.is_none() {
            sys::log(line);
        }
    }

    fn write_data_point(&self, point: DataPoint<'_>) {
        if self.dry_run.is_none() {
            // Nothing depends on a data point.
            let _ = analytics::write(&self.state.env, point);
        }
    }

    fn survive_disconnect(&self) {
        if self.dry_run.is_none() {
            self.state.waiter.survive_disconnect(&self.state.event);
        }
    }

    fn random(&self) -> [u8; 32] {
        sys::random()
    }

    fn client_place(&self) -> ClientPlace {
        request::client_place(&self.state.request)
    }

    fn memory(&self) -> &Memory {
        &self.state.isolate.memory
    }

    fn elapsed(&self) -> u64 {
        milliseconds(self.state.waiter.now() - self.state.waiter.started_at())
    }
}

impl DryRuns for EdgeEffects<'_> {
    fn dry_run(&self) -> Self {
        let Self { state, config, origin, .. } = *self;
        Self { state, config, origin, dry_run: Some(DryRun::default()) }
    }

    fn as_dry_run(&self) -> Option<&DryRun> {
        self.dry_run.as_ref()
    }
}

impl WithHooks for EdgeEffects<'_> {
    fn hooks(&self) -> &dyn Hooks {
        hooks()
    }
}

impl<'a> EdgeEffects<'a> {
    pub(super) fn new(state: &'a RequestState, config: &'a Config, origin: (&'a str, &'a str)) -> Self {
        Self { state, config, origin, dry_run: None }
    }

    /// Returns the error in a dry run, as if the operation had failed.
    fn reject_in_dry_run<E>(&self, error: E) -> Result<(), E> {
        if self.dry_run.is_some() { Err(error) } else { Ok(()) }
    }

    fn deadline(&self, timeout: Duration) -> Deadline {
        self.state.waiter.deadline(timeout)
    }

    async fn value(&self, promise: JsResult, deadline: Deadline) -> Result<JsValue, Fault> {
        self.state.waiter.value(promise, deadline).await.map_err(|_| Fault::StoreUnavailable)
    }

    async fn read(&self, limit: usize, deadline: Deadline) -> Result<Uint8Array, BodyError> {
        self.reject_in_dry_run(BodyError::BrokenOff)?;
        bodies::read(self.state, limit, deadline).await
    }

    /// Builds a call of an object. In a dry run, only read-only commands are allowed.
    fn call<O: Object>(&self, name: &str, command: &O::Command) -> Result<Call, Fault> {
        if self.dry_run.is_some() && !O::is_read_only(command) {
            return Err(Fault::Internal);
        }
        let command = encode(command).map_err(|_| Fault::Internal)?;
        Ok(Call {
            binding: O::CLASS.binding,
            name: name.to_owned(),
            command,
            now: self.config.site.fixed_now,
        })
    }

    async fn call_and_wait(&self, call: Call, attached: &JsValue) -> Result<ObjectReply, Fault> {
        let promise = call.start(&self.state.env, attached);
        let reply = self.value(promise, self.deadline(STORE_TIMEOUT)).await?;
        ObjectReply::from_js(&reply).ok_or(Fault::StoreUnavailable)
    }

    /// Waits for the headers of a response.
    async fn receive(&self, promise: JsResult, deadline: Deadline) -> Result<Response, Fault> {
        let promise = promise.map_err(|_| Fault::UpstreamFailed)?;
        match self.state.waiter.wait(promise, deadline).await {
            WaitOutcome::Fulfilled(found) => Ok(found.unchecked_into()),
            WaitOutcome::Rejected(_) => Err(Fault::UpstreamFailed),
            WaitOutcome::TimedOut => Err(Fault::UpstreamTimeout),
        }
    }

    /// Sends a request to upstream and waits for the headers of its response.
    async fn send(
        &self,
        kind: RequestKind<'_>,
        outbound: UpstreamRequest<'_>,
    ) -> Result<UpstreamResponse<()>, Fault> {
        self.reject_in_dry_run(Fault::UpstreamFailed)?;
        let RequestState { waiter, request, env, request_body, response, .. } = self.state;
        let (transport, base) = Transport::for_upstream(&self.config.upstream.application, outbound.personal);
        let url = match base {
            Some(base) => format!("{base}{}", outbound.target),
            None => format!("{}://{}{}", self.origin.0, self.origin.1, outbound.target),
        };
        let edits = serialize_edits(&outbound.edits);
        let copied = match kind {
            RequestKind::Forwarded => sys::copy_request(request, &url, &edits, request_body.bytes().as_ref()),
            RequestKind::Head => upstream::new_request("HEAD", &url, &edits, &JsValue::UNDEFINED),
            RequestKind::Post(body) => upstream::new_request("POST", &url, &edits, &JsValue::from_str(body)),
        };
        let (started, deadline) = (self.elapsed(), self.deadline(outbound.timeout));
        let promise = copied.and_then(|copy| transport.send(env, &copy));
        let found = self.receive(promise, deadline).await?;
        let upstream_response = read_response(&found, self.elapsed().saturating_sub(started))?;
        match kind {
            RequestKind::Forwarded => *response.borrow_mut() = Some(found),
            RequestKind::Head => {}
            RequestKind::Post(_) => upstream::cancel_body(waiter, &found, deadline).await,
        }
        Ok(upstream_response)
    }
}

/// Timeout of a store. A store replies within milliseconds unless something is wrong.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// Timeout of the assets binding.
const ASSET_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout for reading a small body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
