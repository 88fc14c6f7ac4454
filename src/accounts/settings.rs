//! The configuration of accounts.

use serde::{Deserialize, Serialize};

use super::{
    factors::ticket::TicketKeys,
    mailer::Mailer,
    pages::{Branding, Pages},
    passwords::policy::Policy as PasswordPolicy,
};
use crate::crypto::{derive::KeyDerivation, secret::Secret};

/// Settings of accounts.
#[derive(Debug)]
pub struct Settings {
    /// The secret that authorizes the creation of the first account (`SETUP_TOKEN`).
    pub setup_token: Option<Secret>,
    /// The details about a user that upstream receives in addition to the id (`USER_HEADERS`).
    pub user_headers: Vec<UserHeader>,
    /// Who needs a second factor to sign in (`SESSION.require_second_factor`).
    pub required_factor: RequiredFactor,
    /// Derives the keys that seal the lines of exports (`EXPORT_KEY`). Without it, nothing is exported or imported.
    pub export: Option<KeyDerivation>,
    /// What applies to passwords (`PASSWORDS`).
    pub passwords: PasswordPolicy,
    /// The service that sends mail (`MAILER`), if there is one.
    pub mailer: Option<Mailer>,
    /// Whether sign-ins read copies in [`Logins`](super::logins::Logins): whether there is its binding.
    pub has_shards: bool,
    /// The keys that sign tickets.
    pub tickets: TicketKeys,
    /// Derives the keys that seal secrets for codes.
    pub derivation: KeyDerivation,
    /// The pages of Vestibule (`PAGES`); `None` if they are not served.
    pub pages: Option<Pages>,
    /// Whether the pages are not served only because there is no binding `ASSETS`.
    pub pages_lack_assets: bool,
    /// How the pages present the operator (`BRANDING`).
    pub branding: Branding,
    /// Whether machines may have to ask people for approvals.
    pub has_approvals: bool,
    /// The names of the features whose endpoints exist.
    pub features: Vec<&'static str>,
}

/// Who needs a second factor to sign in. Everybody may enroll one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequiredFactor {
    /// Nobody.
    Nobody,
    /// Admins.
    Admins,
    /// Everybody.
    Everybody,
}

/// A detail about a user that upstream may receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserHeader {
    /// `X-User-Name`.
    Name,
    /// `X-User-Email`.
    Email,
}
