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
        assert_eq!(is_gateway_header(name), want, "{name}");
    }
}

/// `is_common` accepts no name that the full comparison would reserve.
#[test]
fn frequent_names_are_not_reserved() {
    let mut found = 0;
    for name in spelling::KNOWN.iter().chain(&["sec-ch-ua", "sec-fetch-mode"]).filter(|name| is_common(name))
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
    assert!(is_gateway_header("_X-User-Id") && is_gateway_header("-x-vestibule-y"));
}

#[test]
fn every_listed_name_is_reserved_and_compared_whole() {
    for name in [GATEWAY_NAMES, GATEWAY_PREFIXES, PROXY_NAMES, PROXY_PREFIXES].into_iter().flatten() {
        assert!(name.len() < LONGEST_FOLDED);
        let text = std::str::from_utf8(name).expect("ascii");
        assert!(is_reserved(text), "{text}: its first letter is missing in is_listed");
    }
}
