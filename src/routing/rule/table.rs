//! The route table: finds the rule for a request. It is the only matcher.
//!
//! A pattern is a path of literal segments and `{name}`, which stands for one segment. The last segment may be
//! `{*name}` (everything that follows, may be empty) or `{+name}` (at least one character). A trailing slash counts.
//! If several rules match the path and accept the method, the most specific one wins, independent of their order. From
//! the left, a literal segment is more specific than `{name}`, which is more specific than `{*name}` and `{+name}`.
//! For the same pattern, a rule that names the method wins over one that accepts any. `GET` includes `HEAD` unless a
//! rule names `HEAD`.
//!
//! Matching walks a tree of segments. Its cost depends on the path's length, not on the number of rules.
//! [`Table::match_request`] also considers how lenient servers read a path (`lax`).

mod decoded;
mod lax;
mod reading;
mod warnings;

use std::collections::HashMap;

use foldhash::fast::FixedState;

pub use self::lax::RuleMatch;
use self::{lax::Lax, reading::LAXEST};
use super::{
    Rule,
    pattern::{self, Segment},
};
use crate::http::path::CanonicalPath;

/// All rules, and the default rule for requests that match no rule.
#[derive(Debug)]
pub struct Table {
    rules: Vec<Rule>,
    nodes: Vec<Node>,
    default: Rule,
    lax: Option<Lax>,
}

/// Reason why a rule cannot be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// The pattern is invalid. Holds what was expected and why.
    Pattern(String),
    /// Another rule matches the same requests equally well. Holds its pattern, and the method if the rule names one.
    Tie(String, Option<String>),
}

impl Table {
    /// Creates a table in which every request gets the rule `default`.
    #[must_use]
    pub fn new(default: Rule) -> Self {
        Self { rules: Vec::new(), nodes: vec![Node::default()], default, lax: None }
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// Returns a [`RuleError`]. No rule is added then.
    pub fn add(&mut self, rule: Rule) -> Result<(), RuleError> {
        let segments = pattern::parse(&rule.path).map_err(RuleError::Pattern)?;
        let at = self.get_or_create(&segments);
        let index = self.rules.len();
        let Some(node) = self.nodes.get_mut(at) else { return Ok(()) };
        let conflict = if rule.methods.is_empty() {
            node.any_method.map(|other| (other, None))
        } else {
            let mut taken = rule
                .methods
                .iter()
                .filter_map(|method| node.by_method.get(method).map(|other| (*other, Some(method.clone()))));
            taken.next()
        };
        if let Some((other, method)) = conflict {
            let path = self.rules.get(other).map(|rule| rule.path.clone()).unwrap_or_default();
            return Err(RuleError::Tie(path, method));
        }
        node.add_rule(&rule, index);
        if let Some((Segment::Rest, before)) = segments.split_last() {
            let covered = self.get_or_create(before);
            let bare = self.child(covered, Child::Bare);
            if let Some(node) = self.nodes.get_mut(bare) {
                node.add_rule(&rule, index);
            }
        }
        self.rules.push(rule);
        Ok(())
    }

    /// Returns the rule for a path as written. [`Table::match_request`] returns the rule that decides.
    #[must_use]
    pub fn find(&self, method: &str, path: &CanonicalPath<'_>) -> &Rule {
        self.rule_at(self.search(ROOT, path.as_str().strip_prefix('/'), method, &mut false))
    }

    /// Returns the rule with exactly this pattern for this method, if it exists.
    #[must_use]
    pub fn exact(&self, method: &str, pattern: &str) -> Option<&Rule> {
        let path = CanonicalPath::parse(pattern).ok()?;
        let rule = self.find(method, &path);
        (rule.path == pattern).then_some(rule)
    }

    /// Returns all rules, in the order in which they were added.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    fn rule_at(&self, found: Option<usize>) -> &Rule {
        found.and_then(|at| self.rules.get(at)).unwrap_or(&self.default)
    }

