//! The configuration of accounts.

use crate::crypto::secret::Secret;

/// Settings of accounts.
#[derive(Debug)]
pub struct Settings {
    /// The secret that authorizes the creation of the first account (`SETUP_TOKEN`).
    pub setup_token: Option<Secret>,
    /// The details about a user that upstream receives in addition to the id (`USER_HEADERS`).
    pub user_headers: Vec<UserHeader>,
}

/// A detail about a user that upstream may receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserHeader {
    /// `X-User-Name`.
    Name,
    /// `X-User-Email`.
    Email,
}
