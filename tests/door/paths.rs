//! Which rule decides a request: every server that `docs/configuration.md` describes reads the path and the patterns,
//! and looks for its rule from top to bottom.

use std::fmt::Write as _;

use super::rules::{Access, Place, Rule};

/// A server, by the differences between paths that it ignores.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a difference of its own")]
struct Server {
    ignores_case: bool,
    decodes: bool,
    cuts_parameters: bool,
    ignores_last_slash: bool,
    merges_slashes: bool,
    drops_dots: bool,
    ends_at_query: bool,
    /// How often it decodes the whole path before it splits it.
    decodings: usize,
}

/// The rules that are found for a request.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The rules that may decide; none: 400 `ambiguous_path`. Several have the same requirements.
    pub(crate) deciding: Vec<Rule>,
    /// All rules that some server finds.
    pub(crate) all: Vec<Rule>,
    /// The canonical path.
    pub(crate) path: String,
}

impl Server {
    /// Returns all servers, except those that ignore a difference that no path or pattern can have.
    fn all(decodings: usize, texts: &str) -> Vec<Self> {
        let has = |marks: &[char]| texts.contains(marks) || texts.contains('%');
        let matters = [
            texts.contains(|it: char| it.is_uppercase()) || has(&[]),
            has(&[]),
            has(&[';']),
            true,
            texts.contains("//") || has(&[';']),
            has(&['.']),
            has(&[]),
        ];
        let mut all = Vec::new();
        for bits in 0_u32..128 {
            let is = |at: usize| bits & (1 << at) != 0;
            if matters.iter().enumerate().any(|(at, matters)| is(at) && !matters) {
                continue;
            }
            for decodings in 0..=decodings {
                all.push(Self {
                    ignores_case: is(0),
                    decodes: is(1),
                    cuts_parameters: is(2),
                    ignores_last_slash: is(3),
                    merges_slashes: is(4),
                    drops_dots: is(5),
                    ends_at_query: is(6),
                    decodings,
                });
            }
        }
        all
    }

    fn segment(&self, text: &str) -> String {
        let mut text = if self.decodes { decoded(text) } else { text.to_owned() };
        if self.cuts_parameters {
            text = text.split(';').next().unwrap_or_default().to_owned();
        }
        if self.ignores_case {
            text = text.to_lowercase();
        }
        if self.drops_dots {
            text = text.trim_end_matches(['.', ' ']).to_owned();
        }
        text
    }

    /// Reads a path, or a pattern.
    fn segments(&self, path: &str, is_pattern: bool) -> Vec<String> {
        let mut text = path.to_owned();
        if !is_pattern {
            for _ in 0..self.decodings {
                text = decoded(&text);
            }
            if self.ends_at_query && self.decodes {
                let end = ["%3F", "%23", "?", "#"].iter().filter_map(|mark| text.find(mark)).min();
                text.truncate(end.unwrap_or(text.len()));
            }
        }
        let parts: Vec<&str> = text.strip_prefix('/').unwrap_or(&text).split('/').collect();
        let read = |part: &&str| if part.starts_with('{') { (*part).to_owned() } else { self.segment(part) };
        let mut segments: Vec<String> = parts.iter().map(read).collect();
        if self.merges_slashes {
            let last = segments.pop().unwrap_or_default();
            segments.retain(|segment| !segment.is_empty());
            segments.push(last);
        }
        while self.ignores_last_slash && segments.last().is_some_and(String::is_empty) {
            segments.pop();
        }
        segments
    }

    /// Returns how specific a pattern is for a path that it matches; the lowest is the most specific.
    fn rank(&self, pattern: &str, path: &[String]) -> Option<Vec<u8>> {
        let pattern = self.segments(pattern, true);
        let mut rank = Vec::new();
        for (at, part) in pattern.iter().enumerate() {
            let rest = path.get(at..).unwrap_or_default();
            let is_something = rest.len() > 1 || rest.first().is_some_and(|first| !first.is_empty());
            if part.starts_with("{*") {
                // Without the slash, only for a server that ignores it.
                rank.push(if is_something { 2 } else { 3 });
                return (!rest.is_empty() || self.ignores_last_slash).then_some(rank);
            }
            if part.starts_with("{+") {
                rank.push(2);
                return is_something.then_some(rank);
            }
            let segment = rest.first()?;
            if part.starts_with('{') {
                rank.push(1);
                if segment.is_empty() {
                    return None;
                }
            } else {
                rank.push(0);
                if segment != part {
                    return None;
                }
            }
        }
        (pattern.len() == path.len()).then_some(rank)
    }

    /// Returns the rules that this server finds: several if it cannot tell their patterns apart.
    fn rules<'a>(&self, accepting: &[&'a Rule], method: &str, path: &str) -> Vec<&'a Rule> {
        let path = self.segments(path, false);
        let matching: Vec<(Vec<u8>, &Rule)> =
            accepting.iter().filter_map(|rule| Some((self.rank(&rule.path, &path)?, *rule))).collect();
        let Some(best) = matching.iter().map(|(rank, _)| rank.clone()).min() else { return Vec::new() };
        let best: Vec<&Rule> =
            matching.into_iter().filter(|(rank, _)| *rank == best).map(|(_, rule)| rule).collect();
        // For the same pattern, a rule that names the method goes first.
        let goes_first = |rule: &&Rule| {
            let mut same = best.iter().filter(|other| shape(&other.path) == shape(&rule.path));
            same.all(|other| exactness(other, method) <= exactness(rule, method))
        };
        best.iter().copied().filter(goes_first).collect()
    }
}

