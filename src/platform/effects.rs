//! [`Effects`], the only interface by which the core calls anything outside, and the types of its calls.

use std::{cell::RefCell, time::Duration};

use super::{memory::Memory, step::Step, store::Object};
use crate::{
    base::encoding,
    http::{
        problem::{Fault, Rejection},
        reply::HeaderEdits,
        request::Headers,
    },
};

/// Calls from the core to the outside. The edge implements them with the platform's APIs, tests in memory.
#[expect(async_fn_in_trait, reason = "one thread: a Worker's futures need not be Send")]
pub trait Effects {
    /// An upstream response with its body. The core passes it on and does not look inside.
    type Response;

    /// Forwards the client's request to upstream, with these changes.
    ///
    /// # Errors
    /// [`Fault::UpstreamFailed`] or [`Fault::UpstreamTimeout`].
    async fn upstream(
        &self,
        outbound: UpstreamRequest<'_>,
    ) -> Result<UpstreamResponse<Self::Response>, Fault>;

    /// Sends a `HEAD` request to upstream. It has these headers and no others.
    ///
    /// # Errors
    /// [`Fault::UpstreamFailed`] or [`Fault::UpstreamTimeout`].
    async fn head(&self, outbound: UpstreamRequest<'_>) -> Result<UpstreamResponse<()>, Fault>;

    /// Sends a `POST` request with a JSON body to upstream. It has these headers and no others.
    ///
    /// # Errors
    /// [`Fault::UpstreamFailed`] or [`Fault::UpstreamTimeout`].
    async fn post(&self, outbound: UpstreamRequest<'_>, body: &str) -> Result<UpstreamResponse<()>, Fault>;

    /// Sends a command to the object of this class and name, and returns its reply.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`]: it is unknown whether the object ran the command.
    async fn call_object<O: Object>(&self, name: &str, command: &O::Command) -> Result<O::Reply, Fault>;

    /// Sends a command to an object after the response. Its result is not reported.
    fn call_after_response<O: Object>(&self, name: &str, command: &O::Command);

    /// Reads the request's body as text, at most `limit` bytes.
    ///
    /// # Errors
    /// [`BodyError`].
    async fn body(&self, limit: usize) -> Result<String, BodyError>;

    /// Reads the request's body. It can still be forwarded to upstream.
    ///
    /// # Errors
    /// [`BodyError`]; never [`BodyError::NotText`].
    async fn bytes(&self, limit: usize) -> Result<Vec<u8>, BodyError>;

    /// Reads the request's body and returns its SHA-256 in hex. The body can still be forwarded to upstream.
    ///
    /// # Errors
    /// [`BodyError`]; never [`BodyError::NotText`].
    async fn hash_body(&self, limit: usize) -> Result<String, BodyError>;

    /// Reads the request's body and returns its hash, its length and its first `first` bytes. The body can still be
    /// forwarded to upstream.
    ///
    /// # Errors
    /// [`BodyError`]; never [`BodyError::NotText`].
    async fn hash_body_with_prefix(&self, limit: usize, first: usize) -> Result<HashedBody, BodyError>;

    /// Sends a command to an object with the request's body attached. [`Effects::bytes`] must have read it before.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`]: it is unknown whether the object ran the command.
    async fn call_with_body<O: Object>(&self, name: &str, command: &O::Command) -> Result<O::Reply, Fault>;

    /// Reads the body of upstream's response into memory, at most `limit` bytes. The client still gets all of it.
    ///
    /// # Errors
    /// [`Fault::UpstreamFailed`] if the body breaks off.
    async fn buffer_response(&self, limit: usize, timeout: Duration) -> Result<BufferedResponse, Fault>;

    /// Returns the body that [`Effects::buffer_response`] read.
    ///
    /// # Errors
    /// [`Fault::Internal`] if no body was read.
    async fn buffered_body(&self) -> Result<Vec<u8>, Fault>;

    /// Encrypts a response, stores it as [`Sealing`] says, and sends a command to an object.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`]: it is unknown whether the object ran the command.
    async fn seal_and_store<O: Object>(
        &self,
        name: &str,
        command: &O::Command,
        sealing: Sealing<'_>,
    ) -> Result<O::Reply, Fault>;

    /// Decrypts a stored response: the one stored in KV under `kv_key`, or else the one attached to an object's last
    /// reply. Returns `None` if none of the keys opens it.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`] if the response is missing, for example because KV does not have it yet.
    async fn load_sealed(
        &self,
        keys: &[String],
        kv_key: Option<&str>,
    ) -> Result<Option<UpstreamResponse<Self::Response>>, Fault>;

    /// Reads one field of the request's body, a form or a JSON object. The body can still be forwarded to upstream.
    ///
    /// # Errors
    /// [`BodyError`]; never [`BodyError::NotText`].
    async fn field(&self, name: &str, limit: usize) -> Result<Option<String>, BodyError>;

    /// Sends a `POST` request to an external service.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`] if no response arrives in time, or a response that is not UTF-8 or longer than
    /// [`MAX_EXTERNAL_RESPONSE_BYTES`].
    async fn call_external(&self, request: ExternalRequest<'_>) -> Result<ExternalResponse, Fault>;

    /// Counts one more request at the platform's rate limit binding of this name.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`] if the binding does not answer yes or no.
    async fn platform_rate_limit(&self, binding: &str, key: &str) -> Result<Gate, Fault>;

    /// Reads a value from KV.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`].
    async fn kv_get(&self, name: &str) -> Result<Option<String>, Fault>;

    /// Writes a value to KV.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`]: it is unknown whether the value was written.
    async fn kv_put(&self, name: &str, value: &str) -> Result<(), Fault>;

    /// Logs a line of JSON, in addition to the request's own line.
    fn log(&self, _line: &str) {}

    /// Keeps processing this request after the client disconnects.
    fn survive_disconnect(&self) {}

    /// Returns a dry-run view with a [`DryRun`]: objects and KV can be read, writes are suppressed, and neither
    /// upstream nor an external service is called.
    #[must_use]
    fn dry_run(&self) -> Self
    where
        Self: Sized;

    /// Returns the [`DryRun`] if this is a dry-run view.
    fn as_dry_run(&self) -> Option<&DryRun>;

    /// Returns 32 random bytes that nobody can guess.
    fn random(&self) -> [u8; 32];

    /// Returns an id or a token that nobody can guess: a prefix and 160 random bits in base64url.
    fn new_id(&self, prefix: &str) -> String {
        format!("{prefix}{}", encoding::base64url(self.random().get(..20).unwrap_or_default()))
    }

    /// Returns what this isolate remembers.
    fn memory(&self) -> &Memory;

    /// Returns the milliseconds since the request arrived.
    fn elapsed(&self) -> u64;
}

/// The reason why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The body is longer than the limit.
    TooLarge,
    /// The body is not UTF-8.
    NotText,
    /// The client did not send the whole body.
    BrokenOff,
    /// Other bodies that are being read use all the memory for bodies.
    Overloaded,
}

impl From<BodyError> for Rejection {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::BodyTooLarge,
            BodyError::NotText => Self::InvalidBody("(body)", "expected UTF-8"),
            BodyError::BrokenOff => Self::InvalidBody("(body)", "expected the whole of it"),
            BodyError::Overloaded => Self::Overloaded,
        }
    }
}

