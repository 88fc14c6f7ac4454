//! Keys for one purpose each, derived from the operator's secret: HMAC-SHA256 over the parts that name the purpose.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::secret::Secret;

/// Derives keys from the current secret, and from the previous one while it is still configured.
#[derive(Clone)]
pub struct KeyDerivation(Vec<Hmac<Sha256>>);

/// A derived key: 32 bytes.
pub type DerivedKey = [u8; 32];

impl KeyDerivation {
    /// Builds this from the current and the previous secret.
    #[must_use]
    pub fn new(current: &Secret, previous: Option<&Secret>) -> Self {
        let keyed = |secret: &Secret| {
            // HMAC accepts a key of any length, so the fallback is never used.
            Hmac::new_from_slice(secret.expose())
                .unwrap_or_else(|_| Hmac::new(&hmac::digest::Key::<Hmac<Sha256>>::default()))
        };
        Self(std::iter::once(current).chain(previous).map(keyed).collect())
    }

    /// Returns the keys for a purpose: first the one of the current secret. The first part names the purpose. The
    /// length of each part counts, so different lists of parts give different keys.
    #[must_use]
    pub fn keys(&self, parts: &[&str]) -> Vec<DerivedKey> {
        let key = |mac: &Hmac<Sha256>| {
            let mut mac = mac.clone();
            for part in parts {
                mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
                mac.update(part.as_bytes());
            }
            mac.finalize().into_bytes().into()
        };
        self.0.iter().map(key).collect()
    }
}

impl fmt::Debug for KeyDerivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyDerivation({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_purpose_and_each_secret_has_a_key_of_its_own() {
        let secret = |byte: u8| Secret::from_bytes(vec![byte; 32]).expect("a secret");
        let both = KeyDerivation::new(&secret(1), Some(&secret(2)));
        let (first, other) = (both.keys(&["a", "bc"]), both.keys(&["ab", "c"]));
        assert_eq!(first.len(), 2);
        assert!(first[0] != first[1] && first[0] != other[0] && first[1] != other[1]);
        assert_eq!(KeyDerivation::new(&secret(2), None).keys(&["a", "bc"]), [first[1]]);
    }
}
