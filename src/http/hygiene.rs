//! Header hygiene: which headers of a client are not forwarded to upstream.
//!
//! 1. Headers that the client's `Connection` header nominates (RFC 9110 §7.6.1): they are for the gateway only.
//! 2. Headers that upstream trusts because the gateway sets them, and headers by which proxies report a client, its
//!    address, or another path or method. Some servers treat `-` and `_` (CGI, WSGI) and sometimes `.` as the same
//!    character, so names are compared by their letters and digits only.
//! 3. Other spellings of names that have a meaning to servers or to the gateway: see `hygiene/spelling.rs`.
//! 4. Invalid names (RFC 9110 §5.1), in case a runtime lets one through.
//!
//! The gateway adds its own headers afterwards, so these rules cannot remove them.

mod forwarded;
mod spelling;

pub use forwarded::ForwardedRequest;

use crate::http::cookie::is_token_byte;

/// Checks whether a client's header of this name must not be forwarded to upstream.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    if is_common(name) {
        return false;
    }
    let folded = Folded::of(name);
    !is_name(name)
        || is_listed(&folded, &[GATEWAY_NAMES, PROXY_NAMES], &[GATEWAY_PREFIXES, PROXY_PREFIXES])
        || spelling::is_variant(name, folded.as_bytes())
}

/// Checks whether the gateway sets a header of this name. The client does not get such a header from upstream.
#[must_use]
pub fn is_stamp(name: &str) -> bool {
    // All these names start with an x. Folding removes separators before it.
    let may_be = name
        .bytes()
        .next()
        .is_some_and(|first| !first.is_ascii_alphanumeric() || first == b'x' || first == b'X');
    may_be && is_listed(&Folded::of(name), &[GATEWAY_NAMES], &[GATEWAY_PREFIXES])
}

/// Checks for a frequent header name that is always forwarded. This saves the folding.
fn is_common(name: &str) -> bool {
    matches!(
        name,
        "accept"
            | "accept-encoding"
            | "accept-language"
            | "cache-control"
            | "cf-connecting-ip"
            | "cf-ipcountry"
            | "cf-ray"
            | "cf-visitor"
            | "connection"
            | "content-length"
            | "content-type"
            | "cookie"
            | "host"
            | "origin"
            | "pragma"
            | "priority"
            | "referer"
            | "sec-ch-ua"
            | "sec-ch-ua-mobile"
            | "sec-ch-ua-platform"
            | "sec-fetch-dest"
            | "sec-fetch-mode"
            | "sec-fetch-site"
            | "user-agent"
    )
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_token_byte)
}

fn is_listed(folded: &Folded, names: &[&[&[u8]]], prefixes: &[&[&[u8]]]) -> bool {
    let folded = folded.as_bytes();
    // Most names start with another letter.
    if !matches!(folded.first(), Some(b'x' | b'f' | b'r' | b't' | b'c' | b'p')) {
        return false;
    }
    names.iter().any(|names| names.contains(&folded))
        || prefixes.iter().copied().flatten().any(|prefix| folded.starts_with(prefix))
}

/// The letters and digits of a name in lower case, cut off at [`LONGEST_FOLDED`].
struct Folded {
    bytes: [u8; LONGEST_FOLDED],
    length: usize,
}

