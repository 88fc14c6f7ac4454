//! Recovery codes: ten random texts with which a user can sign in without the device that has the second factor.
//!
//! A code has 120 random bits, in base32: more than the 112 with which a plain hash is enough (OWASP ASVS 6.5.2). Codes
//! of earlier versions have 80 bits, and are accepted until they are replaced. Only the hash of a code is stored, so
//! neither the store nor a reply contains one. A used code is deleted. New codes replace all older ones.

use sha2::{Digest, Sha256};

use crate::base::encoding;

/// Number of codes that a user gets at once.
pub const COUNT: usize = 10;

/// Returns a code as people see it, from at least 15 random bytes: `abcd-efgh-ijkl-mnop-qrst-uvwx`.
#[must_use]
pub fn code(random: &[u8]) -> String {
    let text = encoding::base32(random.get(..BYTES).unwrap_or_default()).to_ascii_lowercase();
    let mut code = String::with_capacity(LENGTH.saturating_add(5));
    for (at, letter) in text.chars().enumerate() {
        if at > 0 && at.checked_rem(4) == Some(0) {
            code.push('-');
        }
        code.push(letter);
    }
    code
}

/// Returns the hash under which a user's code is stored, in hex. Returns `None` for a text that cannot be a code. Case,
/// spaces and hyphens do not count.
#[must_use]
pub fn hash(user: &str, code: &str) -> Option<String> {
    if code.len() > LONGEST {
        return None;
    }
    let plain: String =
        code.chars().filter(|c| !matches!(c, '-' | ' ')).map(|c| c.to_ascii_uppercase()).collect();
    encoding::from_base32(&plain).filter(|bytes| matches!(bytes.len(), BYTES | EARLIER_BYTES))?;
    let digest = Sha256::new().chain_update("vestibule/recovery/1\0").chain_update(user).chain_update([0]);
    Some(encoding::hex(&digest.chain_update(plain).finalize()))
}

const BYTES: usize = 15;
const LENGTH: usize = 24;

/// The length of codes of earlier versions.
const EARLIER_BYTES: usize = 10;

/// Maximum length of a text that can be a code, with spaces and hyphens.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_does_not_count() {
        let code = code(&[0xa5; 32]);
        assert_eq!(code, "uws2-ljnf-uws2-ljnf-uws2-ljnf");
        let known = hash("usr_a", &code);
        assert!(known.is_some());
        for spelling in
            ["UWS2LJNFUWS2LJNFUWS2LJNF", " uws2 ljnf uws2 ljnf uws2 ljnf ", "uws2-LJNF-uws2-ljnf-uws2-ljnf"]
        {
            assert_eq!(hash("usr_a", spelling), known, "{spelling}");
        }
        assert_ne!(hash("usr_b", &code), known, "each user has hashes of their own");
        let long = format!("{code}{}", "-".repeat(LONGEST));
        for text in ["", "uws2", "uws2-ljnf-uws2-ljnf-uws2-ljn1", "uws2-ljnf-uws2-ljnf-uws2", &long] {
            assert_eq!(hash("usr_a", text), None, "{text}");
        }
    }

    #[test]
    fn a_code_has_120_bits() {
        let of = |random: [u8; 32]| hash("usr_a", &code(&random));
        let known = of([0; 32]);
        assert!(known.is_some());
        for bit in 0..256_usize {
            let mut random = [0; 32];
            random[bit / 8] = 1 << (bit % 8);
            assert_eq!(of(random) == known, bit >= 120, "bit {bit}");
        }
    }

    #[test]
    fn codes_of_earlier_versions_are_accepted() {
        let stored = "f50e98a3634b59030b6346d63ba3d9d27248c3a9b5b34c249290f496e6263211";
        assert_eq!(hash("usr_a", "uws2-ljnf-uws2-ljnf").as_deref(), Some(stored));
    }
}
