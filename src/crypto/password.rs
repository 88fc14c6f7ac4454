//! Password hashes: Argon2id (RFC 9106) with 19 MiB, 2 passes and 1 lane, as OWASP recommends for servers.
//!
//! A stored password is `1$<salt>$<hash>`, with salt and hash in base64url. The `1` stands for these parameters.

use argon2::{Algorithm, Argon2, Params, Version};

use crate::{base::encoding, crypto::secret};

/// Proof that a password was correct.
#[derive(Debug)]
pub struct Right(());

/// Hashes a password for storage, with the first 16 bytes of `salt`, which must be fresh. Returns `None` if `salt` is
/// shorter, or if there is not enough memory.
#[must_use]
pub fn hash(password: &str, salt: &[u8]) -> Option<String> {
    let salt = salt.get(..SALT)?;
    Some(format!("1${}${}", encoding::base64url(salt), encoding::base64url(&derive(password, salt)?)))
}

/// Checks a password against a stored one, in constant time. Without a stored one, it takes as long and fails.
#[must_use]
pub fn verify(password: &str, stored: Option<&str>) -> Option<Right> {
    let parts = stored.and_then(|stored| stored.strip_prefix("1$")?.split_once('$'));
    let decoded = parts
        .and_then(|(salt, hash)| Some((encoding::from_base64url(salt)?, encoding::from_base64url(hash)?)));
    let (salt, expected) = decoded.unwrap_or_else(|| (vec![0; SALT], Vec::new()));
    let computed = derive(password, &salt)?;
    secret::compare(&expected, &computed).ok().map(|_| Right(()))
}

/// Checks for a stored password in the form that [`hash`] gives it.
#[must_use]
pub fn is_stored(text: &str) -> bool {
    let parts = text.strip_prefix("1$").and_then(|parts| parts.split_once('$'));
    let has_length = |text, length| encoding::from_base64url(text).is_some_and(|bytes| bytes.len() == length);
    parts.is_some_and(|(salt, hash)| has_length(salt, SALT) && has_length(hash, HASH))
}

fn derive(password: &str, salt: &[u8]) -> Option<[u8; HASH]> {
    let parameters = Params::new(19 * 1_024, 2, 1, Some(HASH)).ok()?;
    let mut hash = [0; HASH];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password_into(password.as_bytes(), salt, &mut hash)
        .ok()?;
    Some(hash)
}

const SALT: usize = 16;
const HASH: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_only_the_correct_password() {
        let stored = hash("correct horse battery", &[7; 16]).expect("a hash");
        assert!(stored.starts_with("1$BwcHBwcHBwcHBwcHBwcHBw$"));
        assert!(is_stored(&stored));
        for other in ["", "1$$", "1$a$b", &stored[1..], &stored[..stored.len() - 2], &format!("{stored}$")] {
            assert!(!is_stored(other), "{other}");
        }
        for (password, against, want) in [
            ("correct horse battery", Some(stored.as_str()), true),
            ("correct horse batterz", Some(&stored), false),
            ("", Some(&stored), false),
            ("correct horse battery", Some("2$AA$AA"), false),
            ("correct horse battery", Some("1$$"), false),
            ("correct horse battery", None, false),
            ("", None, false),
        ] {
            assert_eq!(verify(password, against).is_some(), want, "{password} {against:?}");
        }
    }

    /// The parameters are the documented ones: `echo -n … | argon2 … -id -t 2 -k 19456 -p 1 -l 32` gives the same hash.
    #[test]
    fn uses_the_documented_parameters() {
        let same = Params::new(19_456, 2, 1, Some(32)).expect("parameters");
        assert_eq!((same.m_cost(), same.t_cost(), same.p_cost()), (19_456, 2, 1));
    }
}
