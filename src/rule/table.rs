//! The route table: which rule a request falls under. The only matcher there is.
//!
//! A pattern is a path of literal segments, `{name}` for one segment and a last `{*name}` for whatever follows, nothing too
//! (`{+name}`: at least one character of it). A trailing slash counts. Of all rules whose pattern fits and
//! which take the method, the most specific wins, whatever their order: read from the left, a literal
//! segment goes before `{name}`, which goes before `{*name}` and `{+name}`; on the same pattern, a rule that names
//! the method goes before one that takes any. `GET` takes `HEAD` along where no rule names `HEAD`.
//!
//! Matching walks a tree of segments: its cost depends on the path's length, not on the number of rules. [`Table::judge`]
//! also looks at what laxer servers read in a path (`lax`).

mod decoded;
mod lax;
mod reading;
mod warnings;

use std::collections::HashMap;

use foldhash::fast::FixedState;

pub use self::lax::Judged;
use self::{lax::Lax, reading::ODDLY};
use super::{
    Rule,
    pattern::{self, Segment},
};
use crate::path::CanonicalPath;

/// All rules, and the one for what none of them fits.
#[derive(Debug)]
pub struct Table {
    rules: Vec<Rule>,
    nodes: Vec<Node>,
    default: Rule,
    lax: Option<Lax>,
}

/// Why a rule cannot be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// The pattern is invalid: what was expected, and why.
    Pattern(String),
    /// Another rule fits the same requests just as well: its pattern, and a method where one is named.
    Tie(String, Option<String>),
}

impl Table {
    /// Starts a table in which everything falls under `default`.
    #[must_use]
    pub fn new(default: Rule) -> Self {
        Self { rules: Vec::new(), nodes: vec![Node::default()], default, lax: None }
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// [`RuleError`]; the table is as before.
    pub fn add(&mut self, rule: Rule) -> Result<(), RuleError> {
        let segments = pattern::parse(&rule.path).map_err(RuleError::Pattern)?;
        let at = self.grow(&segments);
        let index = self.rules.len();
        let Some(node) = self.nodes.get_mut(at) else { return Ok(()) };
        let clash = if rule.methods.is_empty() {
            node.any_method.map(|other| (other, None))
        } else {
            let mut taken = rule
                .methods
                .iter()
                .filter_map(|method| node.by_method.get(method).map(|other| (*other, Some(method.clone()))));
            taken.next()
        };
        if let Some((other, method)) = clash {
            let path = self.rules.get(other).map(|rule| rule.path.clone()).unwrap_or_default();
            return Err(RuleError::Tie(path, method));
        }
        node.take(&rule, index);
        if let Some((Segment::Rest, before)) = segments.split_last() {
            let covered = self.grow(before);
            let bare = self.child(covered, Child::Bare);
            if let Some(node) = self.nodes.get_mut(bare) {
                node.take(&rule, index);
            }
        }
        self.rules.push(rule);
        Ok(())
    }

    /// Finds the rule of a request for a path as it is written. [`Table::judge`] says which rule decides.
    #[must_use]
    pub fn find(&self, method: &str, path: &CanonicalPath<'_>) -> &Rule {
        self.rule_at(self.search(ROOT, path.as_str().strip_prefix('/'), method, &mut false))
    }

    /// Finds the rule written with exactly this pattern for this method, if any.
    #[must_use]
    pub fn exact(&self, method: &str, pattern: &str) -> Option<&Rule> {
        let path = CanonicalPath::judge(pattern).ok()?;
        let rule = self.find(method, &path);
        (rule.path == pattern).then_some(rule)
    }

    /// Gives all rules, in the order they were added.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    fn rule_at(&self, found: Option<usize>) -> &Rule {
        found.and_then(|at| self.rules.get(at)).unwrap_or(&self.default)
    }

