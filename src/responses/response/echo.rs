//! Redirects that repeat a host from the client's own path.

use crate::http::path::fold;

/// Checks whether a `Location` sends the browser to a host from the client's own path. Some servers do so when they
/// redirect to the same path with or without a trailing slash, without their mount point, or without `;parameters`:
/// `/app//host` then becomes `//host/`.
pub(super) fn is_echo(path: &str, location: &str) -> bool {
    let is_slash = |letter: char| matches!(letter, '/' | '\\');
    // Browsers remove this white space.
    let location: String = location.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
    let rest = location.trim_start_matches(is_slash);
    if location.len().saturating_sub(rest.len()) < 2 {
        return false;
    }
    let end = rest.find(|letter| is_slash(letter) || matches!(letter, '?' | '#')).unwrap_or(rest.len());
    let host = fold(rest.get(..end).unwrap_or_default());
    path.starts_with("//") || hosts_in(path).any(|found| found == host)
}

/// Returns all segments of a path that some server may read as a host: those after a run of slashes, in any decoding,
/// and after segments that some servers read as empty.
fn hosts_in(path: &str) -> impl Iterator<Item = String> {
    let decode = |text: &String| {
        let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        (decoded != *text).then_some(decoded)
    };
    let readings = std::iter::successors(Some(path.to_owned()), decode).take(DECODINGS);
    readings.flat_map(|text| {
        let segments: Vec<String> = text.split('/').skip(1).map(fold).collect();
        let hosts = segments.windows(2).filter_map(|pair| match pair {
            [empty, host] if empty.is_empty() => Some(host.clone()),
            _ => None,
        });
        hosts.collect::<Vec<_>>()
    })
}

/// The path as received, and up to three decodings: as many as for any path.
const DECODINGS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detects_hosts_from_the_clients_path() {
        for (path, location) in [
            ("//evil.example", "//evil.example/"),
            ("//evil.example/x", "/\\evil.example/x/"),
            ("//other", "//evil.example/"),
            ("/app//evil.example/x", "//evil.example/x/"),
            ("/app///evil.example", "///evil.example/"),
            ("/app//Evil.Example:81/x", "\\\\evil.example:81/x/"),
            ("/app//evil.example;v=1", "//evil.example/"),
            ("/;x/evil.example", "//evil.example/"),
            ("/app/;/evil.example", "//evil.example"),
            ("/%20/evil.example", "//evil.example/"),
            ("/app/%3Bx/evil.example", "//evil.example?a"),
            ("/app/%2Fevil.example/x", "//evil.example/x/"),
            ("/app/%252fevil.example/x", "//evil.example/x/"),
            ("/app//u:p@evil.example", "//u:p@evil.example/"),
            ("/app//evil%2Eexample", "//evil.example/"),
            ("/app//evil.example", "//evil%2eexample/"),
            ("/app//evil.example", "\t/ /evil.example/"),
            ("/app//", "//"),
        ] {
            assert!(is_echo(path, location), "{path} {location}");
        }
        for (path, location) in [
            ("/app//evil.example/x", "/evil.example/x/"),
            ("/app//evil.example/x", "https://evil.example/"),
            ("/app//other/x", "//cdn.example/x"),
            ("/evil.example/x", "//evil.example/x"),
            ("/p/https://a.example/x", "//cdn.example/x"),
            ("/moved//x", "/moved//x/"),
            ("/", ""),
        ] {
            assert!(!is_echo(path, location), "{path} {location}");
        }
    }
}
