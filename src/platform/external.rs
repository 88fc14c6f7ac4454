//! Services outside, and the platform's rate limit.

use std::{fmt, time::Duration};

/// Services outside, and the platform's rate limit.
#[expect(async_fn_in_trait, reason = "one thread: a Worker's futures need not be Send")]
pub trait ExternalCalls {
    /// Sends a `POST` request to an external service.
    ///
    /// # Errors
    /// [`ExternalUnavailable`] if no response arrives in time, or a response that is not UTF-8 or longer than
    /// [`MAX_EXTERNAL_RESPONSE_BYTES`].
    async fn call_external(
        &self,
        request: ExternalRequest<'_>,
    ) -> Result<ExternalResponse, ExternalUnavailable>;

    /// Sends a request after the response, and sends it again if it is not accepted. Its result is only logged.
    fn post_after_response(&self, _post: DeferredPost) {}

    /// Counts one more request at the platform's rate limit binding of this name.
    ///
    /// # Errors
    /// [`ExternalUnavailable`] if the binding does not answer yes or no.
    async fn platform_rate_limit(
        &self,
        binding: &str,
        key: &str,
    ) -> Result<PlatformLimit, ExternalUnavailable>;
}

/// An external service gave no usable answer. The caller decides what that means for the request: a guard rejects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExternalUnavailable;

/// A request to an external service.
#[derive(Clone, Copy, Debug)]
pub struct ExternalRequest<'a> {
    /// The URL or the binding of the service.
    pub address: ExternalAddress<'a>,
    /// The `Content-Type` of the body.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: &'a [(&'static str, String)],
    /// The body.
    pub body: &'a str,
    /// The maximum time until the whole response has arrived.
    pub timeout: Duration,
}

/// The address of an external service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExternalAddress<'a> {
    /// A URL on the network.
    Url(&'a str),
    /// The name of a service binding.
    Binding(&'a str),
}

/// The address of an external service, as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceAddress {
    /// A URL on the network.
    Url(String),
    /// The name of a service binding.
    Binding(&'static str),
}

impl ServiceAddress {
    /// Returns the address for a request.
    #[must_use]
    pub fn of_request(&self) -> ExternalAddress<'_> {
        match self {
            Self::Url(url) => ExternalAddress::Url(url),
            Self::Binding(name) => ExternalAddress::Binding(name),
        }
    }
}

/// A `POST` of JSON that is sent after the response.
pub struct DeferredPost {
    /// The name of the service, for the log.
    pub service: &'static str,
    /// The address.
    pub address: ServiceAddress,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl fmt::Debug for DeferredPost {
    /// Shows neither headers nor body: they may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeferredPost").field("service", &self.service).finish_non_exhaustive()
    }
}

/// The response of an external service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalResponse {
    /// The status.
    pub status: u16,
    /// The body, of at most [`MAX_EXTERNAL_RESPONSE_BYTES`] bytes.
    pub body: String,
}

/// Maximum length of an external response, in bytes.
pub const MAX_EXTERNAL_RESPONSE_BYTES: usize = 65_536;

/// The answer of the platform's rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlatformLimit {
    /// The request may pass.
    Allowed,
    /// The limit is reached.
    Limited,
}
