//! The scopes from which a browser can have sent a cookie.

use crate::http::{cookie::Scope, origin::host_of};

/// Lists the scopes from which a browser can have sent a cookie with a request, the widest first. Domains are
/// host-only, the host, and each parent domain of two or more labels. Each is combined with each ancestor of the path.
pub(super) fn scopes<'a>(authority: &'a str, path: &'a str) -> impl Iterator<Item = Scope> + 'a {
    let host = host_of(authority);
    let is_name = host.bytes().any(|b| b.is_ascii_alphabetic()) && !host.starts_with('[');
    let parents = host.match_indices('.').filter_map(|(at, _)| host.get(at.saturating_add(1)..));
    let domains: Vec<Option<&str>> = std::iter::once(None)
        .chain(
            std::iter::once(host)
                .chain(parents)
                .filter(move |domain| is_name && (domain.contains('.') || *domain == host))
                .map(Some),
        )
        .collect();
    let mut paths: Vec<&str> = ancestors(path).collect();
    let max_paths = MAX_SCOPES.checked_div(domains.len()).unwrap_or(1);
    if paths.len() > max_paths {
        // Drop the middle: planted cookies are usually close to the root or to the request's path.
        let end = paths.split_off(paths.len().saturating_sub(max_paths / 2));
        paths.truncate(max_paths.saturating_sub(end.len()));
        paths.extend(end);
    }
    paths.into_iter().flat_map(move |path| {
        let path = path.to_owned();
        domains
            .clone()
            .into_iter()
            .map(move |domain| Scope { domain: domain.map(str::to_owned), path: path.clone() })
    })
}

/// Lists `/`, then each ancestor without and with its slash, then the path itself (RFC 6265 §5.1.4).
pub(super) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let slashes = path.match_indices('/').map(|(at, _)| at);
    let inner = slashes.skip(1).flat_map(|at| [path.get(..at), path.get(..=at)]).flatten();
    std::iter::once("/")
        .chain(inner)
        .chain((path.len() > 1 && !path.ends_with('/')).then_some(path))
        .filter(|path| path.len() <= MAX_PATH && !path.contains(';'))
}

/// Maximum number of scopes that one answer cleans up.
pub(super) const MAX_SCOPES: usize = 40;

/// Maximum length of a path that is cleaned up, in bytes. All lines together must fit the header limits of proxies.
const MAX_PATH: usize = 256;
