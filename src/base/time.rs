//! Timestamps and durations.
//!
//! The core never reads a clock: the edge reads it once per request and passes it in as [`Timestamp`].

use std::{
    fmt,
    time::{Duration, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// Whole seconds since the Unix epoch, like a JWT `NumericDate` (RFC 7519 §2) without fractions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Returns the time that is `span` later. Saturates.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(whole_seconds(span)))
    }

    /// Parses an RFC 3339 time in UTC. Drops fractions of a second. Returns `None` before 1970.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let time = humantime::parse_rfc3339(text).ok()?;
        let elapsed = time.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(elapsed.as_secs()).ok().map(Self)
    }

    /// Returns the seconds from `earlier` to this time. Negative if `earlier` is later.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Formats as RFC 3339 in UTC, to the second. Times outside the years 1970–9999 are clamped.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = u64::try_from(self.0).unwrap_or(0).min(END_OF_9999);
        let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH);
        humantime::format_rfc3339_seconds(time).fmt(f)
    }
}

/// Parses a duration from the configuration: 1 to 9 digits and one of `s`, `m`, `h`, `d`.
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

/// Returns the whole milliseconds of a duration. Saturates.
#[must_use]
pub fn whole_milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the whole seconds of a duration, for comparison with claims. Saturates.
#[must_use]
pub fn whole_seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

const END_OF_9999: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_durations() {
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
    fn formats_as_rfc_3339() {
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
