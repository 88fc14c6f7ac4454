//! Reads all values that a query or a body has under one name: form fields, or members of a JSON object.
//!
//! Servers disagree on which of several values counts, and on which names are the same ([`is_named`]). So all values
//! are returned. A body that can be read in more than one way is rejected. So is a body with a `Content-Encoding`, or
//! in a charset that is neither UTF-8 nor agrees with UTF-8 on ASCII.
//!
//! | type | how it is read |
//! |---|---|
//! | `application/x-www-form-urlencoded`, queries | by the WHATWG URL Standard, and again with `;` as a separator |
//! | `application/json`, `application/…+json` | members of the outermost object, with duplicates; null is absent |
//! | `multipart/form-data` | strictly: RFC 7578, CRLF, one `name` per part, no `Content-Transfer-Encoding` |

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use url::form_urlencoded;

use crate::http::request::Headers;

/// Returns whether a body has a `Content-Encoding` other than `identity`. The gateway cannot read such a body.
#[must_use]
pub fn is_compressed(headers: &Headers<'_>) -> bool {
    let encoding = headers.value("content-encoding").unwrap_or_default().trim();
    !(encoding.is_empty() || encoding.eq_ignore_ascii_case("identity"))
}

/// Returns all values of `name` in a body; `None` if its type is not supported, or if it cannot be read in exactly one
/// way.
#[must_use]
pub fn values(headers: &Headers<'_>, body: &[u8], name: &str) -> Option<Vec<String>> {
    if body.is_empty() {
        return Some(Vec::new());
    }
    let content_type = headers.value("content-type").unwrap_or_default();
    if is_compressed(headers) || !is_ascii_compatible(content_type) {
        return None;
    }
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        // Repeated `Content-Type` headers arrive joined by a comma, and servers disagree on which one counts.
        _ if content_type.contains(',') && essence != "multipart/form-data" => None,
        "application/x-www-form-urlencoded" => Some(in_form(body, name)),
        "multipart/form-data" => in_parts(boundary(content_type)?, body, name),
        _ if essence == "application/json"
            || (essence.starts_with("application/") && essence.ends_with("+json")) =>
        {
            in_object(body, name)
        }
        _ => None,
    }
}

/// Returns all values of `name` in a query or in a URL-encoded form.
#[must_use]
pub fn in_form(fields: &[u8], name: &str) -> Vec<String> {
    // Some servers split fields at `;`, too.
    let split: Vec<u8>;
    let mut forms = vec![fields];
    if fields.contains(&b';') {
        split = fields.iter().map(|byte| if *byte == b';' { b'&' } else { *byte }).collect();
        forms.push(&split);
    }
    let fields = forms.into_iter().flat_map(form_urlencoded::parse);
    fields.filter(|(found, _)| is_named(found, name)).map(|(_, value)| value.into_owned()).collect()
}

/// Returns whether some server reads the name `found` as `name`. Servers ignore case (ASP.NET, Go's JSON), make a list
/// or an object of `name[…]` (PHP, Rails, qs), read `.` and spaces as `_` (PHP), and end a name at NUL.
#[must_use]
pub fn is_named(found: &str, name: &str) -> bool {
    let fold =
        |letter: char| if matches!(letter, '.' | ' ' | '[') { '_' } else { letter.to_ascii_lowercase() };
    let mut wanted = name.chars().filter(|letter| *letter != ']').map(fold);
    for letter in found.trim_start().chars() {
        if matches!(letter, '[' | '\0') && wanted.clone().next().is_none() {
            return true;
        }
        if letter != ']' && wanted.next() != Some(fold(letter)) {
            return false;
        }
    }
    wanted.next().is_none()
}

/// Returns whether a content type names no charset that encodes ASCII differently (UTF-16, UTF-7, EBCDIC).
fn is_ascii_compatible(content_type: &str) -> bool {
    content_type.split(';').skip(1).all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches(['"', '\'']);
        !name.trim().to_ascii_lowercase().starts_with("charset")
            || CHARSETS.iter().any(|charset| value.eq_ignore_ascii_case(charset))
    })
}

