//! Feature gates: flags that an operator turns while requests pass.
//!
//! A [`Flag`] is JSON in KV under `feature:<name>`:
//! `{"state": "on" | "off" | "percent", "percent": 0–100, "principals": ["usr_…"]}`.
//!
//! 1. A flag that is not there is off, and so is one that cannot be read.
//! 2. `percent` lets in so many of a hundred: the same ones each time, others for each flag, and whoever was in
//!    stays in as it grows.
//! 3. `principals` are in whatever the percentage is. Nobody is in where it is off.
//!
//! KV is stale by up to a minute, and an isolate goes by what it has read for [`REMEMBERED`] more.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{form::answer_of, problem::Rejection};

/// Milliseconds for which an isolate goes by what it has read.
pub const REMEMBERED: u64 = 10_000;

/// Principals that a flag may name.
pub const MOST_PRINCIPALS: usize = 100;

/// A flag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flag {
    /// Whether it is open.
    pub state: State,
    /// Of a hundred, so many are in where it is open to some.
    #[serde(default)]
    pub percent: u8,
    /// Who is in all the same, by their ids.
    #[serde(default)]
    pub principals: Vec<String>,
}

/// Whether a feature is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// To everybody.
    On,
    /// To nobody.
    #[default]
    Off,
    /// To some.
    Percent,
}

/// Proof that a feature is open to whoever asks.
#[derive(Debug)]
pub struct Open(());

impl Flag {
    /// Reads what KV has; off where that is nothing.
    #[must_use]
    pub fn read(stored: Option<&str>) -> Self {
        let flag = stored.and_then(answer_of);
        flag.filter(|flag: &Self| flag.percent <= 100).unwrap_or_default()
    }

    /// Judges whoever asks: `id` where they are known, and the scope that tells them from all others.
    ///
    /// # Errors
    /// [`Rejection::FeatureDisabled`].
    pub fn judge(&self, name: &str, id: Option<&str>, scope: &str) -> Result<Open, Rejection> {
        let is_named = || id.is_some_and(|id| self.principals.iter().any(|named| named == id));
        let is_open = match self.state {
            State::On => true,
            State::Off => false,
            State::Percent => bucket(name, scope) < u32::from(self.percent) || is_named(),
        };
        if is_open { Ok(Open(())) } else { Err(Rejection::FeatureDisabled) }
    }
}

impl State {
    /// Gives the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Percent => "percent",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::On, Self::Off, Self::Percent].into_iter().find(|state| state.name() == name)
    }
}

/// Names the value in KV.
#[must_use]
pub fn stored_as(name: &str) -> String {
    format!("feature:{name}")
}

/// A number below a hundred, as good as drawn for each flag and principal.
fn bucket(name: &str, scope: &str) -> u32 {
    let digest = Sha256::new().chain_update(name).chain_update([0]).chain_update(scope).finalize();
    let first = digest.first_chunk().copied().unwrap_or_default();
    // Off from even by less than one in ten million.
    u32::from_be_bytes(first).checked_rem(100).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored() {
        for (stored, want) in [
            (None, Flag::default()),
            (Some(""), Flag::default()),
            (Some("on"), Flag::default()),
            (Some(r#"["on"]"#), Flag::default()),
            (Some(r#"{"state":"maybe"}"#), Flag::default()),
            (Some(r#"{"state":"percent","percent":300}"#), Flag::default()),
            (Some(r#"{"state":"percent","percent":101}"#), Flag::default()),
            (Some(r#"{"state":"on"}"#), Flag { state: State::On, ..Flag::default() }),
            (
                Some(r#"{"state":"percent","percent":7,"principals":["a"]}"#),
                Flag { state: State::Percent, percent: 7, principals: vec!["a".to_owned()] },
            ),
        ] {
            assert_eq!(Flag::read(stored), want, "{stored:?}");
        }
    }

    #[test]
    fn who_is_in() {
        let of = |state, percent| Flag { state, percent, principals: vec!["usr_a".to_owned()] };
        for (flag, id, want) in [
            (of(State::On, 0), None, true),
            (of(State::Off, 100), Some("usr_a"), false),
            (of(State::Percent, 0), Some("usr_a"), true),
            (of(State::Percent, 0), Some("usr_b"), false),
            (of(State::Percent, 0), None, false),
            (of(State::Percent, 100), None, true),
        ] {
            assert_eq!(flag.judge("f", id, "address:192.0.2.1").is_ok(), want, "{flag:?} {id:?}");
        }
    }

    #[test]
    fn as_many_as_it_says_and_who_is_in_stays_in() {
        let within = |percent, name: &str| {
            let flag = Flag { state: State::Percent, percent, principals: Vec::new() };
            (0..10_000)
                .filter(|at| flag.judge(name, None, &format!("user:usr_{at}")).is_ok())
                .collect::<Vec<_>>()
        };
        let (some, more, other) = (within(20, "f"), within(40, "f"), within(20, "g"));
        assert!((1_800..2_200).contains(&some.len()), "{}", some.len());
        assert!((3_700..4_300).contains(&more.len()), "{}", more.len());
        assert!(some.iter().all(|at| more.contains(at)));
        let both = some.iter().filter(|at| other.contains(at)).count();
        assert!((300..500).contains(&both), "{both}: one flag tells nothing of another");
    }
}
