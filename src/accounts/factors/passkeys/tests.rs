//! Tests of the messages of browsers and authenticators: the examples of the specification, and hostile ones.

#![allow(clippy::needless_pass_by_value, clippy::arithmetic_side_effects, reason = "a test")]

mod authenticator;
mod hostile;
mod model;
mod store;

use authenticator::*;
use cbor4ii::core::Value;
use proptest::prelude::*;
use serde_json::json;

use super::{
    PasskeyError::{self, *},
    RelyingParty, StoredPasskey,
    ceremony::{self, Ceremony, CeremonyPurpose, UsedCeremony},
    messages::{AssertionMessage, AuthenticatorData, ClientData, RegistrationMessage, unattested},
    verify::{self, Asserted, Expected, Registered, UserHandle},
};
use crate::{
    accounts::factors::ticket::{Purpose, TicketKeys},
    base::{
        encoding::{base64url, from_hex},
        time::Timestamp,
    },
    crypto::{derive::KeyDerivation, public_key::Algorithm, secret::Secret},
    http::{cookie::CookieName, origin::Origin, problem::Rejection},
    redirects::{return_path, site::Site},
};

fn site(origins: &[&str]) -> Site {
    let public = origins.iter().map(|origin| Origin::parse(origin).expect("an origin")).collect();
    Site {
        development: false,
        endpoints: "/api",
        return_path: return_path::Policy {
            login: "/login".into(),
            home: "/".into(),
            endpoints: Vec::new(),
            sign_ins: Vec::new(),
            public,
            elsewhere: Vec::new(),
        },
        hops_cookie: CookieName::parse("hops").expect("a name"),
        problem_base: String::new(),
        fixed_now: None,
    }
}

fn ours() -> Site {
    site(&[ORIGIN, "https://app.example:8443", "https://shop.app.example", "https://other.example"])
}

fn register(registration: &Registration) -> Result<Registered, PasskeyError> {
    let site = ours();
    let site = RelyingParty::of(&site).expect("a name");
    let message = registration.json();
    let message: RegistrationMessage<'_> = serde_json::from_str(&message).expect("a message");
    verify::register(&Expected { site, challenge: CHALLENGE, user_verification: true }, &message)
}

fn stored(algorithm: Algorithm) -> StoredPasskey {
    StoredPasskey {
        id: "psk_1".into(),
        user: USER.into(),
        algorithm: algorithm.number(),
        public_key: base64url(&key(algorithm)),
    }
}

fn assert_message(
    json: &str,
    known: Option<&StoredPasskey>,
    user_verification: bool,
    handle: UserHandle,
) -> Result<Asserted, PasskeyError> {
    let site = ours();
    let site = RelyingParty::of(&site).expect("a name");
    let message: AssertionMessage<'_> = serde_json::from_str(json).expect("a message");
    verify::assert(&Expected { site, challenge: CHALLENGE, user_verification }, &message, known, handle)
}

fn check(assertion: &Assertion) -> Result<Asserted, PasskeyError> {
    let known = stored(assertion.signer);
    assert_message(&assertion.json_of(&assertion.parts()), Some(&known), true, UserHandle::Required)
}

#[test]
fn registers_and_accepts_both_algorithms() {
    for algorithm in Algorithm::ALL {
        let registered = register(&Registration::of(algorithm)).expect("registered");
        assert_eq!(registered.credential, base64url(CREDENTIAL));
        let known = stored(algorithm);
        assert_eq!((registered.algorithm, registered.public_key), (known.algorithm, known.public_key));
        assert_eq!(check(&Assertion::of(algorithm)).map(|asserted| asserted.counter), Ok(1));
    }
}

#[test]
fn rejects_signatures_of_others_and_unknown_credentials() {
    for algorithm in Algorithm::ALL {
        let assertion = Assertion::of(algorithm);
        let json = assertion.json_of(&assertion.parts());
        let other = Algorithm::ALL.into_iter().find(|other| *other != algorithm).expect("another");
        let attempt = |known: Option<&StoredPasskey>| {
            assert_message(&json, known, true, UserHandle::Required).map(drop)
        };
        assert_eq!(attempt(Some(&stored(algorithm))), Ok(()));
        assert_eq!(attempt(None), Err(Unknown));
        assert_eq!(attempt(Some(&stored(other))), Err(Signature), "the key of the other algorithm");
        assert_eq!(attempt(Some(&StoredPasskey::unknown())), Err(Signature));
        let damaged = StoredPasskey { public_key: "AA".into(), ..stored(algorithm) };
        assert_eq!(attempt(Some(&damaged)), Err(Key));
    }
    assert_eq!(StoredPasskey::unknown().public_key.len(), 87);
}

#[test]
fn a_second_factor_needs_neither_verification_nor_a_user_handle() {
    let mut assertion = Assertion::of(Algorithm::Es256);
    assertion.auth.flags = 0x01;
    assertion.user_handle = None;
    let json = assertion.json_of(&assertion.parts());
    let known = stored(Algorithm::Es256);
    let attempt = |verified, handle| assert_message(&json, Some(&known), verified, handle).map(drop);
    assert_eq!(attempt(false, UserHandle::Optional), Ok(()));
    assert_eq!(attempt(false, UserHandle::Required), Err(PasskeyError::UserHandle));
    assert_eq!(attempt(true, UserHandle::Optional), Err(UserVerification));
}

