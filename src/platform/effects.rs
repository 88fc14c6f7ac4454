//! Everything that the core calls outside itself, as one bound. The edge implements it with the platform's APIs, tests
//! in memory.

pub use super::dry_run::{DryRun, DryRuns};
pub use super::external::{
    DeferredPost, ExternalAddress, ExternalCalls, ExternalRequest, ExternalResponse, ExternalUnavailable,
    MAX_EXTERNAL_RESPONSE_BYTES, PlatformLimit, ServiceAddress,
};
pub use super::isolate::{ClientPlace, DataPoint, Isolate};
pub use super::kv::Kv;
pub use super::objects::ObjectCalls;
pub use super::request_body::{BodyError, BodyWasRead, HashedBody, ReadBody, RequestBody};
pub use super::sealing::{
    KvEntry, OpenedText, SealedAnswers, SealedBody, SealedTexts, Sealing, StoredAnswer,
};
pub use super::upstream::{
    AssetRequest, Buffered, BufferedResponse, UpstreamCalls, UpstreamRequest, UpstreamResponse,
};

/// All capabilities together. A function that needs fewer can ask for fewer.
pub trait Effects:
    UpstreamCalls
    + ObjectCalls
    + RequestBody
    + SealedAnswers
    + SealedTexts
    + ExternalCalls
    + Kv
    + Isolate
    + DryRuns
{
}

impl<T> Effects for T where
    T: UpstreamCalls
        + ObjectCalls
        + RequestBody
        + SealedAnswers
        + SealedTexts
        + ExternalCalls
        + Kv
        + Isolate
        + DryRuns
{
}
