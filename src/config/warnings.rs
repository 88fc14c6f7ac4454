//! What a valid configuration will hardly be meant to do, for `check-config`.

use super::{Config, Login};

impl Config {
    /// Lists what an operator should look at: each where it is, and what is expected there.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.login == Login::Upstream && !self.rules.rules().iter().any(|rule| rule.login) {
            warnings.push(
                "ROUTES: expected login = true, and methods, on the rule that signs in (SESSION.login = \"upstream\"): nobody can sign in without"
                    .to_owned(),
            );
        }
        warnings
    }
}
