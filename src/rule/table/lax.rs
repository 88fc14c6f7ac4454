//! Decides which rule applies to a request, of all rules that some server may find for its path.
//!
//! Rules are written for the strict reading of paths. Some servers also ignore case, decode escapes, cut `;parameters`,
//! merge slashes, ignore a slash at the end, drop dots and spaces from the end of segments, or take a decoded `?` or `#` for
//! the path's end, or do some of these and not others. Each combination is a [`Reading`]. A
//! reading applies to paths and patterns alike, and the most specific pattern wins. If several patterns are equal in a
//! reading, all of their rules count.
//!
//! The rule decides that asks for at least as much as every other rule that any reading finds
//! ([`Rule::asks_at_least`]); the strict reading's rule goes first. Its access and guards apply as a whole, and the path is
//! forwarded as it came. If there is no such rule, the request is refused.
//!
//! Most paths have only one reading, and are searched once.
//!
//! A path with encoded slashes is refused unless both the rule for the path as written and the rule that decides have
//! `encoded_slashes`. It is read as it came, and once more after each decoding (`decoded` proves for a table what those can reach).

use super::{
    Node, ROOT, Table,
    reading::{ODDLY, Reading},
};
use crate::{
    path::{CanonicalPath, page},
    problem::Rejection,
    rule::{Access, Names, Rule},
};

/// What laxer readings need to know about a table.
#[derive(Debug)]
pub(super) struct Lax {
    /// The laxities that matter to some pattern's text, whatever the path.
    texts: Reading,
    /// Whether upstream is static assets.
    is_assets: bool,
    /// Whether some pattern names a page that has other names too.
    has_pages: bool,
}

/// The table's decision about a request.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// The rule for the path as it is written.
    pub strict: &'a Rule,
    /// The rule that decides.
    pub used: Result<&'a Rule, Rejection>,
}

impl Table {
    /// Prepares [`Table::judge`], once all rules are there.
    ///
    /// Static assets are one server whose reading is known: `/a`, `/a/`, `/a.html` and `/a/index.html` are one place to it.
    pub fn seal(&mut self, is_assets: bool) {
        let literals = self.nodes.iter().flat_map(|node| node.literals.keys());
        let texts = literals.map(|literal| Reading::mattering_to(literal) & ODDLY);
        let texts = texts.fold(Reading::default(), |all, more| all | more);
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
        self.lax = Some(Lax { texts, is_assets, has_pages });
    }

