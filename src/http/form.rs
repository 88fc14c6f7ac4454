//! Request bodies of the built-in endpoints: one JSON object of known members, each at most once.
//!
//! An error names the member and the expected value, never the value that was sent.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

use crate::{
    base::time::{Timestamp, parse_span},
    http::problem::Rejection,
};

/// Maximum length of a body, in bytes.
pub const LONGEST: usize = 16 * 1_024;

/// Checks for a valid name of a webhook, limit, feature or policy: 1 to 32 of a-z, 0-9, - and _.
#[must_use]
pub fn is_plain_name(text: &str) -> bool {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    (1..=32).contains(&text.len()) && text.bytes().all(is_plain)
}

/// Parses a JSON object from an external source. Returns `None` for anything else, or if it does not fit the type.
#[must_use]
pub fn answer_of<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    // Without this check, serde would accept a list of the members' values.
    let is_object = text.trim_start().starts_with('{');
    if is_object { serde_json::from_str(text).ok() } else { None }
}

/// Checks for an e-mail address: 3–254 bytes of ASCII, one `@` with text on both sides.
#[must_use]
pub fn is_email(text: &str) -> bool {
    text.len() <= 254
        && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b',' | b';'))
        && text
            .split_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'))
}

/// Checks for a display name: 1–100 characters, without control characters and characters that change the direction of
/// text.
#[must_use]
pub fn is_display_name(text: &str) -> bool {
    (1..=100).contains(&text.chars().count()) && !text.chars().any(is_confusing)
}

/// A parsed body.
#[derive(Debug)]
pub struct Form(Vec<(String, Value)>);

impl Form {
    /// Parses a body, and rejects members that are not in `known`.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`].
    pub fn read(text: &str, known: &[&'static str]) -> Result<Self, Rejection> {
        let form: Self = serde_json::from_str(text).map_err(|_| {
            Rejection::InvalidBody("(body)", "expected a JSON object without duplicate members")
        })?;
        if form.0.iter().all(|(name, _)| known.contains(&name.as_str())) {
            Ok(form)
        } else {
            Err(Rejection::InvalidBody("(unknown)", "unknown member: send only the documented members"))
        }
    }

    /// Returns a text, or `None` if the member is missing or null.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`].
    pub fn optional(&self, name: &'static str) -> Result<Option<&str>, Rejection> {
        match self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Rejection::InvalidBody(name, "expected a string")),
        }
    }

    /// Returns a required text.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`].
    pub fn text(&self, name: &'static str) -> Result<&str, Rejection> {
        self.optional(name)?.ok_or(Rejection::InvalidBody(name, "expected a string, found nothing"))
    }

    /// Returns an e-mail address in lower case, or `None` if it is missing: 3–254 bytes of ASCII, one `@` with text on
    /// both sides.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`].
    pub fn optional_email(&self, name: &'static str) -> Result<Option<String>, Rejection> {
        let Some(text) = self.optional(name)? else { return Ok(None) };
        if is_email(text) {
            Ok(Some(text.to_ascii_lowercase()))
        } else {
            Err(Rejection::InvalidBody(name, "expected an e-mail address, in ASCII"))
        }
    }

    /// Returns a required e-mail address, in lower case.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`].
    pub fn email(&self, name: &'static str) -> Result<String, Rejection> {
        let missing = Rejection::InvalidBody(name, "expected an e-mail address, found nothing");
        self.optional_email(name)?.ok_or(missing)
    }

    /// Returns a display name, or `None` if it is missing: 1–100 characters, without control characters and characters
    /// that change the direction of text.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`].
    pub fn name(&self, name: &'static str) -> Result<Option<&str>, Rejection> {
        let Some(text) = self.optional(name)? else { return Ok(None) };
        if is_display_name(text) {
            Ok(Some(text))
        } else {
            Err(Rejection::InvalidBody(name, "expected 1 to 100 visible characters"))
        }
    }

    /// Returns a whole number within bounds, or `None` if it is missing. `wanted` is the error's text.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`].
    pub fn whole(
        &self,
        name: &'static str,
        wanted: &'static str,
        within: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, Rejection> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let found = value.as_u64().filter(|number| within.contains(number));
        found.map(Some).ok_or(Rejection::InvalidBody(name, wanted))
    }

    /// Returns `true` or `false`, or `None` if it is missing.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`].
    pub fn flag(&self, name: &'static str) -> Result<Option<bool>, Rejection> {
        let Some(value) = self.value(name) else { return Ok(None) };
        value.as_bool().map(Some).ok_or(Rejection::InvalidBody(name, "expected true or false"))
    }

    /// Returns a list of at most `most` texts that all pass `fits`, or `None` if it is missing.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`].
    pub fn texts(
        &self,
        name: &'static str,
        wanted: &'static str,
        most: usize,
        fits: impl Fn(&str) -> bool,
    ) -> Result<Option<Vec<String>>, Rejection> {
        let invalid = Rejection::InvalidBody(name, wanted);
        let Some(value) = self.value(name) else { return Ok(None) };
        let items = value.as_array().filter(|items| items.len() <= most).ok_or(invalid)?;
        let text = |item: &Value| item.as_str().filter(|text| fits(text)).map(str::to_owned);
        items.iter().map(text).collect::<Option<_>>().map(Some).ok_or(invalid)
    }

    /// Returns the members of an object whose values are all texts. A missing object is empty.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`].
    pub fn table<'a>(
        &'a self,
        name: &'static str,
        wanted: &'static str,
    ) -> Result<Vec<(&'a str, &'a str)>, Rejection> {
        let invalid = Rejection::InvalidBody(name, wanted);
        let Some(value) = self.value(name) else { return Ok(Vec::new()) };
        let members = value.as_object().ok_or(invalid)?;
        let member = |(name, value): (&'a String, &'a Value)| Some((name.as_str(), value.as_str()?));
        members.iter().map(member).collect::<Option<_>>().ok_or(invalid)
    }

    /// Parses a required object. Members that the type does not have are ignored.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`].
    pub fn object<'a, T: Deserialize<'a>>(
        &'a self,
        name: &'static str,
        wanted: &'static str,
    ) -> Result<T, Rejection> {
        let value = self.value(name).filter(|value| value.is_object());
        value.and_then(|value| T::deserialize(value).ok()).ok_or(Rejection::InvalidBody(name, wanted))
    }

    /// Returns whether a member is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// Returns the value of a member, or `None` if it is missing or null.
    fn value(&self, name: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value)
            .filter(|value| !value.is_null())
    }

    /// Returns a text that `read` parses, for example one of several keywords, or `None` if it is missing.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`].
    pub fn word<T>(
        &self,
        name: &'static str,
        wanted: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Rejection> {
        self.optional(name)?.map(|text| read(text).ok_or(Rejection::InvalidBody(name, wanted))).transpose()
    }

    /// Parses a duration, and returns the time at which it ends, or `None` if it is missing.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`].
    pub fn until(&self, name: &'static str, now: Timestamp) -> Result<Option<Timestamp>, Rejection> {
        let wanted = "expected a duration like \"24h\" or \"30d\", from 1s to 3650d";
        let span = self.word(name, wanted, |text| {
            parse_span(text).filter(|span| (1..=3_650 * 86_400).contains(&span.as_secs()))
        })?;
        Ok(span.map(|span| now.plus(span)))
    }
}

