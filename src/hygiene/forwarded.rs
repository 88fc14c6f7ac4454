//! A client's request as it goes to upstream.

use super::is_reserved;
use crate::{
    context::{Headers, Request},
    sorting::sorted,
};

/// A client's request without the headers that do not pass. Made once for each request: what is sent, what a
/// fingerprint covers and what a person approves are all read from it, so that none of them can differ.
///
/// Credentials are no part of what a request says. [`crate::forward`] decides about the session's cookie and
/// `Authorization` by itself.
#[derive(Clone, Debug)]
pub struct ForwardedRequest<'a> {
    /// The request as it came.
    pub request: &'a Request<'a>,
    /// Which of its headers do not pass, by their position, in order.
    removed: Vec<usize>,
}

impl<'a> ForwardedRequest<'a> {
    /// Finds out which headers do not pass: one pass over all of them.
    #[must_use]
    pub fn of(request: &'a Request<'a>) -> Self {
        let nominated = Nominated::by(&request.headers);
        let removed = request.headers.iter().enumerate();
        let removed = removed.filter(|(_, (name, _))| is_reserved(name) || nominated.has(name));
        Self { request, removed: removed.map(|(at, _)| at).collect() }
    }

    /// Iterates over the names and values that pass.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> + '_ {
        let mut removed = self.removed.iter().peekable();
        let all = self.request.headers.iter().enumerate();
        all.filter(move |(at, _)| removed.next_if_eq(&at).is_none()).map(|(_, field)| field)
    }

    /// Finds a value that passes, by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// Returns the number of headers that do not pass.
    #[must_use]
    pub fn removed_count(&self) -> usize {
        self.removed.len()
    }

    /// Iterates over the names that do not pass.
    pub fn removed(&self) -> impl Iterator<Item = &'a str> + '_ {
        let mut removed = self.removed.iter().peekable();
        let all = self.request.headers.iter().enumerate();
        all.filter(move |(at, _)| removed.next_if_eq(&at).is_some()).map(|(_, (name, _))| name)
    }
}

/// The names that `Connection` nominates, sorted: found in no more steps than their number has binary digits, whatever
/// names a client chooses.
struct Nominated(Vec<String>);

impl Nominated {
    fn by(headers: &Headers<'_>) -> Self {
        let options = headers.value("connection").unwrap_or_default().split(',').map(str::trim);
        let names: Vec<String> =
            options.filter(|option| !option.is_empty()).map(str::to_ascii_lowercase).collect();
        Self(sorted(names))
    }

    fn has(&self, name: &str) -> bool {
        !self.0.is_empty()
            // These are read by us or by the platform.
            && !matches!(name, "upgrade" | "connection" | "cookie" | "host")
            && self.0.binary_search_by(|found| found.as_str().cmp(name)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes() {
        let account = "POST\nhttps://a.example/\nconnection\nclose, X-Secret-Hop ,, upgrade,\tcontent-type\n\
                       x-secret-hop\n1\nx-user-id\nadmin\nupgrade\nwebsocket\naccept\n*/*\ncontent-type\ntext/plain\n\
                       content_type\ntext/html";
        let request = Request::read(account).expect("an account");
        let forwarded = ForwardedRequest::of(&request);
        let removed: Vec<_> = forwarded.removed().collect();
        assert_eq!(removed, ["x-secret-hop", "x-user-id", "content-type", "content_type"]);
        let passed: Vec<_> = forwarded.headers().map(|(name, _)| name).collect();
        assert_eq!(passed, ["connection", "upgrade", "accept"]);
        assert_eq!(forwarded.header("content-type"), None);
        assert_eq!(forwarded.header("accept"), Some("*/*"));
    }

    #[test]
    fn most_requests_pass_whole() {
        let request = Request::read("GET\nhttps://a.example/\naccept\n*/*\ncookie\na=1").expect("an account");
        let forwarded = ForwardedRequest::of(&request);
        assert_eq!(forwarded.removed().count(), 0);
        assert!(forwarded.headers().eq(request.headers.iter()));
    }
}
