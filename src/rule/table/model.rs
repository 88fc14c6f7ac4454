//! Compares the table with a plain model, which tries every rule under every reading, segment by segment.

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::{
    problem::Rejection,
    rule::{Access, Audit, Confirm, Csrf, Destination, Endpoint, Names, Redirects},
};

/// How a server reads paths.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a laxity of its own")]
pub(super) struct Server {
    folds_case: bool,
    decodes: bool,
    cuts: bool,
    merges: bool,
    end: End,
    /// How often it decodes a path before it splits it.
    decodings: usize,
    /// Whether it has cut parameters off even before that.
    cuts_first: bool,
    /// Whether it takes a decoded `?` or `#` for the path's end.
    ends_at_query: bool,
    /// Whether it drops dots and spaces from the end of segments.
    drops_dots: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    Counts,
    SlashIgnored,
    Pages,
}

/// One part of a pattern, or the end of a path as its pattern has it.
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

    /// Those that decode whole paths too.
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

    /// Takes off what only spells the end.
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
        // A bare `?` was decoded just now.
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

    /// What a pattern is to this server: several, where its end may be nothing.
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

    /// How specific a pattern is for a path that it fits: less is more.
    fn rank(self, pattern: &[Part], path: &[Part]) -> Option<Vec<u8>> {
        let mut rank = Vec::new();
        for (at, part) in pattern.iter().enumerate() {
            let rest = path.get(at..).unwrap_or_default();
            match (part, rest) {
                (Part::More, [Part::Text(text), more @ ..]) if !text.is_empty() || !more.is_empty() => {
                    rank.push(2);
                    return Some(rank);
                }
                // A slash and nothing more; or nothing, to a server that ignores the slash.
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

    /// The rules that this server's paths are under.
    pub(super) fn rules<'a>(self, rules: &'a [Rule], method: &str, path: &str) -> Vec<&'a Rule> {
        let path = self.path(path);
        let mut found: Vec<(Vec<u8>, &Rule)> = Vec::new();
        for rule in rules {
            for pattern in self.patterns(&rule.path) {
                let is_covered = pattern.last() == Some(&Part::Nothing);
                // Rules for one pattern are told apart by the method.
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

/// A pattern without its names.
fn shape(rule: &Rule) -> String {
    let part = |part: &str| match part {
        part if part.starts_with("{*") || part.starts_with("{+") => "{*}".to_owned(),
        part if part.starts_with('{') => "{}".to_owned(),
        part => part.to_owned(),
    };
    rule.path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// What a rule asks of a client, as a set of words: a rule that lacks a word of another one asks for less.
pub(super) fn asked(rule: &Rule) -> BTreeSet<String> {
    let who = ["nobody", "agent", "user's machine", "user", "admin's machine", "admin"];
    let lets_in: &[&str] = match rule.access {
        Access::Public | Access::Optional => &who,
        Access::Authenticated => &who[1..],
        Access::User => &who[2..],
        Access::Human => &["user", "admin"],
        Access::Agent => &["agent"],
        Access::Admin => &["admin's machine", "admin"],
        _ => &["admin"],
    };
    let mut asked: BTreeSet<String> =
        who.iter().filter(|who| !lets_in.contains(who)).map(|who| format!("not {who}")).collect();
    asked.extend(rule.limit.map(|limit| format!("limit {limit}")));
    asked.extend(rule.feature.as_ref().map(|feature| format!("feature {feature}")));
    asked.extend(rule.webhook.map(|webhook| format!("webhook {webhook}")));
    let marks = [
        (rule.confirm == Confirm::Human, "confirm"),
        (rule.audit >= Audit::BestEffort, "row"),
        (rule.audit == Audit::Required, "row before"),
        (rule.csrf >= Csrf::Standard, "csrf"),
        (rule.csrf == Csrf::Strict, "strict csrf"),
        (rule.redirects == Redirects::Strict, "held"),
        (rule.destination == Destination::Endpoint(Endpoint::InternalOnly), "inward"),
    ];
    asked.extend(marks.iter().filter(|(is_so, _)| *is_so).map(|(_, what)| (*what).to_owned()));
    asked
}

const MEMBERS: &[fn(&mut Rule)] = &[
    |_| {},
    |rule| rule.access = Access::Public,
    |rule| rule.access = Access::Authenticated,
    |rule| rule.access = Access::User,
    |rule| rule.access = Access::Human,
    |rule| rule.access = Access::Agent,
    |rule| rule.access = Access::Admin,
    |rule| rule.limit = Some(0),
    |rule| rule.limit = Some(1),
    |rule| rule.feature = Some("f".into()),
    |rule| rule.confirm = Confirm::Human,
    |rule| rule.audit = Audit::BestEffort,
    |rule| rule.audit = Audit::Required,
    |rule| rule.csrf = Csrf::Strict,
    |rule| rule.csrf = Csrf::InsecureSkip,
    |rule| rule.redirects = Redirects::Strict,
    |rule| rule.webhook = Some(0),
    |rule| rule.destination = Destination::Endpoint(Endpoint::InternalOnly),
];

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

pub(super) fn a_rule() -> impl Strategy<Value = Rule> {
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

fn a_path() -> impl Strategy<Value = String> {
    (vec(select(SEGMENTS), 1..5), any::<bool>()).prop_map(|(segments, has_slash)| {
        let path: String = segments.iter().flat_map(|segment| ["/", segment]).collect();
        if has_slash { path + "/" } else { path }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// No spelling of a path gets less protection than any server's reading of it asks for; no request is refused where one of
    /// its rules asks for all that the others do; and a path that everybody reads alike is under its own rule.
    #[test]
    fn every_reading_of_a_path_is_asked_for(
        rules in vec(a_rule(), 1..8),
        paths in vec(a_path(), 1..6),
        method in select(&["GET", "HEAD", "POST", "DELETE"][..]),
        is_assets in any::<bool>(),
    ) {
        let mut table = Table::new(Rule::new("(no rule)", Access::Authenticated, Destination::Upstream));
        for rule in rules {
            let _ = table.add(rule); // A tie is not.
        }
        table.seal(is_assets);
        for text in paths {
            let path = CanonicalPath::judge(&text).expect("canonical");
            let Judged { strict, used } = table.judge(method, &path, Names::Ignored);
            let mut reached: Vec<&Rule> = Vec::new();
            // Others read as those do that lack the laxity: it has nothing to work on.
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
            let is_all = |rule: &&&Rule| reached.iter().all(|other| rule.asks_at_least(other, Names::Ignored));
            let has_strictest = reached.iter().any(|rule| is_all(&rule));
            prop_assert_eq!(used.is_ok(), has_strictest, "{} {:?}", text, reached);
            let Ok(used) = used else {
                prop_assert_eq!(used.err(), Some(Rejection::AmbiguousPath));
                continue;
            };
            for other in &reached {
                prop_assert!(asked(used).is_superset(&asked(other)), "{text}: {used:?} beside {other:?}");
                prop_assert_eq!(used.webhook, other.webhook);
                prop_assert_eq!(used.destination, other.destination);
            }
            if is_all(&&strict) {
                prop_assert!(std::ptr::eq(used, strict), "{text}: {used:?} for {strict:?}");
            }
        }
    }
}