impl<'de> Deserialize<'de> for Form {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

/// Deserializes a [`Form`].
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Form;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object without duplicate members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Form, A::Error> {
        let mut members: Vec<(String, Value)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if members.len() >= MOST_MEMBERS || members.iter().any(|(found, _)| *found == name) {
                return Err(A::Error::custom("too many members, or one twice"));
            }
            members.push((name, value));
        }
        Ok(Form(members))
    }
}

/// Maximum number of members. Every form has fewer, and the limit keeps the search for duplicates cheap.
const MOST_MEMBERS: usize = 16;

/// Checks for a character that is forbidden in a display name: invisible, or changing the direction of the text.
fn is_confusing(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_invalid_bodies() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(2_000), "]".repeat(2_000));
        for (text, field) in [
            ("", "(body)"),
            ("null", "(body)"),
            ("[]", "(body)"),
            ("{", "(body)"),
            ("{} {}", "(body)"),
            (r#"{"a":1,"a":2}"#, "(body)"),
            (r#"{"a":1,"\u0061":2}"#, "(body)"),
            (&deep, "(body)"),
            (r#"{"b":1}"#, "(unknown)"),
        ] {
            match Form::read(text, &["a"]) {
                Err(Rejection::InvalidBody(found, _)) => assert_eq!(found, field, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        let form = Form::read(r#"{"a":1}"#, &["a", "b"]).expect("a form");
        assert!(form.text("a").is_err());
        assert!(form.text("b").is_err());
        assert_eq!(form.optional("b"), Ok(None));
    }

    #[test]
    fn accepts_only_plain_email_addresses() {
        for (text, want) in [
            ("ada@example.com", Some("ada@example.com")),
            ("Ada+x@Example.COM", Some("ada+x@example.com")),
            ("a@b", Some("a@b")),
            ("", None),
            ("ada", None),
            ("@b", None),
            ("a@", None),
            ("a@b@c", None),
            ("a b@c", None),
            ("a@b\u{0}", None),
            ("\u{430}da@example.com", None),
            ("a\n@b", None),
            ("Ada <ada@example.com>", None),
            ("a@b,c@d", None),
        ] {
            let body = serde_json::json!({ "e": text }).to_string();
            let form = Form::read(&body, &["e"]).expect("a form");
            assert_eq!(form.email("e").ok().as_deref(), want, "{text:?}");
        }
        let long = format!("{{\"e\":\"{}@b\"}}", "a".repeat(253));
        assert!(Form::read(&long, &["e"]).expect("a form").email("e").is_err());
    }
}
