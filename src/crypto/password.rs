//! Password hashes: Argon2id (RFC 9106) with one lane, and at least the cost that OWASP recommends for servers.
//!
//! A stored password is `$argon2id$v=19$m=<KiB>,t=<passes>,p=1$<salt>$<hash>`, with salt and hash in base64 without
//! padding (the PHC string format). Older versions stored `1$<salt>$<hash>` in base64url, with the minimum cost. Both
//! are read.

use std::hint::black_box;

use argon2::{Algorithm, Argon2, Params, Version};

use crate::{base::encoding, crypto::secret};

/// Proof that a password was correct.
#[derive(Debug)]
pub struct Right(());

/// Why a password was not verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotVerified {
    /// It is not the stored password.
    Wrong,
    /// There is not enough memory to compare it.
    OutOfMemory,
}

/// Why a password was not hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotHashed {
    /// The salt is too short, or Argon2 does not accept the parameters.
    InvalidInput,
    /// There is not enough memory.
    OutOfMemory,
}

impl From<NotHashed> for NotVerified {
    /// A salt that Argon2 does not accept counts as a wrong password.
    fn from(not_hashed: NotHashed) -> Self {
        match not_hashed {
            NotHashed::InvalidInput => Self::Wrong,
            NotHashed::OutOfMemory => Self::OutOfMemory,
        }
    }
}

/// The cost of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory, in KiB.
    pub memory: u32,
    /// Number of passes over the memory.
    pub passes: u32,
}

impl Cost {
    /// The minimum: what OWASP recommends for servers.
    pub const MINIMUM: Self = Self { memory: 19 * 1_024, passes: 2 };

    /// The maximum that is read from the store. A hash with a higher cost would take an isolate's memory.
    pub const MAXIMUM: Self = Self { memory: 46 * 1_024, passes: 10 };

    /// Returns a cost with which as much is left to do as a hash of this cost does more than one of the other cost.
    /// Returns `None` if that is next to nothing. The work is memory × passes.
    fn without(self, other: Self) -> Option<Self> {
        let work = |cost: Self| u64::from(cost.memory).saturating_mul(cost.passes.into());
        let left = work(self).saturating_sub(work(other));
        let most = u64::from(self.memory.max(other.memory));
        let passes = left.div_ceil(most.max(1));
        let memory = left.checked_div(passes).filter(|memory| *memory >= u64::from(SMALLEST_MEMORY))?;
        Some(Self { memory: memory.try_into().ok()?, passes: passes.try_into().ok()? })
    }

    fn is_readable(self) -> bool {
        (SMALLEST_MEMORY..=Self::MAXIMUM.memory).contains(&self.memory)
            && (1..=Self::MAXIMUM.passes).contains(&self.passes)
    }
}

/// Hashes a password for storage, with the first 16 bytes of `salt`, which must be fresh.
///
/// # Errors
///
/// See [`NotHashed`].
pub fn hash(password: &str, salt: &[u8], cost: Cost) -> Result<String, NotHashed> {
    let salt = salt.get(..SALT).ok_or(NotHashed::InvalidInput)?;
    let hash = derive(password, salt, cost)?;
    let (salt, hash) = (encoding::base64_unpadded(salt), encoding::base64_unpadded(&hash));
    Ok(format!("{PHC}m={},t={},p=1${salt}${hash}", cost.memory, cost.passes))
}

/// Checks a password against a stored one, in constant time. Does the work of a hash with this cost, also without a
/// stored one and with one that costs less. So the time does not show whether there is one.
///
/// # Errors
///
/// See [`NotVerified`].
pub fn verify(password: &str, stored: Option<&str>, cost: Cost) -> Result<Right, NotVerified> {
    let stored = stored.and_then(Stored::parse);
    let Stored { cost: stored_cost, salt, hash } =
        stored.unwrap_or_else(|| Stored { cost, salt: vec![0; SALT], hash: Vec::new() });
    let computed = derive(password, &salt, stored_cost)?;
    if let Some(rest) = cost.without(stored_cost) {
        let _ = black_box(derive(password, &salt, rest));
    }
    secret::compare(&hash, &computed).map(|_| Right(())).map_err(|_| NotVerified::Wrong)
}

