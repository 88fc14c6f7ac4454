use super::*;

#[test]
fn tolerance_is_inclusive() {
    for (at, tolerance, want) in [
        (1_000, 0, Ok(())),
        (700, 300, Ok(())),
        (699, 300, Err(InvalidSignature::TooOld)),
        (1_300, 300, Ok(())),
        (1_301, 300, Err(InvalidSignature::FromTheFuture)),
        (i64::MAX, 300, Err(InvalidSignature::FromTheFuture)),
        (i64::MIN, 300, Err(InvalidSignature::TooOld)),
    ] {
        let arrival = Arrival::at_once(Timestamp(1_000));
        let window = Window { arrival, tolerance: Duration::from_secs(tolerance) };
        assert_eq!(window.check(Timestamp(at)), want, "{at}");
        assert_eq!(window.overlaps(Timestamp(at)), want.is_ok(), "{at}");
    }
}

#[test]
fn a_slow_body_does_not_widen_the_window() {
    for (at, want, overlaps) in [
        (639, Err(InvalidSignature::TooOld), false),
        (640, Err(InvalidSignature::TooOld), true),
        (699, Err(InvalidSignature::TooOld), true),
        (700, Ok(()), true),
        (1_240, Ok(()), true),
        (1_241, Err(InvalidSignature::FromTheFuture), true),
        (1_300, Err(InvalidSignature::FromTheFuture), true),
        (1_301, Err(InvalidSignature::FromTheFuture), false),
    ] {
        let arrival = Arrival { head: Timestamp(940), body: Timestamp(1_000) };
        let window = Window { arrival, tolerance: Duration::from_mins(5) };
        assert_eq!(window.check(Timestamp(at)), want, "{at}");
        assert_eq!(window.overlaps(Timestamp(at)), overlaps, "{at}");
    }
}

#[test]
fn accepts_only_digits_as_seconds() {
    for (text, want) in [
        ("1700000000", Some(1_700_000_000)),
        ("0", Some(0)),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        (" 1", None),
        ("1e9", None),
        ("１", None),
        ("99999999999999999999", None),
    ] {
        assert_eq!(parse_seconds(text).ok(), want.map(Timestamp), "{text:?}");
    }
}

#[test]
fn event_ids_are_visible_ascii_or_missing() {
    let long = "x".repeat(256);
    for (json, want) in [
        (r#"{"id":"evt_1"}"#, Some("evt_1")),
        (r#"{"id":17}"#, Some("17")),
        (r#"{"id":-17}"#, Some("-17")),
        (r#"{"id":1.5}"#, None),
        (r#"{"id":""}"#, None),
        (r#"{"id":"a b"}"#, None),
        (r#"{"id":"a\nb"}"#, None),
        (r#"{"id":"é"}"#, None),
        (r#"{"id":{"id":"x"}}"#, None),
        (r#"{"id":"x"} trailing"#, None),
        (&format!(r#"{{"id":"{long}"}}"#), None),
        (&"[".repeat(100_000), None),
        ("", None),
    ] {
        assert_eq!(EventInfo::from_body(json.as_bytes(), Some("/id"), &[]).id.as_deref(), want);
    }
    assert_eq!(EventInfo::from_body(b"\xff{}", Some("/id"), &["/type"]), EventInfo::default());
}

#[test]
fn ignores_signatures_after_the_sixteenth() {
    let keys = Keys::<Sha256Mac>::new(&["one", "two"]).expect("keys");
    let good = encoding::hex(&sign("two", b"body"));
    let bad = "00".repeat(32);
    let verify = |before: usize, after: usize| {
        let signatures = std::iter::repeat_n(bad.as_str(), before).chain([good.as_str()]);
        let signatures = signatures.chain(std::iter::repeat_n(bad.as_str(), after));
        keys.verify(&[b"bo", b"", b"dy"], Encoding::Hex, signatures)
    };
    assert_eq!(verify(0, 0), Ok(()));
    assert_eq!(verify(15, 1_000), Ok(()));
    assert_eq!(verify(16, 0), Err(InvalidSignature::Mismatch));
}

#[test]
fn accepts_only_whole_tags() {
    let keys = Keys::<Sha256Mac>::new(&["one"]).expect("keys");
    let good = encoding::hex(&sign("one", b"body"));
    let verify = |tag: &str| keys.verify(&[b"body"], Encoding::Hex, [tag]);
    assert_eq!(verify(&good.to_uppercase()), Ok(()));
    assert_eq!(verify(&good[..62]), Err(InvalidSignature::Malformed));
    assert_eq!(verify(&format!("{good}00")), Err(InvalidSignature::Malformed));
    assert_eq!(verify(""), Err(InvalidSignature::Malformed));
    assert_eq!(verify(&good[..63]), Err(InvalidSignature::Malformed));
    assert_eq!(verify(&"00".repeat(32)), Err(InvalidSignature::Mismatch));
    assert_eq!(verify("potato"), Err(InvalidSignature::Malformed));
}