    /// Searches the tree by the strict reading. Returns the index of the rule.
    ///
    /// `rest` is the path after the last slash that was read; `None` at the path's end. The search sets `has_variant`
    /// if a server that ignores a slash at the end may find another rule.
    fn search(&self, at: usize, rest: Option<&str>, method: &str, has_variant: &mut bool) -> Option<usize> {
        let node = self.nodes.get(at)?;
        let rule_of = |at: usize| self.nodes.get(at)?.rule_for(method);
        let Some(rest) = rest else {
            let own = node.rule_for(method);
            *has_variant |= node.slashed.is_some() || (own.is_none() && node.bare.is_some());
            return own;
        };
        if rest.is_empty() {
            return node.slashed.and_then(rule_of).or_else(|| node.bare.and_then(rule_of));
        }
        let (segment, after) = match rest.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (rest, None),
        };
        let literal =
            node.literals.get(segment).and_then(|next| self.search(*next, after, method, has_variant));
        literal
            .or_else(|| {
                let next = node.parameter.filter(|_| !segment.is_empty())?;
                self.search(next, after, method, has_variant)
            })
            .or_else(|| node.rest.and_then(rule_of))
    }

    /// Returns the node of a pattern. Creates it if it is missing.
    fn get_or_create(&mut self, pattern: &[Segment<'_>]) -> usize {
        let mut at = ROOT;
        for segment in pattern {
            at = self.child(
                at,
                match segment {
                    Segment::Literal("") => Child::Slashed,
                    Segment::Literal(text) => Child::Literal(text),
                    Segment::Parameter => Child::Parameter,
                    Segment::Rest | Segment::SomeRest => Child::Rest,
                },
            );
        }
        at
    }

    fn child(&mut self, at: usize, child: Child<'_>) -> usize {
        let new_index = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return at };
        let next = match child {
            Child::Literal(text) => *node.literals.entry(text.into()).or_insert(new_index),
            Child::Parameter => *node.parameter.get_or_insert(new_index),
            Child::Rest => *node.rest.get_or_insert(new_index),
            Child::Slashed => *node.slashed.get_or_insert(new_index),
            Child::Bare => *node.bare.get_or_insert(new_index),
        };
        if next == new_index {
            if let Child::Literal(text) = child {
                let read = LAXEST.read_segment(text);
                if read != text {
                    node.ambiguous
                        .entry(read.into())
                        .or_default()
                        .push(AmbiguousLiteral { literal: text.into(), at: new_index });
                }
            }
            self.nodes.push(Node::default());
        }
        next
    }

    /// Records that static assets serve the page at `pattern` at `place`, too.
    fn add_page(&mut self, pattern: &str, place: &str) {
        let place = if place.is_empty() { Ok(Vec::new()) } else { pattern::parse(place) };
        if let (Ok(page), Ok(place)) = (pattern::parse(pattern), place) {
            let (page, place) = (self.get_or_create(&page), self.get_or_create(&place));
            if let Some(node) = self.nodes.get_mut(place).filter(|node| !node.pages.contains(&page)) {
                node.pages.push(page);
            }
        }
    }
}

/// A node in the tree of segments. The keys come only from the configuration, so a fixed hash is safe.
#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, usize, FixedState>,
    /// Literals with more than one spelling, keyed by their most lenient reading.
    ambiguous: HashMap<Box<str>, Vec<AmbiguousLiteral>, FixedState>,
    parameter: Option<usize>,
    /// For `{*name}` and `{+name}`: at least one character after the slash.
    rest: Option<usize>,
    /// For a pattern that ends with a slash: nothing after it.
    slashed: Option<usize>,
    /// For `{*name}`: nothing after the slash.
    bare: Option<usize>,
    /// Pages that static assets also serve at this node.
    pages: Vec<usize>,
    by_method: HashMap<String, usize, FixedState>,
    any_method: Option<usize>,
}

/// A literal with more than one spelling, and the node that it leads to.
#[derive(Debug)]
struct AmbiguousLiteral {
    literal: Box<str>,
    at: usize,
}

impl Node {
    fn rule_for(&self, method: &str) -> Option<usize> {
        let named = |method| self.by_method.get(method).copied();
        let head_as_get = || if method == "HEAD" { named("GET") } else { None };
        named(method).or_else(head_as_get).or(self.any_method)
    }

    fn add_rule(&mut self, rule: &Rule, index: usize) {
        if rule.methods.is_empty() {
            self.any_method = Some(index);
        }
        for method in &rule.methods {
            self.by_method.insert(method.clone(), index);
        }
    }
}

/// The edge from a node to its child.
#[derive(Clone, Copy)]
enum Child<'a> {
    Literal(&'a str),
    Parameter,
    Rest,
    Slashed,
    Bare,
}

const ROOT: usize = 0;

#[cfg(test)]
mod model;
#[cfg(test)]
mod requirements;
#[cfg(test)]
mod slashes;
#[cfg(test)]
mod spellings;
#[cfg(test)]
mod tests;
