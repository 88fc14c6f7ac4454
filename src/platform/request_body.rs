//! The body of the client's request.

use crate::http::problem::Rejection;

/// The body of the client's request.
#[expect(async_fn_in_trait, reason = "one thread: a Worker's futures need not be Send")]
pub trait RequestBody {
    /// Reads the request's body as text, at most `limit` bytes.
    ///
    /// # Errors
    /// [`BodyError`].
    async fn body(&self, limit: usize) -> Result<String, BodyError>;

    /// Reads the request's body. It can still be forwarded to upstream.
    ///
    /// # Errors
    /// [`BodyError`]; never [`BodyError::NotText`].
    async fn bytes(&self, limit: usize) -> Result<ReadBody, BodyError>;

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

    /// Reads one field of the request's body, a form or a JSON object. The body can still be forwarded to upstream.
    ///
    /// # Errors
    /// [`BodyError`]; never [`BodyError::NotText`].
    async fn field(&self, name: &str, limit: usize) -> Result<Option<String>, BodyError>;
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
            BodyError::BrokenOff => Self::InvalidBody("(body)", "expected the complete body"),
            BodyError::Overloaded => Self::Overloaded,
        }
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

/// A body that was read.
#[derive(Debug)]
pub struct ReadBody {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Proof for calls that attach the body. It outlives the bytes, which can be dropped early.
    pub was_read: BodyWasRead,
}

/// Proof that the platform has the whole body.
#[derive(Clone, Copy, Debug)]
pub struct BodyWasRead(());

impl ReadBody {
    /// Wraps bytes that an implementation has read.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, was_read: BodyWasRead(()) }
    }
}