    /// Finds the rule that decides about a request.
    #[must_use]
    pub fn judge(&self, method: &str, path: &CanonicalPath<'_>, names: Names) -> Judged<'_> {
        let mut has_twin = false;
        let found = self.search(ROOT, path.as_str().strip_prefix('/'), method, &mut has_twin);
        let strict = self.rule_at(found);
        let used = match &self.lax {
            lax if path.has_encoded_slashes() && (lax.is_none() || !strict.encoded_slashes) => {
                Err(Rejection::AmbiguousPath)
            }
            Some(lax) if has_twin || lax.may_differ(path.as_str()) => {
                self.strictest(lax, strict, Asked { method, path, names })
            }
            _ => Ok(strict),
        };
        Judged { strict, used }
    }

    fn strictest<'a>(&'a self, lax: &Lax, strict: &'a Rule, asked: Asked<'_>) -> Result<&'a Rule, Rejection> {
        let path = asked.path.as_str();
        let ends = if lax.is_assets { Reading::LAST_SLASH | Reading::PAGES } else { Reading::LAST_SLASH };
        let has_slashes = asked.path.has_encoded_slashes();
        let within = if has_slashes { Reading::WITHIN } else { Reading::mattering_to(path) };
        let laxities = lax.texts | within | ends;
        let mut reached = vec![strict];
        let decodings: Vec<_> = asked.path.decodings().collect();
        // The first one is the path as it is written, by the strict reading.
        let readings =
            decodings.iter().flat_map(|text| laxities.subsets().map(move |reading| (reading, text)));
        for (reading, text) in readings.skip(1) {
            let rest = reading.of_path(text).map_err(|_| Rejection::AmbiguousPath)?;
            let place = Place { reading, method: asked.method };
            #[cfg(test)]
            SEARCHES.set(SEARCHES.get().saturating_add(1));
            let found = self.reach(&[ROOT], rest.as_deref(), place);
            let default = found.is_empty().then_some(&self.default);
            for rule in found.into_iter().map(|at| self.rule_at(Some(at))).chain(default) {
                if !reached.iter().any(|known| std::ptr::eq(*known, rule)) {
                    reached.push(rule);
                }
            }
        }
        let used = strictest_of(&reached, Names::Count)
            .or_else(|| strictest_of(&reached, Names::Ignored).filter(|_| asked.names == Names::Ignored))
            .ok_or(Rejection::AmbiguousPath)?;
        let is_askable = used.access != Access::Owner
            || (says_whose(used, strict, path) && (!has_slashes || std::ptr::eq(used, strict)));
        let is_taken = !has_slashes || used.encoded_slashes;
        if is_askable && is_taken { Ok(used) } else { Err(Rejection::AmbiguousPath) }
    }

    /// Finds the rules of the most specific place that a reading of a path leads to: all that are written for it.
    ///
    /// `set` are the nodes that the path has led to so far; `rest` is what follows the last slash that was read.
    fn reach(&self, set: &[usize], rest: Option<&str>, place: Place<'_>) -> Vec<usize> {
        let nodes = || set.iter().filter_map(|at| self.nodes.get(*at));
        let rules = |children: Vec<usize>| -> Vec<usize> {
            children.into_iter().filter_map(|at| self.nodes.get(at)?.rule_for(place.method)).collect()
        };
        let Some(rest) = rest else { return self.rules_of_place(set, place) };
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
        let literals: Vec<usize> = nodes().flat_map(|node| node.spelled(segment, place.reading)).collect();
        let parameters = || -> Vec<usize> {
            nodes().filter_map(|node| node.parameter.filter(|_| !segment.is_empty())).collect()
        };
        let mut found = Vec::new();
        if !literals.is_empty() {
            found = self.reach(&literals, after, place);
        }
        if found.is_empty() {
            let parameters = parameters();
            if !parameters.is_empty() {
                found = self.reach(&parameters, after, place);
            }
        }
        if found.is_empty() {
            found = rules(nodes().filter_map(|node| node.rest).collect());
        }
        found
    }

    /// Lists the rules of a place that a path has led to, up to a slash at its end.
    fn rules_of_place(&self, set: &[usize], Place { reading, method }: Place<'_>) -> Vec<usize> {
        let nodes = || set.iter().filter_map(|at| self.nodes.get(*at));
        let rule_of = |at: usize| self.nodes.get(at)?.rule_for(method);
        let mut found: Vec<usize> = nodes().filter_map(|node| node.rule_for(method)).collect();
        if reading.has(Reading::LAST_SLASH | Reading::PAGES) {
            found.extend(nodes().filter_map(|node| rule_of(node.slashed?)));
            if reading.has(Reading::PAGES) {
                found.extend(nodes().flat_map(|node| &node.pages).filter_map(|at| rule_of(*at)));
            }
            // `/a/{*rest}` covers `/a/`, and so `/a`, unless something is written for that.
            if found.is_empty() {
                found.extend(nodes().filter_map(|node| rule_of(node.bare?)));
            }
        }
        found
    }
}

/// A search for a request's rule.
#[derive(Clone, Copy)]
struct Asked<'a> {
    method: &'a str,
    path: &'a CanonicalPath<'a>,
    names: Names,
}

/// The reading and the method of a search.
#[derive(Clone, Copy)]
struct Place<'a> {
    reading: Reading,
    method: &'a str,
}

impl Lax {
    /// Tells whether some reading of a path differs from the strict one. The search itself finds one slash more at its end.
    fn may_differ(&self, path: &str) -> bool {
        if self.texts != Reading::default() {
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
    /// Lists the children whose literal is this segment by a reading, by which the segment was read already.
    pub(super) fn spelled(&self, segment: &str, reading: Reading) -> impl Iterator<Item = usize> {
        let same = self.literals.get(segment).copied();
        let others =
            if self.odd.is_empty() { None } else { self.odd.get(ODDLY.of_segment(segment).as_str()) };
        let others = others.into_iter().flatten().filter_map(move |odd| {
            (Some(odd.at) != same && reading.of_segment(&odd.literal) == segment).then_some(odd.at)
        });
        same.into_iter().chain(others.collect::<Vec<_>>())
    }
}

/// The rule among these that asks for at least as much as each of them, the first one where there are several.
fn strictest_of<'a>(rules: &[&'a Rule], names: Names) -> Option<&'a Rule> {
    rules.iter().copied().find(|rule| rules.iter().all(|other| rule.asks_at_least(other, names)))
}

/// Tells whether it is certain which segments name the thing whose owner is asked for. It is not if a server may skip a segment.
fn says_whose(used: &Rule, strict: &Rule, path: &str) -> bool {
    let is_left_out = |segment: &str| ODDLY.of_segment(segment).is_empty();
    let inner = path.trim_end_matches('/').split('/').skip(1);
    let has_parameters = used
        .path
        .split('/')
        .any(|part| part.starts_with('{') && !REST.iter().any(|rest| part.starts_with(rest)));
    !inner.into_iter().any(is_left_out) || (std::ptr::eq(used, strict) && !has_parameters)
}

#[cfg(test)]
thread_local! {
    /// How often a table was searched by another reading than the strict one.
    pub(super) static SEARCHES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

const REST: [&str; 2] = ["{*", "{+"];
