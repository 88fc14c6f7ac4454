//! Whose an entity of upstream's is.
//!
//! Upstream is asked: a `HEAD` to the path that the rule's `owner_from` names, with what we stamp on every
//! request and nothing of the client's. It answers 2xx with `X-Created-By`, the id, and `X-Created-By-Type`,
//! `user` or `agent`: what `X-Author-ID` and `X-Author-Type` said when the entity was made. An entity of
//! which it names no owner is nobody's.

use crate::{context::Headers, path::CanonicalPath, problem::Fault};

/// Where upstream is asked: a pattern whose parameters are those of the rule's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerFrom(Vec<Part>);

/// What upstream said of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// It was not asked.
    Unasked,
    /// The entity is whoever's asks.
    Theirs,
    /// It is somebody else's, or nobody's.
    Others,
    /// There is no such entity.
    Gone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// The path's segment at this index, from 0.
    Segment(usize),
    /// All of the path from this segment on.
    Rest(usize),
}

impl OwnerFrom {
    /// Reads one, beside the pattern of its rule.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str, pattern: &str) -> Result<Self, String> {
        let rest = text.strip_prefix('/').ok_or("expected a path that starts with \"/\"")?;
        let known: Vec<&str> = pattern.trim_start_matches('/').split('/').collect();
        let part = |part: &str| {
            if !part.starts_with('{') {
                let path = format!("/{part}");
                let is_plain = CanonicalPath::judge(&path).is_ok_and(|judged| judged.as_str() == path);
                return (is_plain && !part.contains(['{', '}', '?', '#']))
                    .then(|| Part::Literal(part.to_owned()))
                    .ok_or_else(|| format!("expected segments in canonical form, found {part:?}"));
            }
            let index = known.iter().position(|name| *name == part);
            let index = index.ok_or_else(|| format!("expected parameters of {pattern:?}, found {part:?}"))?;
            Ok(if part.starts_with("{*") || part.starts_with("{+") {
                Part::Rest(index)
            } else {
                Part::Segment(index)
            })
        };
        rest.split('/').map(part).collect::<Result<_, _>>().map(Self)
    }

    /// Checks that its parameters are those of the rule's pattern from the first one on, with the same text between them. Then an
    /// encoded slash moves what a parameter is in both paths or in neither.
    #[must_use]
    pub fn is_in_order(&self, pattern: &str) -> bool {
        let known: Vec<&str> = pattern.trim_start_matches('/').split('/').collect();
        let first = known.iter().position(|part| part.starts_with('{')).unwrap_or(known.len());
        let is_text = |part: &Part| matches!(part, Part::Literal(_));
        let after = self.0.iter().rev().skip_while(|part| is_text(part)).count();
        let asked = self.0.iter().take(after).skip_while(|part| is_text(part));
        asked.zip(first..).all(|(part, at)| match part {
            Part::Literal(text) => known.get(at) == Some(&text.as_str()),
            Part::Segment(index) | Part::Rest(index) => *index == at,
        })
    }

    /// Gives the path to ask of a request for `path`, which fits the rule's pattern.
    #[must_use]
    pub fn of(&self, path: &CanonicalPath<'_>) -> String {
        let path = path.as_str().strip_prefix('/').unwrap_or_default();
        let mut asked = String::new();
        for part in &self.0 {
            asked.push('/');
            asked.push_str(match part {
                Part::Literal(text) => text,
                Part::Segment(index) => path.split('/').nth(*index).unwrap_or_default(),
                Part::Rest(0) => path,
                Part::Rest(index) => {
                    let before = path.match_indices('/').nth(index.saturating_sub(1));
                    before.and_then(|(at, _)| path.get(at.saturating_add(1)..)).unwrap_or_default()
                }
            });
        }
        asked
    }
}

/// Reads upstream's answer for a user.
///
/// # Errors
/// [`Fault::UpstreamFailed`]: it is not known.
pub fn judge(status: u16, headers: &Headers<'_>, user_id: &str) -> Result<Ownership, Fault> {
    match status {
        200..=299 => {
            let is_theirs = headers.value("x-created-by-type") == Some("user")
                && headers.value("x-created-by") == Some(user_id);
            Ok(if is_theirs { Ownership::Theirs } else { Ownership::Others })
        }
        404 | 410 => Ok(Ownership::Gone),
        _ => Err(Fault::UpstreamFailed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_is_asked() {
        for (pattern, from, path, want) in [
            ("/api/mockups/{id}", "/api/mockups/{id}", "/api/mockups/7", "/api/mockups/7"),
            ("/api/{kind}/{id}/share", "/owners/{id}/{kind}", "/api/m/7%20/share", "/owners/7%20/m"),
            ("/files/{*path}", "/owner-of/{*path}", "/files/a/b/", "/owner-of/a/b/"),
            ("/{*path}", "/owner/{*path}", "/a/b", "/owner/a/b"),
        ] {
            let path = CanonicalPath::judge(path).expect("canonical");
            let owner_from = OwnerFrom::parse(from, pattern).expect("a pattern");
            assert_eq!(owner_from.of(&path), want);
        }
    }

    #[test]
    fn parameters_in_order() {
        for (pattern, from, want) in [
            ("/m/{id}", "/m/{id}", true),
            ("/m/{id}/x/{y}", "/owners/of/{id}/meta", true),
            ("/m/{id}/x/{y}", "/owners/{id}/x/{y}", true),
            ("/m/{id}/x/{y}", "/owners/{id}/z/{y}", false),
            ("/m/{id}/x/{y}", "/owners/{id}/{y}", false),
            ("/m/{id}/x/{y}", "/owners/{y}", false),
            ("/m/{kind}/{id}", "/owners/{id}/{kind}", false),
            ("/m/{kind}/{id}", "/owners/{id}", false),
            ("/m/{kind}/{id}", "/owners/{kind}", true),
            ("/m/{id}/{id}", "/owners/{id}", true),
            ("/f/{*rest}", "/of/{*rest}", true),
            ("/f/{+rest}", "/of", true),
            ("/f/{a}/{*rest}", "/of/{*rest}", false),
        ] {
            let owner_from = OwnerFrom::parse(from, pattern).expect("a pattern");
            assert_eq!(owner_from.is_in_order(pattern), want, "{pattern} {from}");
        }
    }

    #[test]
    fn what_is_no_pattern() {
        for from in ["api", "/api/{other}", "/api/{id", "/a?b", "/../x", "/api/{*id}", "/a b", "/%2f"] {
            assert!(OwnerFrom::parse(from, "/api/{id}").is_err(), "{from}");
        }
    }

    #[test]
    fn whose_it_is() {
        let read = |status, fields| judge(status, &Headers::read(fields), "usr_a");
        for (status, fields, want) in [
            (200, "x-created-by\nusr_a\nx-created-by-type\nuser", Ok(Ownership::Theirs)),
            (204, "x-created-by\nusr_b\nx-created-by-type\nuser", Ok(Ownership::Others)),
            (200, "x-created-by\nusr_a\nx-created-by-type\nagent", Ok(Ownership::Others)),
            (200, "x-created-by\nusr_a", Ok(Ownership::Others)),
            (200, "x-created-by\nusr_a, usr_a\nx-created-by-type\nuser", Ok(Ownership::Others)),
            (404, "x-created-by\nusr_a\nx-created-by-type\nuser", Ok(Ownership::Gone)),
            (302, "x-created-by\nusr_a", Err(Fault::UpstreamFailed)),
            (500, "", Err(Fault::UpstreamFailed)),
        ] {
            assert_eq!(read(status, fields), want, "{status} {fields}");
        }
    }
}
