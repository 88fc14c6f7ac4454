//! Requests to upstream, and to others outside.

use wasm_bindgen::JsValue;
use web_sys::{AbortSignal, Headers, Request, RequestCache, RequestInit, RequestRedirect, Response};
use worker::{Env, worker_sys::Fetcher};

use super::{
    bodies,
    calls::Replied,
    gate::gate,
    pending::{Answer, Deadline, Waited, Waiter},
    request::seconds,
    response::{edits_of, push_edit},
    sys,
};
use crate::{
    config::Upstream,
    context::Headers as Fields,
    effects::{ExternalRequest, ExternalResponse, ExternalTarget, LONGEST_TOLD},
    forward, inbox,
    origin::host_of,
    problem::Fault,
    store::decode,
};

/// How upstream is reached.
pub(super) enum Route<'a> {
    /// By this binding.
    Binding(&'static str),
    /// Over the network. What is personal goes past Cloudflare's cache, which would keep it by its URL alone.
    Network {
        /// The host that the platform resolves the public name to, in the same zone.
        resolve_to: Option<&'a str>,
        is_personal: bool,
    },
}

impl<'a> Route<'a> {
    /// Returns how upstream is reached, and under which origin: `None` for the public one, by which a binding is asked
    /// too. Which host that names makes no difference to it.
    pub(super) fn to(upstream: &'a Upstream, is_personal: bool) -> (Self, Option<&'a str>) {
        match upstream {
            Upstream::Origin(origin) => {
                (Self::Network { resolve_to: None, is_personal }, Some(origin.as_str()))
            }
            Upstream::SameZone(origin) => {
                (Self::Network { resolve_to: Some(host_of(origin.authority())), is_personal }, None)
            }
            Upstream::Service => (Self::Binding("UPSTREAM"), None),
            Upstream::Assets => (Self::Binding("ASSETS"), None),
        }
    }

    /// Sends a request; gives a promise of the response.
    pub(super) fn send(&self, env: &Env, request: &Request) -> Answer {
        let (resolve_to, is_personal) = match self {
            Self::Binding(name) => {
                return sys::binding::<Fetcher>(env, name)?.fetch(request).map(JsValue::from);
            }
            Self::Network { resolve_to, is_personal } => (resolve_to, *is_personal),
        };
        if resolve_to.is_none() && !is_personal {
            return sys::fetch(request);
        }
        let init = RequestInit::new();
        if is_personal {
            init.set_cache(RequestCache::NoStore);
        }
        if let Some(host) = resolve_to {
            let cf = sys::object_with("resolveOverride", &JsValue::from_str(host));
            js_sys::Reflect::set(&init, &JsValue::from_str("cf"), &cf)?;
        }
        sys::fetch_with(request, &init)
    }
}

/// Makes a request of Vestibule's own, which follows no redirect.
pub(super) fn request(method: &str, url: &str, edits: &str, body: &JsValue) -> Result<Request, JsValue> {
    let request = Request::new_with_str_and_init(url, &init(method, body))?;
    // Its own copy has the headers that the edits say.
    sys::copy_request(&request, url, edits, None)
}

fn init(method: &str, body: &JsValue) -> RequestInit {
    let init = RequestInit::new();
    init.set_method(method);
    init.set_redirect(RequestRedirect::Manual);
    if !body.is_undefined() {
        init.set_body(body);
    }
    init
}

/// Asks somebody outside by a POST. The answer is read up to a bound, and a redirect is no answer.
pub(super) async fn call_external(
    waiter: &Waiter,
    env: &Env,
    question: ExternalRequest<'_>,
) -> Result<ExternalResponse, Fault> {
    let deadline = waiter.deadline(question.timeout);
    let unavailable = |_| Fault::StoreUnavailable;
    let promise = external(env, question);
    let response: Response = waiter.value(promise, deadline).await.map_err(unavailable)?.into();
    let body = bodies::read_stream(waiter, response.body(), LONGEST_TOLD, deadline).await;
    let body = body.map_err(|_| Fault::StoreUnavailable)?;
    let body = String::from_utf8(body.to_vec()).map_err(|_| Fault::StoreUnavailable)?;
    Ok(ExternalResponse { status: response.status(), body })
}

fn external(env: &Env, question: ExternalRequest<'_>) -> Answer {
    let headers = Headers::new()?;
    headers.set("content-type", question.content_type)?;
    headers.set("accept", "application/json")?;
    let init = init("POST", &JsValue::from_str(question.body));
    init.set_headers(&headers);
    init.set_signal(Some(&AbortSignal::timeout_with_f64(question.timeout.as_secs_f64() * 1_000.0)));
    match question.way {
        ExternalTarget::Url(url) => sys::fetch(&Request::new_with_str_and_init(url, &init)?),
        ExternalTarget::Binding(binding) => {
            // Which host that names makes no difference to a binding.
            let request = Request::new_with_str_and_init("https://policy.invalid/", &init)?;
            sys::binding::<Fetcher>(env, binding)?.fetch(&request).map(JsValue::from)
        }
    }
}

/// Delivers an event that an inbox has loaded. Returns the status, or 0 if it was not answered.
pub(super) async fn deliver(waiter: &Waiter, env: &Env, loaded: &Replied) -> u16 {
    let Some(Ok((promise, deadline))) = delivery(waiter, env, loaded) else { return 0 };
    let Waited::Done(response) = waiter.wait(promise, deadline).await else { return 0 };
    let response: Response = response.into();
    discard(waiter, &response, deadline).await;
    response.status()
}

fn delivery(waiter: &Waiter, env: &Env, loaded: &Replied) -> Option<Result<(JsValue, Deadline), JsValue>> {
    let Ok(inbox::Reply::Event(event)) = decode(&loaded.reply) else { return None };
    let gate = gate(env);
    let config = gate.config.as_ref()?;
    let outbound = forward::delivery(config, &event, seconds(waiter.now()))?;
    let (route, base) = Route::to(&config.upstream, outbound.personal);
    let url = format!("{}{}", base.unwrap_or(config.return_path.public.first()?.as_str()), outbound.target);
    let mut edits = String::with_capacity(2_048);
    for (name, value) in Fields::read(&event.fields).iter() {
        push_edit(&mut edits, '=', name, Some(value));
    }
    let ours = edits_of(&outbound.edits);
    if !edits.is_empty() && !ours.is_empty() {
        edits.push('\n');
    }
    edits.push_str(&ours);
    let body = loaded.attached.clone().unwrap_or_default();
    let send = || {
        let init = init("POST", &body);
        init.set_signal(Some(&AbortSignal::timeout_with_f64(outbound.timeout.as_secs_f64() * 1_000.0)));
        let request = Request::new_with_str_and_init(&url, &init)?;
        route.send(env, &sys::copy_request(&request, &url, &edits, None)?)
    };
    Some(send().map(|promise| (promise, waiter.deadline(outbound.timeout))))
}

/// Cancels a body that nobody reads.
pub(super) async fn discard(waiter: &Waiter, response: &Response, deadline: Deadline) {
    if let Some(body) = response.body() {
        waiter.wait(body.cancel().into(), deadline).await;
    }
}
