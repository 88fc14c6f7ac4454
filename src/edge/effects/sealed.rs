//! Sealed responses and texts: seals them, stores them, and opens them again.

use std::time::Duration;

use js_sys::Uint8Array;
use wasm_bindgen::JsValue;
use web_sys::Response;

use super::{EdgeEffects, STORE_TIMEOUT};
use crate::{
    base::encoding,
    crypto::derive::DerivedKey,
    edge::{
        calls::{Call, ObjectReply},
        kv,
        pending::JsResult,
        request::RequestState,
        response::read_response,
        sealing,
    },
    http::problem::Fault,
    platform::{
        effects::{
            KvEntry, OpenedText, SealedAnswers, SealedBody, SealedTexts, Sealing, StoredAnswer,
            UpstreamResponse,
        },
        store::Object,
    },
};

impl SealedAnswers for EdgeEffects<'_> {
    async fn seal_and_store<O: Object>(
        &self,
        name: &str,
        command: &O::Command,
        sealing: Sealing<'_>,
    ) -> Result<O::Reply, Fault> {
        self.reject_in_dry_run(Fault::StoreUnavailable)?;
        let call = self.call::<O>(name, command)?;
        let reply = self.write_sealed(&call, sealing).await.map_err(|_| Fault::StoreUnavailable)?;
        ObjectReply::from_js(&reply).ok_or(Fault::StoreUnavailable)?.parse()
    }

    async fn load_sealed(
        &self,
        keys: &[String],
        stored: StoredAnswer<'_, JsValue>,
    ) -> Result<Option<UpstreamResponse<()>>, Fault> {
        self.reject_in_dry_run(Fault::StoreUnavailable)?;
        let Some(response) = self.read_sealed(keys, stored).await.map_err(|_| Fault::StoreUnavailable)?
        else {
            return Ok(None);
        };
        let found = read_response(&response, 0).map_err(|_| Fault::StoreUnavailable)?;
        *self.state.response.borrow_mut() = Some(response);
        Ok(Some(found))
    }
}

impl SealedTexts for EdgeEffects<'_> {
    async fn seal_text(&self, key: &DerivedKey, text: &str) -> Result<String, Fault> {
        let sealed = sealing::seal_text(&self.state.waiter, key, text, self.deadline(STORE_TIMEOUT)).await;
        sealed.map(|sealed| encoding::base64url(&sealed)).map_err(|_| Fault::Internal)
    }

    async fn open_text(&self, keys: &[DerivedKey], sealed: &str) -> Result<Option<OpenedText>, Fault> {
        let Some(sealed) = encoding::from_base64url(sealed) else { return Ok(None) };
        for (at, key) in keys.iter().enumerate() {
            let deadline = self.deadline(STORE_TIMEOUT);
            let opened = sealing::open_text(&self.state.waiter, key, &sealed, deadline).await;
            if let Some(text) = opened.map_err(|_| Fault::Internal)? {
                return Ok(Some(OpenedText { text, has_stale_key: at > 0 }));
            }
        }
        Ok(None)
    }
}

impl EdgeEffects<'_> {
    async fn write_sealed(&self, call: &Call, sealing: Sealing<'_>) -> JsResult {
        let RequestState { waiter, env, response_body, .. } = self.state;
        let deadline = self.deadline(STORE_SEALED_TIMEOUT);
        let body = match sealing.body {
            SealedBody::Own(body) => Some(Uint8Array::from(body.as_bytes())),
            SealedBody::Upstream(_) => response_body.borrow().clone(),
        };
        let body = body.ok_or_else(|| js_sys::Error::new("no response body was buffered"))?;
        let sealed = sealing::seal(waiter, sealing.key, sealing.head, &body, deadline).await?;
        let Some(KvEntry { name, lifetime }) = sealing.kv_entry else {
            return waiter.value(call.start(env, &sealed), deadline).await;
        };
        waiter.value(kv::put_bytes(env, name, &sealed, lifetime), deadline).await?;
        waiter.value(call.start(env, &JsValue::UNDEFINED), deadline).await
    }

    async fn read_sealed(
        &self,
        keys: &[String],
        stored: StoredAnswer<'_, JsValue>,
    ) -> Result<Option<Response>, JsValue> {
        let RequestState { waiter, env, .. } = self.state;
        let deadline = self.deadline(STORE_TIMEOUT);
        let sealed = match stored {
            StoredAnswer::Kv(name) => waiter.value(kv::get_bytes(env, name), deadline).await?,
            StoredAnswer::Attached(bytes) => bytes,
        };
        if !sealed.is_object() {
            return Err(js_sys::Error::new("the sealed response is missing").into());
        }
        sealing::unseal(waiter, keys, &sealed, deadline).await
    }
}

/// Timeout for storing a sealed response, which can have megabytes.
const STORE_SEALED_TIMEOUT: Duration = Duration::from_secs(10);
