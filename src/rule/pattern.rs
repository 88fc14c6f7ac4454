//! Reads the pattern of a rule.

use crate::path::{CanonicalPath, fold};

/// A part of a pattern between two slashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment<'a> {
    /// This text. Empty as the last segment: the pattern ends with a slash.
    Literal(&'a str),
    /// `{name}`: one segment that is not empty.
    Parameter,
    /// `{*name}`: everything after the slash, also nothing.
    Rest,
    /// `{+name}`: at least one character after the slash.
    SomeRest,
}

/// Parses a pattern into its segments.
///
/// # Errors
/// A text that says what was expected, and why.
pub fn parse(pattern: &str) -> Result<Vec<Segment<'_>>, String> {
    let rest = pattern.strip_prefix('/').ok_or("expected a path that starts with \"/\"")?;
    let mut segments = Vec::new();
    let mut parts = rest.split('/').peekable();
    while let Some(part) = parts.next() {
        segments.push(segment(part, parts.peek().is_none())?);
    }
    let literals = segments.iter().filter_map(|segment| match segment {
        Segment::Literal(text) => Some(*text),
        _ => None,
    });
    let plain: String = literals.flat_map(|text| ["/", text]).collect();
    if plain.is_empty() || CanonicalPath::judge(&plain).is_ok_and(|path| path.as_str() == plain) {
        Ok(segments)
    } else {
        Err(never("a path in canonical form (no dot segments, unreserved characters as they are)"))
    }
}

fn segment(part: &str, is_last: bool) -> Result<Segment<'_>, String> {
    let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
        if let Some(instead) = foreign(part) {
            return Err(format!("expected {instead} instead of {part:?}: that is another router's syntax"));
        }
        if part.contains(['{', '}', '*', '?', '#']) {
            return Err(never("literal segments, whole {name} segments and a last {*name} or {+name}"));
        }
        if part.is_empty() && !is_last {
            return Err(never("no empty segment: a run of slashes counts as one"));
        }
        // Read without its parameters, and without dots and spaces at its end, it would be another path altogether.
        if !matches!(part, "" | "." | "..") && fold(part).is_empty() {
            return Err(never("segments that have more than dots and spaces, also before \";\""));
        }
        return Ok(Segment::Literal(part));
    };
    let (segment, name) = match (name.strip_prefix('*'), name.strip_prefix('+')) {
        (Some(name), _) => (Segment::Rest, name),
        (_, Some(name)) => (Segment::SomeRest, name),
        _ => (Segment::Parameter, name),
    };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(never("a name of letters, digits and _ in {name}"));
    }
    if segment != Segment::Parameter && !is_last {
        return Err(never("{*name} or {+name} as the last segment only"));
    }
    Ok(segment)
}

/// Recognizes how other routers write parameters, and returns what to write here.
///
/// `:` and parentheses are ordinary characters of a path (RFC 3986 §3.3) within a segment (`/v1/items:batch`), and as the start of
/// one they are a parameter almost everywhere. Square and angle brackets are no characters of a path.
fn foreign(part: &str) -> Option<String> {
    let is_rest = ["*", "...", "<path:"].iter().any(|mark| part.contains(mark));
    let is_foreign = part.starts_with(':')
        || part.contains(['[', ']', '<', '>'])
        || (part.starts_with('(') && part.ends_with([')', '?', '*', '+']))
        || (part.contains('*') && !part.contains(['{', '}']));
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // Of `id(\d+)`, `int:id` and `[...id]`, the name.
    let before = part.split_once('(').map_or(part, |(before, _)| before);
    let inner = if before.is_empty() { part } else { before };
    let name = inner.rsplit([':', '[', '<', '(']).next().unwrap_or_default().trim_start_matches(['.', '*']);
    let name: String = name.chars().take_while(|c| is_name(*c)).collect();
    let name = match (name.is_empty(), is_rest) {
        (false, _) => name.as_str(),
        (true, true) => "rest",
        (true, false) => "name",
    };
    let is_optional = part.ends_with('?') || part.starts_with("[[");
    is_foreign.then(|| match (is_rest, is_optional) {
        (true, _) => format!("\"{{*{name}}}\" as the last segment"),
        (false, true) => format!("a rule with \"{{{name}}}\" and one without"),
        (false, false) => format!("\"{{{name}}}\""),
    })
}

fn never(wanted: &str) -> String {
    format!("expected {wanted}: this rule can never match")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_foreign_parameter_syntax_and_says_what_to_write() {
        for (pattern, instead) in [
            ("/api/admin/:id", "\"{id}\""),
            ("/:id", "\"{id}\""),
            ("/:id?", "a rule with \"{id}\" and one without"),
            ("/:id(\\d+)", "\"{id}\""),
            ("/:path*", "\"{*path}\" as the last segment"),
            ("/:", "\"{name}\""),
            ("/admin/(.*)", "\"{*rest}\" as the last segment"),
            ("/(?P<id>x)", "\"{id}\""),
            ("/(group)/x", "\"{group}\""),
            ("/admin/*", "\"{*rest}\" as the last segment"),
            ("/admin/**", "\"{*rest}\" as the last segment"),
            ("/admin/*splat", "\"{*splat}\" as the last segment"),
            ("/*", "\"{*rest}\" as the last segment"),
            ("/a*b", "\"{*"),
            ("/[id]", "\"{id}\""),
            ("/posts/[id]/edit", "\"{id}\""),
            ("/[...path]", "\"{*path}\" as the last segment"),
            ("/[[...path]]", "\"{*path}\" as the last segment"),
            ("/[[id]]", "a rule with \"{id}\" and one without"),
            ("/post-[id]", "\"{id}\""),
            ("/<id>", "\"{id}\""),
            ("/<int:id>", "\"{id}\""),
            ("/<path:rest>", "\"{*rest}\" as the last segment"),
        ] {
            let mistake = parse(pattern).expect_err(pattern);
            assert!(mistake.contains(&format!("expected {instead}")), "{pattern}: {mistake}");
        }
    }

    #[test]
    fn keeps_what_is_an_ordinary_segment() {
        for pattern in [
            "/v1/items:batch",
            "/a:b:c",
            "/Products(1)",
            "/f(x)y",
            "/$metadata",
            "/@me",
            "/a+b",
            "/a,b;v=1",
            "/!x",
            "/'q'",
            "/{id}",
            "/{*rest}",
            "/{+rest}",
            "/a/",
        ] {
            assert!(parse(pattern).is_ok(), "{pattern}: {:?}", parse(pattern));
        }
    }
}
