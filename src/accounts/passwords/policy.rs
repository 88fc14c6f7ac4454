//! Which new passwords are accepted: at least [`Policy::min_length`] characters, at most [`LONGEST`], and none of the
//! most common ones (NIST SP 800-63B §5.1.1.2).
//!
//! The list is of what people choose at the core of a password. So a common password is refused in any case, with any
//! digits and punctuation around it, and repeated. The list comes from the one that Django ships
//! (`scripts/common-passwords.mjs`).

use crate::{
    crypto::password::Cost,
    http::{form::Form, problem::Rejection},
};

/// What applies to passwords (`PASSWORDS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The cost of new hashes. Those that cost less are made again at the next sign-in.
    pub cost: Cost,
    /// Minimum length of a new password, in characters.
    pub min_length: usize,
    /// What a shorter one is answered with.
    too_short: &'static str,
}

/// The minimum of [`Policy::min_length`].
pub const SHORTEST: usize = 12;

/// The maximum of [`Policy::min_length`].
pub const MOST_REQUIRED: usize = 64;

/// Maximum length of a password, in characters.
pub const LONGEST: usize = 256;

impl Default for Policy {
    fn default() -> Self {
        Self { cost: Cost::MINIMUM, min_length: SHORTEST, too_short: "expected at least 12 characters" }
    }
}

impl Policy {
    /// Returns a policy with this cost and minimum length.
    #[must_use]
    pub fn new(cost: Cost, min_length: usize) -> Self {
        if min_length == SHORTEST {
            return Self { cost, ..Self::default() };
        }
        // Leaked: the configuration lives as long as the isolate.
        let too_short = format!("expected at least {min_length} characters").leak();
        Self { cost, min_length, too_short }
    }

    /// Returns a form's new password.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`] if it is missing, too short or too long; [`Rejection::PasswordTooCommon`].
    pub fn new_password<'a>(&self, form: &'a Form, name: &'static str) -> Result<&'a str, Rejection> {
        let password = form.text(name)?;
        match password.chars().count() {
            length if length > LONGEST => {
                Err(Rejection::InvalidBody(name, "expected at most 256 characters"))
            }
            length if length < self.min_length => Err(Rejection::InvalidBody(name, self.too_short)),
            _ if is_common(password) => Err(Rejection::PasswordTooCommon(name)),
            _ => Ok(password),
        }
    }
}

/// Checks whether a password is one of the most common ones, a sequence, or one of few different characters.
fn is_common(password: &str) -> bool {
    let text = password.to_lowercase();
    let core = text.trim_matches(|character: char| !character.is_alphabetic());
    let core = repeated_part(if core.is_empty() { &text } else { core });
    let mut different: Vec<char> = text.chars().collect();
    different.sort_unstable();
    different.dedup();
    different.len() < FEWEST_DIFFERENT || is_sequence(&text) || COMMON.lines().any(|common| common == core)
}

/// Checks whether each character follows the one before: `abcdefghijkl`, `098765432109`.
fn is_sequence(text: &str) -> bool {
    let follows = |(one, two): (char, char)| {
        (one, two) == ('9', '0') || u32::from(one).checked_add(1) == Some(two.into())
    };
    let pairs = || text.chars().zip(text.chars().skip(1));
    pairs().all(follows) || pairs().all(|(one, two)| follows((two, one)))
}

/// Returns the part of which a text is a repetition, or the text itself if it repeats nothing.
fn repeated_part(text: &str) -> &str {
    let is_repeated = |part: &&str| {
        let mut rest = text;
        while let Some(next) = rest.strip_prefix(part) {
            rest = next;
        }
        rest.is_empty()
    };
    let ends = text.char_indices().map(|(at, _)| at).skip(1);
    let parts = ends.filter_map(|end| text.get(..end));
    parts.take_while(|part| part.len() <= text.len() / 2).find(is_repeated).unwrap_or(text)
}

/// One of the most common passwords in each line, in lower case.
static COMMON: &str = include_str!("common.txt");

/// A password has at least this many different characters.
const FEWEST_DIFFERENT: usize = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_common_passwords_in_any_dress() {
        for common in [
            "password1234",
            "Password2026!",
            "PASSWORDPASSWORD",
            "123456789012",
            "112233445566",
            "000000000000",
            "qwertyuiop[]",
            "qwertyqwerty",
            "1q2w3e4r5t6y",
            "1qaz2wsx3edc",
            "iloveyou2024!",
            "!!!!dragon!!!!",
            "aaaaaaaaaaaa",
            "abcdefghijkl",
            "987654321098",
            "abababababab",
            "monkeymonkey99",
            "administrator",
        ] {
            assert!(is_common(common), "{common}");
        }
        for rare in [
            "correct horse battery",
            "korrekte pferde batterie",
            "kT0n4mJw2Zq8",
            "password and more",
            "dragonmonkey",
            "839201749205",
            "пароль для сайта",
        ] {
            assert!(!is_common(rare), "{rare}");
        }
    }

    #[test]
    fn counts_characters() {
        let policy = Policy::new(Cost::MINIMUM, 15);
        let default = Policy::default();
        for (policy, text, want) in [
            (default, "kT0n4mJw2Zq".to_owned(), false),
            (default, "kT0n4mJw2Zq8".to_owned(), true),
            (default, "üäößé".repeat(3), true),
            (default, format!("k{}", "üäößé".repeat(51)), true),
            (default, format!("kx{}", "üäößé".repeat(51)), false),
            (policy, "kT0n4mJw2Zq8vR".to_owned(), false),
            (policy, "kT0n4mJw2Zq8vR5".to_owned(), true),
        ] {
            let body = serde_json::json!({ "p": text }).to_string();
            let form = Form::read(&body, &["p"]).expect("a form");
            assert_eq!(policy.new_password(&form, "p").is_ok(), want, "{text}");
        }
    }

    #[test]
    fn the_list_has_only_what_can_match() {
        for line in COMMON.lines() {
            assert_eq!(repeated_part(line), line);
            assert!(line.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()), "{line}");
        }
        assert_eq!(COMMON.lines().count(), 1_807);
    }

    proptest! {
        #[test]
        fn looking_at_a_password_never_panics(password in ".{0,40}") {
            let _ = is_common(&password);
        }

        #[test]
        fn a_repetition_counts_once(part in "[a-zü]{1,6}", count in 1_usize..6) {
            let repeated = part.repeat(count);
            prop_assert_eq!(repeated_part(&repeated), repeated_part(&part));
        }
    }
}
