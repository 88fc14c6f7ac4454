//! Header filter: which headers of a client are not forwarded to upstream.
//!
//! 1. Headers that the client's `Connection` header nominates (RFC 9110 §7.6.1): they are for the gateway only.
//! 2. Headers that upstream trusts because the gateway sets them, and headers by which proxies report a client, its
//!    address, or another path or method. Some servers treat `-` and `_` (CGI, WSGI) and sometimes `.` as the same
//!    character, so names are compared by their letters and digits only.
//! 3. Other spellings of names that have a meaning to servers or to the gateway: see `header_filter/spelling.rs`.
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
pub fn is_gateway_header(name: &str) -> bool {
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
mod tests;
