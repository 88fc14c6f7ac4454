//! The site that browsers see.

use super::return_path;
use crate::{
    base::time::Timestamp,
    http::{
        cookie::CookieName,
        origin::{self, Origin},
    },
};

/// The public side of a deployment: its origins, its own paths, its pages.
#[derive(Debug)]
pub struct Site {
    /// Whether `ENVIRONMENT` is `"development"`.
    pub development: bool,
    /// Path prefix of the built-in routes (`ENDPOINTS`), except the well-known ones.
    pub endpoints: &'static str,
    /// The targets to which the gateway may redirect browsers.
    pub return_path: return_path::Policy,
    /// Name of the cookie that counts redirects to and from the login page.
    pub hops_cookie: CookieName,
    /// Base of `type` in problem documents (RFC 9457). The code follows as the fragment, except after `about:blank`.
    pub problem_base: String,
    /// The fixed time of tests (`DANGER_FIXED_NOW`).
    pub fixed_now: Option<Timestamp>,
}

impl Site {
    /// Returns the canonical origin, which is the first public one.
    #[must_use]
    pub fn canonical_origin(&self) -> Option<&Origin> {
        self.return_path.public.first()
    }

    /// Returns whether cookies for this request must be `Secure`: always, except in development over plain http to
    /// `localhost`, `127.0.0.1` or `[::1]`.
    #[must_use]
    pub fn secure_cookies(&self, scheme: &str, authority: &str) -> bool {
        !(self.development && scheme == "http" && origin::is_localhost(authority))
    }

    /// Returns whether no origin in `PUBLIC_ORIGINS` has the request's host and port.
    #[must_use]
    pub fn is_unlisted_host(&self, authority: &str) -> bool {
        !self.return_path.public.iter().any(|origin| origin.authority() == authority)
    }

    /// Returns the public origin that the request names, or the canonical (first) one if it names another origin.
    #[must_use]
    pub fn public_origin(&self, scheme: &str, authority: &str) -> &str {
        let origins = &self.return_path.public;
        origins
            .iter()
            .find(|origin| origin.scheme() == scheme && origin.authority() == authority)
            .or_else(|| origins.first())
            .map_or("", Origin::as_str)
    }
}
