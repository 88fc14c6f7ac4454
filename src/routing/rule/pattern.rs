//! Parses the path pattern of a rule.

use crate::http::path::{CanonicalPath, fold};

/// A part of a pattern, between two slashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment<'a> {
    /// This exact text. An empty last segment means that the pattern ends with a slash.
    Literal(&'a str),
    /// `{name}`: one segment that is not empty.
    Parameter,
    /// `{*name}`: everything after the slash. May be empty.
    Rest,
    /// `{+name}`: everything after the slash, at least one character.
    SomeRest,
}

/// Parses a pattern into its segments.
///
/// # Errors
/// A message that says what was expected and why.
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
    if plain.is_empty() || CanonicalPath::parse(&plain).is_ok_and(|path| path.as_str() == plain) {
        Ok(segments)
    } else {
        Err(cannot_match(
            "a path in canonical form (without dot segments and without escaped unreserved characters)",
        ))
    }
}

fn segment(part: &str, is_last: bool) -> Result<Segment<'_>, String> {
    let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
        if let Some(instead) = foreign_syntax(part) {
            return Err(format!(
                "expected {instead} instead of {part:?}: this is the syntax of another router"
            ));
        }
        if part.contains(['{', '}', '*', '?', '#']) {
            return Err(cannot_match(
                "{name} as a whole segment, and {*name} or {+name} as the last segment",
            ));
        }
        if part.is_empty() && !is_last {
            return Err(cannot_match("no empty segment (several slashes count as one)"));
        }
        // Lenient servers drop `;parameters`, and trailing dots and spaces. Nothing would be left of this segment.
        if !matches!(part, "" | "." | "..") && fold(part).is_empty() {
            return Err(cannot_match("characters other than dots and spaces in each segment, before \";\""));
        }
        return Ok(Segment::Literal(part));
    };
    let (segment, name) = match (name.strip_prefix('*'), name.strip_prefix('+')) {
        (Some(name), _) => (Segment::Rest, name),
        (_, Some(name)) => (Segment::SomeRest, name),
        _ => (Segment::Parameter, name),
    };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(cannot_match("a name of letters, digits and _ in {name}"));
    }
    if segment != Segment::Parameter && !is_last {
        return Err(cannot_match("{*name} or {+name} as the last segment only"));
    }
    Ok(segment)
}

/// Recognizes the parameter syntax of other routers. Returns what to write here instead.
///
/// `:` and parentheses are ordinary characters within a segment (RFC 3986 §3.3), as in `/v1/items:batch`. At the start
/// of a segment, almost every router takes them for a parameter. Square and angle brackets are not allowed in a path.
fn foreign_syntax(part: &str) -> Option<String> {
    let is_rest = ["*", "...", "<path:"].iter().any(|mark| part.contains(mark));
    let is_foreign = part.starts_with(':')
        || part.contains(['[', ']', '<', '>'])
        || (part.starts_with('(') && part.ends_with([')', '?', '*', '+']))
        || (part.contains('*') && !part.contains(['{', '}']));
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // Reduces `id(\d+)`, `int:id` and `[...id]` to the name.
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

fn cannot_match(wanted: &str) -> String {
    format!("expected {wanted}: this rule can never match")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_foreign_parameter_syntax_with_the_replacement() {
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
    fn accepts_ordinary_segments() {
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
