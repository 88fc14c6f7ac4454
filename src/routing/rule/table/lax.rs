//! Finds the rule that decides about a request, among all rules that some server may find for its path.
//!
//! Rules are written for the strict reading of paths. Lenient servers also do some of the following: ignore case,
//! decode escapes, cut `;parameters` off, merge slashes, ignore a slash at the end, drop dots and spaces at the end of
//! segments, or end the path at a decoded `?` or `#`. Each combination is a [`Reading`]. A reading applies to paths
//! and patterns alike. The most specific pattern wins. If several patterns are equal in a reading, all of their rules
//! count.
//!
//! The deciding rule must require at least as much as every other rule that any reading finds
//! ([`Rule::is_at_least_as_strict_as`]). If several rules do, the rule of the strict reading goes first. Its access and
//! guards apply as a whole, and the path is forwarded as received. If there is no such rule, the request is rejected.
//!
//! A refusal is only reported (report mode) if every rule that some reading finds reports it, or lacks that guard.
//!
//! Most paths have only one reading and are searched once.
//!
//! A path with encoded slashes is rejected unless both the rule for the path as written and the deciding rule have
//! `encoded_slashes`. The table reads such a path as received, and again after each decoding. `decoded` proves, for a
//! whole table, what these decodings can reach.

use super::{
    Node, ROOT, Table,
    reading::{LAXEST, Reading},
};
use crate::{
    http::{
        path::{CanonicalPath, page},
        problem::Rejection,
    },
    routing::{
        report::ReportedSteps,
        rule::{Access, Names, Rule},
    },
};

/// Properties of a table that the lenient readings need.
#[derive(Debug)]
pub(super) struct Lax {
    /// Relaxations that change the text of some pattern. They apply to every path.
    pattern_relaxations: Reading,
    /// Whether upstream is Workers static assets.
    is_assets: bool,
    /// Whether some pattern names a page that has other names, too.
    has_pages: bool,
}

/// The rules that the table finds for a request.
#[derive(Clone, Copy, Debug)]
pub struct RuleMatch<'a> {
    /// The rule for the path as written.
    pub as_written: &'a Rule,
    /// The rule that decides, or the rejection.
    pub deciding: Result<&'a Rule, Rejection>,
    /// The steps whose refusals are only reported: those that every rule reports which some server may find.
    pub reports: ReportedSteps,
}

/// The strictest of all rules that some server may find.
struct Strictest<'a> {
    rule: &'a Rule,
    reports: ReportedSteps,
}

impl Table {
    /// Prepares [`Table::match_request`]. Call it after all rules were added.
    ///
    /// Static assets are one server with a known reading: it serves `/a`, `/a/`, `/a.html` and `/a/index.html` as one
    /// page.
    pub fn seal(&mut self, is_assets: bool) {
        let literals = self.nodes.iter().flat_map(|node| node.literals.keys());
        let pattern_relaxations = literals.map(|literal| Reading::relevant_to(literal) & LAXEST);
        let pattern_relaxations = pattern_relaxations.fold(Reading::default(), |all, more| all | more);
        let mut has_pages = false;
        for at in 0..self.rules.len() {
            let Some(path) = self.rules.get(at).map(|rule| rule.path.clone()).filter(|_| is_assets) else {
                break;
            };
            let lower = path.to_ascii_lowercase();
            let place = path.get(..page(&lower).len()).unwrap_or_default();
            if place.len() < path.trim_end_matches('/').len() {
                has_pages = true;
                self.add_page(&path, place);
            }
        }
        self.lax = Some(Lax { pattern_relaxations, is_assets, has_pages });
    }

