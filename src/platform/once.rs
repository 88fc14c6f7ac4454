//! Log lines that an isolate writes once.

use std::cell::RefCell;

use crate::base::cache::Cache;

/// The lines that were logged.
#[derive(Debug)]
pub struct LoggedOnce {
    lines: Cache<()>,
    hosts: RefCell<Vec<String>>,
}

impl Default for LoggedOnce {
    fn default() -> Self {
        Self { lines: Cache::new(1_000), hosts: RefCell::default() }
    }
}

impl LoggedOnce {
    /// Remembers a line. Returns whether it is new.
    #[must_use]
    pub fn is_new_line(&self, line: String, milliseconds: u64) -> bool {
        let is_new = self.lines.find(&line, milliseconds, u64::MAX).is_none();
        if is_new {
            self.lines.put(line, (), milliseconds);
        }
        is_new
    }

    /// Remembers a host that is in no public origin. Returns whether to log it: each host once, the first hosts only.
    #[must_use]
    pub fn is_new_unlisted_host(&self, host: &str) -> bool {
        let mut known = self.hosts.borrow_mut();
        let is_new =
            host.len() <= LONGEST_HOST && known.len() < MOST_HOSTS && !known.iter().any(|one| one == host);
        if is_new {
            known.push(host.to_owned());
        }
        is_new
    }
}

/// Maximum number of unlisted hosts that an isolate logs.
const MOST_HOSTS: usize = 32;

/// Maximum length of a logged host in bytes: a name of 253 with a port (RFC 1035 §2.3.4).
const LONGEST_HOST: usize = 259;
