//! JSON as it was written: a number keeps its text, and a member that is there twice shows.
//!
//! `serde_json::Value` lets the last of two equal members win; other readers let the first. What two readers can read
//! differently proves nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Checks whether an object in this text, at any depth, has a member twice. A text that is not JSON has none: nothing
/// is read from it.
#[must_use]
pub fn has_duplicates(json: &[u8]) -> bool {
    serde_json::from_slice::<Unique>(json).is_err_and(|error| error.is_data())
}

/// Finds the value at a JSON pointer (RFC 6901), as it was written.
#[must_use]
pub fn find<'a>(json: &'a [u8], pointer: &str) -> Option<&'a RawValue> {
    let mut found: &RawValue = serde_json::from_slice(json).ok()?;
    let Some(rest) = pointer.strip_prefix('/') else { return pointer.is_empty().then_some(found) };
    for token in rest.split('/') {
        let token = token.replace("~1", "/").replace("~0", "~");
        found = if found.get().starts_with('[') {
            let is_index = token == "0" || (!token.starts_with(['0', '+']));
            let all: Vec<&RawValue> = serde_json::from_str(found.get()).ok()?;
            token.parse().ok().filter(|_| is_index).and_then(|at: usize| all.get(at).copied())?
        } else {
            let all: BTreeMap<String, &RawValue> = serde_json::from_str(found.get()).ok()?;
            all.get(&token).copied()?
        };
    }
    Some(found)
}

/// Any value in which no object has a member twice.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("objects without duplicate members")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while let Some(Self) = items.next_element()? {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        // In order, so that no choice of names makes the look-up slow.
        let mut seen = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !seen.insert(name) {
                return Err(A::Error::custom("a member is there twice"));
            }
            let Self = members.next_value()?;
        }
        Ok(self)
    }
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
            (r#"{"a":-0,"b":1e400,"b":1}"#, false),
            (r#"{"a":{"a":{"a":[1,-1,1.5,true,null,"a"]}},"A":18446744073709551616}"#, false),
            (r#"[{"a":1},{"a":1}]"#, false),
            (r#""a""#, false),
            ("a=1&a=2", false),
            (r#"{"a":1,"a":"#, true),
            (r#"{"a":1} {"a":1}"#, false),
            ("", false),
        ] {
            assert_eq!(has_duplicates(json.as_bytes()), want, "{json}");
        }
        // Too deep for any reader of ours.
        assert!(!has_duplicates("[".repeat(100_000).as_bytes()));
    }

    #[test]
    fn finds_what_value_finds() {
        let json = r#"{"a":{"b/c":[10,{"~d":-0}],"":"x"},"0":18446744073709551616,"e":"1"}"#;
        let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
        for pointer in [
            "", "/a", "/a/b~1c", "/a/b~1c/0", "/a/b~1c/1/~0d", "/a/", "/0", "/e", "/f", "/a/b~1c/2", "/a/b~1c/00",
            "/a/b~1c/+0", "/a/b~1c/-", "/e/0", "a", "/",
        ] {
            let found = find(json.as_bytes(), pointer).map(|raw| {
                serde_json::from_str::<serde_json::Value>(raw.get()).expect("JSON")
            });
            assert_eq!(found.as_ref(), value.pointer(pointer), "{pointer}");
        }
        assert_eq!(find(json.as_bytes(), "/0").map(RawValue::get), Some("18446744073709551616"));
        assert_eq!(find(json.as_bytes(), "/a/b~1c/1/~0d").map(RawValue::get), Some("-0"));
        assert!(find(b"{", "").is_none() && find(b"a=1", "/a").is_none());
    }
}