    /// `rest` is what follows the last slash that was read; `None` where nothing does. `has_twin` becomes true where a server that
    /// ignores a slash at the end may find another rule.
    fn search(&self, at: usize, rest: Option<&str>, method: &str, has_twin: &mut bool) -> Option<usize> {
        let node = self.nodes.get(at)?;
        let rule_of = |at: usize| self.nodes.get(at)?.rule_for(method);
        let Some(rest) = rest else {
            let own = node.rule_for(method);
            *has_twin |= node.slashed.is_some() || (own.is_none() && node.bare.is_some());
            return own;
        };
        if rest.is_empty() {
            return node.slashed.and_then(rule_of).or_else(|| node.bare.and_then(rule_of));
        }
        let (segment, after) = match rest.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (rest, None),
        };
        let literal = node.literals.get(segment).and_then(|next| self.search(*next, after, method, has_twin));
        literal
            .or_else(|| {
                let next = node.parameter.filter(|_| !segment.is_empty())?;
                self.search(next, after, method, has_twin)
            })
            .or_else(|| node.rest.and_then(rule_of))
    }

    /// Finds the node of a pattern, made where it is missing.
    fn grow(&mut self, pattern: &[Segment<'_>]) -> usize {
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
        let fresh = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return at };
        let next = match child {
            Child::Literal(text) => *node.literals.entry(text.into()).or_insert(fresh),
            Child::Parameter => *node.parameter.get_or_insert(fresh),
            Child::Rest => *node.rest.get_or_insert(fresh),
            Child::Slashed => *node.slashed.get_or_insert(fresh),
            Child::Bare => *node.bare.get_or_insert(fresh),
        };
        if next == fresh {
            if let Child::Literal(text) = child {
                let read = ODDLY.of_segment(text);
                if read != text {
                    node.odd.entry(read.into()).or_default().push(Odd { literal: text.into(), at: fresh });
                }
            }
            self.nodes.push(Node::default());
        }
        next
    }

    /// Notes that the page at `pattern` is served at `place` too.
    fn add_page(&mut self, pattern: &str, place: &str) {
        let place = if place.is_empty() { Ok(Vec::new()) } else { pattern::parse(place) };
        if let (Ok(page), Ok(place)) = (pattern::parse(pattern), place) {
            let (page, place) = (self.grow(&page), self.grow(&place));
            if let Some(node) = self.nodes.get_mut(place).filter(|node| !node.pages.contains(&page)) {
                node.pages.push(page);
            }
        }
    }
}

/// One place in the tree of segments. Keys come from the configuration alone, so a fixed hash is safe.
#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, usize, FixedState>,
    /// Literals that have another spelling, by their laxest reading.
    odd: HashMap<Box<str>, Vec<Odd>, FixedState>,
    parameter: Option<usize>,
    /// At least one character after the slash.
    rest: Option<usize>,
    /// A slash and nothing more, where a pattern ends so.
    slashed: Option<usize>,
    /// The same, where `{*rest}` covers it.
    bare: Option<usize>,
    /// Pages that static assets serve here too.
    pages: Vec<usize>,
    by_method: HashMap<String, usize, FixedState>,
    any_method: Option<usize>,
}

/// A literal that has another spelling, and the node that it leads to.
#[derive(Debug)]
struct Odd {
    literal: Box<str>,
    at: usize,
}

impl Node {
    fn rule_for(&self, method: &str) -> Option<usize> {
        let named = |method| self.by_method.get(method).copied();
        let head_as_get = || if method == "HEAD" { named("GET") } else { None };
        named(method).or_else(head_as_get).or(self.any_method)
    }

    fn take(&mut self, rule: &Rule, index: usize) {
        if rule.methods.is_empty() {
            self.any_method = Some(index);
        }
        for method in &rule.methods {
            self.by_method.insert(method.clone(), index);
        }
    }
}

/// How a node is reached from the one before.
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
mod slashes;
#[cfg(test)]
mod spellings;
#[cfg(test)]
mod tests;
