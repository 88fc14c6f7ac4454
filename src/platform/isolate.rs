//! The isolate and the life of the request in it.

use super::memory::Memory;
use crate::base::encoding;

/// The approximate place of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientPlace {
    /// The name of the city, if it is known.
    pub city: Option<String>,
    /// The code of the country (ISO 3166-1), if it is known.
    pub country: Option<String>,
}

/// A data point for Workers Analytics Engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DataPoint<'a> {
    /// The name of the binding.
    pub binding: &'static str,
    /// The index, by which the platform samples.
    pub index: &'a str,
    /// The texts.
    pub blobs: &'a [&'a str],
    /// The numbers.
    pub doubles: &'a [f64],
}

/// The isolate and the life of the request in it.
pub trait Isolate {
    /// Logs a line of JSON, in addition to the request's own line.
    fn log(&self, _line: &str) {}

    /// Writes a data point. Does not wait, and does not fail.
    fn write_data_point(&self, _point: DataPoint<'_>) {}

    /// Keeps processing this request after the client disconnects.
    fn survive_disconnect(&self) {}

    /// Returns 32 random bytes that nobody can guess.
    fn random(&self) -> [u8; 32];

    /// Returns an id or a token that nobody can guess: a prefix and 160 random bits in base64url.
    fn new_id(&self, prefix: &str) -> String {
        format!("{prefix}{}", encoding::base64url(self.random().get(..20).unwrap_or_default()))
    }

    /// Returns the approximate place of the client, as the platform knows it.
    fn client_place(&self) -> ClientPlace {
        ClientPlace::default()
    }

    /// Returns what this isolate remembers.
    fn memory(&self) -> &Memory;

    /// Returns the milliseconds since the request arrived.
    fn elapsed(&self) -> u64;
}