#[test]
fn accepts_extensions_and_unknown_members() {
    let mut registration = Registration::of(Algorithm::Ed25519);
    registration.client_data["other_keys_can_be_added_here"] = json!("do not compare");
    registration.auth.flags |= HAS_EXTENSIONS;
    registration.auth.tail = cbor(&Value::Map(vec![(text("credProtect"), Value::Integer(2))]));
    assert!(register(&registration).is_ok());
    let mut assertion = Assertion::of(Algorithm::Es256);
    assertion.auth.flags |= 0x18;
    assertion.client_data["origin"] = json!("https://shop.app.example");
    assert!(check(&assertion).is_ok());
}

#[test]
fn a_byte_order_mark_before_client_data_does_not_count() {
    let text = r#"{"type":"webauthn.get","challenge":"","origin":"https://app.example"}"#;
    for (mark, want) in [("", true), ("\u{feff}", true), ("\u{feff}\u{feff}", false), ("x", false)] {
        assert_eq!(ClientData::read(format!("{mark}{text}").as_bytes()).is_ok(), want, "{mark:?}");
    }
}

/// The examples of Web Authentication Level 3, section "Test Vectors". Their relying party is `example.org`.
#[test]
fn agrees_with_the_examples_of_the_specification() {
    let vectors: serde_json::Value = serde_json::from_str(include_str!("tests/w3c.json")).expect("JSON");
    let site = site(&["https://example.org"]);
    let site = RelyingParty::of(&site).expect("a name");
    for vector in vectors.as_array().expect("a list") {
        let name = vector["name"].as_str().expect("a name");
        let bytes =
            |part: &str, member: &str| from_hex(vector[part][member].as_str().expect("a text")).expect("hex");
        let expected = |part: &str| Expected {
            site,
            challenge: bytes(part, "challenge").try_into().expect("32 bytes"),
            user_verification: false,
        };
        let id = base64url(&bytes("registration", "credentialId"));
        let made = bytes("registration", "attestationObject");
        let message = json!({ "id": id, "rawId": id, "type": "public-key", "response": {
            "clientDataJSON": base64url(&bytes("registration", "clientData")),
            "attestationObject": base64url(&made),
        }})
        .to_string();
        let message: RegistrationMessage<'_> = serde_json::from_str(&message).expect("a message");
        let registered = verify::register(&expected("registration"), &message);
        let want = match name {
            "none-es256" | "none-es256-long-credential-id" => None,
            "none-es256-crossOrigin" | "none-es256-topOrigin" => Some(CrossOrigin),
            _ => Some(Attestation),
        };
        assert_eq!(registered.as_ref().err().copied(), want, "{name}");

        // Without its statement, each example is one with or without a supported key.
        let data = statement_removed(&made);
        let data = AuthenticatorData::read(&data).expect("authenticator data");
        let key = data.attested.as_ref().expect("a credential").key();
        let is_supported = !["packed-es384", "packed-rs256", "packed-ed448"].contains(&name);
        let Ok(key) = key else {
            assert!(!is_supported, "{name}");
            continue;
        };
        assert!(is_supported, "{name}");
        let known = StoredPasskey {
            id: "psk".into(),
            user: "usr".into(),
            algorithm: key.algorithm.number(),
            public_key: base64url(&key.bytes),
        };
        let message = json!({ "id": id, "rawId": id, "type": "public-key", "response": {
            "clientDataJSON": base64url(&bytes("authentication", "clientData")),
            "authenticatorData": base64url(&bytes("authentication", "authenticatorData")),
            "signature": base64url(&bytes("authentication", "signature")),
        }})
        .to_string();
        let message: AssertionMessage<'_> = serde_json::from_str(&message).expect("a message");
        let asserted =
            verify::assert(&expected("authentication"), &message, Some(&known), UserHandle::Optional);
        let want = want.filter(|error| *error == CrossOrigin);
        assert_eq!(asserted.err(), want, "{name}");
    }
}

/// Returns the authenticator data of an attestation object of any format.
fn statement_removed(object: &[u8]) -> Vec<u8> {
    use cbor4ii::core::{dec::Decode, utils::SliceReader};
    let Ok(Value::Map(members)) = Value::decode(&mut SliceReader::new(object)) else { panic!("a map") };
    let data = members.iter().find(|(name, _)| *name == text("authData")).map(|(_, value)| value);
    let Some(Value::Bytes(data)) = data else { panic!("authenticator data") };
    data.clone()
}

#[test]
fn has_no_relying_party_at_an_ip_address() {
    for (origin, want) in [
        ("https://app.example", Some("app.example")),
        ("http://localhost:8787", Some("localhost")),
        ("http://127.0.0.1:8787", None),
        ("http://[::1]:8787", None),
    ] {
        assert_eq!(RelyingParty::of(&site(&[origin])).map(|site| site.id.to_owned()).as_deref(), want);
    }
}

