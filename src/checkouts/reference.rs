//! The ref of a checkout, in upstream's response and in the provider's event.
//!
//! A ref is a string of 1 to 255 visible ASCII characters, or a whole number. A number keeps its text: `-0` and
//! `18446744073709551616` do not change. Any other value is invalid.

/// Why a value is not a valid ref.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The value is missing.
    Missing,
    /// The value is neither a string nor a whole number.
    Type,
    /// The ref is empty, or longer than 255 bytes.
    Length,
    /// The ref has a space, a control character or a character that is not ASCII.
    Characters,
}

impl Unusable {
    /// Returns the stable code, for the log.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Type => "type",
            Self::Length => "length",
            Self::Characters => "characters",
        }
    }
}

/// Reads a ref from a value in JSON; `None` if the value is missing.
///
/// # Errors
/// [`Unusable`]: the reason.
pub fn read(value: Option<&str>) -> Result<String, Unusable> {
    let text = match value.ok_or(Unusable::Missing)? {
        quoted if quoted.starts_with('"') => serde_json::from_str(quoted).map_err(|_| Unusable::Type)?,
        number if is_whole(number) => number.to_owned(),
        _ => return Err(Unusable::Type),
    };
    if !(1..=255).contains(&text.len()) {
        return Err(Unusable::Length);
    }
    if !text.bytes().all(|byte: u8| byte.is_ascii_graphic()) {
        return Err(Unusable::Characters);
    }
    Ok(text)
}

fn is_whole(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_numbers_as_text_and_rejects_invalid_refs() {
        let long = "9".repeat(256);
        for (json, want) in [
            (r#""cs_1""#, Ok("cs_1")),
            (r#""cs\u005f1""#, Ok("cs_1")),
            (r#""a/b%2Fc""#, Ok("a/b%2Fc")),
            ("7", Ok("7")),
            ("-0", Ok("-0")),
            ("-7", Ok("-7")),
            ("18446744073709551615", Ok("18446744073709551615")),
            ("18446744073709551616", Ok("18446744073709551616")),
            (&long[..255], Ok(&long[..255])),
            (&long, Err(Unusable::Length)),
            (r#""""#, Err(Unusable::Length)),
            ("7.0", Err(Unusable::Type)),
            ("7e3", Err(Unusable::Type)),
            ("null", Err(Unusable::Type)),
            ("true", Err(Unusable::Type)),
            (r#"["cs_1"]"#, Err(Unusable::Type)),
            (r#"{"id":"cs_1"}"#, Err(Unusable::Type)),
            (r#""\ud800""#, Err(Unusable::Type)),
            (r#""cs 1""#, Err(Unusable::Characters)),
            (r#""cs\n1""#, Err(Unusable::Characters)),
            (r#""cs_é""#, Err(Unusable::Characters)),
        ] {
            assert_eq!(read(Some(json)), want.map(str::to_owned), "{json}");
        }
        assert_eq!(read(None), Err(Unusable::Missing));
    }
}
