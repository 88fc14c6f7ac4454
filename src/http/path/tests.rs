use proptest::prelude::*;

use super::*;

#[test]
fn canonicalizes_or_rejects() {
    for (raw, want) in [
        ("/", Some("/")),
        ("/a/b/", Some("/a/b/")),
        ("/a.b/..c/d..", Some("/a.b/..c/d..")),
        ("/%61dmin", Some("/admin")),
        ("/%7Euser/%2d", Some("/~user/-")),
        ("/caf%c3%a9", Some("/caf%C3%A9")),
        ("/a%20b%23c%3F", Some("/a%20b%23c%3F")),
        ("/100%25", Some("/100%25")),
        ("/50%25off", Some("/50%25off")),
        ("//admin", Some("//admin")),
        ("/a///b//", Some("/a///b//")),
        ("/https://x", Some("/https://x")),
        ("/a;b=1,c@d:e!$&'()*+=", Some("/a;b=1,c@d:e!$&'()*+=")),
        ("/a%2fb", None),
        ("/a%2Fb", None),
        ("/a%5cb", None),
        ("/a\\b", None),
        ("/a%00", None),
        ("/a%0d%0a", None),
        ("/a%7f", None),
        ("/%252e%252e/admin", None),
        ("/%25%32%65", None),
        ("/é", Some("/%C3%A9")),
        ("/a\"b|<c>{d}^`", Some("/a%22b|%3Cc%3E%7Bd%7D%5E%60")),
        ("/a%7b", Some("/a%7B")),
        ("/%2e%2e/admin", None),
        ("/a/%2e", None),
        ("/a/../b", None),
        ("/a/..;/b", None),
        ("/a/.;x=1/b", None),
        ("/a/%2e%2e;x/b", None),
        ("/a/b/.;", None),
        ("/a/..x;/b", Some("/a/..x;/b")),
        ("/./a", None),
        ("/a%", None),
        ("/a%2", None),
        ("/a%zz", None),
        ("/a b", None),
        ("/a\tb", None),
        ("/%c0%ae%c0%ae/admin", None),
        ("/a%C0%AFb", None),
        ("/a%C1%9Cb", None),
        ("/%e0%80%ae", None),
        ("/%F0%80%80%AF", None),
        ("/%C0%20propos", Some("/%C0%20propos")),
        ("/%C0%C9", Some("/%C0%C9")),
        ("/%E0%A4%85", Some("/%E0%A4%85")),
        ("/%F0%9F%98%80", Some("/%F0%9F%98%80")),
        ("/%C0", Some("/%C0")),
        ("", None),
        ("a", None),
        ("*", None),
    ] {
        let parsed = CanonicalPath::parse(raw);
        assert_eq!(parsed.as_ref().ok().map(CanonicalPath::as_str), want, "{raw}");
    }
}

#[test]
fn canonicalizes_or_rejects_encoded_slashes() {
    for (raw, want) in [
        ("/@scope%2Fname", Some("/@scope%2Fname")),
        ("/@scope%2fname", Some("/@scope%2fname")),
        ("/%40scope%2fn%61me/caf%c3%a9", Some("/%40scope%2fname/caf%C3%A9")),
        ("/api/queues/%2F/name", Some("/api/queues/%2F/name")),
        ("/a%2F", Some("/a%2F")),
        ("/%2F%2F", Some("/%2F%2F")),
        ("/100%2525", Some("/100%2525")),
        ("/%252F", Some("/%252F")),
        ("/%25%32%66", Some("/%252f")),
        ("/%25252F", Some("/%25252F")),
        ("/%2525252F", None),
        ("/a%2F%20b", Some("/a%2F%20b")),
        ("/a%2F b", None),
        ("/a.%2F.b", Some("/a.%2F.b")),
        // Some decoding has a dot segment or a forbidden character.
        ("/a/..%2Fb", None),
        ("/a%2F..", None),
        ("/a%2F.%2Fb", None),
        ("/a%2F..;x%2Fb", None),
        ("/a%2F..%3Bx", None),
        ("/a/%2e%2e%2fb", None),
        ("/a/%252e%252e%2Fb", None),
        ("/a/%252e%252e/b", None),
        ("/a/.%252e", None),
        ("/a/..%252Fb", None),
        ("/a/%25252e%25252e%25252f", None),
        ("/a%2F%00", None),
        ("/a%2F%0d%0a", None),
        ("/a%2F%7f", None),
        ("/a%2500", None),
        ("/a%25250a", None),
        ("/a%2F%C0%AE", None),
        ("/a%25C0%25AE", None),
        ("/a%2525c0%2525ae", None),
        ("/a%5cb", None),
        ("/a%2Fb%5C", None),
        ("/a%255cb", None),
        ("/a%2Fb\\c", None),
        ("/a%2F%", None),
        ("%2Fa", None),
    ] {
        let parsed = CanonicalPath::parse_with_ambiguous_escapes(raw);
        assert_eq!(parsed.as_ref().ok().map(CanonicalPath::as_str), want, "{raw}");
        assert!(parsed.is_err() || parsed.is_ok_and(|path| path.has_ambiguous_escapes()), "{raw}");
        assert_eq!(CanonicalPath::parse(raw), Err(Rejection::AmbiguousPath), "{raw}");
    }
    let decoded = |raw| -> Vec<String> {
        let path = CanonicalPath::parse_with_ambiguous_escapes(raw).expect("canonical");
        path.decodings().map(Cow::into_owned).collect()
    };
    assert_eq!(decoded("/a%252F%2fb%20"), ["/a%252F%2fb%20", "/a%2F/b ", "/a//b "]);
    assert_eq!(decoded("/a%20"), ["/a%20"]);
}

#[test]
fn limits_the_length_of_a_path_with_encoded_slashes() {
    let longest = format!("/%2F{}", "a".repeat(LONGEST_ENCODED - 4));
    assert!(CanonicalPath::parse_with_ambiguous_escapes(&longest).is_ok());
    assert!(CanonicalPath::parse_with_ambiguous_escapes(&format!("{longest}a")).is_err());
    assert!(CanonicalPath::parse(&format!("/{}", "a".repeat(2 * LONGEST_ENCODED))).is_ok());
}

proptest! {
    #[test]
    fn reparsing_keeps_encoded_slashes(raw in "/([a-z%;.]|%2F|%2f|%25|%2e|%5c|%41|2F){0,12}") {
        if let Ok(once) = CanonicalPath::parse_with_ambiguous_escapes(&raw) {
            let text = once.as_str().to_owned();
            let again = CanonicalPath::parse_with_ambiguous_escapes(&text);
            prop_assert_eq!(again.as_ref(), Ok(&once));
            for decoded in once.decodings() {
                prop_assert!(decoded.len() <= raw.len() && !decoded.split('/').any(|part| part == ".."));
            }
        }
    }

    #[test]
    fn reparsing_changes_nothing(raw in "/[a-zA-Z0-9%./~_-]{0,40}") {
        if let Ok(once) = CanonicalPath::parse(&raw) {
            let once = once.as_str().to_owned();
            let again = CanonicalPath::parse(&once);
            prop_assert_eq!(again.as_ref().map(CanonicalPath::as_str), Ok(once.as_str()));
        }
    }

    #[test]
    fn parsing_never_panics(raw in any::<String>()) {
        let _ = CanonicalPath::parse(&raw);
        let _ = CanonicalPath::parse_with_ambiguous_escapes(&raw);
    }
}