/// A request to an external service.
#[derive(Clone, Copy, Debug)]
pub struct ExternalRequest<'a> {
    /// The URL or the binding of the service.
    pub way: ExternalTarget<'a>,
    /// The `Content-Type` of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: &'a str,
    /// The maximum time until the whole response has arrived.
    pub timeout: Duration,
}

/// The address of an external service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExternalTarget<'a> {
    /// A URL on the network.
    Url(&'a str),
    /// The name of a service binding.
    Binding(&'a str),
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
pub enum Gate {
    /// The request may pass.
    Open,
    /// The limit is reached.
    Shut,
}

/// The steps that a dry run assumed to pass because it could not check them, for example because they call an external
/// service.
#[derive(Debug, Default)]
pub struct DryRun(RefCell<Vec<Step>>);

impl DryRun {
    /// Records that a step was assumed to pass.
    pub fn assume(&self, step: Step) {
        self.0.borrow_mut().push(step);
    }

    /// Checks whether a step was assumed to pass.
    #[must_use]
    pub fn has_assumed(&self, step: Step) -> bool {
        self.0.borrow().contains(&step)
    }
}

/// The hash, the length and the first bytes of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashedBody {
    /// The SHA-256 of the body, in hex.
    pub sha256: String,
    /// The length of the body, in bytes.
    pub length: usize,
    /// The first bytes of the body.
    pub first: Vec<u8>,
}

/// The result of reading the body of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferedResponse {
    /// The whole body was read; its length in bytes.
    Whole(usize),
    /// The body is a stream, too long or too slow. It is passed on while it arrives.
    Stream,
}

/// How a response is encrypted and stored.
#[derive(Clone, Copy, Debug)]
pub struct Sealing<'a> {
    /// The encryption key: 32 bytes in hex.
    pub key: &'a str,
    /// The status and the headers, as [`crate::idempotency::head`] writes them.
    pub head: &'a str,
    /// The body of the gateway's own response. If `None`, the body that [`Effects::buffer_response`] read.
    pub body: Option<&'a str>,
    /// The key in KV and the lifetime there in seconds. If `None`, the response is attached to the command.
    pub elsewhere: Option<(&'a str, i64)>,
}

/// A request to upstream. If it forwards the client's request, method and body stay the same.
#[derive(Debug)]
pub struct UpstreamRequest<'a> {
    /// The canonical path with the query.
    pub target: &'a str,
    /// The changes to the headers.
    pub edits: HeaderEdits<'a>,
    /// Whether the response may depend on the principal, so that no shared cache may store it.
    pub personal: bool,
    /// The maximum time until the response headers arrive.
    pub timeout: Duration,
}

/// A response from upstream.
#[derive(Debug)]
pub struct UpstreamResponse<R> {
    /// The status.
    pub status: u16,
    /// Milliseconds until the response headers arrived.
    pub elapsed_ms: u64,
    /// Header names in lower case and values, one per line, with a separate entry for each `set-cookie`.
    pub fields: String,
    /// The response.
    pub response: R,
}

impl<R> UpstreamResponse<R> {
    /// Checks for a success or a redirect (status 200–399).
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..400).contains(&self.status)
    }

    /// Returns the headers.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        Headers::read(&self.fields)
    }
}
