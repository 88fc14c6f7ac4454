//! Known header names are forwarded only in their usual spelling.
//!
//! A server that treats `-`, `_` and `.` as the same character reads `Content_Length` as `Content-Length`, and
//! `CF_Connecting_IP` as the platform's header. So a name with the letters and digits of a known name is forwarded
//! only in the spelling of that known name, in any case.

/// Checks whether a name is another spelling of a known name. `folded` has its letters and digits in lower case.
pub(super) fn is_variant(name: &str, folded: &[u8]) -> bool {
    let found = KNOWN.binary_search_by(|known| letters(known).cmp(folded.iter().copied()));
    match found.ok().and_then(|at| KNOWN.get(at)) {
        Some(known) => !known.eq_ignore_ascii_case(name),
        None => has_variant_prefix(name),
    }
}

/// Checks whether a name has a known prefix, but in another spelling.
fn has_variant_prefix(name: &str) -> bool {
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let is_plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let has_prefix = |prefix: &&str| {
        let start = name.get(..prefix.len()).unwrap_or_default();
        let is_same = |(one, other): (u8, u8)| {
            one.eq_ignore_ascii_case(&other) || (other == b'-' && !one.is_ascii_alphanumeric())
        };
        start.len() == prefix.len() && start.bytes().zip(prefix.bytes()).all(is_same)
    };
    !is_plain(name) && PREFIXES.iter().any(has_prefix)
}

/// Returns the letters and digits of a name.
fn letters(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().filter(u8::is_ascii_alphanumeric)
}

/// Prefixes of known names: of the platform, of browsers, and of webhook providers.
const PREFIXES: &[&str] = &["cf-", "sec-", "svix-", "webhook-", "x-github-", "x-hub-", "x-shopify-"];

/// Known names: servers act on them, or the gateway reads them. Sorted by their letters and digits.
pub(super) const KNOWN: &[&str] = &[
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "access-control-request-headers",
    "access-control-request-method",
    "authorization",
    "cache-control",
    "cdn-loop",
    "cf-access-authenticated-user-email",
    "cf-access-client-id",
    "cf-access-client-secret",
    "cf-access-jwt-assertion",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-ipcountry",
    "cf-pseudo-ipv4",
    "cf-ray",
    "cf-turnstile-response",
    "cf-visitor",
    "cf-worker",
    "confirmation-id",
    "connection",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "cookie",
    "cookie2",
    "date",
    "dpop",
    "early-data",
    "expect",
    "from",
    "host",
    "http2-settings",
    "idempotency-key",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "invocation-id",
    "keep-alive",
    "last-event-id",
    "max-forwards",
    "origin",
    "paddle-signature",
    "pragma",
    "prefer",
    "priority",
    "proxy-connection",
    "range",
    "referer",
    "signature",
    "signature-input",
    "stripe-signature",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "upgrade-insecure-requests",
    "user-agent",
    "via",
    "x-api-key",
    "x-csrf-token",
    "x-hub-signature",
    "x-hub-signature-256",
    "x-requested-with",
    "x-signature",
    "x-slack-request-timestamp",
    "x-slack-signature",
    "x-square-hmacsha256-signature",
    "x-twilio-signature",
    "x-xsrf-token",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::header_filter::{LONGEST_FOLDED, is_reserved};

    #[test]
    fn known_names_are_sorted_and_not_reserved() {
        assert!(KNOWN.is_sorted_by(|one, other| letters(one).lt(letters(other))));
        for name in KNOWN {
            assert!(letters(name).count() < LONGEST_FOLDED, "{name}");
            assert!(!is_reserved(name), "{name}");
            assert!(!is_reserved(&name.to_ascii_uppercase()), "{name}");
        }
    }

    #[test]
    fn known_prefixes_pass_only_in_their_spelling() {
        for (name, want) in [
            ("cf-anything-new", false),
            ("cf_anything_new", true),
            ("CF.Anything", true),
            ("cf-anything_new", true),
            ("_cf-anything", false),
            ("cfg_name", false),
            ("sec_fetch_site", true),
            ("sec-fetch-site", false),
            ("second_opinion", false),
            ("x_github_event", true),
            ("x-github-event", false),
            ("session_id", false),
            ("x_custom", false),
        ] {
            assert_eq!(is_reserved(name), want, "{name}");
        }
    }

    proptest! {
        /// Only the usual spelling passes, whatever separators another spelling has.
        #[test]
        fn no_other_spelling_passes(
            at in 0..KNOWN.len(),
            separators in prop::collection::vec("[-_.+~!|]{0,2}", 8),
            ends in "[_.-]{0,2}",
            upper in any::<bool>(),
        ) {
            let known = KNOWN[at];
            let mut spelled = String::new();
            for (part, separator) in known.split('-').zip(&separators) {
                spelled.push_str(part);
                spelled.push_str(separator);
            }
            let last = known.split('-').count().checked_sub(1).expect("a part");
            spelled.truncate(spelled.len().checked_sub(separators[last].len()).expect("a separator"));
            spelled.push_str(&ends);
            if upper {
                spelled = spelled.to_ascii_uppercase();
            }
            prop_assert_eq!(is_reserved(&spelled), !spelled.eq_ignore_ascii_case(known), "{}", spelled);
        }
    }
}
