//! Which of a client's headers do not pass.
//!
//! 1. Fields that the client's `Connection` nominates (RFC 9110 §7.6.1), which are its business with us.
//! 2. Names that upstream trusts because we stamp them, and names by which proxies tell of a client,
//!    its address, or another path or method. Servers fold `-` and `_` (CGI, WSGI) and sometimes `.`
//!    into one, so names are compared by their letters and digits alone.
//! 3. Names that mean something to servers or to us, in any other spelling than their own: see `hygiene/spelling.rs`.
//! 4. Names that are no names (RFC 9110 §5.1), should a runtime ever let one through.
//!
//! Our own stamps are put on afterwards, so nothing here can take them away.

mod forwarded;
mod spelling;

pub use forwarded::ForwardedRequest;

use crate::cookie::is_token_byte;

/// Tells whether a client may not say this to upstream.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    let folded = Folded::of(name);
    !is_name(name)
        || is_listed(&folded, &[STAMPED, CLAIMED], &[STAMPED_FAMILIES, CLAIMED_FAMILIES])
        || spelling::is_variant(name, folded.as_bytes())
}

/// Tells whether this is a name that we stamp; upstream's copy of it is not for the client.
#[must_use]
pub fn is_stamp(name: &str) -> bool {
    is_listed(&Folded::of(name), &[STAMPED], &[STAMPED_FAMILIES])
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_token_byte)
}

fn is_listed(folded: &Folded, names: &[&[&[u8]]], families: &[&[&[u8]]]) -> bool {
    let folded = folded.as_bytes();
    // Most names start otherwise.
    if !matches!(folded.first(), Some(b'x' | b'f' | b'r' | b't' | b'c' | b'p')) {
        return false;
    }
    names.iter().any(|names| names.contains(&folded))
        || families.iter().copied().flatten().any(|family| folded.starts_with(family))
}

/// The letters and digits of a name, in lower case, as far as any comparison looks.
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

/// What we tell upstream of a request. Names as their folded letters and digits.
const STAMPED: &[&[u8]] = &[
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

/// Whole families of stamps, by their first letters.
const STAMPED_FAMILIES: &[&[u8]] = &[b"xvestibule", b"xwebhook"];

/// What proxies tell of a client, which a client could tell as well.
const CLAIMED: &[&[u8]] = &[
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
    // CGI makes HTTP_PROXY of it, which programs obey (httpoxy, CVE-2016-5385).
    b"proxy",
    b"proxyauthorization",
    // Rack and nginx serve files by it.
    b"xsendfiletype",
    // Another method than the one that was judged.
    b"xmethodoverride",
    b"xoverridemethod",
];

/// Whole families of such claims.
const CLAIMED_FAMILIES: &[&[u8]] = &[
    b"xforwarded",
    b"xoriginal",
    b"xrewrite",
    b"xhttpmethod",
    b"xenvoy",
    b"xaccel",
    // Next.js skips its middleware for requests that claim to come from it (CVE-2025-29927).
    b"xmiddleware",
];

/// Longer than any name above, so a cut-off name still tells its family and equals none.
const LONGEST_FOLDED: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
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
    fn stamps_are_fewer() {
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

    #[test]
    fn every_reserved_name_fits_its_comparison() {
        for name in [STAMPED, STAMPED_FAMILIES, CLAIMED, CLAIMED_FAMILIES].into_iter().flatten() {
            assert!(name.len() < LONGEST_FOLDED);
            let text = std::str::from_utf8(name).expect("ascii");
            assert!(is_reserved(text), "{text} starts with a letter that is not looked up");
        }
    }
}
