//! What the endpoints of all features share: the call that they get, the answer that they give, pages of lists.

use serde::Serialize;

use super::{access::Admission, author::Author, principal::Principal};
use crate::{
    http::{form::Form, problem::Rejection, reply::Reply, request::Request},
    platform::{effects::BodyError, event::RequestMeta},
};

/// An admitted request for an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a, C = ()> {
    /// What the endpoint needs of the configuration and of the browser.
    pub cx: C,
    /// The request.
    pub request: &'a Request<'a>,
    /// The canonical path with the query.
    pub target: &'a str,
    /// The time and the id of the request.
    pub meta: RequestMeta<'a>,
    /// The request body; `None` if the endpoint takes no body.
    pub body: Option<&'a Result<String, BodyError>>,
    /// The result of admission: the principal, if there is one, and when it was checked.
    pub admission: &'a Admission,
}

/// What an endpoint reports to the audit trail.
#[derive(Clone, Debug, Default)]
pub struct AuditFacts {
    /// The id of the user whom this request authenticated or signed out, although it had no principal.
    pub user: Option<String>,
    /// What was changed, or about whom the request is. Contains no secret.
    pub detail: Option<String>,
}

/// The response of an endpoint, with session cookies and facts for the audit trail.
#[derive(Debug)]
pub struct EndpointResponse {
    /// The response.
    pub reply: Reply,
    /// `Set-Cookie` values that replace those which the gateway would send for the session.
    pub cookies: Option<Vec<String>>,
    /// What the audit trail gets.
    pub audit: AuditFacts,
    /// Whether the response is a stream of events, which the gateway sends while it is open.
    pub opens_feed: bool,
}

impl EndpointResponse {
    /// Names the user whom the request authenticated or signed out, for the audit trail.
    #[must_use]
    pub fn with_user(mut self, id: impl Into<String>) -> Self {
        self.audit.user = Some(id.into());
        self
    }

    /// Adds what was changed, for the audit trail.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.audit.detail = Some(detail.into());
        self
    }
}

impl<'a, C> Call<'a, C> {
    /// Returns the same call with another context.
    #[must_use]
    pub fn with<D>(self, cx: D) -> Call<'a, D> {
        let Self { request, target, meta, body, admission, .. } = self;
        Call { cx, request, target, meta, body, admission }
    }

    /// Returns the principal of the request, or rejects a request without one.
    ///
    /// # Errors
    /// [`Rejection`].
    pub fn principal(&self) -> Result<&'a Principal, Rejection> {
        self.admission.principal().ok_or(Rejection::ForbiddenKind)
    }

    /// Returns the author for a command, with the time at which the request was admitted.
    ///
    /// # Errors
    /// [`Rejection`].
    pub fn author(&self) -> Result<Author, Rejection> {
        Ok(Author::of(self.principal()?, self.admission.checked_at()))
    }

    /// Returns the canonical path, without the query.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Rejects query parameters that are not in `known`. Otherwise a misspelled parameter would be ignored.
    ///
    /// # Errors
    /// [`Rejection`].
    pub fn reject_unknown_parameters(&self, known: &[&str]) -> Result<(), Rejection> {
        let query = self.request.query.strip_prefix('?').unwrap_or_default();
        let is_known = |(name, _): (std::borrow::Cow<'_, str>, _)| known.contains(&&*name);
        if url::form_urlencoded::parse(query.as_bytes()).all(is_known) {
            Ok(())
        } else {
            Err(Rejection::InvalidBody("(query)", "unknown parameter: send only the documented parameters"))
        }
    }

    /// Returns the last segment of the path, percent-decoded.
    #[must_use]
    pub fn last_segment(&self) -> Option<String> {
        let segment = self.path().rsplit('/').next()?;
        percent_encoding::percent_decode_str(segment).decode_utf8().ok().map(String::from)
    }

    /// Returns the path segment before the final segment `last`, percent-decoded.
    #[must_use]
    pub fn segment_before(&self, last: &str) -> Option<String> {
        let segment = self.path().strip_suffix(last)?.strip_suffix('/')?.rsplit('/').next()?;
        percent_encoding::percent_decode_str(segment).decode_utf8().ok().map(String::from)
    }

    /// Parses `limit`, the maximum number of items in a page: 1 to 100, by default 50.
    ///
    /// # Errors
    /// [`Rejection`].
    pub fn limit(&self) -> Result<i64, Rejection> {
        let invalid = Rejection::InvalidBody("limit", "expected a number from 1 to 100");
        let Some(text) = self.request.parameter("limit") else { return Ok(50) };
        text.parse().ok().filter(|limit| (1..=100).contains(limit)).ok_or(invalid)
    }

    /// Parses the JSON body of the request. Rejects another media type, and members that are not in `known`.
    ///
    /// # Errors
    /// [`Rejection`].
    pub fn form(&self, known: &[&'static str]) -> Result<Form, Rejection> {
        let media_type = self.request.headers.value("content-type").unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            return Err(Rejection::UnsupportedMediaType);
        }
        let text = self.body.unwrap_or(&Err(BodyError::BrokenOff)).as_ref().map_err(|error| *error)?;
        Form::read(text, known)
    }
}

/// A page of a list.
#[derive(Serialize)]
pub struct Page<'a, T> {
    /// The items.
    pub items: Vec<T>,
    /// The id of the last item, if there are more.
    pub next: Option<&'a str>,
}

impl<'a, T> Page<'a, T> {
    /// Returns a page of at most `limit` items. If more were found, `next` is the id of the last item in the page.
    pub fn new<S>(
        found: &'a [S],
        limit: i64,
        id: impl Fn(&'a S) -> &'a str,
        view: impl Fn(&'a S) -> T,
    ) -> Self {
        let limit = usize::try_from(limit).unwrap_or_default();
        let items = found.get(..limit).unwrap_or(found);
        let next = if found.len() > limit { items.last().map(id) } else { None };
        Self { items: items.iter().map(view).collect(), next }
    }
}

impl From<Reply> for EndpointResponse {
    fn from(reply: Reply) -> Self {
        Self { reply, cookies: None, audit: AuditFacts::default(), opens_feed: false }
    }
}

/// Returns a JSON response.
pub fn json(status: u16, value: &impl Serialize) -> Reply {
    Reply {
        status,
        headers: vec![("content-type", "application/json".to_owned())],
        body: Some(serde_json::to_string(value).unwrap_or_default()),
    }
}
