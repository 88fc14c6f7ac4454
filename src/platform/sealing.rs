//! Stored answers and secrets, encrypted.

use super::{
    objects::ObjectCalls,
    store::Object,
    upstream::{Buffered, UpstreamCalls, UpstreamResponse},
};
use crate::{crypto::derive::DerivedKey, http::problem::Fault};

/// Stored answers, encrypted.
#[expect(async_fn_in_trait, reason = "one thread: a Worker's futures need not be Send")]
pub trait SealedAnswers: ObjectCalls + UpstreamCalls {
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

    /// Decrypts a stored response. Returns `None` if none of the keys opens it.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`] if the response is missing, for example because KV does not have it yet.
    async fn load_sealed(
        &self,
        keys: &[String],
        stored: StoredAnswer<'_, Self::Attachment>,
    ) -> Result<Option<UpstreamResponse<Self::Response>>, Fault>;
}

/// Secrets that are stored encrypted, as texts.
#[expect(async_fn_in_trait, reason = "one thread: a Worker's futures need not be Send")]
pub trait SealedTexts {
    /// Encrypts a text with AES-256-GCM. The same text gives another result each time.
    ///
    /// # Errors
    /// [`Fault::Internal`].
    async fn seal_text(&self, key: &DerivedKey, text: &str) -> Result<String, Fault>;

    /// Decrypts a text. Returns `None` if none of the keys opens it.
    ///
    /// # Errors
    /// [`Fault::Internal`].
    async fn open_text(&self, keys: &[DerivedKey], sealed: &str) -> Result<Option<OpenedText>, Fault>;
}

/// A decrypted text.
pub struct OpenedText {
    /// The text.
    pub text: String,
    /// Whether it was encrypted with another key than the first: it should be encrypted again.
    pub has_stale_key: bool,
}

/// How a response is encrypted and stored.
#[derive(Clone, Copy, Debug)]
pub struct Sealing<'a> {
    /// The encryption key: 32 bytes in hex.
    pub key: &'a str,
    /// The status and the headers, as [`crate::idempotency::head`] writes them.
    pub head: &'a str,
    /// The body.
    pub body: SealedBody<'a>,
    /// The entry in KV that gets the response. If `None`, the response is attached to the command.
    pub kv_entry: Option<KvEntry<'a>>,
}

/// An entry in KV that expires.
#[derive(Clone, Copy, Debug)]
pub struct KvEntry<'a> {
    /// The name.
    pub name: &'a str,
    /// The lifetime, in seconds.
    pub lifetime: i64,
}

/// The body of a response to store.
#[derive(Clone, Copy, Debug)]
pub enum SealedBody<'a> {
    /// The body of the gateway's own response.
    Own(&'a str),
    /// Upstream's body, which was buffered.
    Upstream(Buffered),
}

/// Where a stored response is.
#[derive(Debug)]
pub enum StoredAnswer<'a, A> {
    /// Attached to the reply of an object.
    Attached(A),
    /// In KV, under this key.
    Kv(&'a str),
}
