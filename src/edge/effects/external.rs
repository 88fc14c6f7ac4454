//! Calls of external services, and of the platform's rate limit.

use std::time::Duration;

use js_sys::Promise;
use wasm_bindgen::JsValue;
use web_sys::{AbortSignal, Headers, Request, Response};
use worker::{
    Env,
    worker_sys::{Fetcher, RateLimiter},
};

use super::EdgeEffects;
use crate::{
    edge::{
        bodies,
        pending::{JsResult, Waiter},
        sys,
        upstream::request_init,
    },
    platform::effects::{
        DeferredPost, ExternalAddress, ExternalCalls, ExternalRequest, ExternalResponse, ExternalUnavailable,
        MAX_EXTERNAL_RESPONSE_BYTES, PlatformLimit,
    },
};

impl ExternalCalls for EdgeEffects<'_> {
    async fn call_external(
        &self,
        request: ExternalRequest<'_>,
    ) -> Result<ExternalResponse, ExternalUnavailable> {
        self.reject_in_dry_run(ExternalUnavailable)?;
        call_external(&self.state.waiter, &self.state.env, request).await
    }

    fn post_after_response(&self, post: DeferredPost) {
        if self.dry_run.is_none() {
            self.state.deferred_posts.borrow_mut().push(post);
        }
    }

    async fn platform_rate_limit(
        &self,
        binding: &str,
        key: &str,
    ) -> Result<PlatformLimit, ExternalUnavailable> {
        self.reject_in_dry_run(ExternalUnavailable)?;
        let limiter = sys::binding::<RateLimiter>(&self.state.env, binding);
        let key = sys::object_with("key", &JsValue::from_str(key));
        let promise = limiter.and_then(|limiter| limiter.limit(key)).map(JsValue::from);
        let outcome = self.state.waiter.value(promise, self.deadline(RATE_LIMIT_TIMEOUT)).await;
        let outcome = outcome.map_err(|_| ExternalUnavailable)?;
        // Anything other than a boolean is an error.
        match sys::property(&outcome, "success").ok().and_then(|success| success.as_bool()) {
            Some(true) => Ok(PlatformLimit::Allowed),
            Some(false) => Ok(PlatformLimit::Limited),
            None => Err(ExternalUnavailable),
        }
    }
}

/// Sends a POST request to an external service, and reads the response up to a limit. Does not follow redirects.
async fn call_external(
    waiter: &Waiter,
    env: &Env,
    request: ExternalRequest<'_>,
) -> Result<ExternalResponse, ExternalUnavailable> {
    let deadline = waiter.deadline(request.timeout);
    let promise = send_external(env, request);
    let response: Response = waiter.value(promise, deadline).await.map_err(|_| ExternalUnavailable)?.into();
    let body = bodies::read_stream(waiter, response.body(), MAX_EXTERNAL_RESPONSE_BYTES, deadline).await;
    let body = body.map_err(|_| ExternalUnavailable)?;
    let body = String::from_utf8(body.to_vec()).map_err(|_| ExternalUnavailable)?;
    Ok(ExternalResponse { status: response.status(), body })
}

/// Sends a deferred request until it is accepted, at most as often as [`PAUSES`] says.
pub(in crate::edge) async fn send_post(waiter: &Waiter, env: &Env, post: &DeferredPost) {
    let request = ExternalRequest {
        address: post.address.of_request(),
        content_type: "application/json",
        headers: &post.headers,
        body: &post.body,
        timeout: POST_TIMEOUT,
    };
    let mut status = None;
    for pause in PAUSES {
        if let Some(pause) = pause {
            let never = Promise::new(&mut |_, _| {});
            waiter.wait(never.into(), waiter.deadline(*pause)).await;
        }
        status = call_external(waiter, env, request).await.ok().map(|response| response.status);
        match status {
            Some(200..=299) => return,
            // The service will not accept it later, either.
            Some(400..=407 | 409..=428 | 430..=499) => break,
            _ => {}
        }
    }
    let event = format!("{}_failed", post.service);
    let line = serde_json::json!({ "event": event, "status": status });
    web_sys::console::error_1(&JsValue::from_str(&line.to_string()));
}

fn send_external(env: &Env, request: ExternalRequest<'_>) -> JsResult {
    let headers = Headers::new()?;
    headers.set("content-type", request.content_type)?;
    headers.set("accept", "application/json")?;
    for (name, value) in request.headers {
        headers.set(name, value)?;
    }
    let init = request_init("POST", &JsValue::from_str(request.body));
    init.set_headers(&headers);
    init.set_signal(Some(&AbortSignal::timeout_with_f64(request.timeout.as_secs_f64() * 1_000.0)));
    match request.address {
        ExternalAddress::Url(url) => sys::fetch(&Request::new_with_str_and_init(url, &init)?),
        ExternalAddress::Binding(binding) => {
            // The service sees this URL: the host is the name of the binding.
            let url = format!("https://{}.invalid/", binding.to_ascii_lowercase());
            let request = Request::new_with_str_and_init(&url, &init)?;
            sys::binding::<Fetcher>(env, binding)?.fetch(&request).map(JsValue::from)
        }
    }
}

/// The pauses before the attempts at a deferred request. With the timeouts, they fit into the half minute that the
/// platform gives after a response.
const PAUSES: &[Option<Duration>] = &[None, Some(Duration::from_secs(1)), Some(Duration::from_secs(4))];

/// Timeout of an attempt at a deferred request.
const POST_TIMEOUT: Duration = Duration::from_secs(8);

/// Timeout of the platform's rate limiter, which must be fast.
const RATE_LIMIT_TIMEOUT: Duration = Duration::from_millis(500);
