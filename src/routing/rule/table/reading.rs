//! Readings: the ways in which servers understand a path that differs from how a rule is written.

use std::{
    borrow::Cow,
    ops::{BitAnd, BitOr},
};

use crate::http::path::{fold_case, page};

/// One way to read a path: a set of the relaxations below. The empty set is the strict reading, used for rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading(u8);

impl Reading {
    /// Ignores the case of letters.
    pub(super) const CASE: Self = Self(1);
    /// Decodes escapes (`%21` is `!`).
    pub(super) const ESCAPES: Self = Self(1 << 1);
    /// Cuts `;parameters` off segments.
    pub(super) const PARAMETERS: Self = Self(1 << 2);
    /// Merges a run of slashes into one slash.
    pub(super) const SLASHES: Self = Self(1 << 3);
    /// Ignores a slash at the end.
    pub(super) const LAST_SLASH: Self = Self(1 << 4);
    /// Treats `/a`, `/a/`, `/a.html` and `/a/index.html` as one page, as static assets do.
    pub(super) const PAGES: Self = Self(1 << 5);
    /// Ends a decoded path at its first `?` or `#`. Not used for patterns: there an escaped `?` is literal text.
    pub(super) const QUERY: Self = Self(1 << 6);
    /// Drops dots and spaces at the end of segments, as Windows does.
    pub(super) const DOTS: Self = Self(1 << 7);
    /// All relaxations that do not concern the path's end.
    pub(super) const WITHIN: Self = Self(1 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 7);

    /// Lists all readings that combine these relaxations, the empty one first.
    pub(super) fn subsets(self) -> impl Iterator<Item = Self> {
        // Only one relaxation for the path's end is needed at a time, and only a decoded path can contain `?` or `#`.
        let is_one = |reading: &Self| {
            !(reading.has(Self::LAST_SLASH) && reading.has(Self::PAGES))
                && (reading.has(Self::ESCAPES) || !reading.has(Self::QUERY))
        };
        (0..=self.0).filter(move |bits| bits & !self.0 == 0).map(Self).filter(is_one)
    }

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns the relaxations that make a difference to a path or a segment, according to its characters.
    pub(super) fn relevant_to(text: &str) -> Self {
        let mut found = Self::default();
        let mut bytes = text.bytes();
        let mut is_dropped_at_end = false;
        while let Some(byte) = bytes.next() {
            let escaped = if byte == b'%' { bytes.next().zip(bytes.next()) } else { None };
            if byte == b'%' {
                found = found | Self::ESCAPES;
            }
            // Beyond ASCII, every letter may have another case.
            let is_non_ascii = !byte.is_ascii()
                || escaped.is_some_and(|(high, _)| matches!(high, b'8'..=b'9' | b'A'..=b'F'));
            if byte.is_ascii_uppercase() || is_non_ascii {
                found = found | Self::CASE;
            }
            // The cut may leave an empty segment, and then its slash is part of a run.
            let is_cut = byte == b';' || escaped == Some((b'3', b'B'));
            if is_cut {
                found = found | Self::PARAMETERS | Self::SLASHES;
            }
            let is_query = matches!(escaped, Some((b'3', b'F') | (b'2', b'3')));
            if is_query {
                found = found | Self::QUERY;
            }
            if is_dropped_at_end && (is_cut || is_query || byte == b'/') {
                found = found | Self::DOTS | Self::SLASHES;
            }
            is_dropped_at_end = byte == b'.' || escaped == Some((b'2', b'0'));
        }
        if is_dropped_at_end {
            found = found | Self::DOTS | Self::SLASHES;
        }
        if text.contains("//") { found | Self::SLASHES } else { found }
    }

    /// Reads a segment.
    pub(super) fn read_segment(self, segment: &str) -> String {
        let mut text = if self.has(Self::ESCAPES) {
            percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned()
        } else {
            segment.to_owned()
        };
        if self.has(Self::PARAMETERS)
            && let Some(end) = text.find(';')
        {
            text.truncate(end);
        }
        if self.has(Self::DOTS) {
            text.truncate(trim_dots(&text).len());
        }
        if self.has(Self::CASE) { fold_case(text) } else { text }
    }

    /// Reads a path. Returns the text after its first slash, or `None` if nothing is left, not even a slash.
    ///
    /// # Errors
    /// Returns [`DotSegments`] if this reading finds a dot segment.
    pub(super) fn read_path(self, path: &str) -> Result<Option<String>, DotSegments> {
        // Escaped slashes stay: the segments do not change. `CanonicalPath::decodings` covers servers that decode a
        // whole path.
        let kept = if path.contains("%2") {
            Cow::Owned(path.replace("%2F", "%252F").replace("%2f", "%252f"))
        } else {
            Cow::Borrowed(path)
        };
        let decoded = if self.has(Self::ESCAPES) {
            percent_encoding::percent_decode_str(&kept).decode_utf8_lossy()
        } else {
            Cow::Borrowed(path)
        };
        let end = if self.has(Self::QUERY) { decoded.find(['?', '#']) } else { None };
        let decoded = end.and_then(|end| decoded.get(..end)).unwrap_or(&decoded);
        let mut read = String::with_capacity(decoded.len());
        for segment in decoded.split('/').skip(1) {
            let end = if self.has(Self::PARAMETERS) { segment.find(';') } else { None };
            let mut segment = end.and_then(|end| segment.get(..end)).unwrap_or(segment);
            // Servers drop spaces before or after they look for dot segments.
            let spaceless = if self.has(Self::DOTS) { segment.trim_end_matches(' ') } else { segment };
            if matches!(spaceless, "." | "..") {
                return Err(DotSegments);
            }
            if self.has(Self::DOTS) {
                segment = trim_dots(segment);
            }
            // Merges runs of slashes, also if parameters were between them.
            if !(self.has(Self::SLASHES) && read.ends_with('/')) {
                read.push('/');
            }
            read.push_str(segment);
        }
        if self.has(Self::CASE) {
            read = fold_case(read);
        }
        if self.has(Self::PAGES) {
            read.truncate(page(&read).len());
        } else if self.has(Self::LAST_SLASH) {
            read.truncate(read.trim_end_matches('/').len());
        }
        Ok(read.strip_prefix('/').map(str::to_owned))
    }
}

impl BitOr for Reading {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Reading {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// The most lenient reading of a segment. A segment that equals this reading of itself has no other spelling.
pub(super) const LAXEST: Reading = Reading(1 | 1 << 1 | 1 << 2 | 1 << 7);

/// Error: the path has dot segments in this reading, so its target is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DotSegments;

/// Removes the dots and spaces at the end of a segment.
fn trim_dots(segment: &str) -> &str {
    segment.trim_end_matches(['.', ' '])
}
