//! The route table: which rule a request falls under. The only matcher there is.
//!
//! A pattern is a path of literal segments, `{name}` for one segment and a last `{*name}` for at least
//! one character of whatever follows. A trailing slash counts. Of all rules whose pattern fits and
//! which take the method, the most specific wins, whatever their order: read from the left, a literal
//! segment goes before `{name}`, which goes before `{*name}`; on the same pattern, a rule that names
//! the method goes before one that takes any. `GET` takes `HEAD` along where no rule names `HEAD`.
//!
//! Matching walks a tree of segments: its cost depends on the path's length, not on the number of rules.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::{Access, Destination, Rule};
use crate::path::{CanonicalPath, fold};

/// All rules, and the one for what none of them fits.
#[derive(Debug)]
pub struct Table {
    rules: Vec<Rule>,
    nodes: Vec<Node>,
    default: Rule,
    lax: Option<Box<Lax>>,
}

/// The rules as laxer servers read paths.
#[derive(Debug)]
struct Lax {
    table: Table,
    /// Whether some pattern has a literal that reads otherwise then.
    folds: bool,
    /// Whether some pattern ends with a slash.
    has_slashes: bool,
}

/// Why a rule cannot be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// The pattern is not one; what was expected.
    Pattern(&'static str),
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
        self.insert(rule, |literal| literal.into())
    }

    fn insert(&mut self, rule: Rule, spell: impl Fn(&str) -> Box<str>) -> Result<(), RuleError> {
        let pattern = parse_pattern(&rule.path).map_err(RuleError::Pattern)?;
        let mut at = ROOT;
        for segment in pattern {
            at = self.child(at, segment, &spell);
        }
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
        if rule.methods.is_empty() {
            node.any_method = Some(index);
        }
        for method in &rule.methods {
            node.by_method.insert(method.clone(), index);
        }
        self.rules.push(rule);
        Ok(())
    }

    /// Finds the rule of a request.
    #[must_use]
    pub fn find(&self, method: &str, path: &CanonicalPath<'_>) -> &Rule {
        let rest = path.as_str().strip_prefix('/').unwrap_or_default();
        self.search(ROOT, Some(rest), method).and_then(|index| self.rules.get(index)).unwrap_or(&self.default)
    }

    /// Finds the rule written with exactly this pattern for this method, if any.
    #[must_use]
    pub fn exact(&self, method: &str, pattern: &str) -> Option<&Rule> {
        let path = CanonicalPath::judge(pattern).ok()?;
        let rule = self.find(method, &path);
        (rule.path == pattern).then_some(rule)
    }

    /// Tells whether a rule fits only by its spelling: read as laxer servers read paths, this one falls under a rule
    /// that asks for something else too. Escapes, case, `;parameters` and a slash more or less are what they read laxly.
    #[must_use]
    pub fn is_slipped_past(&self, found: &Rule, method: &str, path: &CanonicalPath<'_>) -> bool {
        let Some(lax) = &self.lax else { return false };
        let text = path.as_str();
        if found.path == text {
            return false;
        }
        // Most paths are spelled as everybody reads them, and need not be looked for again.
        let is_plain =
            !lax.folds && !text.bytes().any(|b| b.is_ascii_uppercase() || matches!(b, b'%' | b';'));
        let read = if is_plain { None } else { Some(path.folded()) };
        let asks = |read: &CanonicalPath<'_>| {
            let rule = lax.table.find(method, read);
            !std::ptr::eq(rule, &raw const lax.table.default) && rule.asks_beyond(found)
        };
        // Dots that only show once parameters are cut off lead who knows where.
        let leads_on =
            |read: &CanonicalPath<'_>| read.as_str().split('/').any(|part| matches!(part, "." | ".."));
        if read.as_ref().is_some_and(|read| leads_on(read) || asks(read)) {
            return true;
        }
        let read = read.as_ref().map_or(text, CanonicalPath::as_str);
        let bare = read.trim_end_matches('/');
        if bare.len() < read.len() {
            return CanonicalPath::judge(bare).is_ok_and(|bare| asks(&bare));
        }
        lax.has_slashes && CanonicalPath::judge(&format!("{read}/")).is_ok_and(|slashed| asks(&slashed))
    }

    /// Prepares [`Table::is_slipped_past`], once all rules are there.
    pub fn seal(&mut self) {
        let mut table = Self::new(self.default.clone());
        let open = Rule::new("", Access::Public, Destination::Upstream);
        let (guarded, open): (Vec<&Rule>, Vec<&Rule>) =
            self.rules.iter().partition(|rule| rule.asks_beyond(&open));
        for rule in guarded.into_iter().chain(open) {
            // Where two rules fold into one, the guarded one is there first and stays.
            let _ = table.insert(rule.clone(), |literal| fold(literal).into());
        }
        let folds = self.rules.iter().any(|rule| fold(&rule.path) != rule.path);
        let has_slashes = self.rules.iter().any(|rule| rule.path.ends_with('/'));
        self.lax = Some(Box::new(Lax { table, folds, has_slashes }));
    }

    /// Gives all rules, in the order they were added.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// `rest` is what follows the last slash that was read; `None` where nothing does.
    fn search(&self, at: usize, rest: Option<&str>, method: &str) -> Option<usize> {
        let node = self.nodes.get(at)?;
        let Some(rest) = rest else { return node.rule_for(method) };
        let (segment, after) = match rest.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (rest, None),
        };
        let literal = node.literals.get(segment).and_then(|next| self.search(*next, after, method));
        literal
            .or_else(|| {
                let next = node.parameter.filter(|_| !segment.is_empty())?;
                self.search(next, after, method)
            })
            .or_else(|| {
                let last = node.rest.filter(|_| !rest.is_empty())?;
                self.nodes.get(last)?.rule_for(method)
            })
    }

    fn child(&mut self, at: usize, segment: Segment<'_>, spell: impl Fn(&str) -> Box<str>) -> usize {
        let fresh = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return at };
        let next = match segment {
            Segment::Literal(text) => *node.literals.entry(spell(text)).or_insert(fresh),
            Segment::Parameter => *node.parameter.get_or_insert(fresh),
            Segment::Rest => *node.rest.get_or_insert(fresh),
        };
        if next == fresh {
            self.nodes.push(Node::default());
        }
        next
    }
}

