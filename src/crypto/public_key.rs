//! Public keys of passkeys, and the check of their signatures: ES256 (ECDSA on P-256 with SHA-256) and Ed25519, by the
//! numbers that COSE gives them (RFC 9053).

use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier};

/// A signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256. Signatures are in ASN.1 DER.
    Es256,
    /// Ed25519.
    Ed25519,
}

/// A public key.
#[derive(Debug)]
pub struct PublicKey(Key);

#[derive(Debug)]
enum Key {
    Es256(VerifyingKey),
    Ed25519(ed25519_compact::PublicKey),
}

/// Proof that a signature is valid.
#[derive(Debug)]
pub struct ValidSignature(());

/// The signature is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSignature;

impl Algorithm {
    /// All algorithms, the preferred one first.
    pub const ALL: [Self; 2] = [Self::Es256, Self::Ed25519];

    /// Returns the number of the algorithm in COSE.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Es256 => -7,
            Self::Ed25519 => -8,
        }
    }

    /// Finds an algorithm by its number in COSE.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.number() == number)
    }
}

impl PublicKey {
    /// Parses a key: for ES256 an uncompressed point (SEC 1, 65 bytes), for Ed25519 32 bytes (RFC 8032). Returns `None`
    /// for anything that is not a point of the curve, and for Ed25519 also for a point of small order.
    #[must_use]
    pub fn parse(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        let key = match algorithm {
            Algorithm::Es256 if bytes.len() == 65 => Key::Es256(VerifyingKey::from_sec1_bytes(bytes).ok()?),
            Algorithm::Es256 => return None,
            Algorithm::Ed25519 => {
                let key = ed25519_compact::PublicKey::from_slice(bytes).ok()?;
                key.validate().ok()?;
                Key::Ed25519(key)
            }
        };
        Some(Self(key))
    }

    /// Verifies a signature.
    ///
    /// # Errors
    /// [`InvalidSignature`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<ValidSignature, InvalidSignature> {
        let is_valid = match &self.0 {
            Key::Es256(key) => {
                Signature::from_der(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            Key::Ed25519(key) => ed25519_compact::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
        };
        if is_valid { Ok(ValidSignature(())) } else { Err(InvalidSignature) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::encoding::from_hex;

    fn hex(text: &str) -> Vec<u8> {
        from_hex(text).expect("hex")
    }

    /// RFC 6979, A.2.5: P-256 with SHA-256, the message "sample". The signature is in DER.
    #[test]
    fn verifies_the_example_of_rfc_6979() {
        let key = hex(concat!(
            "04",
            "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
            "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
        ));
        let signature = hex(concat!(
            "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
            "022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
        ));
        let parsed = PublicKey::parse(Algorithm::Es256, &key).expect("a key");
        assert!(parsed.verify(b"sample", &signature).is_ok());
        assert!(parsed.verify(b"simple", &signature).is_err());
        for length in 0..signature.len() {
            assert!(parsed.verify(b"sample", &signature[..length]).is_err(), "{length}");
        }
        assert!(parsed.verify(b"sample", &[&signature[..], &[0]].concat()).is_err(), "extra bytes");
        // Two numbers without DER, as WebCrypto writes them.
        assert!(parsed.verify(b"sample", &[&signature[5..37], &signature[40..]].concat()).is_err());
        for length in [0, 32, 33, 64, 66] {
            let mut other = key.clone();
            other.resize(length, 0);
            assert!(PublicKey::parse(Algorithm::Es256, &other).is_none(), "{length}");
        }
        let mut off_curve = key;
        off_curve[64] ^= 1;
        assert!(PublicKey::parse(Algorithm::Es256, &off_curve).is_none());
    }

    /// RFC 8032, 7.1, test 2.
    #[test]
    fn verifies_the_example_of_rfc_8032() {
        let key = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        let signature = hex(concat!(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ));
        let parsed = PublicKey::parse(Algorithm::Ed25519, &key).expect("a key");
        assert!(parsed.verify(&[0x72], &signature).is_ok());
        assert!(parsed.verify(&[0x73], &signature).is_err());
        assert!(parsed.verify(&[0x72], &signature[..63]).is_err());
        assert!(PublicKey::parse(Algorithm::Ed25519, &key[..31]).is_none());
        let mut small_order = [0; 32];
        assert!(PublicKey::parse(Algorithm::Ed25519, &small_order).is_none());
        small_order[0] = 1;
        assert!(PublicKey::parse(Algorithm::Ed25519, &small_order).is_none());
    }

    #[test]
    fn has_the_numbers_of_cose() {
        assert_eq!(Algorithm::ALL.map(Algorithm::number), [-7, -8]);
        for number in [-257, -35, -19, 0, 7] {
            assert_eq!(Algorithm::from_number(number), None);
        }
        assert_eq!(Algorithm::from_number(-8), Some(Algorithm::Ed25519));
    }
}
