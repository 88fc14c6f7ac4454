//! The rate limiter: allows a number of requests within any window of a period. One object for each of 256 groups of
//! keys.
//!
//! The period is divided into at most ten slices of whole seconds, which together are never shorter than the period.
//! The count is the sum over the current slice and those before it. So no window of the period has more requests than
//! the limit, and room returns at most two slices later than necessary. Rejected requests do not count.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    base::{encoding, time::Timestamp},
    http::{
        problem::{RateLimit, Rejection},
        reply::EarlyResponse,
    },
    platform::{
        effects::Effects,
        store::{Class, Object, Store, StoreError, run_all},
    },
};

/// The `Limiter` object of one group of keys.
#[derive(Debug)]
pub struct Limiter;

/// The commands of a limiter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Counts one more request, if there is room.
    Hit(Hit),
    /// Checks whether there is room for one more request, without counting.
    Peek(Hit),
    /// Deletes the counts of a key.
    Clear(String),
}

/// A request under a key, with its limit and its period in seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hit {
    key: String,
    limit: u32,
    period: u32,
}

/// The reply of a limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Number of requests left, without this one if it was counted. `None` if there is no room for this one.
    pub remaining: Option<u32>,
    /// Seconds until the oldest counted requests no longer count.
    pub reset: u32,
}

/// Returns the object's name and the command that count one more request of a subject: an address, a principal or an
/// account. Neither contains `subject` itself.
#[must_use]
pub fn hit(limit: RateLimit, subject: &str) -> (String, Command) {
    let (group, key) = key(limit, subject);
    (group, Command::Hit(Hit { key, limit: limit.limit, period: limit.period }))
}

/// Returns the object's name and the command that check whether there is room for one more request of a subject.
#[must_use]
pub fn peek(limit: RateLimit, subject: &str) -> (String, Command) {
    let (group, key) = key(limit, subject);
    (group, Command::Peek(Hit { key, limit: limit.limit, period: limit.period }))
}

/// Returns the hashed key under which a limit counts a subject.
#[must_use]
pub fn hashed_key(limit: RateLimit, subject: &str) -> String {
    key(limit, subject).1
}

/// Returns the object's name and the command that delete the counts of a subject.
#[must_use]
pub fn clear(limit: RateLimit, subject: &str) -> (String, Command) {
    let (group, key) = key(limit, subject);
    (group, Command::Clear(key))
}

/// Returns the name of the object and the key: a hash of the limit's name and the subject.
fn key(limit: RateLimit, subject: &str) -> (String, String) {
    let digest = Sha256::new().chain_update(limit.name).chain_update([0]).chain_update(subject).finalize();
    let key = encoding::hex(&digest);
    (key.get(..2).unwrap_or_default().to_owned(), key)
}

/// Counts one request of `subject` against a rate limit.
///
/// # Errors
/// [`Rejection::RateLimited`], [`Fault::StoreUnavailable`](crate::http::problem::Fault::StoreUnavailable).
pub async fn check<E: Effects>(effects: &E, limit: RateLimit, subject: &str) -> Result<(), EarlyResponse> {
    let (group, command) = hit(limit, subject);
    let Verdict { remaining, reset } = effects.call_object::<Limiter>(&group, &command).await?;
    match remaining {
        Some(_) => Ok(()),
        None => Err(Rejection::RateLimited { limit, reset }.into()),
    }
}

impl Object for Limiter {
    const CLASS: Class = Class {
        name: "Limiter",
        binding: "LIMITER",
        alarm_delay: None,
        migrations: &[|store| run_all(store, TABLES)],
    };
    type Command = Command;
    type Reply = Verdict;