/// One place in the tree of segments. Keys come from the configuration alone, so a fixed hash is safe.
#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, usize, FixedState>,
    parameter: Option<usize>,
    rest: Option<usize>,
    by_method: HashMap<String, usize, FixedState>,
    any_method: Option<usize>,
}

impl Node {
    fn rule_for(&self, method: &str) -> Option<usize> {
        let named = |method| self.by_method.get(method).copied();
        let head_as_get = || if method == "HEAD" { named("GET") } else { None };
        named(method).or_else(head_as_get).or(self.any_method)
    }
}

#[derive(Clone, Copy)]
enum Segment<'a> {
    Literal(&'a str),
    Parameter,
    Rest,
}

fn parse_pattern(pattern: &str) -> Result<Vec<Segment<'_>>, &'static str> {
    let rest = pattern.strip_prefix('/').ok_or("a path that starts with \"/\"")?;
    let mut segments = Vec::new();
    let mut parts = rest.split('/').peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
            if part.contains(['{', '}', '*', '?', '#']) {
                return Err("literal segments, whole {name} segments and a last {*name}");
            }
            if part.is_empty() && !is_last {
                return Err("no empty segment: runs of slashes are merged before matching");
            }
            segments.push(Segment::Literal(part));
            continue;
        };
        let (segment, name) = match name.strip_prefix('*') {
            Some(name) => (Segment::Rest, name),
            None => (Segment::Parameter, name),
        };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err("a name of letters, digits and _ in {name}");
        }
        if matches!(segment, Segment::Rest) && !is_last {
            return Err("{*name} as the last segment only");
        }
        segments.push(segment);
    }
    let literals = segments.iter().filter_map(|segment| match segment {
        Segment::Literal(text) => Some(*text),
        _ => None,
    });
    let plain: String = literals.flat_map(|text| ["/", text]).collect();
    let is_canonical =
        plain.is_empty() || CanonicalPath::judge(&plain).is_ok_and(|path| path.as_str() == plain);
    if !is_canonical {
        return Err("a path in canonical form (no dot segments, unreserved characters as they are)");
    }
    Ok(segments)
}

const ROOT: usize = 0;

#[cfg(test)]
mod tests;
