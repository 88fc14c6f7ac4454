//! Upstream, reached through the platform: across the network, a service binding or static assets.

use js_sys::{Date, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::worker_sys::web_sys::{Request, Response};

use super::glue;
use crate::{
    config::{Config, Upstream},
    effects::{Effects, Inbound, Outbound},
    problem::Fault,
};

/// The platform, for one request.
pub(super) struct Platform<'a> {
    request: &'a Request,
    fetcher: JsValue,
    base: String,
    began: f64,
}

impl<'a> Platform<'a> {
    pub(super) fn new(
        request: &'a Request,
        env: &JsValue,
        config: &Config,
        (scheme, authority): (&str, &str),
        began: f64,
    ) -> Self {
        let binding = |name: &str| Reflect::get(env, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED);
        let (fetcher, base) = match &config.upstream {
            Upstream::Origin(origin) => (JsValue::UNDEFINED, origin.as_str().to_owned()),
            // A binding is asked by the public URL; which host that names is no matter to it.
            Upstream::Service => (binding("UPSTREAM"), format!("{scheme}://{authority}")),
            Upstream::Assets => (binding("ASSETS"), format!("{scheme}://{authority}")),
        };
        Self { request, fetcher, base, began }
    }
}

impl Effects for Platform<'_> {
    type Response = Response;

    async fn upstream(&self, outbound: Outbound<'_>) -> Result<Inbound<Response>, Fault> {
        let url = format!("{}{}", self.base, outbound.target);
        let edits = glue::write_edits(&outbound.edits);
        let milliseconds = outbound.timeout.as_secs_f64() * 1_000.0;
        let asked = self.elapsed();
        let promise = glue::forward(
            &self.fetcher,
            self.request,
            &url,
            &edits,
            outbound.personal && self.fetcher.is_undefined(),
            milliseconds,
        )
        .map_err(|_| Fault::UpstreamFailed)?;
        let response = JsFuture::from(promise).await.map_err(|_| Fault::UpstreamFailed)?;
        if response.is_null() {
            return Err(Fault::UpstreamTimeout);
        }
        let response: Response = response.dyn_into().map_err(|_| Fault::UpstreamFailed)?;
        let account = glue::describe_response(&response);
        let (status, fields) = account.split_once('\n').unwrap_or((&account, ""));
        // What HTTP does not have as a status (RFC 9110 §15) is no answer.
        let status = status.parse().ok().filter(|status| (100..600).contains(status));
        let status = status.ok_or(Fault::UpstreamFailed)?;
        let fields = fields.to_owned();
        Ok(Inbound { status, elapsed_ms: self.elapsed().saturating_sub(asked), fields, response })
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from f64 saturates")]
    fn elapsed(&self) -> u64 {
        (Date::now() - self.began) as u64
    }
}
