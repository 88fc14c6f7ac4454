//! Recovery codes: ten random texts with which a user can sign in without the device that has the second factor.
//!
//! A code has 80 random bits, in base32. Only its hash is stored, so neither the store nor a reply contains a code. A
//! used code is deleted. New codes replace all older ones.

use sha2::{Digest, Sha256};

use crate::base::encoding;

/// Number of codes that a user gets at once.
pub const COUNT: usize = 10;

/// Returns a code as people see it, from at least ten random bytes: `abcd-efgh-ijkl-mnop`.
#[must_use]
pub fn code(random: &[u8]) -> String {
    let text = encoding::base32(random.get(..BYTES).unwrap_or_default()).to_ascii_lowercase();
    let mut code = String::with_capacity(LENGTH.saturating_add(3));
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
    encoding::from_base32(&plain).filter(|bytes| bytes.len() == BYTES)?;
    let digest = Sha256::new().chain_update("vestibule/recovery/1\0").chain_update(user).chain_update([0]);
    Some(encoding::hex(&digest.chain_update(plain).finalize()))
}

const BYTES: usize = 10;
const LENGTH: usize = 16;

/// Maximum length of a text that can be a code, with spaces and hyphens.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_does_not_count() {
        let code = code(&[0xa5; 32]);
        assert_eq!(code, "uws2-ljnf-uws2-ljnf");
        let known = hash("usr_a", &code);
        assert!(known.is_some());
        for spelling in ["UWS2LJNFUWS2LJNF", " uws2 ljnf uws2 ljnf ", "uws2-LJNF-uws2-ljnf"] {
            assert_eq!(hash("usr_a", spelling), known, "{spelling}");
        }
        assert_ne!(hash("usr_b", &code), known, "each user has hashes of their own");
        let long = format!("{code}{}", "-".repeat(LONGEST));
        for text in ["", "uws2", "uws2-ljnf-uws2-ljn1", "uws2-ljnf-uws2-ljnf-uws2", &long] {
            assert_eq!(hash("usr_a", text), None, "{text}");
        }
    }
}
