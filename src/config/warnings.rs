//! Warnings for `check-config`: settings that are valid, but that the operator probably did not intend.

use super::{Config, secrets::how_to_set};
use crate::{
    routing::rule::Confirm,
    sessions::{cookies::Policy, settings::Login},
    upstream::settings::Upstream,
};

impl Config {
    /// Lists the warnings. Each one names the setting, and says what is wrong with it.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.sessions.login == Login::Upstream && !self.rules.rules().iter().any(|rule| rule.login) {
            warnings.push(
                "ROUTES: users cannot sign in: set login = true, and methods, on the rule that signs them in (SESSION.login = \"upstream\")"
                    .to_owned(),
            );
        }
        if self.accounts.pages_lack_assets {
            warnings.push(format!(
                "SESSION.login: users sign in at {} of the application, because the pages of Vestibule need a binding ASSETS: add [assets] (see docs/accounts.md#pages), or set SESSION.login_path to the page of your own",
                self.site.return_path.login
            ));
        }
        if self.sessions.login != Login::Accounts {
            for rule in self.rules.rules().iter().filter(|rule| rule.confirm != Confirm::Never) {
                warnings.push(format!(
                    "confirm, in the rule for {:?}: has no effect without SESSION.login = \"accounts\": without accounts there are no machine credentials",
                    rule.path
                ));
            }
        }
        let Policy { cookie, domain, .. } = &self.sessions.policy;
        let can_choose_name = self.sessions.login != Login::Elsewhere && domain.is_none();
        if can_choose_name && !cookie.is_host_prefixed() && !self.site.development {
            let name = cookie.as_str();
            warnings.push(format!(
                "SESSION.cookie: any subdomain can set the cookie {name:?}, and so sign your users in to another account: set cookie = \"__Host-session\" and, until old sessions have expired, cookie_previous = {name:?} (see docs/sessions.md)"
            ));
        }
        if self.upstream.key.is_none() && self.upstream.application != Upstream::Assets {
            let how = how_to_set("UPSTREAM_SECRET", self.site.development);
            warnings.push(format!(
                "UPSTREAM_SECRET: expected a secret of at least 32 bytes, found nothing: upstream gets no assertion, so it cannot detect requests that bypass Vestibule ({how})"
            ));
        }
        warnings
    }
}
