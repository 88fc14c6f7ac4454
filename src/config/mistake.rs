//! Mistakes in the configuration, collected until all of it is read.

use std::{cell::RefCell, fmt};

/// A mistake in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Path of the invalid value, such as `ROUTES[3].access`.
    pub path: String,
    /// What was expected and what was found. Never contains a secret.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// All mistakes so far, and all errors of entries. Such an entry is refused, and affects nothing else.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    mistakes: RefCell<Vec<ConfigError>>,
    entry_errors: RefCell<Vec<ConfigError>>,
}

impl Mistakes {
    pub(super) fn report(&self, path: impl Into<String>, message: impl Into<String>) {
        self.mistakes.borrow_mut().push(ConfigError { path: path.into(), message: message.into() });
    }

    /// Records an invalid entry that is refused while everything else works.
    pub(super) fn report_entry(&self, path: impl Into<String>, message: impl Into<String>) {
        self.entry_errors.borrow_mut().push(ConfigError { path: path.into(), message: message.into() });
    }

    pub(super) fn entry_errors(&self) -> Vec<ConfigError> {
        self.entry_errors.take()
    }

    /// Returns the number of mistakes so far.
    pub(super) fn count(&self) -> usize {
        self.mistakes.borrow().len()
    }

    /// Adds the rule's path to each mistake after the first `count`, unless its message has the path already.
    pub(super) fn name_rule(&self, count: usize, path: &str) {
        let path = format!("{path:?}");
        for mistake in self.mistakes.borrow_mut().iter_mut().skip(count) {
            if !mistake.message.contains(&path) {
                let message = std::mem::take(&mut mistake.message);
                mistake.message = format!("{message} (in the rule for {path})");
            }
        }
    }

    /// Removes mistakes that follow from another mistake. Because of that one, the variables in `missing` are missing.
    /// Mistakes at or below such a variable are removed, and those whose message mentions it.
    pub(super) fn drop_follow_ons(&self, missing: &[&str]) {
        let follows = |ConfigError { path, message }: &ConfigError| {
            missing.iter().any(|name| {
                let is_below = path.strip_prefix(*name).is_some_and(|rest| rest.starts_with(['.', '[']));
                is_below || path == name || mentions(message, name)
            })
        };
        self.mistakes.borrow_mut().retain(|mistake| !follows(mistake));
        self.entry_errors.borrow_mut().retain(|mistake| !follows(mistake));
    }

    pub(super) fn into_vec(self) -> Vec<ConfigError> {
        self.mistakes.into_inner()
    }
}

/// Returns whether a message mentions a variable. A longer name that contains this one does not count.
fn mentions(message: &str, name: &str) -> bool {
    let is_name_byte = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    message.match_indices(name).any(|(at, _)| {
        let before = message.as_bytes().get(..at).and_then(<[u8]>::last);
        let after = message.as_bytes().get(at.saturating_add(name.len()));
        !before.is_some_and(is_name_byte) && !after.is_some_and(is_name_byte)
    })
}