    /// Returns the rule for the path as written, and the rule that decides about the request.
    #[must_use]
    pub fn match_request(&self, method: &str, path: &CanonicalPath<'_>, names: Names) -> RuleMatch<'_> {
        let mut has_variant = false;
        let found = self.search(ROOT, path.as_str().strip_prefix('/'), method, &mut has_variant);
        let as_written = self.rule_at(found);
        let strictest = match &self.lax {
            lax if path.has_ambiguous_escapes() && (lax.is_none() || !as_written.encoded_slashes) => {
                Err(Rejection::AmbiguousPath)
            }
            Some(lax) if has_variant || lax.may_differ(path.as_str()) => {
                self.strictest(lax, as_written, RequestToMatch { method, path, names })
            }
            _ => Ok(Strictest { rule: as_written, reports: as_written.reported_steps() }),
        };
        let reports = strictest.as_ref().map_or(ReportedSteps::NONE, |found| found.reports);
        RuleMatch { as_written, deciding: strictest.map(|found| found.rule), reports }
    }

    /// Returns whether no reading of a path finds a rule: the default rule decides.
    #[must_use]
    pub fn has_no_rule_for(&self, method: &str, path: &CanonicalPath<'_>) -> bool {
        let strict = self.find(method, path);
        let request = RequestToMatch { method, path, names: Names::Ignored };
        let reached = self.lax.as_ref().map(|lax| self.reached(lax, strict, request));
        let reached = reached.unwrap_or_else(|| Ok(vec![strict]));
        reached.is_ok_and(|rules| rules.iter().all(|rule| std::ptr::eq(*rule, &raw const self.default)))
    }

    fn strictest<'a>(
        &'a self,
        lax: &Lax,
        strict: &'a Rule,
        request: RequestToMatch<'_>,
    ) -> Result<Strictest<'a>, Rejection> {
        let path = request.path.as_str();
        let has_slashes = request.path.has_ambiguous_escapes();
        let reached = self.reached(lax, strict, request)?;
        let used = strictest_of(&reached, Names::Count)
            .or_else(|| strictest_of(&reached, Names::Ignored).filter(|_| request.names == Names::Ignored))
            .ok_or(Rejection::AmbiguousPath)?;
        let is_owner_certain = used.access != Access::Owner
            || (identifies_owner(used, strict, path) && (!has_slashes || std::ptr::eq(used, strict)));
        let are_slashes_allowed = !has_slashes || used.encoded_slashes;
        if !is_owner_certain || !are_slashes_allowed {
            return Err(Rejection::AmbiguousPath);
        }
        let reported = reached.iter().map(|rule| rule.reported_steps().or(rule.absent_guards()));
        let reports = reported.fold(used.reported_steps(), ReportedSteps::and);
        Ok(Strictest { rule: used, reports })
    }

    /// Lists the rules that the readings of a path find: first `strict`, that of the path as written.
    fn reached<'a>(
        &'a self,
        lax: &Lax,
        strict: &'a Rule,
        request: RequestToMatch<'_>,
    ) -> Result<Vec<&'a Rule>, Rejection> {
        let path = request.path.as_str();
        let ends = if lax.is_assets { Reading::LAST_SLASH | Reading::PAGES } else { Reading::LAST_SLASH };
        let has_slashes = request.path.has_ambiguous_escapes();
        let within = if has_slashes { Reading::WITHIN } else { Reading::relevant_to(path) };
        let relaxations = lax.pattern_relaxations | within | ends;
        let mut reached = vec![strict];
        let decodings: Vec<_> = request.path.decodings().collect();
        // The first reading is the strict one, of the path as written. It was searched already.
        let readings =
            decodings.iter().flat_map(|text| relaxations.subsets().map(move |reading| (reading, text)));
        for (reading, text) in readings.skip(1) {
            let rest = reading.read_path(text).map_err(|_| Rejection::AmbiguousPath)?;
            let pass = SearchPass { reading, method: request.method };
            #[cfg(test)]
            SEARCHES.set(SEARCHES.get().saturating_add(1));
            let found = self.search_nodes(&[ROOT], rest.as_deref(), pass);
            let default = found.is_empty().then_some(&self.default);
            for rule in found.into_iter().map(|at| self.rule_at(Some(at))).chain(default) {
                if !reached.iter().any(|known| std::ptr::eq(*known, rule)) {
                    reached.push(rule);
                }
            }
        }
        Ok(reached)
    }

    /// Searches the tree by one reading. Returns all rules of the most specific match.
    ///
    /// `set` holds the nodes that the path has reached so far. `rest` is the path after the last slash that was read.
    fn search_nodes(&self, set: &[usize], rest: Option<&str>, pass: SearchPass<'_>) -> Vec<usize> {
        let nodes = || set.iter().filter_map(|at| self.nodes.get(*at));
        let rules = |children: Vec<usize>| -> Vec<usize> {
            children.into_iter().filter_map(|at| self.nodes.get(at)?.rule_for(pass.method)).collect()
        };
        let Some(rest) = rest else { return self.rules_at_end(set, pass) };
        if rest.is_empty() {
            let found = rules(nodes().filter_map(|node| node.slashed).collect());
            return if found.is_empty() {
                rules(nodes().filter_map(|node| node.bare).collect())
            } else {
                found
            };
        }
        let (segment, after) = match rest.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (rest, None),
        };
        let literals: Vec<usize> =
            nodes().flat_map(|node| node.matching_literals(segment, pass.reading)).collect();
        let parameters = || -> Vec<usize> {
            nodes().filter_map(|node| node.parameter.filter(|_| !segment.is_empty())).collect()
        };
        let mut found = Vec::new();
        if !literals.is_empty() {
            found = self.search_nodes(&literals, after, pass);
        }
        if found.is_empty() {
            let parameters = parameters();
            if !parameters.is_empty() {
                found = self.search_nodes(&parameters, after, pass);
            }
        }
        if found.is_empty() {
            found = rules(nodes().filter_map(|node| node.rest).collect());
        }
        found
    }

    /// Lists the rules at the nodes where a path ends, with or without a slash at its end.
    fn rules_at_end(&self, set: &[usize], SearchPass { reading, method }: SearchPass<'_>) -> Vec<usize> {
        let nodes = || set.iter().filter_map(|at| self.nodes.get(*at));
        let rule_of = |at: usize| self.nodes.get(at)?.rule_for(method);
        let mut found: Vec<usize> = nodes().filter_map(|node| node.rule_for(method)).collect();
        if reading.has(Reading::LAST_SLASH | Reading::PAGES) {
            found.extend(nodes().filter_map(|node| rule_of(node.slashed?)));
            if reading.has(Reading::PAGES) {
                found.extend(nodes().flat_map(|node| &node.pages).filter_map(|at| rule_of(*at)));
            }
            // `/a/{*rest}` covers `/a/`, and therefore `/a`, unless a rule is written for `/a`.
            if found.is_empty() {
                found.extend(nodes().filter_map(|node| rule_of(node.bare?)));
            }
        }
        found
    }
}

