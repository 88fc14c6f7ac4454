//! The bodies that our own endpoints take: one flat JSON object of known members, each once.
//!
//! What is wrong is told by the member's name and what was expected of it, never by what was sent.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;

use crate::{
    problem::Rejection,
    time::{Timestamp, parse_span},
};

/// Bytes of the longest body.
pub const LONGEST: usize = 16 * 1_024;

/// Tells whether a text is a name as webhooks, limits, features and policies have it: 1 to 32 of a-z, 0-9, - and _.
#[must_use]
pub fn is_plain_name(text: &str) -> bool {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    (1..=32).contains(&text.len()) && text.bytes().all(is_plain)
}

/// Reads a JSON object that somebody else has written; `None` where it is anything else, or not that one.
#[must_use]
pub fn answer_of<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    // A list would be read as the members one after the other.
    let is_object = text.trim_start().starts_with('{');
    if is_object { serde_json::from_str(text).ok() } else { None }
}

/// A body that was read.
#[derive(Debug)]
pub struct Form(Vec<(String, Value)>);

impl Form {
    /// Reads a body in which no member but these may be.
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
            Err(Rejection::InvalidBody("(unknown)", "expected no other members than documented"))
        }
    }

    /// Reads a text that may be absent; null is absent.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`].
    pub fn optional(&self, name: &'static str) -> Result<Option<&str>, Rejection> {
        match self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Rejection::InvalidBody(name, "expected a text")),
        }
    }

    /// Reads a text.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`].
    pub fn text(&self, name: &'static str) -> Result<&str, Rejection> {
        self.optional(name)?.ok_or(Rejection::InvalidBody(name, "expected a text, found nothing"))
    }

    /// Reads an e-mail address, in lower case: ASCII, one `@` with something on either side, 3–254 bytes.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`].
    pub fn optional_email(&self, name: &'static str) -> Result<Option<String>, Rejection> {
        let Some(text) = self.optional(name)? else { return Ok(None) };
        let is_one = text.len() <= 254
            && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b',' | b';'))
            && text.split_once('@').is_some_and(|(local, domain)| {
                !local.is_empty() && !domain.is_empty() && !domain.contains('@')
            });
        if is_one {
            Ok(Some(text.to_ascii_lowercase()))
        } else {
            Err(Rejection::InvalidBody(name, "expected an e-mail address in ASCII"))
        }
    }

    /// Reads an e-mail address.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`].
    pub fn email(&self, name: &'static str) -> Result<String, Rejection> {
        let wrong = Rejection::InvalidBody(name, "expected an e-mail address, found nothing");
        self.optional_email(name)?.ok_or(wrong)
    }

    /// Reads a new password: 12–256 characters.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`].
    pub fn password(&self, name: &'static str) -> Result<&str, Rejection> {
        let text = self.text(name)?;
        if (12..=256).contains(&text.chars().count()) {
            Ok(text)
        } else {
            Err(Rejection::InvalidBody(name, "expected 12 to 256 characters"))
        }
    }

    /// Reads a name that people see: 1–100 characters, none of them a control character.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`].
    pub fn name(&self, name: &'static str) -> Result<Option<&str>, Rejection> {
        let Some(text) = self.optional(name)? else { return Ok(None) };
        if (1..=100).contains(&text.chars().count()) && !text.chars().any(is_confusing) {
            Ok(Some(text))
        } else {
            Err(Rejection::InvalidBody(name, "expected 1 to 100 characters"))
        }
    }

    /// Reads a whole number within bounds, that may be absent.
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

    /// Reads a list of texts, each by what it must be; it may be absent.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`].
    pub fn texts(
        &self,
        name: &'static str,
        wanted: &'static str,
        (most, fits): (usize, impl Fn(&str) -> bool),
    ) -> Result<Option<Vec<String>>, Rejection> {
        let wrong = Rejection::InvalidBody(name, wanted);
        let Some(value) = self.value(name) else { return Ok(None) };
        let items = value.as_array().filter(|items| items.len() <= most).ok_or(wrong)?;
        let text = |item: &Value| item.as_str().filter(|text| fits(text)).map(str::to_owned);
        items.iter().map(text).collect::<Option<_>>().map(Some).ok_or(wrong)
    }

    /// Reads a table of texts; an absent one is empty.
    ///
    /// # Errors
    /// [`Rejection::InvalidBody`].
    pub fn table<'a>(
        &'a self,
        name: &'static str,
        wanted: &'static str,
    ) -> Result<Vec<(&'a str, &'a str)>, Rejection> {
        let wrong = Rejection::InvalidBody(name, wanted);
        let Some(value) = self.value(name) else { return Ok(Vec::new()) };
        let members = value.as_object().ok_or(wrong)?;
        let member = |(name, value): (&'a String, &'a Value)| Some((name.as_str(), value.as_str()?));
        members.iter().map(member).collect::<Option<_>>().ok_or(wrong)
    }

    /// Finds a member; null is absent.
    fn value(&self, name: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value)
            .filter(|value| !value.is_null())
    }

    /// Reads one of several words.
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

    /// Reads for how long something is to hold, as the point at which it ends.
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

/// None of our forms has as many, and it keeps the look for duplicates cheap.
const MOST_MEMBERS: usize = 16;

/// Tells whether a character has no place in a name: it would not be seen, or turn the text around it.
fn is_confusing(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_form() {
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
    fn addresses() {
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

    #[test]
    fn passwords_count_characters() {
        for (text, want) in [
            ("a".repeat(11), false),
            ("a".repeat(12), true),
            ("ü".repeat(12), true),
            ("ü".repeat(256), true),
            ("ü".repeat(257), false),
        ] {
            let body = serde_json::json!({ "p": text }).to_string();
            assert_eq!(Form::read(&body, &["p"]).expect("a form").password("p").is_ok(), want);
        }
    }
}
