use ed25519_compact::{KeyPair, Seed};

use crate::webhooks::{
    Delivery, EventType, InvalidSignature, KeyError, Scheme, Verifier,
    signature::sign,
    tests::{NOW, base64, verify_now},
};

const BODY: &str = r#"{"type":"user.created"}"#;

#[test]
fn accepts_only_current_signatures() {
    let valid = format!("v1,{}", base64(&sign("key", format!("msg_1.{NOW}.{BODY}").as_bytes())));
    let valid_among_others = format!("v1,AAAA v2,x {valid}");
    let too_old = (NOW - 301).to_string();
    for (names, id, timestamp, signature, want) in [
        ("webhook", "msg_1", &*NOW.to_string(), &*valid, Ok(())),
        ("svix", "msg_1", &NOW.to_string(), &valid, Ok(())),
        ("svix", "msg_1", &NOW.to_string(), &valid_among_others, Ok(())),
        ("x", "msg_1", &NOW.to_string(), &valid, Err(InvalidSignature::MissingHeader)),
        ("webhook", "", &NOW.to_string(), &valid, Err(InvalidSignature::MissingHeader)),
        ("webhook", "msg_2", &NOW.to_string(), &valid, Err(InvalidSignature::Mismatch)),
        ("webhook", "msg_1", &too_old, &valid, Err(InvalidSignature::TooOld)),
        ("webhook", "msg_1", "now", &valid, Err(InvalidSignature::Malformed)),
        ("webhook", "msg_1", &NOW.to_string(), &valid[3..], Err(InvalidSignature::Malformed)),
    ] {
        let found = deliver(&["whsec_a2V5"], names, id, timestamp, signature, BODY);
        assert_eq!(found.map(|_| ()), want, "{names} {id} {timestamp} {signature}");
    }
}

#[test]
fn public_keys_verify_only_v1a() {
    let pair = KeyPair::from_seed(Seed::new([7; 32]));
    let public = format!("whpk_{}", base64(&pair.pk[..]));
    let valid = base64(&pair.sk.sign(format!("msg_1.{NOW}.{BODY}"), None)[..]);
    for (version, body, want) in [
        ("v1a", BODY, Ok(())),
        ("v1", BODY, Err(InvalidSignature::Mismatch)),
        ("v2", BODY, Err(InvalidSignature::Mismatch)),
        ("v1a", "{}", Err(InvalidSignature::Mismatch)),
    ] {
        let signature = format!("v1a,AAAA {version},{valid}");
        let found = deliver(&[&public], "webhook", "msg_1", &NOW.to_string(), &signature, body);
        assert_eq!(found.map(|_| ()), want, "{version} {body}");
        let both = ["whsec_a2V5", &public];
        let found = deliver(&both, "webhook", "msg_1", &NOW.to_string(), &signature, body);
        assert_eq!(found.is_ok(), want.is_ok(), "{version} {body}");
    }
}

#[test]
fn reads_id_from_the_header_and_type_from_the_body() {
    let signature = format!("v1,{}", base64(&sign("key", format!("msg_1.{NOW}.{BODY}").as_bytes())));
    let found =
        deliver(&["a2V5"], "svix", "msg_1", &NOW.to_string(), &signature, BODY).expect("a valid signature");
    assert_eq!(found.event_id.as_deref(), Some("msg_1"));
    assert_eq!(found.event_type.as_ref().map(EventType::as_str), Some("user.created"));
}

#[test]
fn rejects_ids_that_end_with_a_current_timestamp() {
    let (id, body) = (format!("msg.{NOW}"), "{}");
    let signature = format!("v1,{}", base64(&sign("key", format!("{id}.{NOW}.{body}").as_bytes())));
    let shifted = format!("{NOW}.{body}");
    let event_id = |id: &str, body: &str| {
        deliver(&["a2V5"], "svix", id, &NOW.to_string(), &signature, body).map(|found| found.event_id)
    };
    assert_eq!(event_id(&id, body), Err(InvalidSignature::Malformed));
    assert_eq!(event_id("msg", &shifted), Ok(Some("msg".to_owned())), "the same signature");
}

#[test]
fn rejects_invalid_keys() {
    let weak = format!("whpk_{}", base64(&[0; 32]));
    for (secrets, want) in [
        (&["whsec_"][..], KeyError::Empty(1)),
        (&["a2V5", "whsec_?"], KeyError::NotBase64(2)),
        (&["whpk_a2V5"], KeyError::PublicKey(1)),
        (&[&weak], KeyError::PublicKey(1)),
        (&["whsk_a2V5"], KeyError::PrivateKey(1)),
    ] {
        let found = Verifier::new(Scheme::Standard, secrets, std::time::Duration::ZERO);
        assert_eq!(found.map(|_| ()), Err(want), "{secrets:?}");
    }
}

fn deliver(
    secrets: &[&str],
    names: &str,
    id: &str,
    timestamp: &str,
    signature: &str,
    body: &str,
) -> Result<Delivery, InvalidSignature> {
    let names = ["id", "timestamp", "signature"].map(|name| format!("{names}-{name}"));
    let fields = [(&*names[0], id), (&names[1], timestamp), (&names[2], signature)];
    verify_now(Scheme::Standard, secrets, &fields, body)
}
