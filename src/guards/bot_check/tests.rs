use super::*;

fn policy() -> Policy {
    policy_with("s3cret&=")
}

fn policy_with(secret: &str) -> Policy {
    Policy {
        verify_url: "https://verify.example/".to_owned(),
        secret: Opaque::parse(secret).expect("a secret"),
        header: "cf-turnstile-response".to_owned(),
        field: "cf-turnstile-response".to_owned(),
        hostnames: vec!["app.example".to_owned()],
        timeout: Duration::from_secs(3),
    }
}

#[test]
fn checks_siteverify_responses() {
    let good = r#"{"success":true,"hostname":"app.example","action":"signup","error-codes":[]}"#;
    for (status, body, want) in [
        (200, good, None),
        (200, r#"{"success":true,"hostname":"app.example","action":"login"}"#, Some(BotCheck::Action)),
        (200, r#"{"success":true,"hostname":"app.example"}"#, Some(BotCheck::Action)),
        (200, r#"{"success":true,"hostname":"evil.example","action":"signup"}"#, Some(BotCheck::Hostname)),
        (200, r#"{"success":true,"action":"signup"}"#, Some(BotCheck::Hostname)),
        (200, r#"{"success":false,"error-codes":["invalid-input-response"]}"#, Some(BotCheck::Rejected)),
        (200, r#"{"success":false,"error-codes":["timeout-or-duplicate"]}"#, Some(BotCheck::Spent)),
        (200, r#"{"success":false}"#, Some(BotCheck::Rejected)),
        (200, r#"{"success":false,"error-codes":["invalid-input-secret"]}"#, Some(BotCheck::Unavailable)),
        (200, r#"{"success":false,"error-codes":["internal-error"]}"#, Some(BotCheck::Unavailable)),
        (
            200,
            r#"{"success":"true","hostname":"app.example","action":"signup"}"#,
            Some(BotCheck::Unavailable),
        ),
        (200, r#"{"success":1}"#, Some(BotCheck::Unavailable)),
        (200, "<html>", Some(BotCheck::Unavailable)),
        (200, "", Some(BotCheck::Unavailable)),
        (200, "null", Some(BotCheck::Unavailable)),
        (200, r#"[true,"app.example","signup"]"#, Some(BotCheck::Unavailable)),
        (500, good, Some(BotCheck::Unavailable)),
    ] {
        let found = policy().check_response("signup", status, body).err();
        assert_eq!(found, want.map(Rejection::BotCheckFailed), "{body}");
    }
}

#[test]
fn skips_hostname_and_action_for_a_test_secret() {
    let always = "1x0000000000000000000000000000000AA";
    let marked = r#"{"success":true,"hostname":"example.com","metadata":{"result_with_testing_key":true}}"#;
    assert!(policy_with(always).check_response("signup", 200, marked).is_ok());
    assert!(policy().check_response("signup", 200, marked).is_err(), "with a production secret");
    let unmarked = r#"{"success":true,"hostname":"example.com"}"#;
    assert!(policy_with(always).check_response("signup", 200, unmarked).is_err());
}

#[test]
fn writes_the_siteverify_form() {
    assert_eq!(policy().question("t&k", None), "secret=s3cret%26%3D&response=t%26k");
    assert_eq!(
        policy().question("t", Some("192.0.2.1")),
        "secret=s3cret%26%3D&response=t&remoteip=192.0.2.1"
    );
}

#[test]
fn checks_tokens_and_recognizes_test_secrets() {
    let long = "t".repeat(LONGEST + 1);
    for (found, want) in
        [(Some("t"), true), (None, false), (Some(""), false), (Some("a b"), false), (Some(&*long), false)]
    {
        assert_eq!(token(found).is_ok(), want, "{found:?}");
    }
    for (secret, want) in [
        ("1x0000000000000000000000000000000AA", true),
        ("2x0000000000000000000000000000000AA", true),
        ("3x0000000000000000000000000000000AA", true),
        ("0x4AAAAAAAxxxxxxxxxxxxxxxxxxxxxxxx", false),
        ("1", false),
        ("", false),
    ] {
        assert_eq!(is_for_tests(secret), want, "{secret}");
    }
}
