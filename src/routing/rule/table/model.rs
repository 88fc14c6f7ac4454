//! Compares the table with a simple model, which tries every rule under every reading, segment by segment.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    requirements::{MEMBERS, requirements},
    *,
};
use crate::{
    http::problem::Rejection,
    routing::rule::{Access, Destination, Names},
};

/// A server, described by how it reads paths.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a relaxation of its own")]
pub(super) struct Server {
    folds_case: bool,
    decodes: bool,
    cuts: bool,
    merges: bool,
    end: End,
    /// Number of times that it decodes a path before it splits it.
    decodings: usize,
    /// Whether it cuts parameters off before these decodings.
    cuts_first: bool,
    /// Whether it ends the path at a decoded `?` or `#`.
    ends_at_query: bool,
    /// Whether it drops dots and spaces at the end of segments.
    drops_dots: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    Counts,
    SlashIgnored,
    Pages,
}

/// A part of a pattern or of a path. `Nothing` stands for the empty end that `{*name}` covers.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Any,
    More,
    Nothing,
}

impl Server {
    pub(super) const STRICT: Self = Self {
        folds_case: false,
        decodes: false,
        cuts: false,
        merges: false,
        end: End::Counts,
        decodings: 0,
        cuts_first: false,
        ends_at_query: false,
        drops_dots: false,
    };

    fn all(is_assets: bool) -> Vec<Self> {
        let bits = [false, true];
        let mut all = Vec::new();
        for end in [End::Counts, End::SlashIgnored, End::Pages] {
            for folds_case in bits {
                for decodes in bits {
                    for cuts in bits {
                        for merges in bits {
                            let server = Self { folds_case, decodes, cuts, merges, end, ..Self::STRICT };
                            all.push(server);
                        }
                    }
                }
            }
        }
        let all = all.into_iter();
        let all = all.flat_map(|server| bits.map(|ends_at_query| Self { ends_at_query, ..server }));
        let mut all: Vec<Self> =
            all.flat_map(|server| bits.map(|drops_dots| Self { drops_dots, ..server })).collect();
        all.retain(|server| is_assets || server.end != End::Pages);
        all
    }

    /// Lists the servers, each with 0 to 3 decodings of the whole path.
    pub(super) fn of_slashes(is_assets: bool) -> Vec<Self> {
        let all = Self::all(is_assets).into_iter();
        all.flat_map(|server| (0..=3).map(move |decodings| Self { decodings, ..server })).collect()
    }

    pub(super) fn cutting_first(self) -> Self {
        Self { cuts_first: true, ..self }
    }

