//! Warnings for `check-config`: settings that are valid, but that the operator probably did not intend.

use super::{Config, report::GUARDS, secrets::how_to_set, upstream::LOOPBACK_HOSTS};
use crate::{
    http::origin::host_of,
    platform::step::Step,
    routing::{report::Mode, rule::Confirm},
    sessions::{cookies::Policy, settings::Login},
    upstream::settings::Upstream,
};

impl Config {
    /// Lists the warnings. Each one names the setting, and says what is wrong with it.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.report_mode_warnings();
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
        if let Upstream::Origin(origin) | Upstream::SameZone(origin) = &self.upstream.application
            && origin.scheme() == "http"
            && !LOOPBACK_HOSTS.contains(&host_of(origin.authority()))
            && !self.site.development
        {
            warnings.push(format!(
                "UPSTREAM: requests to {:?} are not encrypted on their way, and neither are cookies and assertions: use https, or a service binding",
                origin.as_str()
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

    /// Lists what is in report mode: it protects nothing.
    fn report_mode_warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.mode == Mode::Report {
            warnings.push(
                "MODE: report mode: paths without a rule, and all rules without mode = \"enforce\", let every request through that they would refuse: remove MODE when the log has no more would_refuse (see docs/report-mode.md)"
                    .to_owned(),
            );
        }
        for rule in self.rules.rules() {
            let path = &rule.path;
            let steps = rule.reported_steps();
            if steps.is_all() {
                warnings.push(format!(
                    "mode, in the rule for {path:?}: report mode: requests that this rule would refuse are let through (see docs/report-mode.md)"
                ));
            } else if let Some(name) =
                rule.limit.and_then(|at| self.limits.get(at)).map(|limit| limit.rate.name)
                && steps.has(Step::AddressLimit)
            {
                warnings.push(format!(
                    "mode, in the limit {name:?} of RATE_LIMITS: report mode: the rule for {path:?} lets requests beyond this limit through (see docs/report-mode.md)"
                ));
            }
            let guards: Vec<&str> = GUARDS
                .iter()
                .filter(|(_, step)| !steps.is_all() && steps.has(*step))
                .map(|(name, _)| *name)
                .collect();
            if !guards.is_empty() {
                warnings.push(format!(
                    "report, in the rule for {path:?}: report mode: requests that {} would refuse are let through (see docs/report-mode.md)",
                    guards.join(", ")
                ));
            }
        }
        warnings
    }
}