/// Checks whether a stored password costs less than this. Then it has to be hashed again, when it is known next.
#[must_use]
pub fn is_cheaper(stored: &str, cost: Cost) -> bool {
    Stored::parse(stored)
        .is_some_and(|stored| stored.cost.memory < cost.memory || stored.cost.passes < cost.passes)
}

/// Checks for a stored password in a form that [`verify`] reads.
#[must_use]
pub fn is_stored(text: &str) -> bool {
    Stored::parse(text).is_some_and(|stored| stored.salt.len() == SALT && stored.hash.len() == HASH)
}

/// A stored password.
struct Stored {
    cost: Cost,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Stored {
    fn parse(text: &str) -> Option<Self> {
        if let Some((salt, hash)) = text.strip_prefix("1$").and_then(|rest| rest.split_once('$')) {
            let (salt, hash) = (encoding::from_base64url(salt)?, encoding::from_base64url(hash)?);
            return Some(Self { cost: Cost::MINIMUM, salt, hash });
        }
        let mut parts = text.strip_prefix(PHC)?.split('$');
        let (parameters, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
        let (memory, passes) = parameters.strip_prefix("m=")?.strip_suffix(",p=1")?.split_once(",t=")?;
        let cost = Cost { memory: memory.parse().ok()?, passes: passes.parse().ok()? };
        let (salt, hash) = (encoding::from_base64_unpadded(salt)?, encoding::from_base64_unpadded(hash)?);
        (cost.is_readable() && parts.next().is_none()).then_some(Self { cost, salt, hash })
    }
}

fn derive(password: &str, salt: &[u8], cost: Cost) -> Result<[u8; HASH], NotHashed> {
    #[cfg(test)]
    tests::count(cost)?;
    let parameters =
        Params::new(cost.memory, cost.passes, 1, Some(HASH)).map_err(|_| NotHashed::InvalidInput)?;
    let mut hash = [0; HASH];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password_into(password.as_bytes(), salt, &mut hash)
        .map_err(|error| match error {
            argon2::Error::OutOfMemory => NotHashed::OutOfMemory,
            _ => NotHashed::InvalidInput,
        })?;
    Ok(hash)
}

const PHC: &str = "$argon2id$v=19$";
/// The smallest memory of a hash with one lane, in KiB (RFC 9106 §3.1).
const SMALLEST_MEMORY: u32 = 8;
const SALT: usize = 16;
const HASH: usize = 32;

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may fail")]
mod tests {
    use std::cell::Cell;

    use super::*;

    const PASSWORD: &str = "correct horse battery";

    thread_local! {
        /// What hashing did: memory × passes.
        static WORK: Cell<u64> = const { Cell::new(0) };
        /// The memory that there is, in KiB.
        static MEMORY: Cell<u32> = const { Cell::new(u32::MAX) };
    }

    pub(super) fn count(cost: Cost) -> Result<(), NotHashed> {
        WORK.set(WORK.get() + u64::from(cost.memory) * u64::from(cost.passes));
        if cost.memory > MEMORY.get() { Err(NotHashed::OutOfMemory) } else { Ok(()) }
    }

    #[test]
    fn a_lack_of_memory_is_no_wrong_password() {
        let (earlier, present) = (Cost { memory: 19, passes: 2 }, Cost { memory: 64, passes: 2 });
        let stored = hash(PASSWORD, &[7; 16], earlier).expect("a hash");
        MEMORY.set(63);
        assert_eq!(hash(PASSWORD, &[7; 16], present), Err(NotHashed::OutOfMemory));
        assert_eq!(verify(PASSWORD, None, present).map(drop), Err(NotVerified::OutOfMemory));
        assert!(verify(PASSWORD, Some(&stored), present).is_ok(), "the stored hash needs less");
        MEMORY.set(18);
        assert_eq!(verify(PASSWORD, Some(&stored), present).map(drop), Err(NotVerified::OutOfMemory));
        MEMORY.set(u32::MAX);
    }

    #[test]
    fn does_the_same_work_for_every_stored_password() {
        let present = Cost { memory: 64, passes: 3 };
        let work = |stored: Option<&str>, password: &str| {
            WORK.set(0);
            let _ = verify(password, stored, present);
            WORK.get()
        };
        let unknown = work(None, PASSWORD);
        assert_eq!(unknown, 64 * 3);
        for (memory, passes) in [(64, 3), (64, 2), (64, 1), (19, 2), (100, 1), (8, 1), (190, 1)] {
            let stored = hash(PASSWORD, &[7; 16], Cost { memory, passes }).expect("a hash");
            for password in [PASSWORD, "wrong"] {
                let found = work(Some(&stored), password);
                assert!((unknown - 8..=unknown).contains(&found), "{memory} {passes}: {found}");
            }
            assert!(verify(PASSWORD, Some(&stored), present).is_ok());
        }
    }

    /// `echo -n 'correct horse battery' | argon2 …` with a salt of 16 bytes 0x07 and the minimum cost.
    const OLD: &str = "1$BwcHBwcHBwcHBwcHBwcHBw$";

    #[test]
    fn accepts_only_the_correct_password() {
        let stored = hash(PASSWORD, &[7; 16], Cost::MINIMUM).expect("a hash");
        let (head, tag) = stored.rsplit_once('$').expect("parts");
        assert_eq!(head, "$argon2id$v=19$m=19456,t=2,p=1$BwcHBwcHBwcHBwcHBwcHBw");
        let tag = encoding::from_base64_unpadded(tag).expect("base64");
        let old = format!("{OLD}{}", encoding::base64url(&tag));
        let other_passes = stored.replace("t=2", "t=3");
        assert!(is_stored(&stored) && is_stored(&old));
        for other in [
            "",
            "1$$",
            "1$a$b",
            &old[1..],
            &old[..old.len() - 2],
            &stored[..stored.len() - 2],
            &format!("{stored}$"),
        ] {
            assert!(!is_stored(other), "{other}");
        }
        for (password, against, want) in [
            (PASSWORD, Some(stored.as_str()), true),
            (PASSWORD, Some(&old), true),
            (PASSWORD, Some(&other_passes), false),
            ("correct horse batterz", Some(&stored), false),
            ("", Some(&stored), false),
            (PASSWORD, Some("2$AA$AA"), false),
            (PASSWORD, Some("1$$"), false),
            (PASSWORD, None, false),
            ("", None, false),
        ] {
            let found = verify(password, against, Cost::MINIMUM).map(drop);
            let want = if want { Ok(()) } else { Err(NotVerified::Wrong) };
            assert_eq!(found, want, "{password} {against:?}");
        }
    }

    #[test]
    fn reads_only_costs_that_an_isolate_can_bear() {
        let stored = |parameters: &str| format!("$argon2id$v=19${parameters}$AAAAAAAAAAAAAAAAAAAAAA$AAAA");
        for (parameters, want) in [
            ("m=19456,t=2,p=1", true),
            ("m=47104,t=10,p=1", true),
            ("m=47105,t=2,p=1", false),
            ("m=19456,t=11,p=1", false),
            ("m=0,t=2,p=1", false),
            ("m=19456,t=2,p=2", false),
            ("m=99999999999,t=2,p=1", false),
            ("t=2,m=19456,p=1", false),
        ] {
            assert_eq!(Stored::parse(&stored(parameters)).is_some(), want, "{parameters}");
        }
        assert!(Stored::parse(&format!("{}$", stored("m=19456,t=2,p=1"))).is_none());
    }

    #[test]
    fn finds_hashes_that_cost_less() {
        let stored = hash(PASSWORD, &[7; 16], Cost::MINIMUM).expect("a hash");
        for (memory, passes, want) in
            [(19_456, 2, false), (19_456, 3, true), (20_000, 2, true), (19_456, 1, false)]
        {
            assert_eq!(is_cheaper(&stored, Cost { memory, passes }), want, "{memory} {passes}");
            assert_eq!(is_cheaper(&format!("{OLD}AA"), Cost { memory, passes }), want);
        }
        assert!(!is_cheaper("unreadable", Cost::MAXIMUM));
    }
}