impl Folded {
    fn of(name: &str) -> Self {
        let mut folded = Self { bytes: [0; LONGEST_FOLDED], length: 0 };
        let letters = name.bytes().filter(u8::is_ascii_alphanumeric);
        for (slot, byte) in folded.bytes.iter_mut().zip(letters) {
            *slot = byte.to_ascii_lowercase();
            folded.length = folded.length.saturating_add(1);
        }
        folded
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Headers that the gateway sends to upstream, as folded letters and digits.
const GATEWAY_NAMES: &[&[u8]] = &[
    b"xidempotencyrecovery",
    b"xuserid",
    b"xuserrole",
    b"xusername",
    b"xuseremail",
    b"xagentid",
    b"xtaskid",
    b"xagenttokenid",
    b"xactorsource",
    b"xauthorid",
    b"xauthortype",
    b"xsessionid",
    b"xrequestid",
    b"xoperation",
    b"xconfirmedby",
];

/// Prefixes of further headers that the gateway sends to upstream.
const GATEWAY_PREFIXES: &[&[u8]] = &[b"xvestibule", b"xwebhook"];

/// Headers by which proxies report a client. A client could forge them.
const PROXY_NAMES: &[&[u8]] = &[
    b"forwarded",
    b"frontendhttps",
    b"xhost",
    b"xrealip",
    b"xclientip",
    b"xclusterclientip",
    b"xremoteip",
    b"xremoteaddr",
    b"xremoteuser",
    b"remoteuser",
    b"trueclientip",
    b"clientip",
    b"proxyclientip",
    // CGI turns it into the variable HTTP_PROXY, which many programs use (httpoxy, CVE-2016-5385).
    b"proxy",
    b"proxyauthorization",
    // Rack and nginx use it to serve files.
    b"xsendfiletype",
    // These replace the method that the gateway checked.
    b"xmethodoverride",
    b"xoverridemethod",
];

/// Prefixes of further headers by which proxies report a client.
const PROXY_PREFIXES: &[&[u8]] = &[
    b"xforwarded",
    b"xoriginal",
    b"xrewrite",
    b"xhttpmethod",
    b"xenvoy",
    b"xaccel",
    // Next.js skips its middleware for requests that claim to come from it (CVE-2025-29927).
    b"xmiddleware",
];

/// Bytes of a name that are compared. This is longer than any name above, so a cut-off name keeps its prefix and
/// equals no name.
const LONGEST_FOLDED: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserves_names_in_every_spelling() {
        for name in [
            "X-User-ID",
            "x-user-id",
            "x_user_id",
            "X.User.Id",
            "X-User_Id",
            "xuserid",
            "X--User-Id",
            "X-User-Id-",
            "X-User-Id\0",
            "X-Us\u{435}r-Id",
            "X-User-Id ",
            "",
            " ",
            "X-User-Name",
            "x_user_email",
            "X.User-Email",
            "x-vestibule-assertion",
            "X_Vestibule_Anything",
            "x-webhook-event-id",
            "forwarded",
            "x-forwarded-for",
            "X_Forwarded_Proto",
            "x-forwarded-anything-at-all-and-longer",
            "x-original-url",
            "x-rewrite-url",
            "x-http-method-override",
            "x-method-override",
            "X-Override-Method",
            "x_override_method",
            "CF_Connecting_IP",
            "Transfer_Encoding",
            "Content_Length",
            "idempotency_key",
            "x-middleware-subrequest",
            "front-end-https",
            "true-client-ip",
            "x-real-ip",
            "x-envoy-original-path",
            "x-host",
        ] {
            assert!(is_reserved(name), "{name:?}");
        }
        for name in [
            "accept",
            "cookie",
            "authorization",
            "x-csrf-token",
            "x-requested-with",
            "x-user-timezone",
            "x-user-id2",
            "x-request",
            "idempotency-key",
            "cf-connecting-ip",
            "content-type",
            "range",
            "x-trace-id",
            "x-forward",
            "x-agent-token-id-of-something-else-that-is-long",
        ] {
            assert!(!is_reserved(name), "{name:?}");
        }
    }

    #[test]
    fn hides_only_gateway_headers_from_clients() {
        for (name, want) in [
            ("x-user-id", true),
            ("X_Request_Id", true),
            ("x-vestibule-assertion", true),
            ("x-webhook-event-id", true),
            ("x-envoy-upstream-service-time", false),
            ("x-forwarded-for", false),
            ("content-type", false),
        ] {
            assert_eq!(is_stamp(name), want, "{name}");
        }
    }

    /// The short cut gives the same result as the comparison that it saves.
    #[test]
    fn frequent_names_are_not_reserved() {
        let mut found = 0;
        for name in
            spelling::KNOWN.iter().chain(&["sec-ch-ua", "sec-fetch-mode"]).filter(|name| is_common(name))
        {
            let folded = Folded::of(name);
            let lists = (&[GATEWAY_NAMES, PROXY_NAMES], &[GATEWAY_PREFIXES, PROXY_PREFIXES]);
            assert!(!is_listed(&folded, lists.0, lists.1), "{name}");
            assert!(!spelling::is_variant(name, folded.as_bytes()), "{name}");
            found += 1;
        }
        assert!(found > 15, "{found}");
        for name in [GATEWAY_NAMES, PROXY_NAMES, GATEWAY_PREFIXES, PROXY_PREFIXES].into_iter().flatten() {
            assert!(!is_common(std::str::from_utf8(name).expect("ascii")));
        }
    }

    #[test]
    fn every_gateway_header_starts_with_an_x() {
        assert!(GATEWAY_NAMES.iter().chain(GATEWAY_PREFIXES).all(|name| name.starts_with(b"x")));
        assert!(is_stamp("_X-User-Id") && is_stamp("-x-vestibule-y"));
    }

    #[test]
    fn every_listed_name_is_reserved_and_compared_whole() {
        for name in [GATEWAY_NAMES, GATEWAY_PREFIXES, PROXY_NAMES, PROXY_PREFIXES].into_iter().flatten() {
            assert!(name.len() < LONGEST_FOLDED);
            let text = std::str::from_utf8(name).expect("ascii");
            assert!(is_reserved(text), "{text}: its first letter is missing in is_listed");
        }
    }
}