/// The request for which the table finds the rule.
#[derive(Clone, Copy)]
struct RequestToMatch<'a> {
    method: &'a str,
    path: &'a CanonicalPath<'a>,
    names: Names,
}

/// The reading and the method of one search.
#[derive(Clone, Copy)]
struct SearchPass<'a> {
    reading: Reading,
    method: &'a str,
}

impl Lax {
    /// Returns true if some reading of a path may differ from the strict one. `search` itself detects patterns with
    /// one more slash at the end.
    fn may_differ(&self, path: &str) -> bool {
        if self.pattern_relaxations != Reading::default() {
            return true;
        }
        let mut last = b'\0';
        for byte in path.bytes() {
            if byte.is_ascii_uppercase()
                || matches!(byte, b'%' | b';')
                || (byte == b'/' && matches!(last, b'/' | b'.'))
            {
                return true;
            }
            last = byte;
        }
        let has_last_slash = last == b'/' && path.len() > 1;
        let is_page = || self.has_pages || page(path).len() < path.len();
        has_last_slash || last == b'.' || (self.is_assets && is_page())
    }
}

impl Node {
    /// Lists the children whose literal equals this segment in a reading. The caller has read the segment by that
    /// reading.
    pub(super) fn matching_literals(&self, segment: &str, reading: Reading) -> impl Iterator<Item = usize> {
        let same = self.literals.get(segment).copied();
        let others = if self.ambiguous.is_empty() {
            None
        } else {
            self.ambiguous.get(LAXEST.read_segment(segment).as_str())
        };
        let others = others.into_iter().flatten().filter_map(move |ambiguous| {
            (Some(ambiguous.at) != same && reading.read_segment(&ambiguous.literal) == segment)
                .then_some(ambiguous.at)
        });
        same.into_iter().chain(others.collect::<Vec<_>>())
    }
}

/// Returns the first of these rules that requires at least as much as each of them.
fn strictest_of<'a>(rules: &[&'a Rule], names: Names) -> Option<&'a Rule> {
    rules.iter().copied().find(|rule| rules.iter().all(|other| rule.is_at_least_as_strict_as(other, names)))
}

/// Returns true if it is certain which segments identify the entity whose owner is asked for. A server that skips a
/// segment could understand another entity.
fn identifies_owner(used: &Rule, strict: &Rule, path: &str) -> bool {
    let may_be_skipped = |segment: &str| LAXEST.read_segment(segment).is_empty();
    let inner = path.trim_end_matches('/').split('/').skip(1);
    let has_parameters = used
        .path
        .split('/')
        .any(|part| part.starts_with('{') && !REST.iter().any(|rest| part.starts_with(rest)));
    !inner.into_iter().any(may_be_skipped) || (std::ptr::eq(used, strict) && !has_parameters)
}

#[cfg(test)]
thread_local! {
    /// Number of searches by another reading than the strict one.
    pub(super) static SEARCHES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

const REST: [&str; 2] = ["{*", "{+"];