    fn handle(store: &impl Store, command: Command, now: Timestamp) -> Result<Verdict, StoreError> {
        let counts = matches!(command, Command::Hit(_));
        let Hit { key, limit, period } = match command {
            Command::Hit(hit) | Command::Peek(hit) => hit,
            Command::Clear(key) => {
                store.run("DELETE FROM hits WHERE key = ?", &[(&key).into()])?;
                return Ok(Verdict { remaining: Some(0), reset: 0 });
            }
        };
        let length = i64::from(period.div_ceil(SLICES).max(1));
        let slices = i64::from(period).saturating_add(length).saturating_sub(1).div_euclid(length);
        let slice = now.0.div_euclid(length);
        // The table stays small: a key has a few rows within the last period, and each hit deletes a few expired rows.
        if counts {
            store.run(
                "DELETE FROM hits WHERE (key, slice) IN (SELECT key, slice FROM hits WHERE until <= ? LIMIT 20)",
                &[now.into()],
            )?;
        }
        let rows = store.run(
            "SELECT sum(count), min(slice) FROM hits WHERE key = ? AND slice > ? AND until > ?",
            &[(&key).into(), slice.saturating_sub(slices).saturating_sub(1).into(), now.into()],
        )?;
        let row = rows.first().ok_or_else(|| StoreError("the sum is missing".to_owned()))?;
        let count = row.optional_integer(0)?.unwrap_or_default();
        let oldest = row.optional_integer(1)?.unwrap_or(slice);
        let end = oldest.saturating_add(slices).saturating_add(1).saturating_mul(length);
        let reset = u32::try_from(end.saturating_sub(now.0)).unwrap_or_default();
        let left = i64::from(limit).saturating_sub(count);
        if left <= 0 {
            return Ok(Verdict { remaining: None, reset: reset.max(1) });
        }
        if !counts {
            return Ok(Verdict { remaining: u32::try_from(left).ok(), reset });
        }
        let until = slice.saturating_add(slices).saturating_add(1).saturating_mul(length);
        store.run(
            "INSERT INTO hits (key, until, slice, count) VALUES (?, ?, ?, 1)
             ON CONFLICT (key, slice) DO UPDATE SET count = count + 1",
            &[(&key).into(), until.into(), slice.into()],
        )?;
        Ok(Verdict { remaining: u32::try_from(left.saturating_sub(1)).ok(), reset })
    }

    fn is_read_only(command: &Command) -> bool {
        matches!(command, Command::Peek(_))
    }
}

/// The tables of version 1.
const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS hits (
        key TEXT NOT NULL, until INTEGER NOT NULL, slice INTEGER NOT NULL, count INTEGER NOT NULL,
        PRIMARY KEY (key, slice)) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS hits_until ON hits (until)",
];

/// The maximum number of slices of a period.
const SLICES: u32 = 10;

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may fail")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::platform::store::sqlite::Sqlite;

    const LIMIT: RateLimit = RateLimit { name: "test", limit: 5, period: 60 };

    fn hit(store: &Sqlite, limit: RateLimit, subject: &str, at: i64) -> Verdict {
        store.handle::<Limiter>(&super::hit(limit, subject).1, Timestamp(at)).expect("a verdict")
    }

    #[test]
    fn allows_no_more_than_the_limit() {
        let store = Sqlite::of::<Limiter>();
        let at = 1_700_000_000;
        let left: Vec<_> = (0..7).map(|_| hit(&store, LIMIT, "a", at).remaining).collect();
        assert_eq!(left, [Some(4), Some(3), Some(2), Some(1), Some(0), None, None]);
        assert_eq!(hit(&store, LIMIT, "b", at).remaining, Some(4), "each subject has its own count");
        store.handle::<Limiter>(&clear(LIMIT, "b").1, Timestamp(at)).expect("a verdict");
        assert_eq!(hit(&store, LIMIT, "b", at).remaining, Some(4), "the count was cleared");
        let peek = |subject| {
            store.handle::<Limiter>(&super::peek(LIMIT, subject).1, Timestamp(at)).expect("a verdict")
        };
        assert_eq!([peek("a").remaining, peek("b").remaining, peek("b").remaining], [None, Some(4), Some(4)]);
        let wait = i64::from(hit(&store, LIMIT, "a", at).reset);
        assert!((60..=66).contains(&wait), "{wait}");
        assert_eq!(hit(&store, LIMIT, "a", at + wait - 1).remaining, None);
        assert_eq!(hit(&store, LIMIT, "a", at + wait).remaining, Some(4));
    }

    #[test]
    fn a_clock_that_goes_back_lets_no_more_pass() {
        for back in [1, 59, 60, 61, 3_600, 86_400] {
            let store = Sqlite::of::<Limiter>();
            let at = 1_700_000_000;
            for _ in 0..5 {
                assert!(hit(&store, LIMIT, "a", at).remaining.is_some());
            }
            let early = hit(&store, LIMIT, "a", at - back);
            assert_eq!(early.remaining, None, "{back}");
            // The count ends when the clock is where it would have ended.
            assert_eq!(hit(&store, LIMIT, "a", at + 66).remaining, Some(4), "{back}");
        }
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_the_limit(
            period in 10_u32..130,
            gaps in proptest::collection::vec(0_i64..20, 1..120),
        ) {
            let limit = RateLimit { period, ..LIMIT };
            let store = Sqlite::of::<Limiter>();
            let (mut at, mut passed) = (1_700_000_000_i64, Vec::new());
            for gap in gaps {
                at += gap;
                if hit(&store, limit, "a", at).remaining.is_some() {
                    passed.push(at);
                }
            }
            for (index, first) in passed.iter().enumerate() {
                let within = passed.iter().skip(index).filter(|at| **at < first + i64::from(period)).count();
                prop_assert!(within <= 5, "{within} from {first}");
            }
        }
    }
}
