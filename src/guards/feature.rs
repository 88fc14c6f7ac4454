//! Feature gates: flags that an operator changes at run time.
//!
//! A [`Flag`] is stored as JSON in KV under `feature:<name>`:
//! `{"state": "on" | "off" | "percent", "percent": 0–100, "principals": ["usr_…"]}`.
//!
//! 1. A missing flag is off, and so is an invalid one.
//! 2. `percent` opens the feature for this share of all clients. The selection is stable, differs between flags, and
//!    keeps all earlier clients when the percentage grows.
//! 3. In the state `percent`, the feature is open for the listed `principals` at any percentage. In the state `off`, it
//!    is open for nobody.
//!
//! KV can be stale by up to a minute, and an isolate caches a flag for [`CACHED_FOR`] milliseconds more.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    base::cache::Cache,
    http::{form::answer_of, problem::Rejection},
};

/// Milliseconds for which an isolate caches a flag.
pub const CACHED_FOR: u64 = 10_000;

/// Maximum number of principals that a flag may list.
pub const MOST_PRINCIPALS: usize = 100;

/// A feature flag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flag {
    /// The state of the feature.
    pub state: State,
    /// In the state `percent`, the percentage of clients for which the feature is open.
    #[serde(default)]
    pub percent: u8,
    /// In the state `percent`, the ids of principals for which the feature is always open.
    #[serde(default)]
    pub principals: Vec<String>,
}

/// The state of a feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Open for all clients.
    On,
    /// Open for no client.
    #[default]
    Off,
    /// Open for a percentage of clients and for listed principals.
    Percent,
}

/// Proof that a feature is open for the client.
#[derive(Debug)]
pub struct Open(());

impl Flag {
    /// Parses the value from KV. A missing or invalid value is off.
    #[must_use]
    pub fn read(stored: Option<&str>) -> Self {
        let flag = stored.and_then(answer_of);
        flag.filter(|flag: &Self| flag.percent <= 100).unwrap_or_default()
    }

    /// Checks that the feature is open. `id` is the principal's id, if known; `scope` identifies the client.
    ///
    /// # Errors
    /// [`Rejection::FeatureDisabled`].
    pub fn check(&self, name: &str, id: Option<&str>, scope: &str) -> Result<Open, Rejection> {
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
    /// Returns the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Percent => "percent",
        }
    }

    /// Parses a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::On, Self::Off, Self::Percent].into_iter().find(|state| state.name() == name)
    }
}

/// Returns the key of a flag in KV.
#[must_use]
pub fn kv_key(name: &str) -> String {
    format!("feature:{name}")
}

/// Returns a number from 0 to 99, evenly distributed over flags and clients.
fn bucket(name: &str, scope: &str) -> u32 {
    let digest = Sha256::new().chain_update(name).chain_update([0]).chain_update(scope).finalize();
    let first = digest.first_chunk().copied().unwrap_or_default();
    // The remainder is uneven by less than one in ten million.
    u32::from_be_bytes(first).checked_rem(100).unwrap_or_default()
}

/// Feature flags that an isolate remembers, by name.
#[derive(Debug)]
pub struct FlagCache(pub Cache<Flag>);

impl Default for FlagCache {
    fn default() -> Self {
        Self(Cache::new(500))
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn missing_and_invalid_flags_are_off() {
        for (stored, want) in [
            (None, Flag::default()),
            (Some(""), Flag::default()),
            (Some("on"), Flag::default()),
            (Some(r#"["on"]"#), Flag::default()),
            (Some(r#"{"state":"maybe"}"#), Flag::default()),
            (Some(r#"{"state":"percent","percent":300}"#), Flag::default()),
            (Some(r#"{"state":"percent","percent":101}"#), Flag::default()),
            (
                Some(r#"{"state":"percent","percent":100}"#),
                Flag { state: State::Percent, percent: 100, ..Flag::default() },
            ),
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
    fn the_state_decides_before_listed_principals() {
        let flag_with = |state, percent| Flag { state, percent, principals: vec!["usr_a".to_owned()] };
        for (flag, id, want) in [
            (flag_with(State::On, 0), None, true),
            (flag_with(State::Off, 100), Some("usr_a"), false),
            (flag_with(State::Percent, 0), Some("usr_a"), true),
            (flag_with(State::Percent, 0), Some("usr_b"), false),
            (flag_with(State::Percent, 0), None, false),
            (flag_with(State::Percent, 100), None, true),
        ] {
            assert_eq!(flag.check("f", id, "address:192.0.2.1").is_ok(), want, "{flag:?} {id:?}");
        }
    }

    #[test]
    fn a_percentage_is_met_stable_and_independent() {
        let clients = |percent, name: &str| {
            let flag = Flag { state: State::Percent, percent, principals: Vec::new() };
            (0..10_000)
                .filter(|at| flag.check(name, None, &format!("user:usr_{at}")).is_ok())
                .collect::<Vec<_>>()
        };
        let (some, more, other) = (clients(20, "f"), clients(40, "f"), clients(20, "g"));
        assert!((1_800..2_200).contains(&some.len()), "{}", some.len());
        assert!((3_700..4_300).contains(&more.len()), "{}", more.len());
        assert!(some.iter().all(|at| more.contains(at)));
        let both = some.iter().filter(|at| other.contains(at)).count();
        assert!((300..500).contains(&both), "{both}: one flag must not predict another");
    }
}
