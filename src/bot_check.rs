//! Is there a person in front of the browser? What Cloudflare Turnstile says of a token.
//!
//! A widget on the page gives the browser a token, which comes along in a header or in a field of the form.
//! `siteverify` says what it is worth
//! (<https://developers.cloudflare.com/turnstile/get-started/server-side-validation/>). A request passes where
//!
//! 1. there is a token, of at most [`LONGEST`] characters;
//! 2. `success` is `true`;
//! 3. `hostname`, where the widget was solved, is one of ours;
//! 4. `action`, what it was solved for, is the rule's.
//!
//! The secrets that Turnstile publishes for tests (<https://developers.cloudflare.com/turnstile/troubleshooting/testing/>)
//! answer for no site and no action: by one of them, which only development takes, 3 and 4 are left out of an answer that
//! says it is one.
//!
//! A token is good once, and that is kept by whoever verifies it: sent again it is refused there. Nothing that can
//! be read is nothing that passes.

use std::time::Duration;

use serde::Deserialize;
use url::form_urlencoded;

use crate::{
    form::answer_of,
    problem::{BotCheck, Rejection},
    secret::Opaque,
};

/// How requests are checked.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Who is asked what a token is worth.
    pub verify_url: String,
    /// What we show them.
    pub secret: Opaque,
    /// The header that has the token, in lower case.
    pub header: String,
    /// The field of the body that has it, where the header is not there.
    pub field: String,
    /// Where the widget may have been solved.
    pub hostnames: Vec<String>,
    /// How long they may take.
    pub timeout: Duration,
}

/// Proof that a token was good, for the action that was asked for.
#[derive(Debug)]
pub struct Solved(());

/// Characters of the longest token.
pub const LONGEST: usize = 2_048;

impl Policy {
    /// Writes the question what a token is worth, as a form.
    #[must_use]
    pub fn question(&self, token: &str, address: Option<&str>) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("secret", self.secret.expose()).append_pair("response", token);
        if let Some(address) = address {
            form.append_pair("remoteip", address);
        }
        form.finish()
    }

    /// Takes a token to be good, in a dry run.
    #[must_use]
    pub fn assumed(&self) -> Solved {
        Solved(())
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// [`Rejection::BotCheckFailed`].
    pub fn judge(&self, action: &str, status: u16, body: &str) -> Result<Solved, Rejection> {
        let answer = answer_of::<Answer>(body).filter(|_| status == 200);
        let answer = answer.ok_or(Rejection::BotCheckFailed(BotCheck::Unavailable))?;
        let why = if !answer.success {
            let says = |known: &str| answer.error_codes.iter().any(|code| code == known);
            // Ours, or theirs: that is no word on the visitor.
            if OURS.iter().any(|code| says(code)) {
                BotCheck::Unavailable
            } else if says("timeout-or-duplicate") {
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

/// What is wrong with the question, and not with the token.
const OURS: &[&str] = &["missing-input-secret", "invalid-input-secret", "bad-request", "internal-error"];

/// Holds what came as a token to the form of one.
///
/// # Errors
/// [`Rejection::BotCheckFailed`].
pub fn token(found: Option<&str>) -> Result<&str, Rejection> {
    found
        .filter(|token| (1..=LONGEST).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic()))
        .ok_or(Rejection::BotCheckFailed(BotCheck::Missing))
}

/// Tells whether this is one of the secrets that Turnstile publishes for tests: anybody passes by them.
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
mod tests {
    use super::*;

    fn policy() -> Policy {
        with("s3cret&=")
    }

    fn with(secret: &str) -> Policy {
        Policy {
            verify_url: "https://verify.example/".to_owned(),
            secret: Opaque::parse(secret).expect("a secret"),
            header: "cf-turnstile-response".to_owned(),
            field: "cf-turnstile-response".to_owned(),
            hostnames: vec!["app.example".to_owned()],
            timeout: Duration::from_secs(3),
        }
    }

    #[test]
    fn what_a_token_is_worth() {
        let good = r#"{"success":true,"hostname":"app.example","action":"signup","error-codes":[]}"#;
        for (status, body, want) in [
            (200, good, None),
            (200, r#"{"success":true,"hostname":"app.example","action":"login"}"#, Some(BotCheck::Action)),
            (200, r#"{"success":true,"hostname":"app.example"}"#, Some(BotCheck::Action)),
            (
                200,
                r#"{"success":true,"hostname":"evil.example","action":"signup"}"#,
                Some(BotCheck::Hostname),
            ),
            (200, r#"{"success":true,"action":"signup"}"#, Some(BotCheck::Hostname)),
            (200, r#"{"success":false,"error-codes":["invalid-input-response"]}"#, Some(BotCheck::Rejected)),
            (200, r#"{"success":false,"error-codes":["timeout-or-duplicate"]}"#, Some(BotCheck::Spent)),
            (200, r#"{"success":false}"#, Some(BotCheck::Rejected)),
            (200, r#"{"success":false,"error-codes":["invalid-input-secret"]}"#, Some(BotCheck::Unavailable)),
            (200, r#"{"success":false,"error-codes":["internal-error"]}"#, Some(BotCheck::Unavailable)),
            (
                200,
                r#"{"success":"true","hostname":"app.example","action":"signup"}"#,
                Some(BotCheck::Unavailable),
            ),
            (200, r#"{"success":1}"#, Some(BotCheck::Unavailable)),
            (200, "<html>", Some(BotCheck::Unavailable)),
            (200, "", Some(BotCheck::Unavailable)),
            (200, "null", Some(BotCheck::Unavailable)),
            (200, r#"[true,"app.example","signup"]"#, Some(BotCheck::Unavailable)),
            (500, good, Some(BotCheck::Unavailable)),
        ] {
            let found = policy().judge("signup", status, body).err();
            assert_eq!(found, want.map(Rejection::BotCheckFailed), "{body}");
        }
    }

    #[test]
    fn a_secret_for_tests_answers_for_no_site() {
        let always = "1x0000000000000000000000000000000AA";
        let says = r#"{"success":true,"hostname":"example.com","metadata":{"result_with_testing_key":true}}"#;
        assert!(with(always).judge("signup", 200, says).is_ok());
        assert!(policy().judge("signup", 200, says).is_err(), "by a secret of one's own");
        let silent = r#"{"success":true,"hostname":"example.com"}"#;
        assert!(with(always).judge("signup", 200, silent).is_err());
    }

    #[test]
    fn what_is_asked() {
        assert_eq!(policy().question("t&k", None), "secret=s3cret%26%3D&response=t%26k");
        assert_eq!(
            policy().question("t", Some("192.0.2.1")),
            "secret=s3cret%26%3D&response=t&remoteip=192.0.2.1"
        );
    }

    #[test]
    fn what_is_a_token() {
        let long = "t".repeat(LONGEST + 1);
        for (found, want) in
            [(Some("t"), true), (None, false), (Some(""), false), (Some("a b"), false), (Some(&*long), false)]
        {
            assert_eq!(token(found).is_ok(), want, "{found:?}");
        }
        for (secret, want) in [
            ("1x0000000000000000000000000000000AA", true),
            ("2x0000000000000000000000000000000AA", true),
            ("3x0000000000000000000000000000000AA", true),
            ("0x4AAAAAAAxxxxxxxxxxxxxxxxxxxxxxxx", false),
            ("1", false),
            ("", false),
        ] {
            assert_eq!(is_for_tests(secret), want, "{secret}");
        }
    }
}