#[test]
fn options_ask_for_what_is_checked() {
    let site = ours();
    let site = RelyingParty::of(&site).expect("a name");
    let user = super::PasskeyUser {
        email: "ada@example.com".into(),
        name: None,
        credentials: vec!["Y3JlZA".into()],
    };
    let creation = serde_json::to_value(site.creation_options(&CHALLENGE, "App", USER, &user)).expect("JSON");
    assert_eq!(
        creation,
        json!({
            "challenge": base64url(&CHALLENGE), "rp": { "id": "app.example", "name": "App" },
            "user": { "id": base64url(USER.as_bytes()), "name": "ada@example.com", "displayName": "ada@example.com" },
            "pubKeyCredParams": [{ "type": "public-key", "alg": -7 }, { "type": "public-key", "alg": -8 }],
            "timeout": 300_000, "excludeCredentials": [{ "type": "public-key", "id": "Y3JlZA" }],
            "authenticatorSelection": {
                "residentKey": "required", "requireResidentKey": true, "userVerification": "required",
            },
            "attestation": "none",
        })
    );
    let request = |allowed, verified| {
        serde_json::to_value(site.request_options(&CHALLENGE, allowed, verified)).expect("JSON")
    };
    let alone = request(None, true);
    assert_eq!((&alone["userVerification"], &alone["allowCredentials"]), (&json!("required"), &json!([])));
    let second = request(Some(&user), false);
    assert_eq!(second["allowCredentials"], json!([{ "type": "public-key", "id": "Y3JlZA" }]));
    assert_eq!(second["userVerification"], "preferred");
}

#[test]
fn a_ceremony_is_good_for_its_purpose_and_subject_until_it_ends() {
    use CeremonyPurpose::*;
    let secret = |byte: u8| Secret::from_bytes(vec![byte; 32]).expect("a secret");
    let keys = |byte| TicketKeys::new(&KeyDerivation::new(&secret(byte), None)).expect("keys");
    let used = UsedCeremony { id: "cer_1".into(), expires_at: Timestamp(400) };
    let purposes = [Enrollment, SignIn, SecondFactor, Reauthentication];
    for purpose in purposes {
        let text = Ceremony::sign(&keys(1), purpose, "usr_ada", &used);
        let verify = |keys: TicketKeys, text: &str, purpose, subject, now| {
            Ceremony::verify(&keys, text, purpose, subject, Timestamp(now))
        };
        let verified = verify(keys(1), &text, purpose, "usr_ada", 399).expect("verified");
        assert_eq!((&verified.used, verified.challenge), (&used, ceremony::challenge(&text)));
        let refused = |result: Result<Ceremony, Rejection>| {
            assert_eq!(result.map(drop), Err(Rejection::CeremonyUnusable));
        };
        refused(verify(keys(1), &text, purpose, "usr_ada", 400));
        refused(verify(keys(1), &text, purpose, "usr_eve", 399));
        refused(verify(keys(1), &text, purpose, "", 399));
        refused(verify(keys(2), &text, purpose, "usr_ada", 399));
        refused(verify(keys(1), &text[1..], purpose, "usr_ada", 399));
        for other in purposes.into_iter().filter(|other| *other != purpose) {
            refused(verify(keys(1), &text, other, "usr_ada", 399));
        }
        for ticket in [Purpose::SignIn, Purpose::Enrollment] {
            assert!(keys(1).verify(&text, ticket, Timestamp(1)).is_err(), "a ceremony is no ticket");
        }
    }
}

proptest! {
    #[test]
    fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = unattested(&bytes);
        let _ = ClientData::read(&bytes);
        if let Ok(data) = AuthenticatorData::read(&bytes) {
            let _ = data.attested.map(|attested| attested.key().map(drop));
        }
    }

    #[test]
    fn a_changed_registration_never_panics(at in 0_usize..400, by in 1_u8.., cut in any::<bool>()) {
        let registration = Registration::of(Algorithm::Es256);
        let mut object = registration.attestation_object();
        let at = at % object.len();
        if cut { object.truncate(at) } else { object[at] ^= by }
        match unattested(&object) {
            Ok(data) => {
                let read = AuthenticatorData::read(&data);
                let _ = read.map(|data| data.attested.map(|attested| attested.key().map(drop)));
            }
            Err(error) => prop_assert_eq!(error, Attestation),
        }
    }

    #[test]
    fn every_changed_assertion_is_rejected(
        ed25519 in any::<bool>(), part in 0_usize..3, at in 0_usize..400, by in 1_u8.., how in 0_u8..3,
    ) {
        let assertion = Assertion::of(if ed25519 { Algorithm::Ed25519 } else { Algorithm::Es256 });
        let mut parts = assertion.parts();
        let bytes = &mut parts[part];
        let at = at % bytes.len();
        match how {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= by,
            _ => bytes.insert(at, by),
        }
        let known = stored(assertion.signer);
        let result = assert_message(&assertion.json_of(&parts), Some(&known), true, UserHandle::Required);
        prop_assert!(result.is_err());
    }
}