/// Returns how exactly a rule names a method; 0: it is not for this method.
fn exactness(rule: &Rule, method: &str) -> u8 {
    match () {
        () if rule.methods.contains(&method) => 3,
        () if method == "HEAD" && rule.methods.contains(&"GET") => 2,
        () if rule.methods.is_empty() => 1,
        () => 0,
    }
}

/// Returns a pattern without the names of its parameters.
fn shape(pattern: &str) -> String {
    let part = |part: &str| match part.get(..2) {
        Some("{*" | "{+") => "{*}".to_owned(),
        Some(first) if first.starts_with('{') => "{}".to_owned(),
        _ => part.to_owned(),
    };
    pattern.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// Decodes each escape of a path once.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Brings a path into its canonical form: escaped letters, digits and `-._~` are decoded, other escapes are in upper
/// case. `None`: it has a dot segment, a backslash, a control character, or an escape that is invalid.
fn canonical(path: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        if first != '%' {
            out.push(first);
            rest = rest.get(first.len_utf8()..)?;
            continue;
        }
        let byte = u8::from_str_radix(rest.get(1..3)?, 16).ok()?;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a string");
        }
        rest = rest.get(3..)?;
    }
    // Before and after each decoding.
    let mut form = out.clone();
    for _ in 0..4 {
        let bare =
            |segment: &str| segment.split(';').next().unwrap_or_default().trim_end_matches(' ').to_owned();
        let is_dots = |segment: &str| matches!(bare(segment).as_str(), "." | "..");
        let (inner, _) = form.rsplit_once('/').unwrap_or_default();
        let is_nothing = |segment: &str| segment.contains(';') && bare(segment).is_empty();
        if form.split('/').any(is_dots)
            || inner.split('/').any(is_nothing)
            || form.contains(|it: char| it == '\\' || it.is_control())
        {
            return None;
        }
        form = decoded(&form);
    }
    Some(out)
}

/// Returns the rules for a request, and which of them decides.
pub(crate) fn find(rules: &[Rule], method: &str, path: &str) -> Option<Found> {
    let path = canonical(path)?;
    let has_slashes = path.contains("%2F") || path.contains("%25");
    let no_rule = Rule::new("(no rule)", Access::Authenticated);
    let strict = Server {
        ignores_case: false,
        decodes: false,
        cuts_parameters: false,
        ignores_last_slash: false,
        merges_slashes: false,
        drops_dots: false,
        ends_at_query: false,
        decodings: 0,
    };
    let accepting: Vec<&Rule> = rules.iter().filter(|rule| exactness(rule, method) > 0).collect();
    let found = |server: &Server| {
        let found = server.rules(&accepting, method, &path);
        if found.is_empty() { vec![&no_rule] } else { found }
    };
    let as_written = found(&strict).remove(0).clone();
    let texts: Vec<&str> = accepting.iter().map(|rule| rule.path.as_str()).chain([path.as_str()]).collect();
    let mut all: Vec<Rule> = Vec::new();
    for server in Server::all(if has_slashes { 3 } else { 0 }, &texts.join("\n")) {
        for rule in found(&server) {
            if !all.contains(rule) {
                all.push(rule.clone());
            }
        }
    }
    // Of several that require as much, one with the operation goes first.
    let requiring_most = |names: bool| -> Vec<Rule> {
        let requires_most = |rule: &&Rule| all.iter().all(|other| rule.requires_at_least(other, names));
        all.iter().filter(requires_most).cloned().collect()
    };
    let mut deciding = requiring_most(true);
    if deciding.is_empty() {
        deciding = requiring_most(false);
    }
    if deciding.contains(&as_written) {
        deciding = vec![as_written.clone()];
    }
    deciding.retain(|rule| !has_slashes || rule.encoded_slashes && as_written.encoded_slashes);
    deciding.retain(|rule| !is_owner_uncertain(rule, &as_written, &path));
    if all.iter().any(|rule| rule.place != Place::Upstream) && all.len() > 1 {
        deciding.clear();
    }
    Some(Found { deciding, all, path })
}

/// Returns whether some server may read the id for the ownership lookup from another segment.
fn is_owner_uncertain(rule: &Rule, as_written: &Rule, path: &str) -> bool {
    let has_name = |part: &str| part.starts_with('{') && !part.starts_with("{*") && !part.starts_with("{+");
    let has_parameters = rule.path.split('/').any(has_name);
    let is_empty = |segment: &str| {
        let read = decoded(segment);
        read.split(';').next().unwrap_or_default().trim_end_matches(['.', ' ']).is_empty()
    };
    let has_empty = path.trim_end_matches('/').split('/').skip(1).any(is_empty);
    rule.access == Access::Owner && has_empty && (has_parameters || rule != as_written)
}
