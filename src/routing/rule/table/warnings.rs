//! Warns of rules that lenient servers treat as one path.

use super::Table;
use crate::{
    http::path::CanonicalPath,
    routing::rule::{Destination, Names, Rule},
};

impl Table {
    /// Lists likely mistakes: rules that never apply because a stricter rule decides, and open paths that differ from
    /// a guarded one only by a slash at the end.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let written = self.rules.iter().filter(|rule| rule.destination == Destination::Upstream);
        written
            .filter_map(|rule| self.shadowed_warning(rule).or_else(|| self.open_slash_warning(rule)))
            .collect()
    }

    /// Returns a warning if another rule decides about a rule's own path.
    fn shadowed_warning(&self, rule: &Rule) -> Option<String> {
        let (text, method) = example(rule)?;
        let path = CanonicalPath::parse(&text).ok()?;
        let found = self.match_request(method, &path, Names::Ignored);
        if !std::ptr::eq(found.as_written, rule) {
            return None; // The example belongs to another rule.
        }
        match found.deciding {
            Ok(used) if std::ptr::eq(used, rule) => None,
            Ok(used) => Some(format!(
                "{:?}: this rule never applies, because the rule for {:?} decides: servers that ignore case, escapes, ;parameters or a slash at the end read both as the same path, and the stricter rule applies to every spelling",
                rule.path, used.path
            )),
            Err(_) => Some(format!(
                "{:?}: every request to it is refused (400 ambiguous_path): servers that ignore case, escapes, ;parameters or a slash at the end read it as the path of another rule, and neither rule is stricter than the other",
                rule.path
            )),
        }
    }

    /// Returns a warning if a path that differs only by a slash at the end requires less.
    fn open_slash_warning(&self, rule: &Rule) -> Option<String> {
        let (text, method) = example(rule)?;
        let variant = match text.strip_suffix('/') {
            Some(bare) => bare.to_owned(),
            None => format!("{text}/"),
        };
        let path = CanonicalPath::parse(&variant).ok()?;
        let used = self.match_request(method, &path, Names::Ignored).deciding.ok()?;
        let is_open = !used.access.requires_principal() && rule.access.requires_principal();
        (is_open && !used.is_at_least_as_strict_as(rule, Names::Ignored)).then(|| {
            format!(
                "{:?}: guarded, but {:?} is not (the rule for {:?}): servers that ignore a slash at the end serve both as the same path",
                rule.path, variant, used.path
            )
        })
    }
}

/// Returns a path that matches a rule, and a method that the rule accepts.
fn example(rule: &Rule) -> Option<(String, &str)> {
    let parts = rule.path.split('/').map(|part| match part {
        part if part.starts_with("{*") => "",
        part if part.starts_with('{') => "~",
        part => part,
    });
    let path = parts.collect::<Vec<_>>().join("/");
    // No rule names this method.
    let method = rule.methods.first().map_or("ANY", String::as_str);
    Some((path, method)).filter(|(path, _)| !path.is_empty())
}
