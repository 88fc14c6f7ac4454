//! Warnings for `check-config`: what a valid configuration does, and an operator probably did not intend.

use super::{Config, Login};

impl Config {
    /// Lists warnings: the place, and what is expected there.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.login == Login::Upstream && !self.rules.rules().iter().any(|rule| rule.login) {
            warnings.push(
                "ROUTES: expected login = true, and methods, on the rule that signs in (SESSION.login = \"upstream\"): without it nobody can sign in"
                    .to_owned(),
            );
        }
        warnings
    }
}
