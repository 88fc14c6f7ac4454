//! Finds the rules that a path with encoded slashes may reach after a server has decoded it.
//!
//! The part of a pattern before its first parameter has no encoded slash, and no decoding of an accepted path has dot
//! segments. So every decoded path begins with that part. Each parameter may become any number of segments, also no
//! segment if a server merges slashes. This holds for any number of decodings, and for any order in which a server
//! decodes, splits and cuts. It does not hold for a path with an escaped `?` or `#` if a server ends the path there.
//! Such a path is checked for each request, and rejected if its end makes a difference.

use super::{LAXEST, ROOT, Segment, Table, pattern};
use crate::routing::rule::{Names, Rule};

impl Table {
    /// Returns a rule that a path under this rule may reach after its encoded slashes are decoded, if that rule has a
    /// requirement that this one lacks.
    #[must_use]
    pub fn stricter_once_decoded(&self, rule: &Rule) -> Option<&Rule> {
        let own = pattern::parse(&rule.path).ok()?;
        let prefix: Vec<&str> = own.iter().map_while(text_of).collect();
        self.methods_of(rule).into_iter().find_map(|method| {
            let mut found = Vec::new();
            let is_covered = self.below(ROOT, &prefix, method, &mut found);
            found.retain(|at| {
                self.rules.get(*at).is_some_and(|other| {
                    !rule.is_at_least_as_strict_as(other, Names::Ignored)
                        && pattern::parse(&other.path).is_ok_and(|other| may_match(&own, &other))
                })
            });
            // Returns the rule that was added first, independent of the order in the tree.
            let first = found.into_iter().min().and_then(|at| self.rules.get(at));
            let default_is_stricter =
                !is_covered && !rule.is_at_least_as_strict_as(&self.default, Names::Ignored);
            first.or_else(|| default_is_stricter.then_some(&self.default))
        })
    }

    /// Lists the methods that a rule may receive: those that some rule names, and `ANY` for any other.
    fn methods_of<'a>(&'a self, rule: &'a Rule) -> Vec<&'a str> {
        let is_any = rule.methods.is_empty();
        let rules = if is_any { self.rules.as_slice() } else { std::slice::from_ref(rule) };
        let mut methods = if is_any { vec!["ANY"] } else { Vec::new() };
        for method in rules.iter().flat_map(|rule| &rule.methods) {
            let also = if method == "GET" { "HEAD" } else { method };
            for method in [method, also] {
                if !methods.contains(&method) {
                    methods.push(method);
                }
            }
        }
        methods
    }

    /// Collects the rules of all paths that begin with these segments, in any reading. Returns true if each such path
    /// has a rule.
    fn below(&self, at: usize, prefix: &[&str], method: &str, found: &mut Vec<usize>) -> bool {
        let Some(node) = self.nodes.get(at) else { return false };
        let rule_of = |at: usize| self.nodes.get(at)?.rule_for(method);
        let Some((segment, rest)) = prefix.split_first() else {
            self.collect(at, method, found);
            let has_rule = |child: Option<usize>| child.and_then(rule_of).is_some();
            return has_rule(node.rest) && has_rule(node.bare);
        };
        let own = node.literals.get(*segment).copied();
        let mut is_covered = false;
        for next in node.matching_literals(&LAXEST.read_segment(segment), LAXEST) {
            is_covered |= self.below(next, rest, method, found) && own == Some(next);
        }
        if is_covered || node.parameter.is_some_and(|next| self.below(next, rest, method, found)) {
            return true;
        }
        let rest = node.rest.and_then(rule_of);
        found.extend(rest);
        rest.is_some()
    }

    fn collect(&self, at: usize, method: &str, found: &mut Vec<usize>) {
        let Some(node) = self.nodes.get(at) else { return };
        found.extend(node.rule_for(method));
        let ends = [node.parameter, node.rest, node.slashed, node.bare];
        for next in node.literals.values().copied().chain(ends.into_iter().flatten()) {
            self.collect(next, method, found);
        }
    }
}

fn text_of<'a>(segment: &Segment<'a>) -> Option<&'a str> {
    match segment {
        Segment::Literal(text) => Some(*text),
        _ => None,
    }
}

/// Returns true if a path that matches one pattern may match another one after decoding.
fn may_match(one: &[Segment<'_>], other: &[Segment<'_>]) -> bool {
    use Segment::{Literal, Parameter, Rest, SomeRest};
    match (one, other) {
        // A slash at the end.
        ([Literal("")], other) => may_match(&[], other),
        (one, [Literal("")]) => may_match(one, &[]),
        ([], []) | (_, [Rest | SomeRest]) => true,
        // Adjacent parameters act as one.
        ([Parameter, Parameter | Rest | SomeRest, ..], other) => {
            may_match(one.get(1..).unwrap_or_default(), other)
        }
        ([Parameter | Rest | SomeRest, left @ ..], other) => {
            may_match(left, other) || other.split_first().is_some_and(|(_, after)| may_match(one, after))
        }
        ([Literal(text), left @ ..], [Literal(wanted), after @ ..]) => {
            LAXEST.read_segment(text) == LAXEST.read_segment(wanted) && may_match(left, after)
        }
        ([Literal(_), left @ ..], [Parameter, after @ ..]) => may_match(left, after),
        _ => false,
    }
}
