use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000);

fn expected() -> Expected {
    Expected {
        user_claim: "userId".into(),
        session_claim: "sessionId".into(),
        issuer: None,
        audience: None,
        leeway: Duration::ZERO,
    }
}

fn token(json: &str) -> Verified {
    Verified { payload: json.as_bytes().to_vec(), stale_key: false }
}

#[track_caller]
fn check(expected: &Expected, json: &str, want: Result<(), Refused>) {
    assert_eq!(validate(&token(json), expected, NOW).map(|_| ()), want, "{json}");
}

#[test]
fn checks_times_types_and_duplicates() {
    let ids = r#""userId":"u","sessionId":"s""#;
    for (rest, want) in [
        (r#""iat":1700000000,"exp":1700000001"#, Ok(())),
        (r#""iat":1700000000,"exp":1700000000"#, Err(Refused::Expired)),
        (r#""iat":1,"exp":-5"#, Err(Refused::Expired)),
        (r#""iat":1700000001,"exp":1800000000"#, Err(Refused::Malformed)),
        (r#""iat":-1,"exp":9223372036854775807"#, Ok(())),
        (r#""iat":1,"exp":9223372036854775808"#, Err(Refused::Malformed)),
        (r#""iat":1,"exp":1.8e9"#, Err(Refused::Malformed)),
        (r#""iat":1,"exp":1800000000.0"#, Err(Refused::Malformed)),
        (r#""iat":1,"exp":"1800000000""#, Err(Refused::Malformed)),
        (r#""iat":null,"exp":1800000000"#, Err(Refused::Malformed)),
        (r#""exp":1800000000"#, Err(Refused::Malformed)),
        (r#""iat":1"#, Err(Refused::Malformed)),
        (r#""iat":1,"exp":1800000000,"nbf":1700000000"#, Ok(())),
        (r#""iat":1,"exp":1800000000,"nbf":1700000001"#, Err(Refused::Malformed)),
        (r#""iat":1,"exp":1800000000,"nbf":"0""#, Err(Refused::Malformed)),
        (r#""iat":1,"exp":1,"exp":1800000000"#, Err(Refused::Malformed)),
        (r#""iat":1,"exp":1800000000,"userId":"v""#, Err(Refused::Malformed)),
        (r#""iat":1,"exp":1800000000,"x":1,"x":2"#, Err(Refused::Malformed)),
        (r#""iat":1,"exp":1800000000,"aud":7"#, Err(Refused::Malformed)),
    ] {
        check(&expected(), &format!("{{{ids},{rest}}}"), want);
    }
}

#[test]
fn accepts_ids_of_visible_ascii_only() {
    let long = "x".repeat(129);
    for (user, want) in [
        (r#""a b""#, Err(Refused::Malformed)),
        (r#""""#, Err(Refused::Malformed)),
        (r#""\u0000""#, Err(Refused::Malformed)),
        (r#""é""#, Err(Refused::Malformed)),
        ("42", Err(Refused::Malformed)),
        (r#"["u"]"#, Err(Refused::Malformed)),
        (r#""u\u0073r""#, Ok(())),
        (&format!("\"{long}\""), Err(Refused::Malformed)),
        (&format!("\"{}\"", &long[..128]), Ok(())),
    ] {
        let json = format!(r#"{{"userId":{user},"sessionId":"s","iat":1,"exp":1800000000}}"#);
        check(&expected(), &json, want);
    }
}

#[test]
fn leeway_applies_to_both_ends() {
    let lenient = Expected { leeway: Duration::from_mins(1), ..expected() };
    for (iat, exp, want) in [
        (1, 1_699_999_941, Ok(())),
        (1, 1_699_999_940, Err(Refused::Expired)),
        (1_700_000_060, 1_800_000_000, Ok(())),
        (1_700_000_061, 1_800_000_000, Err(Refused::Malformed)),
    ] {
        let json = format!(r#"{{"userId":"u","sessionId":"s","iat":{iat},"exp":{exp}}}"#);
        check(&lenient, &json, want);
    }
}

#[test]
fn checks_issuer_and_audience_if_configured() {
    let strict = Expected { issuer: Some("https://idp".into()), audience: Some("app".into()), ..expected() };
    for (rest, want) in [
        (r#""iss":"https://idp","aud":"app""#, Ok(())),
        (r#""iss":"https://idp","aud":["x","app"]"#, Ok(())),
        (r#""iss":"https://idp","aud":[]"#, Err(Refused::Malformed)),
        (r#""iss":"https://idp","aud":"App""#, Err(Refused::Malformed)),
        (r#""iss":"https://idp""#, Err(Refused::Malformed)),
        (r#""iss":"https://idp/","aud":"app""#, Err(Refused::Malformed)),
        (r#""aud":"app""#, Err(Refused::Malformed)),
    ] {
        let json = format!(r#"{{"userId":"u","sessionId":"s","iat":1,"exp":1800000000,{rest}}}"#);
        check(&strict, &json, want);
    }
}

#[test]
fn rejects_assertions() {
    let bound = r#""method":"GET","path":"/","requestId":"req_1""#;
    for (rest, want) in [
        (format!(r#""iss":"vestibule","aud":"vestibule-upstream",{bound}"#), Err(Refused::Malformed)),
        // An assertion of version 0.1.
        (format!(r#""iss":"vestibule",{bound}"#), Err(Refused::Malformed)),
        (r#""aud":"vestibule-upstream""#.to_owned(), Err(Refused::Malformed)),
        (r#""aud":["app","vestibule-upstream"]"#.to_owned(), Err(Refused::Malformed)),
        (r#""iss":"vestibule""#.to_owned(), Ok(())),
        (r#""aud":"vestibule-session""#.to_owned(), Ok(())),
        (bound.to_owned(), Ok(())),
    ] {
        let json = format!(r#"{{"userId":"u","sessionId":"s","iat":1,"exp":1800000000,{rest}}}"#);
        check(&expected(), &json, want);
    }
    let same_audience = Expected { audience: Some("vestibule-upstream".into()), ..expected() };
    check(
        &same_audience,
        r#"{"userId":"u","sessionId":"s","iat":1,"exp":1800000000,"aud":"vestibule-upstream"}"#,
        Err(Refused::Malformed),
    );
    let ids = SessionIds { user: "u", session: "s" };
    let minted = fresh(&expected(), ids, Timestamp(1), Timestamp(1_800_000_000), None).expect("JSON");
    let minted = String::from_utf8(minted).expect("UTF-8");
    assert!(minted.contains(r#""aud":"vestibule-session""#), "{minted}");
    check(&expected(), &minted, Ok(()));
}

#[test]
fn renewal_keeps_unknown_claims() {
    let old = token(r#"{"z":{"k":[1,2.5]},"iat":1,"userId":"u","exp":2,"é":"\u0001"}"#);
    let new = renewed(&old, Timestamp(5), Timestamp(9), None).expect("an object");
    assert_eq!(
        String::from_utf8(new).expect("utf-8"),
        r#"{"z":{"k":[1,2.5]},"iat":5,"userId":"u","exp":9,"é":"\u0001"}"#
    );
}
