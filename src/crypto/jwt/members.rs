//! Reads JSON objects member by member, so that duplicate members are found.
//!
//! With two members of the same name, `serde_json::Value` keeps the last, other verifiers the first. A token
//! that two parsers can read differently is rejected instead.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// The relevant part of a JOSE header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header<'a> {
    pub(super) key_id: Option<Cow<'a, str>>,
}

/// Parses a JOSE header. Returns `None` unless `alg` is `HS256`, and neither `crit` nor `b64` is there. `typ` must be
/// `wanted` in any case; if that is `None`, it must be `JWT` or absent.
pub(super) fn read_header<'a>(json: &'a [u8], wanted: Option<&str>) -> Option<Header<'a>> {
    let (mut is_hs256, mut key_id, mut has_typ) = (false, None, wanted.is_none());
    read_object(json, MAX_HEADER_MEMBERS, |name, value| match name {
        "alg" => value.text().map(|text| is_hs256 = text == "HS256"),
        "kid" => value.text().map(|text| key_id = Some(text)),
        "typ" => {
            has_typ = true;
            value.text().and_then(|text| text.eq_ignore_ascii_case(wanted.unwrap_or("JWT")).then_some(()))
        }
        // `crit`: extensions that a verifier must understand (RFC 7515 §4.1.11). `b64`: unencoded payloads (RFC 7797).
        "crit" | "b64" => None,
        _ => value.skip(),
    })?;
    (is_hs256 && has_typ).then_some(Header { key_id })
}

/// Reads a JSON object and passes each member to `take`, which returns `None` to reject the object.
///
/// Returns `None` for anything but one object with at most `max_members` members, all with different names.
pub(super) fn read_object<'de>(
    json: &'de [u8],
    max_members: usize,
    take: impl FnMut(&str, &mut dyn MemberValue<'de>) -> Option<()>,
) -> Option<()> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let seed = Object { max_members, take };
    seed.deserialize(&mut reader).ok()?;
    reader.end().ok()
}

/// The value of a member. It can be read once.
pub(super) trait MemberValue<'de> {
    /// Reads a string.
    fn text(&mut self) -> Option<Cow<'de, str>>;
    /// Reads an integer. Numbers with a fraction or an exponent are invalid.
    fn integer(&mut self) -> Option<i64>;
    /// Reads a string or a list of strings.
    fn texts(&mut self) -> Option<Vec<String>>;
    /// Skips the value.
    fn skip(&mut self) -> Option<()>;
}

struct Object<F> {
    max_members: usize,
    take: F,
}

impl<'de, F> DeserializeSeed<'de> for Object<F>
where
    F: FnMut(&str, &mut dyn MemberValue<'de>) -> Option<()>,
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F> Visitor<'de> for Object<F>
where
    F: FnMut(&str, &mut dyn MemberValue<'de>) -> Option<()>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object without duplicate members")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut seen: Vec<Cow<'de, str>> = Vec::with_capacity(8);
        while let Some(Text(name)) = map.next_key()? {
            if seen.len() == self.max_members || seen.contains(&name) {
                return Err(A::Error::custom("too many members, or one twice"));
            }
            let mut value = Value { map: &mut map };
            (self.take)(&name, &mut value).ok_or_else(|| A::Error::custom("refused"))?;
            seen.push(name);
        }
        Ok(())
    }
}

struct Value<'a, A> {
    map: &'a mut A,
}

/// A string, borrowed from the input unless it has escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de, A: MapAccess<'de>> MemberValue<'de> for Value<'_, A> {
    fn text(&mut self) -> Option<Cow<'de, str>> {
        self.map.next_value::<Text<'de>>().ok().map(|Text(text)| text)
    }

    fn integer(&mut self) -> Option<i64> {
        self.map.next_value::<i64>().ok()
    }

    fn texts(&mut self) -> Option<Vec<String>> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum OneOrMany {
            One(String),
            Many(Vec<String>),
        }
        Some(match self.map.next_value().ok()? {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(texts) => texts,
        })
    }

    fn skip(&mut self) -> Option<()> {
        self.map.next_value::<IgnoredAny>().ok().map(|_| ())
    }
}

/// Maximum number of members of a header. Real headers have three or four. The search for duplicates is quadratic and
/// runs before the signature is checked: this bound keeps it cheap.
const MAX_HEADER_MEMBERS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_only_plain_hs256_headers() {
        let plain = Some(Header { key_id: None });
        for (json, want) in [
            (r#"{"alg":"HS256"}"#, plain),
            (r#"{"alg":"HS256","typ":"jwt","x":{"alg":"none"}}"#, Some(Header { key_id: None })),
            (" {\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"} ", Some(Header { key_id: None })),
            (r#"{"alg":"HS256","kid":"k\u0031"}"#, Some(Header { key_id: Some("k1".into()) })),
            (r#"{"alg":"HS256","typ":"vestibule-assertion+jwt"}"#, None),
            (r#"{"alg":"hs256"}"#, None),
            (r#"{"alg":"none"}"#, None),
            (r#"{"alg":["HS256"]}"#, None),
            (r#"{"alg":null}"#, None),
            (r#"{"typ":"JWT"}"#, None),
            (r#"{"alg":"HS256","typ":"JWS"}"#, None),
            (r#"{"alg":"HS256","typ":null}"#, None),
            (r#"{"alg":"HS256","kid":1}"#, None),
            (r#"{"alg":"HS256","crit":["exp"]}"#, None),
            (r#"{"alg":"HS256","crit":[]}"#, None),
            (r#"{"alg":"HS256","b64":true}"#, None),
            (r#"{"alg":"none","alg":"HS256"}"#, None),
            (r#"{"alg":"HS256","\u0061lg":"HS256"}"#, None),
            (r#"{"alg":"HS256","x":1,"x":1}"#, None),
            (r#"{"alg":"HS256"} {}"#, None),
            (r#"{"alg":"HS256",}"#, None),
            (r#"[{"alg":"HS256"}]"#, None),
            (r#""HS256""#, None),
            ("", None),
            ("{", None),
        ] {
            assert_eq!(read_header(json.as_bytes(), None), want, "{json}");
        }
    }

    #[test]
    fn limits_members_and_depth() {
        let many = |count: usize| {
            let rest: Vec<String> = (0..count).map(|i| format!(",\"x{i}\":0")).collect();
            let rest = rest.concat();
            format!("{{\"alg\":\"HS256\"{rest}}}")
        };
        assert!(read_header(many(MAX_HEADER_MEMBERS - 1).as_bytes(), None).is_some());
        assert!(read_header(many(MAX_HEADER_MEMBERS).as_bytes(), None).is_none());
        let deep = format!("{{\"alg\":\"HS256\",\"x\":{}", "[".repeat(3_000));
        assert!(read_header(deep.as_bytes(), None).is_none());
    }
}
