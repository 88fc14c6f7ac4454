//! Bot check: asks Cloudflare Turnstile whether a person uses the browser.
//!
//! A widget on the page gives the browser a token, which the browser sends in a header or in a form field. The gateway
//! validates the token with `siteverify`
//! (<https://developers.cloudflare.com/turnstile/get-started/server-side-validation/>). A request passes if
//!
//! 1. it has a token of at most [`LONGEST`] characters;
//! 2. `success` is `true`;
//! 3. `hostname`, where the widget was solved, is one of [`Policy::hostnames`];
//! 4. `action`, for which the widget was solved, is the rule's action.
//!
//! Turnstile publishes secrets for tests (<https://developers.cloudflare.com/turnstile/troubleshooting/testing/>). They
//! are bound to no hostname and no action, and only development accepts them. With such a secret, checks 3 and 4 are
//! skipped if the response says that it comes from a testing key.
//!
//! A token is valid once: Turnstile rejects a token that it has validated before. A response that cannot be read fails
//! the check.

use std::time::Duration;

use serde::Deserialize;
use url::form_urlencoded;

use crate::{
    crypto::secret::Opaque,
    http::{
        form::answer_of,
        problem::{BotCheck, Rejection},
    },
};

/// The configuration of the bot check.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The URL of `siteverify`.
    pub verify_url: String,
    /// Turnstile's secret key.
    pub secret: Opaque,
    /// The header with the token, in lower case.
    pub header: String,
    /// The field of the body with the token, if the header is missing.
    pub field: String,
    /// The hostnames on which the widget may be solved.
    pub hostnames: Vec<String>,
    /// The timeout of `siteverify`.
    pub timeout: Duration,
}

/// Proof that a token is valid for the rule's action.
#[derive(Debug)]
pub struct Solved(());

/// The maximum length of a token, in characters.
pub const LONGEST: usize = 2_048;

impl Policy {
    /// Returns the form that validates a token with `siteverify`.
    #[must_use]
    pub fn question(&self, token: &str, address: Option<&str>) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("secret", self.secret.expose()).append_pair("response", token);
        if let Some(address) = address {
            form.append_pair("remoteip", address);
        }
        form.finish()
    }

    /// Returns a proof without a check, for a dry run.
    #[must_use]
    pub fn assumed(&self) -> Solved {
        Solved(())
    }

    /// Reads the response of `siteverify` and checks it against the rule's action.
    ///
    /// # Errors
    /// [`Rejection::BotCheckFailed`] with the reason.
    pub fn check_response(&self, action: &str, status: u16, body: &str) -> Result<Solved, Rejection> {
        let answer = answer_of::<Answer>(body).filter(|_| status == 200);
        let answer = answer.ok_or(Rejection::BotCheckFailed(BotCheck::Unavailable))?;
        let why = if !answer.success {
            let has_code = |known: &str| answer.error_codes.iter().any(|code| code == known);
            // The gateway's request or Turnstile failed. That says nothing about the client.
            if NOT_ABOUT_TOKEN.iter().any(|code| has_code(code)) {
                BotCheck::Unavailable
            } else if has_code("timeout-or-duplicate") {
                BotCheck::Spent
            } else {
                BotCheck::Rejected
            }
        } else if is_for_tests(self.secret.expose()) && answer.metadata.is_for_tests {
            return Ok(Solved(()));
        } else if !answer.hostname.is_some_and(|found| self.hostnames.contains(&found)) {
            BotCheck::Hostname
        } else if answer.action.as_deref() != Some(action) {
            BotCheck::Action
        } else {
            return Ok(Solved(()));
        };
        Err(Rejection::BotCheckFailed(why))
    }
}

/// Error codes for a failure of the gateway's request or of Turnstile, not of the token.
const NOT_ABOUT_TOKEN: &[&str] =
    &["missing-input-secret", "invalid-input-secret", "bad-request", "internal-error"];

/// Checks that there is a token and that it is well-formed: 1 to [`LONGEST`] visible ASCII characters.
///
/// # Errors
/// [`Rejection::BotCheckFailed`] with [`BotCheck::Missing`].
pub fn token(found: Option<&str>) -> Result<&str, Rejection> {
    found
        .filter(|token| (1..=LONGEST).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic()))
        .ok_or(Rejection::BotCheckFailed(BotCheck::Missing))
}

/// Returns whether this is one of the secrets that Turnstile publishes for tests. They do not protect anything.
#[must_use]
pub fn is_for_tests(secret: &str) -> bool {
    secret.starts_with(['1', '2', '3']) && secret.get(1..).is_some_and(|rest| rest.starts_with("x000000000"))
}

#[derive(Deserialize)]
struct Answer {
    success: bool,
    hostname: Option<String>,
    action: Option<String>,
    #[serde(default, rename = "error-codes")]
    error_codes: Vec<String>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default, rename = "result_with_testing_key")]
    is_for_tests: bool,
}

#[cfg(test)]
mod tests;