    fn segment(self, text: &str) -> String {
        let mut read = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let escaped = self.decodes.then(|| rest.strip_prefix('%')).flatten();
            let code = escaped.and_then(|rest| u8::from_str_radix(rest.get(..2)?, 16).ok());
            let (character, length) = code.map_or((first, 1), |code| (char::from(code), 3));
            if self.cuts && character == ';' {
                break;
            }
            read.push(if self.folds_case { character.to_ascii_lowercase() } else { character });
            rest = &rest[length..];
        }
        while self.drops_dots && read.ends_with(['.', ' ']) {
            read.pop();
        }
        read
    }

    /// Removes parts at the end that do not change the page: an empty part, `index.html`, `.html`.
    fn end_of(self, mut parts: Vec<Part>) -> Vec<Part> {
        loop {
            match (self.end, parts.last()) {
                (End::SlashIgnored | End::Pages, Some(Part::Text(text))) if text.is_empty() => {
                    parts.pop();
                }
                (End::Pages, Some(Part::Text(text))) if text == "index" || text == "index.html" => {
                    parts.pop();
                }
                (End::Pages, Some(Part::Text(text))) if text.strip_suffix(".html").is_some() => {
                    let text = text.trim_end_matches(".html").to_owned();
                    parts.pop();
                    parts.push(Part::Text(text));
                }
                _ => return parts,
            }
        }
    }

    fn path(self, path: &str) -> Vec<Part> {
        let cut: Vec<&str> = path.split('/').map(|part| part.split(';').next().unwrap_or_default()).collect();
        let mut path = if self.cuts_first { cut.join("/") } else { path.to_owned() };
        let decoder = Self { decodes: true, folds_case: false, cuts: false, drops_dots: false, ..self };
        for _ in 0..self.decodings {
            path = decoder.segment(&path);
        }
        // The decodings above may have produced a bare `?`.
        let marks = ["%3F", "%23", "?", "#"];
        let cuts = |(at, _): &(usize, char)| marks.iter().any(|mark| path[*at..].starts_with(mark));
        let end = path.char_indices().find(cuts).filter(|_| self.decodes && self.ends_at_query);
        let path = &path[..end.map_or(path.len(), |(at, _)| at)];
        let segments: Vec<String> = path[1..].split('/').map(|segment| self.segment(segment)).collect();
        let last = segments.iter().enumerate().next_back().map_or(0, |(at, _)| at);
        let kept = segments.into_iter().enumerate();
        let kept = kept.filter(|(at, text)| !(self.merges && text.is_empty() && *at != last));
        self.end_of(kept.map(|(_, text)| Part::Text(text)).collect())
    }

    /// Reads a pattern as this server does. `{*name}` gives two results, because its end may be empty.
    fn patterns(self, pattern: &str) -> Vec<Vec<Part>> {
        let part = |part: &str| match part {
            part if part.starts_with("{*") || part.starts_with("{+") => Part::More,
            part if part.starts_with('{') => Part::Any,
            part => Part::Text(self.segment(part)),
        };
        let parts: Vec<Part> = pattern[1..].split('/').map(part).collect();
        let mut all = Vec::new();
        if pattern.contains("{*") {
            let mut covered = parts.split_last().map(|(_, before)| before.to_vec()).unwrap_or_default();
            covered.push(Part::Nothing);
            all.push(covered);
        }
        all.push(self.end_of(parts));
        all
    }

    /// Returns how specific a pattern is for a path that it matches. A lower rank is more specific.
    fn rank(self, pattern: &[Part], path: &[Part]) -> Option<Vec<u8>> {
        let mut rank = Vec::new();
        for (at, part) in pattern.iter().enumerate() {
            let rest = path.get(at..).unwrap_or_default();
            match (part, rest) {
                (Part::More, [Part::Text(text), more @ ..]) if !text.is_empty() || !more.is_empty() => {
                    rank.push(2);
                    return Some(rank);
                }
                // A slash and nothing after it. For a server that ignores the slash: nothing.
                (Part::Nothing, [Part::Text(text)]) if self.end == End::Counts && text.is_empty() => {
                    rank.push(1);
                    return Some(rank);
                }
                (Part::Nothing, []) if self.end != End::Counts => {
                    rank.push(9);
                    return Some(rank);
                }
                (Part::Any, [Part::Text(text), ..]) if !text.is_empty() => rank.push(1),
                (Part::Text(wanted), [Part::Text(text), ..]) if wanted == text => rank.push(0),
                _ => return None,
            }
        }
        (pattern.len() == path.len()).then_some(rank)
    }

    /// Returns the rules that this server finds for a path.
    pub(super) fn rules<'a>(self, rules: &'a [Rule], method: &str, path: &str) -> Vec<&'a Rule> {
        let path = self.path(path);
        let mut found: Vec<(Vec<u8>, &Rule)> = Vec::new();
        for rule in rules {
            for pattern in self.patterns(&rule.path) {
                let is_covered = pattern.last() == Some(&Part::Nothing);
                // Only the method decides between rules with the same pattern.
                let of_pattern: Vec<&Rule> = rules
                    .iter()
                    .filter(|other| shape(other) == shape(rule) && !(is_covered && other.path.contains("{+")))
                    .collect();
                let named = |name: &str| {
                    of_pattern.iter().find(|rule| rule.methods.iter().any(|method| method == name)).copied()
                };
                let any = || of_pattern.iter().find(|rule| rule.methods.is_empty()).copied();
                let as_get = || if method == "HEAD" { named("GET") } else { None };
                let wanted = named(method).or_else(as_get).or_else(any);
                if wanted.is_some_and(|wanted| std::ptr::eq(wanted, rule)) {
                    found.extend(self.rank(&pattern, &path).map(|rank| (rank, rule)));
                }
            }
        }
        let best = found.iter().map(|(rank, _)| rank.clone()).min();
        found.into_iter().filter(|(rank, _)| Some(rank) == best.as_ref()).map(|(_, rule)| rule).collect()
    }
}

/// Returns a pattern without its parameter names.
fn shape(rule: &Rule) -> String {
    let part = |part: &str| match part {
        part if part.starts_with("{*") || part.starts_with("{+") => "{*}".to_owned(),
        part if part.starts_with('{') => "{}".to_owned(),
        part => part.to_owned(),
    };
    rule.path.split('/').map(part).collect::<Vec<_>>().join("/")
}

