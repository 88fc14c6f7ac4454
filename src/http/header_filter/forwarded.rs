//! A client's request as it is forwarded to upstream.

use super::is_reserved;
use crate::{
    base::sorting::sorted,
    http::request::{Headers, Request},
};

/// A client's request without the headers that are not forwarded. It is made once per request. Forwarding, the
/// fingerprint and the approval all read it, so that they cannot differ.
///
/// It does not decide about credentials: [`crate::upstream::forward`] handles the session cookie and `Authorization`.
#[derive(Clone, Debug)]
pub struct ForwardedRequest<'a> {
    /// The request as the client sent it.
    pub request: &'a Request<'a>,
    /// The positions of the headers that are not forwarded, in order.
    removed: Vec<usize>,
}

impl<'a> ForwardedRequest<'a> {
    /// Finds the headers that are not forwarded, in one pass over all headers.
    #[must_use]
    pub fn of(request: &'a Request<'a>) -> Self {
        let nominated = Nominated::by(&request.headers);
        let removed = request.headers.iter().enumerate();
        let removed = removed.filter(|(_, (name, _))| is_reserved(name) || nominated.has(name));
        Self { request, removed: removed.map(|(at, _)| at).collect() }
    }

    /// Returns the names and values of the forwarded headers.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> + '_ {
        let mut removed = self.removed.iter().peekable();
        let all = self.request.headers.iter().enumerate();
        all.filter(move |(at, _)| removed.next_if_eq(&at).is_none()).map(|(_, field)| field)
    }

    /// Returns the value of a forwarded header, by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// Returns the number of headers that are not forwarded.
    #[must_use]
    pub fn removed_count(&self) -> usize {
        self.removed.len()
    }

    /// Returns the names of the headers that are not forwarded.
    pub fn removed(&self) -> impl Iterator<Item = &'a str> + '_ {
        let mut removed = self.removed.iter().peekable();
        let all = self.request.headers.iter().enumerate();
        all.filter(move |(at, _)| removed.next_if_eq(&at).is_some()).map(|(_, (name, _))| name)
    }
}

/// The names that `Connection` nominates, sorted. A binary search keeps the lookup fast, whatever names a client
/// chooses.
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
            // The gateway or the platform reads these.
            && !matches!(name, "upgrade" | "connection" | "cookie" | "host")
            && self.0.binary_search_by(|found| found.as_str().cmp(name)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_nominated_and_reserved_headers() {
        let serialized = "POST\nhttps://a.example/\nconnection\nclose, X-Secret-Hop ,, upgrade,\tcontent-type\n\
                          x-secret-hop\n1\nx-user-id\nadmin\nupgrade\nwebsocket\naccept\n*/*\ncontent-type\ntext/plain\n\
                          content_type\ntext/html";
        let request = Request::read(serialized).expect("a request");
        let forwarded = ForwardedRequest::of(&request);
        let removed: Vec<_> = forwarded.removed().collect();
        assert_eq!(removed, ["x-secret-hop", "x-user-id", "content-type", "content_type"]);
        let kept: Vec<_> = forwarded.headers().map(|(name, _)| name).collect();
        assert_eq!(kept, ["connection", "upgrade", "accept"]);
        assert_eq!(forwarded.header("content-type"), None);
        assert_eq!(forwarded.header("accept"), Some("*/*"));
    }

    #[test]
    fn keeps_all_headers_of_an_ordinary_request() {
        let request = Request::read("GET\nhttps://a.example/\naccept\n*/*\ncookie\na=1").expect("a request");
        let forwarded = ForwardedRequest::of(&request);
        assert_eq!(forwarded.removed().count(), 0);
        assert!(forwarded.headers().eq(request.headers.iter()));
    }
}
