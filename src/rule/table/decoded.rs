//! Which rules a path with encoded slashes reaches once a server has decoded it.
//!
//! What stands before a pattern's first parameter has no encoded slash, so a decoded path begins with it: dot segments are in no
//! decoding. Each parameter may become any number of segments, none too where runs of slashes are one. All of this holds however
//! often a server decodes, and in whichever order it decodes, splits and cuts. It does not hold of a path with an escaped `?` or
//! `#` where a server takes that for the path's end: such a path is judged when it comes, and refused where its end matters.

use super::{ODDLY, ROOT, Segment, Table, pattern};
use crate::rule::{Names, Rule};

impl Table {
    /// Finds a rule that a path under this one may reach once its encoded slashes are decoded, and that asks for something which
    /// this one does not.
    #[must_use]
    pub fn stricter_once_decoded(&self, rule: &Rule) -> Option<&Rule> {
        let own = pattern::parse(&rule.path).ok()?;
        let prefix: Vec<&str> = own.iter().map_while(text_of).collect();
        self.methods_of(rule).into_iter().find_map(|method| {
            let mut found = Vec::new();
            let is_covered = self.below(ROOT, &prefix, method, &mut found);
            found.retain(|at| {
                self.rules.get(*at).is_some_and(|other| {
                    !rule.asks_at_least(other, Names::Ignored)
                        && pattern::parse(&other.path).is_ok_and(|other| may_be(&own, &other))
                })
            });
            // Names the one that was added first, whatever the tree's order.
            let first = found.into_iter().min().and_then(|at| self.rules.get(at));
            let asks_less = !is_covered && !rule.asks_at_least(&self.default, Names::Ignored);
            first.or_else(|| asks_less.then_some(&self.default))
        })
    }

    /// Lists the methods that a rule may be asked for: those that some rule names, and any other.
    fn methods_of<'a>(&'a self, rule: &'a Rule) -> Vec<&'a str> {
        let is_any = rule.methods.is_empty();
        let rules = if is_any { self.rules.as_slice() } else { std::slice::from_ref(rule) };
        let mut methods = if is_any { vec!["ANY"] } else { Vec::new() };
        for method in rules.iter().flat_map(|rule| &rule.methods) {
            let as_well = if method == "GET" { "HEAD" } else { method };
            for method in [method, as_well] {
                if !methods.contains(&method) {
                    methods.push(method);
                }
            }
        }
        methods
    }

    /// Collects the rules of all paths that begin with these segments, by any reading. Tells whether each such path has one.
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
        for next in node.spelled(&ODDLY.of_segment(segment), ODDLY) {
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

/// Tells whether a path that fits one pattern may fit another one once it is decoded.
fn may_be(one: &[Segment<'_>], other: &[Segment<'_>]) -> bool {
    use Segment::{Literal, Parameter, Rest, SomeRest};
    match (one, other) {
        // A slash at the end.
        ([Literal("")], other) => may_be(&[], other),
        (one, [Literal("")]) => may_be(one, &[]),
        ([], []) | (_, [Rest | SomeRest]) => true,
        // Parameters side by side are one.
        ([Parameter, Parameter | Rest | SomeRest, ..], other) => {
            may_be(one.get(1..).unwrap_or_default(), other)
        }
        ([Parameter | Rest | SomeRest, left @ ..], other) => {
            may_be(left, other) || other.split_first().is_some_and(|(_, after)| may_be(one, after))
        }
        ([Literal(text), left @ ..], [Literal(wanted), after @ ..]) => {
            ODDLY.of_segment(text) == ODDLY.of_segment(wanted) && may_be(left, after)
        }
        ([Literal(_), left @ ..], [Parameter, after @ ..]) => may_be(left, after),
        _ => false,
    }
}