const LITERALS: &[&str] =
    &["a", "A", "b", "b!", "b%2C", "a;v", "a.", "b%3F", "p.html", "index.html", "index", "{x}", "{x}"];

const ENDS: &[&str] = &["", "", "/", "/{*r}", "/{+r}"];

const METHODS: &[&[&str]] = &[&[], &[], &["GET"], &["POST"], &["GET", "POST"]];

pub(super) const SEGMENTS: &[&str] = &[
    "a",
    "a",
    "A",
    "b",
    "B",
    "b!",
    "b%21",
    "b%2C",
    "b,",
    "a;v",
    "a;w",
    "a%3Bw",
    "",
    ";",
    ";q",
    "%3Bq",
    "a.",
    "A%20.",
    "b%20;q",
    "b%3F",
    "a%23c",
    "%3Fq",
    "%20",
    "...",
    "p",
    "P",
    "p.html",
    "index.html",
    "index",
    "c",
];

pub(super) fn any_rule() -> impl Strategy<Value = Rule> {
    (vec(select(LITERALS), 0..3), select(ENDS), select(METHODS), vec(select(MEMBERS), 0..3)).prop_map(
        |(parts, end, methods, members)| {
            let path: String = parts.iter().flat_map(|part| ["/", part]).chain([end]).collect();
            let path = if path.is_empty() { "/{*r}" } else { &path };
            let mut rule = Rule::new(path, Access::Public, Destination::Upstream);
            rule.methods = methods.iter().map(|method| (*method).to_owned()).collect();
            for change in members {
                change(&mut rule);
            }
            rule
        },
    )
}

fn any_path() -> impl Strategy<Value = String> {
    (vec(select(SEGMENTS), 1..5), any::<bool>()).prop_map(|(segments, has_slash)| {
        let path: String = segments.iter().flat_map(|segment| ["/", segment]).collect();
        if has_slash { path + "/" } else { path }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Compares the table with all servers. No spelling of a path gets less protection than any server's reading
    /// requires. No request is rejected if one of its rules covers all others. A path with only one reading gets its
    /// own rule.
    #[test]
    fn no_reading_of_a_path_evades_a_requirement(
        rules in vec(any_rule(), 1..8),
        paths in vec(any_path(), 1..6),
        method in select(&["GET", "HEAD", "POST", "DELETE"][..]),
        is_assets in any::<bool>(),
    ) {
        let mut table = Table::new(Rule::new("(no rule)", Access::Authenticated, Destination::Upstream));
        for rule in rules {
            let _ = table.add(rule); // A rule that ties is not added.
        }
        table.seal(is_assets);
        for text in paths {
            let path = CanonicalPath::parse(&text).expect("canonical");
            let RuleMatch { as_written: strict, deciding: used, .. } = table.match_request(method, &path, Names::Ignored);
            let mut reached: Vec<&Rule> = Vec::new();
            // If a relaxation does not apply to any text, a server with it reads like one without it. Skips those.
            let texts = || table.rules.iter().map(|rule| rule.path.as_str()).chain([text.as_str()]);
            let has_dots = texts().any(|text| text.contains('.') || text.contains("%20"));
            let has_query = text.contains("%3F") || text.contains("%23");
            let servers = Server::all(is_assets).into_iter().filter(|server| {
                (has_dots || !server.drops_dots) && (has_query || !server.ends_at_query)
            });
            for server in servers {
                let found = server.rules(&table.rules, method, path.as_str());
                reached.extend(if found.is_empty() { vec![&table.default] } else { found });
            }
            let own = Server::STRICT.rules(&table.rules, method, path.as_str());
            prop_assert!(std::ptr::eq(strict, *own.first().unwrap_or(&&table.default)), "{text}: {strict:?}");
            let is_strictest = |rule: &&&Rule| reached.iter().all(|other| rule.is_at_least_as_strict_as(other, Names::Ignored));
            let has_strictest = reached.iter().any(|rule| is_strictest(&rule));
            prop_assert_eq!(used.is_ok(), has_strictest, "{} {:?}", text, reached);
            let Ok(used) = used else {
                prop_assert_eq!(used.err(), Some(Rejection::AmbiguousPath));
                continue;
            };
            for other in &reached {
                prop_assert!(requirements(used).is_superset(&requirements(other)), "{text}: {used:?} beside {other:?}");
                prop_assert_eq!(used.webhook, other.webhook);
                prop_assert_eq!(used.destination, other.destination);
            }
            if is_strictest(&&strict) {
                prop_assert!(std::ptr::eq(used, strict), "{text}: {used:?} for {strict:?}");
            }
        }
    }
}
