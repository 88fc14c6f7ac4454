//! The owner of an upstream entity: what `access = "owner"` asks of upstream.
//!
//! 1. The gateway sends a `HEAD` to the path in the rule's `owner_from` (`upstream/ownership.rs`). The request has the
//!    identity headers, the assertion, `X-Forwarded-Host`, `X-Forwarded-Proto` and `X-Request-ID`. It has no header and
//!    no body of the client.
//! 2. Upstream answers 2xx. `X-Created-By` has the id of the owner, and `X-Created-By-Type` is `user` or `agent`. They
//!    are the values that `X-Author-ID` and `X-Author-Type` had when the entity was created.
//! 3. If one of the two headers is missing, the entity belongs to nobody. 404 and 410 mean that it does not exist.

use crate::http::{path::CanonicalPath, problem::Fault, request::Headers};

/// A template of the lookup path. Its parameters are those of the rule's pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerFrom(Vec<Part>);

/// The result of an ownership lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// The gateway did not ask upstream.
    NotChecked,
    /// The caller is the owner.
    Owner,
    /// Another principal is the owner, or the entity has none.
    NotOwner,
    /// The entity does not exist.
    NotFound,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// The path's segment at this index, from 0.
    Segment(usize),
    /// The rest of the path from this segment on.
    Rest(usize),
}

impl OwnerFrom {
    /// Parses a template for a rule with this pattern.
    ///
    /// # Errors
    /// A message that says what was expected.
    pub fn parse(text: &str, pattern: &str) -> Result<Self, String> {
        let rest = text.strip_prefix('/').ok_or("expected a path that starts with \"/\"")?;
        let known: Vec<&str> = pattern.trim_start_matches('/').split('/').collect();
        let part = |part: &str| {
            if !part.starts_with('{') {
                let path = format!("/{part}");
                let is_plain = CanonicalPath::parse(&path).is_ok_and(|checked| checked.as_str() == path);
                return (is_plain && !part.contains(['{', '}', '?', '#']))
                    .then(|| Part::Literal(part.to_owned()))
                    .ok_or_else(|| format!("expected segments in canonical form, found {part:?}"));
            }
            let index = known.iter().position(|name| *name == part);
            let index =
                index.ok_or_else(|| format!("expected a parameter of {pattern:?}, found {part:?}"))?;
            Ok(if part.starts_with("{*") || part.starts_with("{+") {
                Part::Rest(index)
            } else {
                Part::Segment(index)
            })
        };
        rest.split('/').map(part).collect::<Result<_, _>>().map(Self)
    }

    /// Checks that the template's parameters are the first ones of the rule's pattern, in the same order and with the
    /// same text between them. Then an encoded slash moves the parameters in both paths or in neither.
    #[must_use]
    pub fn is_in_order(&self, pattern: &str) -> bool {
        let known: Vec<&str> = pattern.trim_start_matches('/').split('/').collect();
        let first = known.iter().position(|part| part.starts_with('{')).unwrap_or(known.len());
        let is_text = |part: &Part| matches!(part, Part::Literal(_));
        let end = self.0.iter().rev().skip_while(|part| is_text(part)).count();
        let parts = self.0.iter().take(end).skip_while(|part| is_text(part));
        parts.zip(first..).all(|(part, at)| match part {
            Part::Literal(text) => known.get(at) == Some(&text.as_str()),
            Part::Segment(index) | Part::Rest(index) => *index == at,
        })
    }

    /// Returns the lookup path for a request to `path`, which matches the rule's pattern.
    #[must_use]
    pub fn of(&self, path: &CanonicalPath<'_>) -> String {
        let path = path.as_str().strip_prefix('/').unwrap_or_default();
        let mut lookup = String::new();
        for part in &self.0 {
            lookup.push('/');
            lookup.push_str(match part {
                Part::Literal(text) => text,
                Part::Segment(index) => path.split('/').nth(*index).unwrap_or_default(),
                Part::Rest(0) => path,
                Part::Rest(index) => {
                    let before = path.match_indices('/').nth(index.saturating_sub(1));
                    before.and_then(|(at, _)| path.get(at.saturating_add(1)..)).unwrap_or_default()
                }
            });
        }
        lookup
    }
}

/// Reads upstream's answer to the lookup: compares the owner with the user.
///
/// # Errors
/// [`Fault::UpstreamFailed`] if the status is not 2xx, 404 or 410: the owner is unknown.
pub fn check_response(status: u16, headers: &Headers<'_>, user_id: &str) -> Result<Ownership, Fault> {
    match status {
        200..=299 => {
            let is_owner = headers.value("x-created-by-type") == Some("user")
                && headers.value("x-created-by") == Some(user_id);
            Ok(if is_owner { Ownership::Owner } else { Ownership::NotOwner })
        }
        404 | 410 => Ok(Ownership::NotFound),
        _ => Err(Fault::UpstreamFailed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_the_lookup_path() {
        for (pattern, from, path, want) in [
            ("/api/mockups/{id}", "/api/mockups/{id}", "/api/mockups/7", "/api/mockups/7"),
            ("/api/{kind}/{id}/share", "/owners/{id}/{kind}", "/api/m/7%20/share", "/owners/7%20/m"),
            ("/files/{*path}", "/owner-of/{*path}", "/files/a/b/", "/owner-of/a/b/"),
            ("/{*path}", "/owner/{*path}", "/a/b", "/owner/a/b"),
        ] {
            let path = CanonicalPath::parse(path).expect("canonical");
            let owner_from = OwnerFrom::parse(from, pattern).expect("a pattern");
            assert_eq!(owner_from.of(&path), want);
        }
    }

    #[test]
    fn requires_parameters_in_order() {
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
    fn rejects_invalid_templates() {
        for from in ["api", "/api/{other}", "/api/{id", "/a?b", "/../x", "/api/{*id}", "/a b", "/%2f"] {
            assert!(OwnerFrom::parse(from, "/api/{id}").is_err(), "{from}");
        }
    }

    #[test]
    fn compares_the_owner_with_the_user() {
        let read = |status, fields| check_response(status, &Headers::read(fields), "usr_a");
        for (status, fields, want) in [
            (200, "x-created-by\nusr_a\nx-created-by-type\nuser", Ok(Ownership::Owner)),
            (204, "x-created-by\nusr_b\nx-created-by-type\nuser", Ok(Ownership::NotOwner)),
            (200, "x-created-by\nusr_a\nx-created-by-type\nagent", Ok(Ownership::NotOwner)),
            (200, "x-created-by\nusr_a", Ok(Ownership::NotOwner)),
            (200, "x-created-by\nusr_a, usr_a\nx-created-by-type\nuser", Ok(Ownership::NotOwner)),
            (404, "x-created-by\nusr_a\nx-created-by-type\nuser", Ok(Ownership::NotFound)),
            (302, "x-created-by\nusr_a", Err(Fault::UpstreamFailed)),
            (500, "", Err(Fault::UpstreamFailed)),
        ] {
            assert_eq!(read(status, fields), want, "{status} {fields}");
        }
    }
}
