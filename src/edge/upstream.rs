//! Requests to upstream: forwarded ones, those for files of the assets binding, and deliveries of an inbox.

use wasm_bindgen::JsValue;
use web_sys::{AbortSignal, Request, RequestCache, RequestInit, RequestRedirect, Response};
use worker::{Env, worker_sys::Fetcher};

use super::{
    calls::ObjectReply,
    headers::{HeaderEdit, push_edit, serialize_edits},
    isolate::isolate,
    pending::{Deadline, JsResult, WaitOutcome, Waiter},
    request::seconds,
    sys,
};
use crate::{
    http::origin::host_of,
    platform::{effects::AssetRequest, store::decode},
    upstream::settings::Upstream,
    webhooks::{delivery, inbox},
};

/// The way in which a request reaches upstream.
pub(super) enum Transport<'a> {
    /// Through this binding.
    Binding(&'static str),
    /// Over the network. Personal responses bypass Cloudflare's cache, which is keyed by the URL only.
    Network {
        /// The host in the same zone to which the platform resolves the public name (`resolveOverride`).
        resolve_to: Option<&'a str>,
        is_personal: bool,
    },
}

impl<'a> Transport<'a> {
    /// Returns the transport to upstream, and the origin of the request's URL. `None` is the public origin. Bindings
    /// use the public origin, too: they ignore the host.
    pub(super) fn for_upstream(upstream: &'a Upstream, is_personal: bool) -> (Self, Option<&'a str>) {
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

    /// Sends a request. Returns a promise of the response.
    pub(super) fn send(&self, env: &Env, request: &Request) -> JsResult {
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

/// Sends a request for a file to the assets binding. It has no header but `If-None-Match`.
pub(super) fn request_asset(env: &Env, origin: &str, asset: AssetRequest<'_>) -> JsResult {
    let mut edits = String::new();
    if let Some(known) = asset.if_none_match {
        push_edit(&mut edits, HeaderEdit::Set("if-none-match", known));
    }
    let url = format!("{origin}{}", asset.path);
    let request = new_request(asset.method, &url, &edits, &JsValue::UNDEFINED)?;
    Transport::Binding("ASSETS").send(env, &request)
}

/// Creates a request of the gateway's own. It does not follow redirects.
pub(super) fn new_request(method: &str, url: &str, edits: &str, body: &JsValue) -> Result<Request, JsValue> {
    let request = Request::new_with_str_and_init(url, &request_init(method, body))?;
    // The copy has the edited headers.
    sys::copy_request(&request, url, edits, None)
}

/// Returns the method, the redirect mode and the body of a request of the gateway's own.
pub(super) fn request_init(method: &str, body: &JsValue) -> RequestInit {
    let init = RequestInit::new();
    init.set_method(method);
    init.set_redirect(RequestRedirect::Manual);
    if !body.is_undefined() {
        init.set_body(body);
    }
    init
}

/// Delivers an event that an inbox has loaded. Returns the response's status, or 0 if there is no response.
pub(super) async fn deliver(waiter: &Waiter, env: &Env, loaded: &ObjectReply) -> u16 {
    let Some(Ok((promise, deadline))) = start_delivery(waiter, env, loaded) else { return 0 };
    let WaitOutcome::Fulfilled(response) = waiter.wait(promise, deadline).await else { return 0 };
    let response: Response = response.into();
    cancel_body(waiter, &response, deadline).await;
    response.status()
}

fn start_delivery(
    waiter: &Waiter,
    env: &Env,
    loaded: &ObjectReply,
) -> Option<Result<(JsValue, Deadline), JsValue>> {
    let Ok(inbox::Reply::Event(event)) = decode(&loaded.reply) else { return None };
    let isolate = isolate(env);
    let config = isolate.config.as_ref()?;
    let outbound =
        delivery::request(config.upstream_context(), &config.webhooks, &event, seconds(waiter.now()))?;
    let (transport, base) = Transport::for_upstream(&config.upstream.application, outbound.personal);
    let url =
        format!("{}{}", base.unwrap_or(config.site.return_path.public.first()?.as_str()), outbound.target);
    let mut edits = String::with_capacity(2_048);
    for (name, value) in event.header_lines.headers().iter() {
        push_edit(&mut edits, HeaderEdit::Set(name, value));
    }
    let gateway_edits = serialize_edits(&outbound.edits);
    if !edits.is_empty() && !gateway_edits.is_empty() {
        edits.push('\n');
    }
    edits.push_str(&gateway_edits);
    let body = loaded.attached.clone().unwrap_or_default();
    let send = || {
        let init = request_init("POST", &body);
        init.set_signal(Some(&AbortSignal::timeout_with_f64(outbound.timeout.as_secs_f64() * 1_000.0)));
        let request = Request::new_with_str_and_init(&url, &init)?;
        transport.send(env, &sys::copy_request(&request, &url, &edits, None)?)
    };
    Some(send().map(|promise| (promise, waiter.deadline(outbound.timeout))))
}

/// Cancels a body that is not read.
pub(super) async fn cancel_body(waiter: &Waiter, response: &Response, deadline: Deadline) {
    if let Some(body) = response.body() {
        waiter.wait(body.cancel().into(), deadline).await;
    }
}
