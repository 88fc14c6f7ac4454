//! An authenticator, and the browser in front of it. Each part of a message can be changed before it is written.

use cbor4ii::core::{Value, enc::Encode, utils::BufWriter};
use ed25519_compact::{KeyPair, Seed};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{base::encoding::base64url, crypto::public_key::Algorithm};

pub(super) const RP_ID: &str = "app.example";
pub(super) const ORIGIN: &str = "https://app.example";
pub(super) const CHALLENGE: [u8; 32] = [7; 32];
pub(super) const USER: &str = "usr_ada";
pub(super) const CREDENTIAL: &[u8] = b"a credential";

/// User present and verified.
pub(super) const VERIFIED: u8 = 0x05;
pub(super) const HAS_CREDENTIAL: u8 = 0x40;
pub(super) const HAS_EXTENSIONS: u8 = 0x80;

pub(super) struct AuthData {
    pub(super) rp_id: String,
    pub(super) flags: u8,
    pub(super) counter: u32,
    pub(super) credential: Option<(Vec<u8>, Vec<u8>)>,
    pub(super) tail: Vec<u8>,
}

pub(super) struct Registration {
    pub(super) id: String,
    pub(super) raw_id: String,
    pub(super) kind: String,
    pub(super) client_data: serde_json::Value,
    pub(super) auth: AuthData,
    pub(super) attestation: Vec<(Value, Value)>,
    pub(super) tail: Vec<u8>,
}

pub(super) struct Assertion {
    pub(super) id: String,
    pub(super) raw_id: String,
    pub(super) kind: String,
    pub(super) client_data: serde_json::Value,
    pub(super) auth: AuthData,
    pub(super) user_handle: Option<String>,
    pub(super) signer: Algorithm,
}

pub(super) fn text(text: &str) -> Value {
    Value::Text(text.into())
}

pub(super) fn cbor(value: &Value) -> Vec<u8> {
    let mut writer = BufWriter::new(Vec::new());
    value.encode(&mut writer).expect("written");
    writer.into_inner()
}

/// Returns the members of the COSE key of an algorithm.
pub(super) fn cose(algorithm: Algorithm) -> Vec<(Value, Value)> {
    let number = Value::Integer;
    let key = key(algorithm);
    let mut members = match algorithm {
        Algorithm::Es256 => vec![
            (number(1), number(2)),
            (number(3), number(-7)),
            (number(-1), number(1)),
            (number(-2), Value::Bytes(key[1..33].to_vec())),
        ],
        Algorithm::Ed25519 => vec![
            (number(1), number(1)),
            (number(3), number(-8)),
            (number(-1), number(6)),
            (number(-2), Value::Bytes(key.clone())),
        ],
    };
    if algorithm == Algorithm::Es256 {
        members.push((number(-3), Value::Bytes(key[33..].to_vec())));
    }
    members
}

/// Returns the public key of an algorithm, as it is stored.
pub(super) fn key(algorithm: Algorithm) -> Vec<u8> {
    match algorithm {
        Algorithm::Es256 => es256().verifying_key().to_sec1_point(false).as_bytes().to_vec(),
        Algorithm::Ed25519 => ed25519().pk.to_vec(),
    }
}

fn es256() -> SigningKey {
    SigningKey::from_slice(&[5; 32]).expect("a key")
}

fn ed25519() -> KeyPair {
    KeyPair::from_seed(Seed::new([5; 32]))
}

pub(super) fn sign(algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
    match algorithm {
        Algorithm::Es256 => {
            let signature: Signature = es256().sign(message);
            signature.to_der().as_bytes().to_vec()
        }
        Algorithm::Ed25519 => ed25519().sk.sign(message, None).to_vec(),
    }
}

pub(super) fn client_data(kind: &str) -> serde_json::Value {
    json!({ "type": kind, "challenge": base64url(&CHALLENGE), "origin": ORIGIN, "crossOrigin": false })
}

impl AuthData {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Sha256::digest(&self.rp_id).to_vec();
        bytes.push(self.flags);
        bytes.extend(self.counter.to_be_bytes());
        if let Some((id, key)) = &self.credential {
            bytes.extend([0; 16]);
            bytes.extend(u16::try_from(id.len()).expect("a length").to_be_bytes());
            bytes.extend(id);
            bytes.extend(key);
        }
        bytes.extend(&self.tail);
        bytes
    }
}

impl Registration {
    pub(super) fn of(algorithm: Algorithm) -> Self {
        let auth = AuthData {
            rp_id: RP_ID.into(),
            flags: VERIFIED | HAS_CREDENTIAL,
            counter: 0,
            credential: Some((CREDENTIAL.to_vec(), cbor(&Value::Map(cose(algorithm))))),
            tail: Vec::new(),
        };
        Self {
            id: base64url(CREDENTIAL),
            raw_id: base64url(CREDENTIAL),
            kind: "public-key".into(),
            client_data: client_data("webauthn.create"),
            auth,
            attestation: vec![(text("fmt"), text("none")), (text("attStmt"), Value::Map(Vec::new()))],
            tail: Vec::new(),
        }
    }

    pub(super) fn attestation_object(&self) -> Vec<u8> {
        let mut members = self.attestation.clone();
        members.push((text("authData"), Value::Bytes(self.auth.bytes())));
        [cbor(&Value::Map(members)), self.tail.clone()].concat()
    }

    pub(super) fn json(&self) -> String {
        json!({
            "id": self.id, "rawId": self.raw_id, "type": self.kind, "authenticatorAttachment": "platform",
            "clientExtensionResults": {}, "response": {
                "clientDataJSON": base64url(self.client_data.to_string().as_bytes()),
                "attestationObject": base64url(&self.attestation_object()),
                "transports": ["internal"],
            },
        })
        .to_string()
    }
}

impl Assertion {
    pub(super) fn of(algorithm: Algorithm) -> Self {
        Self {
            id: base64url(CREDENTIAL),
            raw_id: base64url(CREDENTIAL),
            kind: "public-key".into(),
            client_data: client_data("webauthn.get"),
            auth: AuthData {
                rp_id: RP_ID.into(),
                flags: VERIFIED,
                counter: 1,
                credential: None,
                tail: Vec::new(),
            },
            user_handle: Some(base64url(USER.as_bytes())),
            signer: algorithm,
        }
    }

    /// Returns authenticator data, client data and signature.
    pub(super) fn parts(&self) -> [Vec<u8>; 3] {
        let (auth, client_data) = (self.auth.bytes(), self.client_data.to_string().into_bytes());
        let signature = sign(self.signer, &[auth.as_slice(), &Sha256::digest(&client_data)].concat());
        [auth, client_data, signature]
    }

    pub(super) fn json_of(&self, [auth, client_data, signature]: &[Vec<u8>; 3]) -> String {
        json!({
            "id": self.id, "rawId": self.raw_id, "type": self.kind, "clientExtensionResults": {}, "response": {
                "clientDataJSON": base64url(client_data), "authenticatorData": base64url(auth),
                "signature": base64url(signature), "userHandle": self.user_handle,
            },
        })
        .to_string()
    }
}
