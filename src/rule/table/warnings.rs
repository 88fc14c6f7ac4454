//! Warns of rules that are one place to servers that read paths more laxly.

use super::Table;
use crate::{
    path::CanonicalPath,
    rule::{Destination, Names, Rule},
};

impl Table {
    /// Lists what an operator may not have intended: rules that are never used because a stricter one decides, and open
    /// paths that differ from a guarded one only by a slash at the end.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let written = self.rules.iter().filter(|rule| rule.destination == Destination::Upstream);
        written.filter_map(|rule| self.twin_of(rule).or_else(|| self.open_twin_of(rule))).collect()
    }

    /// Says which other rule decides about a rule's own path.
    fn twin_of(&self, rule: &Rule) -> Option<String> {
        let (text, method) = example(rule)?;
        let path = CanonicalPath::judge(&text).ok()?;
        let judged = self.judge(method, &path, Names::Ignored);
        if !std::ptr::eq(judged.strict, rule) {
            return None; // The example is another rule's.
        }
        match judged.used {
            Ok(used) if std::ptr::eq(used, rule) => None,
            Ok(used) => Some(format!(
                "{:?}: the rule for {:?} decides here: servers that ignore case, escapes, ;parameters or a slash at the end read the two as one path, and the stricter rule applies to every spelling",
                rule.path, used.path
            )),
            Err(_) => Some(format!(
                "{:?}: every request to it is refused (400 ambiguous_path): servers that ignore case, escapes, ;parameters or a slash at the end read it as the path of another rule, and neither rule is stricter than the other",
                rule.path
            )),
        }
    }

    /// Says which path, different only by a slash, asks for less.
    fn open_twin_of(&self, rule: &Rule) -> Option<String> {
        let (text, method) = example(rule)?;
        let twin = match text.strip_suffix('/') {
            Some(bare) => bare.to_owned(),
            None => format!("{text}/"),
        };
        let path = CanonicalPath::judge(&twin).ok()?;
        let used = self.judge(method, &path, Names::Ignored).used.ok()?;
        let is_open = !used.access.is_guarded() && rule.access.is_guarded();
        (is_open && !used.asks_at_least(rule, Names::Ignored)).then(|| {
            format!(
                "{:?}: guarded, and {:?} beside it is not (the rule for {:?}): servers that ignore a slash at the end serve both as one path",
                rule.path, twin, used.path
            )
        })
    }
}

/// A path that fits a rule, and a method that it takes.
fn example(rule: &Rule) -> Option<(String, &str)> {
    let parts = rule.path.split('/').map(|part| match part {
        part if part.starts_with("{*") => "",
        part if part.starts_with('{') => "~",
        part => part,
    });
    let path = parts.collect::<Vec<_>>().join("/");
    // No rule names this one.
    let method = rule.methods.first().map_or("ANY", String::as_str);
    Some((path, method)).filter(|(path, _)| !path.is_empty())
}
