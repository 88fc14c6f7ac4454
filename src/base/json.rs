//! Reads JSON text directly: keeps the text of numbers, and finds duplicate members.
//!
//! Of two members with the same name, `serde_json::Value` keeps the last, other parsers the first. A text that two
//! parsers can read differently is not trusted.

use std::{borrow::Cow, collections::BTreeSet};

use serde::de::IgnoredAny;

/// Maximum depth of nesting that is examined: no parser of the gateway reads deeper.
pub const MAX_DEPTH: usize = 128;

/// Checks whether two parsers could read a text differently: an object has a member twice, or the nesting is deeper
/// than [`MAX_DEPTH`]. A text that is not JSON is not ambiguous, because nothing is read from it.
#[must_use]
pub fn is_ambiguous(json: &[u8]) -> bool {
    let Some(text) = valid_text(json) else { return false };
    // The member names of each open object; `None` for a list.
    let mut open: Vec<Option<BTreeSet<Cow<'_, str>>>> = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        let start = at;
        at = at.saturating_add(1);
        match byte {
            b'{' | b'[' if open.len() == MAX_DEPTH => return true,
            b'{' => open.push(Some(BTreeSet::new())),
            b'[' => open.push(None),
            b'}' | b']' => drop(open.pop()),
            b'"' => {
                at = end_of_string(text, start);
                let is_name = text.get(at..).is_some_and(|rest| rest.trim_start().starts_with(':'));
                if let (true, Some(Some(seen))) = (is_name, open.last_mut())
                    && !seen.insert(unquoted(text.get(start..at).unwrap_or_default()))
                {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

/// Returns the text of the value at a JSON pointer (RFC 6901). Of duplicate members, the last one counts.
#[must_use]
pub fn find<'a>(json: &'a [u8], pointer: &str) -> Option<&'a str> {
    let mut found = valid_text(json)?;
    let Some(rest) = pointer.strip_prefix('/') else { return pointer.is_empty().then_some(found) };
    for token in rest.split('/') {
        let token = token.replace("~1", "/").replace("~0", "~");
        found = item(found, &token)?;
    }
    Some(found)
}

/// Returns the text of an item of a list, or of a member of an object.
fn item<'a>(value: &'a str, token: &str) -> Option<&'a str> {
    let is_list = value.starts_with('[');
    let index =
        (token == "0" || !token.starts_with(['0', '+'])).then(|| token.parse::<usize>().ok()).flatten();
    let mut rest = value.strip_prefix(['[', '{'])?.trim_start();
    let (mut found, mut number) = (None, 0_usize);
    while !rest.starts_with([']', '}']) {
        let mut is_match = is_list && index == Some(number);
        if !is_list {
            let (name, after) = rest.split_at_checked(end_of_value(rest))?;
            is_match = unquoted(name) == token;
            rest = after.trim_start().strip_prefix(':')?.trim_start();
        }
        let (value, after) =
            rest.split_at_checked(end_of_value(rest)).filter(|(value, _)| !value.is_empty())?;
        if is_match {
            found = Some(value);
        }
        number = number.saturating_add(1);
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    found
}

/// Returns the trimmed text, if it is valid JSON.
fn valid_text(json: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(json).ok()?.trim_matches([' ', '\t', '\n', '\r']);
    serde_json::from_str::<IgnoredAny>(text).ok().map(|_| text)
}

/// Returns the end of the first value in a valid text.
fn end_of_value(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'"' => at = end_of_string(text, at),
            b'{' | b'[' => (at, depth) = (at.saturating_add(1), depth.saturating_add(1)),
            b'}' | b']' if depth > 0 => (at, depth) = (at.saturating_add(1), depth.saturating_sub(1)),
            b'}' | b']' | b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return at,
            _ => {
                at = at.saturating_add(1);
                continue;
            }
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

/// Returns the end of the string that begins at `start` in a valid text.
fn end_of_string(text: &str, start: usize) -> usize {
    let mut at = start.saturating_add(1);
    while let Some(byte) = text.as_bytes().get(at) {
        at = at.saturating_add(if *byte == b'\\' { 2 } else { 1 });
        if *byte == b'"' {
            break;
        }
    }
    at
}

/// Returns the value of a JSON string in quotes.
fn unquoted(string: &str) -> Cow<'_, str> {
    if string.contains('\\') {
        // A string that is no valid text (a lone surrogate) is returned as it is.
        return serde_json::from_str(string).map_or(Cow::Borrowed(string), Cow::Owned);
    }
    Cow::Borrowed(string.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_duplicates_at_any_depth() {
        for (json, want) in [
            (r#"{"a":1,"a":1}"#, true),
            (r#"{"a":1,"\u0061":2}"#, true),
            (r#"{"data":{"object":{"id":"x","id":"y"}}}"#, true),
            (r#"[[{"b":{},"a":[{"c":null,"c":null}]}]]"#, true),
            (r#"{"a":-0,"b":1e400,"b":1}"#, true),
            (r#"{"a":{"a":{"a":[1,-1,1.5,true,null,"a"]}},"A":18446744073709551616}"#, false),
            (r#"[{"a":1},{"a":1}]"#, false),
            (r#""a""#, false),
            ("a=1&a=2", false),
            (r#"{"a":1,"a":"#, false),
            ("{ \"a\" :\n1 , \"a\"\t: 2 }", true),
            (r#"{"a":"\"","b":"\\","c":{"a":"b\":"},"d":["a","a"]}"#, false),
            (r#"{"a":"{\"b\":1,\"b\":1}"}"#, false),
            (r#"{"\ud800":1,"\ud800":1}"#, true),
            (r#"{"":1,"":2}"#, true),
            (r#"{"a":1} {"a":1}"#, false),
            ("", false),
        ] {
            assert_eq!(is_ambiguous(json.as_bytes()), want, "{json}");
        }
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(!is_ambiguous(nested(128).as_bytes()) && is_ambiguous(nested(100_000).as_bytes()));
        assert!(!is_ambiguous("[".repeat(100_000).as_bytes()));
    }

    #[test]
    fn finds_the_same_values_as_serde_json() {
        let json = r#" { "a":{"b/c":[10,{"~d":-0}],"":"x"},"0":18446744073709551616,"e" : "1", "l":[ 1 , [2,[3]] ,{"x":"]}"} ]} "#;
        let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
        for pointer in [
            "",
            "/a",
            "/a/b~1c",
            "/a/b~1c/0",
            "/a/b~1c/1/~0d",
            "/a/",
            "/0",
            "/e",
            "/f",
            "/a/b~1c/2",
            "/a/b~1c/00",
            "/a/b~1c/+0",
            "/a/b~1c/-",
            "/e/0",
            "a",
            "/",
            "/l",
            "/l/0",
            "/l/1/1/0",
            "/l/2/x",
            "/l/2",
            "/l/3",
            "/l/1/1/1",
        ] {
            let found = find(json.as_bytes(), pointer)
                .map(|text| serde_json::from_str::<serde_json::Value>(text).expect("JSON"));
            assert_eq!(found.as_ref(), value.pointer(pointer), "{pointer}");
        }
        assert_eq!(find(json.as_bytes(), "/0"), Some("18446744073709551616"));
        assert_eq!(find(json.as_bytes(), "/a/b~1c/1/~0d"), Some("-0"));
        assert!(find(b"{", "").is_none() && find(b"a=1", "/a").is_none());
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "[\"\\\\{}:,\\[\\] a\u{e9}\n]{0,6}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::vec(("[\"\\\\/~01a]{0,2}", inner), 0..4)
                    .prop_map(|all| serde_json::Value::Object(all.into_iter().collect())),
            ]
        })
    }

    /// Collects all pointers into a value.
    fn pointers(value: &serde_json::Value, at: &str, all: &mut Vec<String>) {
        all.push(at.to_owned());
        match value {
            serde_json::Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    pointers(item, &format!("{at}/{index}"), all);
                }
            }
            serde_json::Value::Object(members) => {
                for (name, member) in members {
                    let token = name.replace('~', "~0").replace('/', "~1");
                    pointers(member, &format!("{at}/{token}"), all);
                }
            }
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn finds_every_value_of_unambiguous_json(value in value(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = text.expect("JSON");
            prop_assert!(!is_ambiguous(text.as_bytes()));
            let mut all = Vec::new();
            pointers(&value, "", &mut all);
            for pointer in all {
                let found = find(text.as_bytes(), &pointer).expect("a value");
                let found: serde_json::Value = serde_json::from_str(found).expect("JSON");
                prop_assert_eq!(Some(&found), value.pointer(&pointer));
            }
        }

        #[test]
        fn reading_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..40), pointer in "[/a0~1]{0,6}") {
            let _ = is_ambiguous(&bytes);
            let _ = find(&bytes, &pointer);
        }
    }
}
