//! What an isolate remembers of the registry.

use super::registry::{self, LiveSession, Profile, UserStatus};
use crate::base::cache::Cache;

/// Answers of the registry, with the time of each.
#[derive(Debug)]
pub struct SessionCache {
    /// Live sessions, by user and session.
    pub sessions: Cache<LiveSession>,
    /// Role and status of the users for whom tokens act.
    pub statuses: Cache<UserStatus>,
    /// Names and e-mail addresses of users, for upstream.
    pub profiles: Cache<Profile>,
}

impl Default for SessionCache {
    fn default() -> Self {
        // Each entry takes a few hundred bytes, and an isolate has 128 MB.
        Self { sessions: Cache::new(10_000), statuses: Cache::new(5_000), profiles: Cache::new(5_000) }
    }
}

impl SessionCache {
    /// Removes a user's sessions, status and profile.
    pub fn forget_user(&self, user: &str) {
        self.sessions.forget_prefix(&registry::cache_key(user, ""));
        self.statuses.forget(user);
        self.profiles.forget(user);
    }
}