/// Charsets in which the bytes below 128 are the ASCII characters, and nothing else.
const CHARSETS: &[&str] = &["utf-8", "utf8", "us-ascii", "iso-8859-1"];

fn in_object(body: &[u8], name: &str) -> Option<Vec<String>> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let members = reader.deserialize_any(Members(name)).ok()?;
    reader.end().ok()?;
    let text = |value: Value| match value {
        Value::Null => Some(None),
        Value::String(text) => Some(Some(text)),
        // Some servers read a list with one string as that string.
        _ => None,
    };
    let texts = members.into_iter().map(text).collect::<Option<Vec<_>>>()?;
    Some(texts.into_iter().flatten().collect())
}

/// Collects the values of all members with one name.
struct Members<'a>(&'a str);

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Value>, A::Error> {
        let mut found = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if is_named(&name, self.0) {
                found.push(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Returns the boundary of the parts (RFC 2046 §5.1.1); `None` if it is missing, repeated or invalid.
fn boundary(content_type: &str) -> Option<&str> {
    let mut found = content_type.split(';').skip(1).filter_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then(|| value.trim_matches('"'))
    });
    let boundary = found.next().filter(|_| found.next().is_none())?;
    let is_valid = (1..=70).contains(&boundary.len())
        && boundary.bytes().all(|b| b.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&b));
    is_valid.then_some(boundary)
}

fn in_parts(boundary: &str, body: &[u8], name: &str) -> Option<Vec<String>> {
    let delimiter = format!("--{boundary}");
    let mut rest = body.strip_prefix(delimiter.as_bytes())?;
    let delimiter = format!("\r\n--{boundary}");
    let mut found = Vec::new();
    loop {
        if matches!(rest, b"--" | b"--\r\n") {
            return Some(found);
        }
        rest = rest.strip_prefix(b"\r\n")?;
        let (part, after) = cut(rest, delimiter.as_bytes())?;
        let (head, value) = cut(part, b"\r\n\r\n")?;
        if is_named(name_in(std::str::from_utf8(head).ok()?)?, name) {
            found.push(std::str::from_utf8(value).ok()?.to_owned());
        }
        rest = after;
    }
}

/// Returns the name of a part from its headers; `None` if the headers are not written as browsers write them.
fn name_in(head: &str) -> Option<&str> {
    let mut lines = head.split("\r\n");
    let is_disposition =
        |line: &&str| line.get(..20).is_some_and(|start| start.eq_ignore_ascii_case("content-disposition:"));
    let changes_value = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let name = name.trim().to_ascii_lowercase();
        name == "content-transfer-encoding" || (name == "content-type" && !is_ascii_compatible(value))
    };
    let is_plain = !lines
        .clone()
        .any(|line| line.contains(['\r', '\n']) || line.starts_with([' ', '\t']) || changes_value(line));
    let mut dispositions = lines.by_ref().filter(is_disposition);
    let line = dispositions.next().filter(|_| is_plain && dispositions.next().is_none())?;
    let rest = line.get(20..)?.trim_start().strip_prefix("form-data")?;
    let (name, after) = rest.trim_start_matches([';', ' ']).strip_prefix("name=\"")?.split_once('"')?;
    // Browsers write a quotation mark as %22. Other clients escape it with `\`, which servers read in two ways.
    let is_whole =
        !name.contains('\\') && !after.to_ascii_lowercase().replace("filename", "").contains("name");
    is_whole.then_some(name)
}

/// Returns the bytes before and after the first `piece`. A piece begins with CR and has no other CR, except in a CRLF
/// at its end, so each byte is compared at most twice.
fn cut<'a>(bytes: &'a [u8], piece: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    memchr::memchr_iter(b'\r', bytes).find_map(|at| {
        let (before, rest) = bytes.split_at_checked(at)?;
        Some((before, rest.strip_prefix(piece)?))
    })
}

#[cfg(test)]
mod tests;
