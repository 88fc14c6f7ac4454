//! Points in time and spans of it, as values.
//!
//! The core never asks a clock: the edge reads it once a request and hands it in as [`Timestamp`].

use std::{
    fmt,
    time::{Duration, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// Whole seconds since the Unix epoch, as JWT's `NumericDate` (RFC 7519 §2) without fractions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Moves this point by `span` into the future; saturates.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(whole_seconds(span)))
    }

    /// Reads a point as RFC 3339 writes it in UTC; fractions of a second are cut off.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let point = humantime::parse_rfc3339(text).ok()?;
        let since = point.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_secs()).ok().map(Self)
    }

    /// Tells the seconds from `earlier` to this point; negative where `earlier` is later.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// RFC 3339 in UTC, to the second. Years outside 1970–9999 are clamped to them.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = u64::try_from(self.0).unwrap_or(0).min(END_OF_9999);
        let point = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH);
        humantime::format_rfc3339_seconds(point).fmt(f)
    }
}

/// Parses a span as configuration writes it: digits and one of `s`, `m`, `h`, `d`.
#[must_use]
pub fn parse_span(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds_per_unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let count: u64 = digits.parse().ok()?;
    count.checked_mul(seconds_per_unit).map(Duration::from_secs)
}

/// Gives the milliseconds of a span.
#[must_use]
pub fn whole_milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Gives the whole seconds of a span, for comparison with claims.
#[must_use]
pub fn whole_seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

const END_OF_9999: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (text, want) in [
            ("0s", Some(0)),
            ("30s", Some(30)),
            ("15m", Some(900)),
            ("24h", Some(86_400)),
            ("30d", Some(2_592_000)),
            ("999999999d", Some(86_399_999_913_600)),
            ("", None),
            ("s", None),
            ("30", None),
            ("1h30m", None),
            ("-1s", None),
            ("+1s", None),
            ("1.5s", None),
            ("1 s", None),
            ("1S", None),
            ("1w", None),
            ("9999999999s", None),
            ("１s", None),
            ("1ｓ", None),
        ] {
            assert_eq!(parse_span(text).map(|d| d.as_secs()), want, "{text:?}");
        }
    }

    #[test]
    fn written_as_rfc_3339() {
        for (seconds, want) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (-1, "1970-01-01T00:00:00Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Timestamp(seconds).to_string(), want);
        }
    }
}
