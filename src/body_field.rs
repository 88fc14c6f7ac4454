//! Reads every value that a body has under one name: of a form's field, or of a member of a JSON object.
//!
//! Servers disagree on which of several values counts, so all are returned. A body that can be read in more than one way is
//! refused.
//!
//! | type | is read |
//! |---|---|
//! | `application/x-www-form-urlencoded` | as WHATWG URL has it |
//! | `application/json`, `application/…+json` | members of the outermost object, duplicates included; null is absent |
//! | `multipart/form-data` | strictly: RFC 7578, lines that end in CRLF, one `name` a part |

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use url::form_urlencoded;

/// Returns all values; `None` if the body cannot be read in exactly one way.
#[must_use]
pub fn values(content_type: &str, body: &[u8], name: &str) -> Option<Vec<String>> {
    if body.is_empty() {
        return Some(Vec::new());
    }
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/x-www-form-urlencoded" => {
            let fields = form_urlencoded::parse(body);
            Some(fields.filter(|(found, _)| found == name).map(|(_, value)| value.into_owned()).collect())
        }
        "multipart/form-data" => in_parts(boundary(content_type)?, body, name),
        _ if essence == "application/json"
            || (essence.starts_with("application/") && essence.ends_with("+json")) =>
        {
            in_object(body, name)
        }
        _ => None,
    }
}

fn in_object(body: &[u8], name: &str) -> Option<Vec<String>> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let members = reader.deserialize_any(Members(name)).ok()?;
    reader.end().ok()?;
    let text = |value: Value| match value {
        Value::Null => Some(None),
        Value::String(text) => Some(Some(text)),
        // Some servers read a list of one text as that text.
        _ => None,
    };
    let texts = members.into_iter().map(text).collect::<Option<Vec<_>>>()?;
    Some(texts.into_iter().flatten().collect())
}

/// Collects all members of one name.
struct Members<'a>(&'a str);

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Value>, A::Error> {
        let mut found = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == self.0 {
                found.push(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Returns the delimiter between parts (RFC 2046 §5.1.1).
fn boundary(content_type: &str) -> Option<&str> {
    let mut found = content_type.split(';').skip(1).filter_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then(|| value.trim_matches('"'))
    });
    let boundary = found.next().filter(|_| found.next().is_none())?;
    let is_one = (1..=70).contains(&boundary.len())
        && boundary.bytes().all(|b| b.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&b));
    is_one.then_some(boundary)
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
        if name_in(std::str::from_utf8(head).ok()?)? == name {
            found.push(std::str::from_utf8(value).ok()?.to_owned());
        }
        rest = after;
    }
}

/// Returns the name of a part from its headers; `None` unless it is written as browsers write it.
fn name_in(head: &str) -> Option<&str> {
    let mut lines = head.split("\r\n");
    let is_disposition =
        |line: &&str| line.get(..20).is_some_and(|start| start.eq_ignore_ascii_case("content-disposition:"));
    let is_plain = !lines.clone().any(|line| line.contains(['\r', '\n']) || line.starts_with([' ', '\t']));
    let mut dispositions = lines.by_ref().filter(is_disposition);
    let line = dispositions.next().filter(|_| is_plain && dispositions.next().is_none())?;
    let rest = line.get(20..)?.trim_start().strip_prefix("form-data")?;
    let (name, after) = rest.trim_start_matches([';', ' ']).strip_prefix("name=\"")?.split_once('"')?;
    // Browsers write a quotation mark as %22; elsewhere it is escaped, and read in two ways.
    let is_whole =
        !name.contains('\\') && !after.to_ascii_lowercase().replace("filename", "").contains("name");
    is_whole.then_some(name)
}

/// What comes before and after a piece, which begins with the only CR in it but for that of a last CRLF: so each byte is
/// looked at twice at most.
fn cut<'a>(bytes: &'a [u8], piece: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    memchr::memchr_iter(b'\r', bytes).find_map(|at| {
        let (before, rest) = bytes.split_at_checked(at)?;
        Some((before, rest.strip_prefix(piece)?))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded";
    const PARTS: &str = "multipart/form-data; boundary=xyz";

    #[track_caller]
    fn check(content_type: &str, body: &str, want: Option<&[&str]>) {
        let found = values(content_type, body.as_bytes(), "returnTo");
        let want = want.map(|all| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(found, want, "{content_type}: {body}");
    }

    #[test]
    fn forms_and_objects() {
        check("", "", Some(&[]));
        check(FORM, "a=1&returnTo=%2Fa&returnTo=//evil", Some(&["/a", "//evil"]));
        check("Application/X-WWW-Form-Urlencoded;charset=UTF-8", "return%54o=%2f%2fevil", Some(&["//evil"]));
        check(FORM, "returnto=//evil", Some(&[]));
        check("application/json", r#"{"returnTo":"/a","b":{"returnTo":"//no"}}"#, Some(&["/a"]));
        check("application/json", r#"{"returnTo":"/a","return\u0054o":"//evil"}"#, Some(&["/a", "//evil"]));
        check("application/ld+json", r#"{"returnTo":null}"#, Some(&[]));
        for body in [r#"{"returnTo":["//evil"]}"#, r#"{"returnTo":1}"#, "{", "[]", "null", "{} {}"] {
            check("application/json", body, None);
        }
        check("text/plain", "returnTo=//evil", None);
        check("", "returnTo=//evil", None);
    }

    #[test]
    fn parts() {
        let part = |head: &str, value: &str| format!("--xyz\r\n{head}\r\n\r\n{value}\r\n");
        let of = |parts: &[String]| format!("{}--xyz--\r\n", parts.concat());
        let disposition = "Content-Disposition: form-data; name=\"returnTo\"";
        check(PARTS, &of(&[part(disposition, "/a"), part(disposition, "//evil")]), Some(&["/a", "//evil"]));
        let file =
            "content-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain";
        check(PARTS, &of(&[part(file, "x"), part(disposition, "/a")]), Some(&["/a"]));
        for head in [
            "Content-Disposition: form-data; name=returnTo",
            "Content-Disposition: form-data; filename=\"x\"; name=\"returnTo\"",
            "Content-Disposition: form-data; name=\"other\"; name=\"returnTo\"",
            "Content-Disposition: form-data; name=\"other\"; name*=utf-8''returnTo",
            "Content-Disposition: form-data; name=\"oth\\\"er\"",
            "Content-Disposition: form-data;\r\n name=\"returnTo\"",
            "Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"returnTo\"",
            "X: y",
            "Content-Disposition: form-data; name=\"a\"\nX: y",
        ] {
            check(PARTS, &of(&[part(head, "//evil")]), None);
        }
        for body in ["", "--xyz", "--xyz\r\n", "x", "--xyz\n\n--xyz--", "preamble\r\n--xyz--"] {
            assert_ne!(
                values(PARTS, format!("{body} ").as_bytes(), "returnTo"),
                Some(Vec::new()),
                "{body:?}"
            );
        }
        check("multipart/form-data", &of(&[part(disposition, "/a")]), None);
        check("multipart/form-data; boundary=a; boundary=xyz", &of(&[part(disposition, "/a")]), None);
    }

    proptest! {
        #[test]
        fn reading_is_total(
            kind in 0_usize..3,
            body in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let kind = [FORM, PARTS, "application/json"][kind];
            let _ = values(kind, &body, "returnTo");
        }
    }
}
