//! Requests to upstream.

use std::time::Duration;

use crate::http::{
    problem::Fault,
    reply::HeaderEdits,
    request::{HeaderLines, Headers},
};

/// Requests to upstream.
#[expect(async_fn_in_trait, reason = "one thread: a Worker's futures need not be Send")]
pub trait UpstreamCalls {
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

    /// Requests a file from the assets binding `ASSETS`. The request has no other header of the client's.
    ///
    /// # Errors
    /// [`Fault::UpstreamFailed`] or [`Fault::UpstreamTimeout`].
    async fn asset(&self, asset: AssetRequest<'_>) -> Result<UpstreamResponse<Self::Response>, Fault>;

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

    /// Reads the body of upstream's response into memory, at most `limit` bytes. The client still gets all of it.
    ///
    /// # Errors
    /// [`Fault::UpstreamFailed`] if the body breaks off.
    async fn buffer_response(&self, limit: usize, timeout: Duration) -> Result<BufferedResponse, Fault>;

    /// Returns the body that was buffered.
    ///
    /// # Errors
    /// [`Fault::Internal`] in a dry run.
    async fn buffered_body(&self, buffered: Buffered) -> Result<Vec<u8>, Fault>;
}

/// The result of reading the body of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferedResponse {
    /// The whole body was read.
    Whole(Buffered),
    /// The body is a stream, too long or too slow. It is passed on while it arrives.
    Stream,
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

/// A request for a file of the assets binding.
#[derive(Clone, Copy, Debug)]
pub struct AssetRequest<'a> {
    /// `GET` or `HEAD`.
    pub method: &'a str,
    /// The path of the file.
    pub path: &'a str,
    /// The version that the client has (`If-None-Match`).
    pub if_none_match: Option<&'a str>,
}

/// A response from upstream.
#[derive(Debug)]
pub struct UpstreamResponse<R> {
    /// The status.
    pub status: u16,
    /// Milliseconds until the response headers arrived.
    pub elapsed_ms: u64,
    /// Header names in lower case and values, one per line, with a separate entry for each `set-cookie`.
    pub header_lines: HeaderLines,
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
        self.header_lines.headers()
    }
}

/// A body that is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffered {
    /// The length, in bytes.
    pub length: usize,
}
