//! Return paths: every target that is accepted leads to a trusted origin, and is its own canonical form.

use url::Url;
use vestibule::{
    http::origin::Origin,
    redirects::return_path::{LaxPattern, Policy, publish, uri_reference},
};

const SITE: &str = "https://app.example.com";
const SISTER: &str = "https://help.example.com";

pub(crate) fn run(data: &[u8]) {
    let candidate = String::from_utf8_lossy(data);
    let policy = Policy {
        login: "/login".to_owned(),
        home: "/".to_owned(),
        endpoints: vec![LaxPattern::of("/api/auth/{*rest}")],
        sign_ins: vec![LaxPattern::of("/magic/{token}")],
        public: vec![Origin::parse(SITE).unwrap()],
        elsewhere: vec![Origin::parse(SISTER).unwrap()],
    };
    if let Some(accepted) = policy.accept(&candidate) {
        let url = resolved(accepted.as_str());
        assert_eq!(url.origin().ascii_serialization(), SITE);
        assert!(!url.path().starts_with("//"));
        assert!(!is_excluded(url.path()), "{accepted:?} is a path to sign in");
        assert_eq!(policy.accept(accepted.as_str()), Some(accepted), "accepting is idempotent");
    }
    let held = policy.hold(&candidate);
    let url = resolved(held.as_str());
    assert!([SITE, SISTER].contains(&url.origin().ascii_serialization().as_str()));
    assert!(matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none());
    assert_eq!(policy.hold(held.as_str()), held, "holding is idempotent");
    let reference = uri_reference(&candidate);
    assert_eq!(uri_reference(&reference), reference, "escaping is idempotent");
    assert!(reference.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)));
    if let Some(location) = publish(&candidate, &Origin::parse("http://10.0.0.7:3000").unwrap(), SITE) {
        assert_eq!(resolved(&location).origin().ascii_serialization(), SITE);
    }
}

fn resolved(target: &str) -> Url {
    Url::parse(SITE).unwrap().join(target).unwrap()
}

/// Checks for the login page, an endpoint or a path at which a `GET` signs in.
fn is_excluded(path: &str) -> bool {
    let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy().to_ascii_lowercase();
    let segments: Vec<&str> = path.split('/').collect();
    matches!(segments[..], ["", "login"] | ["", "api", "auth", _, ..])
        || matches!(segments[..], ["", "magic", token] if !token.is_empty())
}
