//! Hostile messages: one change each, and the error that it causes.

use cbor4ii::core::Value;
use serde_json::json;

use super::{
    super::PasskeyError::{self, *},
    authenticator::*,
    check, register,
};
use crate::{base::encoding::base64url, crypto::public_key::Algorithm};

type Change<T> = fn(&mut T);

/// A name, the expected error, and a change that causes it.
type Hostile<T> = (&'static str, PasskeyError, Change<T>);

/// Changes to the parts that both kinds of messages have.
fn about_client_data() -> Vec<Hostile<serde_json::Value>> {
    vec![
        ("another type", Type, |data| data["type"] = json!("payment.get")),
        ("no type", PasskeyError::ClientData, |data| {
            data.as_object_mut().expect("an object").remove("type");
        }),
        ("another challenge", Challenge, |data| data["challenge"] = json!(base64url(&[8; 32]))),
        ("a part of the challenge", Challenge, |data| data["challenge"] = json!(base64url(&[7; 31]))),
        ("no challenge", Challenge, |data| data["challenge"] = json!("")),
        ("a padded challenge", Encoding, |data| {
            data["challenge"] = json!(format!("{}=", base64url(&CHALLENGE)));
        }),
        ("another origin", PasskeyError::Origin, |data| data["origin"] = json!("https://evil.example")),
        ("a public origin elsewhere", PasskeyError::Origin, |data| {
            data["origin"] = json!("https://other.example");
        }),
        ("an origin below ours that is not public", PasskeyError::Origin, |data| {
            data["origin"] = json!("https://x.app.example");
        }),
        ("another scheme", PasskeyError::Origin, |data| data["origin"] = json!("http://app.example")),
        ("another port", PasskeyError::Origin, |data| data["origin"] = json!("https://app.example:444")),
        ("an origin with a path", PasskeyError::Origin, |data| {
            data["origin"] = json!("https://app.example/");
        }),
        ("a frame of another site", CrossOrigin, |data| data["crossOrigin"] = json!(true)),
        ("a top origin", CrossOrigin, |data| data["topOrigin"] = json!("https://evil.example")),
        ("crossOrigin as a text", PasskeyError::ClientData, |data| data["crossOrigin"] = json!("false")),
        ("a token binding", PasskeyError::ClientData, |data| {
            data["tokenBinding"] = json!({ "status": "present", "id": "x" });
        }),
        ("a list", PasskeyError::ClientData, |data| *data = json!(["webauthn.get"])),
    ]
}

fn about_authenticator_data() -> Vec<Hostile<AuthData>> {
    vec![
        ("another site", PasskeyError::RelyingParty, |auth| auth.rp_id = "evil.example".into()),
        ("the origin as the site", PasskeyError::RelyingParty, |auth| auth.rp_id = ORIGIN.into()),
        ("no user", UserPresence, |auth| auth.flags &= !0x01),
        ("no verification", UserVerification, |auth| auth.flags &= !0x04),
        ("a backup of what is not backed up", PasskeyError::AuthenticatorData, |auth| auth.flags |= 0x10),
        ("an extra byte", PasskeyError::AuthenticatorData, |auth| auth.tail.push(0)),
        ("missing extensions", PasskeyError::AuthenticatorData, |auth| auth.flags |= HAS_EXTENSIONS),
        ("extensions that are no map", PasskeyError::AuthenticatorData, |auth| {
            auth.flags |= HAS_EXTENSIONS;
            auth.tail = cbor(&text("x"));
        }),
        ("an extra byte after extensions", PasskeyError::AuthenticatorData, |auth| {
            auth.flags |= HAS_EXTENSIONS;
            auth.tail = [cbor(&Value::Map(Vec::new())), vec![0]].concat();
        }),
        ("truncated extensions", PasskeyError::AuthenticatorData, |auth| {
            auth.flags |= HAS_EXTENSIONS;
            auth.tail = vec![0xa1, 0x61];
        }),
        ("deep extensions", PasskeyError::AuthenticatorData, |auth| {
            auth.flags |= HAS_EXTENSIONS;
            auth.tail = [[0xa1, 0x00].repeat(200), vec![0xa0]].concat();
        }),
        ("extensions of endless length", PasskeyError::AuthenticatorData, |auth| {
            auth.flags |= HAS_EXTENSIONS;
            auth.tail = [vec![0xbb], vec![0xff; 8]].concat();
        }),
    ]
}

#[test]
fn rejects_hostile_registrations() {
    type Key = Vec<(Value, Value)>;
    let check = |name: &str, want: PasskeyError, registration: &Registration| {
        assert_eq!(register(registration).map(drop), Err(want), "{name}");
    };
    for (name, want, change) in about_client_data() {
        let mut registration = Registration::of(Algorithm::Es256);
        change(&mut registration.client_data);
        check(name, want, &registration);
    }
    for (name, want, change) in about_authenticator_data() {
        let mut registration = Registration::of(Algorithm::Es256);
        change(&mut registration.auth);
        check(name, want, &registration);
    }
    let changes: [(&str, PasskeyError, Change<Registration>); 16] = [
        ("an assertion's type", Type, |it| it.client_data["type"] = json!("webauthn.get")),
        ("another type of credential", Credential, |it| it.kind = "password".into()),
        ("two ids", Credential, |it| it.raw_id = base64url(b"another credential")),
        ("another id", Credential, |it| {
            it.id = base64url(b"another credential");
            it.raw_id = it.id.clone();
        }),
        ("a padded id", Encoding, |it| {
            it.id.push('=');
            it.raw_id = it.id.clone();
        }),
        ("no id", Credential, |it| {
            it.id.clear();
            it.raw_id.clear();
            it.auth.credential.as_mut().expect("a credential").0.clear();
        }),
        ("no credential", PasskeyError::AuthenticatorData, |it| {
            it.auth.flags = VERIFIED;
            it.auth.credential = None;
        }),
        ("a truncated credential", PasskeyError::AuthenticatorData, |it| {
            it.auth.credential.as_mut().expect("a credential").1.pop();
        }),
        ("an id that is too long", PasskeyError::AuthenticatorData, |it| {
            it.auth.credential.as_mut().expect("a credential").0 = vec![1; 1_024];
        }),
        ("self attestation", Attestation, |it| it.attestation[0].1 = text("packed")),
        ("a statement", Attestation, |it| {
            it.attestation[1].1 = Value::Map(vec![(text("alg"), Value::Integer(-7))]);
        }),
        ("no statement", Attestation, |it| drop(it.attestation.pop())),
        ("no format", Attestation, |it| drop(it.attestation.remove(0))),
        ("two formats", Attestation, |it| it.attestation.push((text("fmt"), text("packed")))),
        ("an extra byte", Attestation, |it| it.tail.push(0)),
        ("another attestation object", Attestation, |it| it.tail = it.attestation_object()),
    ];
    for (name, want, change) in changes {
        let mut registration = Registration::of(Algorithm::Es256);
        change(&mut registration);
        check(name, want, &registration);
    }
    let keys: [(&str, Algorithm, PasskeyError, Change<Key>); 14] = [
        ("RS256", Algorithm::Es256, PasskeyError::Algorithm, |key| key[1].1 = Value::Integer(-257)),
        ("ES384", Algorithm::Es256, PasskeyError::Algorithm, |key| key[1].1 = Value::Integer(-35)),
        ("no algorithm", Algorithm::Es256, PasskeyError::Algorithm, |key| drop(key.remove(1))),
        ("a number too large", Algorithm::Es256, PasskeyError::Algorithm, |key| {
            key[1].1 = Value::Integer(i128::from(u64::MAX));
        }),
        ("the other algorithm", Algorithm::Es256, Key, |key| key[1].1 = Value::Integer(-8)),
        ("the other algorithm", Algorithm::Ed25519, Key, |key| key[1].1 = Value::Integer(-7)),
        ("another curve", Algorithm::Es256, Key, |key| key[2].1 = Value::Integer(2)),
        ("another type", Algorithm::Es256, Key, |key| key[0].1 = Value::Integer(1)),
        ("a compressed point", Algorithm::Es256, Key, |key| key[4].1 = Value::Bool(true)),
        ("a point off the curve", Algorithm::Es256, Key, |key| key[4].1 = Value::Bytes(vec![1; 32])),
        ("a short coordinate", Algorithm::Es256, Key, |key| key[3].1 = Value::Bytes(vec![1; 31])),
        ("a member too many", Algorithm::Es256, Key, |key| {
            key.push((Value::Integer(4), Value::Integer(2)));
        }),
        ("a member twice", Algorithm::Es256, Key, |key| {
            key[4] = key[3].clone();
        }),
        ("a point of small order", Algorithm::Ed25519, Key, |key| key[3].1 = Value::Bytes(vec![0; 32])),
    ];
    for (name, algorithm, want, change) in keys {
        let mut members = cose(algorithm);
        change(&mut members);
        let mut registration = Registration::of(algorithm);
        registration.auth.credential = Some((CREDENTIAL.to_vec(), cbor(&Value::Map(members))));
        check(name, want, &registration);
    }
    let mut registration = Registration::of(Algorithm::Es256);
    registration.auth.credential = Some((CREDENTIAL.to_vec(), cbor(&text("a key"))));
    check("a key that is no map", Key, &registration);
}

#[test]
fn rejects_hostile_assertions() {
    for (name, want, change) in about_client_data() {
        let mut assertion = Assertion::of(Algorithm::Es256);
        change(&mut assertion.client_data);
        assert_eq!(check(&assertion).map(drop), Err(want), "{name}");
    }
    for (name, want, change) in about_authenticator_data() {
        let mut assertion = Assertion::of(Algorithm::Es256);
        change(&mut assertion.auth);
        assert_eq!(check(&assertion).map(drop), Err(want), "{name}");
    }
    let changes: [(&str, PasskeyError, Change<Assertion>); 8] = [
        ("a registration's type", Type, |it| it.client_data["type"] = json!("webauthn.create")),
        ("another type of credential", Credential, |it| it.kind = "password".into()),
        ("two ids", Credential, |it| it.raw_id = base64url(b"another credential")),
        ("no user handle", PasskeyError::UserHandle, |it| it.user_handle = None),
        ("an empty user handle", PasskeyError::UserHandle, |it| it.user_handle = Some(String::new())),
        ("another user", PasskeyError::UserHandle, |it| it.user_handle = Some(base64url(b"usr_eve"))),
        ("a user handle in base64", Encoding, |it| it.user_handle = Some("usr+/=".into())),
        ("a credential", PasskeyError::AuthenticatorData, |it| {
            it.auth.flags |= HAS_CREDENTIAL;
            it.auth.credential = Some((CREDENTIAL.to_vec(), cbor(&Value::Map(cose(Algorithm::Es256)))));
        }),
    ];
    for (name, want, change) in changes {
        let mut assertion = Assertion::of(Algorithm::Es256);
        change(&mut assertion);
        assert_eq!(check(&assertion).map(drop), Err(want), "{name}");
    }
}
