//! Handlers of the built-in routes. Their requests pass the same checks as requests for upstream.

mod accounts;
mod audit;
mod catalogue;
mod checkouts;
mod confirmations;
mod delegation;
pub mod explain;
mod features;
mod invites;
mod names;
mod sessions;
mod tokens;
mod unresolved;
mod webhooks;

use serde::Serialize;

use crate::{
    accounts::login,
    base::outline::outlined,
    config::{Config, Login},
    guards::limiter::{self, Limiter, Verdict},
    http::{
        form::{self, Form},
        problem::{RateLimit, Rejection},
        request::Request,
    },
    identity::{
        access::Admission,
        author::Author,
        principal::{Actor, Principal},
    },
    platform::{
        effects::{BodyError, Effects, Reply},
        event::RequestMeta,
    },
    redirects::return_path,
    responses::refusal::EarlyResponse,
    routing::rule::{Destination, Endpoint, Rule},
    sessions::cookies::{CookieContext, SessionCookies, SessionStatus},
};

/// An admitted request for an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The request.
    pub request: &'a Request<'a>,
    /// The canonical path with the query.
    pub target: &'a str,
    /// The time and the id of the request.
    pub meta: RequestMeta<'a>,
    /// The session cookies of the request.
    pub presented: &'a SessionCookies<'a>,
    /// The request body; `None` if the endpoint takes no body.
    pub body: Option<&'a Result<String, BodyError>>,
    /// The result of admission: the principal, if there is one, and when it was judged.
    pub admission: &'a Admission,
    /// The facts about the request that decide how session cookies are written.
    pub ending: CookieContext<'a>,
}

/// The response of an endpoint, with session cookies and facts for the audit trail.
#[derive(Debug)]
pub struct Answered {
    /// The response.
    pub reply: Reply,
    /// `Set-Cookie` values that replace those which the gateway would send for the session.
    pub cookies: Option<Vec<String>>,
    /// The id of the user whom this request authenticated or signed out, for the audit trail.
    pub proved: Option<String>,
    /// What was changed, for the audit trail. Contains no secret.
    pub detail: Option<String>,
}

impl Answered {
    /// Adds what was changed, for the audit trail.
    fn with_detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }
}

/// Reads the request body, up to `form::LONGEST` bytes. Returns `None` if the request is not for an endpoint that takes
/// a body.
pub async fn body<E: Effects>(rule: &Rule, effects: &E) -> Option<Result<String, BodyError>> {
    match rule.destination {
        Destination::Endpoint(endpoint) if endpoint.takes_body() => {
            Some(outlined(effects.body(form::LONGEST)).await)
        }
        Destination::Endpoint(_) | Destination::Upstream => None,
    }
}

/// Makes the checks that only the endpoint can make, before the idempotency key is looked up.
///
/// # Errors
/// [`Rejection`]: a check failed.
pub fn judge(endpoint: Endpoint, call: Call<'_>) -> Result<(), Rejection> {
    match endpoint {
        Endpoint::CreateToken => tokens::judge(call),
        Endpoint::TakeOverToken => tokens::judge_take_over(call),
        _ => Ok(()),
    }
}

/// Checks, for a dry run, whether the endpoint rejects every request.
///
/// # Errors
/// [`Rejection`]: the endpoint does not exist for clients, or does not allow the method.
pub fn foresee(rule: &Rule) -> Result<(), Rejection> {
    match rule.destination {
        Destination::Endpoint(Endpoint::InternalOnly) => Err(Rejection::NotFound),
        Destination::Endpoint(Endpoint::WrongMethod(allowed)) => Err(Rejection::MethodNotAllowed(allowed)),
        Destination::Endpoint(_) | Destination::Upstream => Ok(()),
    }
}

/// Handles an admitted request for an endpoint.
///
/// # Errors
/// [`EarlyResponse`]: the request is rejected, or a store does not respond.
pub async fn answer<E: Effects>(
    endpoint: Endpoint,
    call: Call<'_>,
    effects: &E,
) -> Result<Answered, EarlyResponse> {
    match endpoint {
        Endpoint::Me => Ok(me(call, effects).await?.into()),
        Endpoint::Logout => {
            let proved = login::end_presented(call.config, effects, call.presented).await?;
            let cookies = Some(call.presented.end(&call.config.session, call.ending));
            Ok(Answered { reply: logout(call), cookies, proved, detail: None })
        }
        Endpoint::SetUpState => accounts::set_up_state(call, effects).await,
        Endpoint::SetUp => accounts::set_up(call, effects).await,
        Endpoint::LogIn => accounts::log_in(call, effects).await,
        Endpoint::ListUsers => accounts::list(call, effects).await,
        Endpoint::ReadNames => names::read(call, effects).await,
        Endpoint::ReadUser => accounts::read(call, effects).await,
        Endpoint::ChangeUser => accounts::change(call, effects).await,
        Endpoint::DeleteUser => accounts::delete(call, effects).await,
        Endpoint::CreateInvite => invites::create(call, effects).await,
        Endpoint::ListInvites => invites::list(call, effects).await,
        Endpoint::ChangeInvite => invites::change(call, effects).await,
        Endpoint::DeleteInvite => invites::delete(call, effects).await,
        Endpoint::RedeemInvite => invites::redeem(call, effects).await,
        Endpoint::CreateToken => tokens::create(call, effects).await,
        Endpoint::ListTokens => tokens::list(call, effects).await,
        Endpoint::DeleteToken => tokens::delete(call, effects).await,
        Endpoint::TakeOverToken => tokens::take_over(call, effects).await,
        Endpoint::ListSessions => sessions::list(call, effects).await,
        Endpoint::RevokeSessions => sessions::revoke_others(call, effects).await,
        Endpoint::RevokeSession => sessions::revoke(call, effects).await,
        Endpoint::ReadCheckout => checkouts::read(call, effects).await,
        Endpoint::CancelCheckout => checkouts::cancel(call, effects).await,
        Endpoint::ListEvents => webhooks::list(call, effects).await,
        Endpoint::Redeliver => webhooks::redeliver(call, effects).await,
        Endpoint::ListUnresolved => unresolved::list(call, effects).await,
        Endpoint::Resolve => unresolved::resolve(call, effects).await,
        Endpoint::ListConfirmations => confirmations::list(call, effects).await,
        Endpoint::ReadConfirmation => confirmations::read(call, effects).await,
        Endpoint::Approve => confirmations::decide(call, effects, true).await,
        Endpoint::Reject => confirmations::decide(call, effects, false).await,
        Endpoint::ReadFeature => features::read(call, effects).await,
        Endpoint::WriteFeature => features::write(call, effects).await,
        Endpoint::ListAudit => audit::list(call, effects).await,
        Endpoint::VerifyAudit => audit::verify(call, effects).await,
        // The gateway handles it: the described request goes through the gateway's steps.
        Endpoint::Explain => Err(crate::http::problem::Fault::Internal.into()),
        Endpoint::Catalogue => Ok(catalogue::answer(call, &call.config.catalogue.own).into()),
        Endpoint::CatalogueAsOpenApi => Ok(catalogue::answer(call, &call.config.catalogue.openapi).into()),
        Endpoint::WellKnown => Ok(json(200, &Health { version: VERSION, status: "ok" }).into()),
        Endpoint::InternalOnly => Err(Rejection::NotFound.into()),
        Endpoint::WrongMethod(allowed) => Err(Rejection::MethodNotAllowed(allowed).into()),
    }
}

impl<'a> Call<'a> {
    /// Returns the principal of the request, or rejects a request without one.
    fn principal(&self) -> Result<&'a Principal, Rejection> {
        self.admission.principal().ok_or(Rejection::ForbiddenKind)
    }

    /// Returns the author for a command, with the time at which the request was admitted.
    fn author(&self) -> Result<Author, Rejection> {
        Ok(Author::of(self.principal()?, self.admission.judged_at()))
    }

    /// Returns the canonical path, without the query.
    fn path(&self) -> &'a str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Rejects query parameters that are not in `known`. Otherwise a misspelled parameter would be ignored.
    fn reject_unknown_parameters(&self, known: &[&str]) -> Result<(), Rejection> {
        let query = self.request.query.strip_prefix('?').unwrap_or_default();
        let is_known = |(name, _): (std::borrow::Cow<'_, str>, _)| known.contains(&&*name);
        if url::form_urlencoded::parse(query.as_bytes()).all(is_known) {
            Ok(())
        } else {
            Err(Rejection::InvalidBody("(query)", "expected no other parameters than documented"))
        }
    }

    /// Returns the last segment of the path, percent-decoded.
    fn last_segment(&self) -> Option<String> {
        let segment = self.path().rsplit('/').next()?;
        percent_encoding::percent_decode_str(segment).decode_utf8().ok().map(String::from)
    }

    /// Returns the path segment before the final segment `last`, percent-decoded.
    fn segment_before(&self, last: &str) -> Option<String> {
        let segment = self.path().strip_suffix(last)?.strip_suffix('/')?.rsplit('/').next()?;
        percent_encoding::percent_decode_str(segment).decode_utf8().ok().map(String::from)
    }

    /// Parses `limit`, the maximum number of items in a page: 1 to 100, by default 50.
    fn limit(&self) -> Result<i64, Rejection> {
        let invalid = Rejection::InvalidBody("limit", "expected a number from 1 to 100");
        let Some(text) = self.request.parameter("limit") else { return Ok(50) };
        text.parse().ok().filter(|limit| (1..=100).contains(limit)).ok_or(invalid)
    }

    /// Parses the JSON body of the request. Rejects another media type, and members that are not in `known`.
    fn form(&self, known: &[&'static str]) -> Result<Form, Rejection> {
        let media_type = self.request.headers.value("content-type").unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            return Err(Rejection::UnsupportedMediaType);
        }
        let text = self.body.unwrap_or(&Err(BodyError::BrokenOff)).as_ref().map_err(|error| *error)?;
        Form::read(text, known)
    }
}

/// Counts one request of `subject` against a rate limit. Rejects it if the limit is reached.
async fn check_rate_limit<E: Effects>(
    effects: &E,
    limit: RateLimit,
    subject: &str,
) -> Result<(), EarlyResponse> {
    let (group, hit) = limiter::hit(limit, subject);
    let Verdict { remaining, reset } = effects.call_object::<Limiter>(&group, &hit).await?;
    match remaining {
        Some(_) => Ok(()),
        None => Err(Rejection::RateLimited { limit, reset }.into()),
    }
}

/// A page of a list.
#[derive(Serialize)]
struct Page<'a, T> {
    items: Vec<T>,
    next: Option<&'a str>,
}

impl<'a, T> Page<'a, T> {
    /// Returns a page of at most `limit` items. If more were found, `next` is the id of the last item in the page.
    fn new<S>(found: &'a [S], limit: i64, id: impl Fn(&'a S) -> &'a str, view: impl Fn(&'a S) -> T) -> Self {
        let limit = usize::try_from(limit).unwrap_or_default();
        let items = found.get(..limit).unwrap_or(found);
        let next = if found.len() > limit { items.last().map(id) } else { None };
        Self { items: items.iter().map(view).collect(), next }
    }
}

impl From<Reply> for Answered {
    fn from(reply: Reply) -> Self {
        Self { reply, cookies: None, proved: None, detail: None }
    }
}

/// Returns the principal of the request and its credential; for a user of `Accounts`, also email address and name.
async fn me<E: Effects>(call: Call<'_>, effects: &E) -> Result<Reply, EarlyResponse> {
    let principal = call.principal()?;
    let account = match principal.user_id() {
        Some(id) if call.config.login == Login::Accounts => accounts::find(effects, id.to_owned()).await?,
        _ => None,
    };
    let expires_at = match &call.presented.holder {
        SessionStatus::User(live) => Some(live.claims.expires_at.to_string()),
        SessionStatus::Nobody | SessionStatus::Rejected(_) => None,
    };
    let (session_id, token_id, actor_source) = match &principal.actor {
        Actor::Session { id } => (Some(id.as_str()), None, None),
        Actor::Token { id, source, .. } => (None, Some(id.as_str()), source.name()),
    };
    Ok(json(
        200,
        &Me {
            kind: principal.kind(),
            user_id: principal.user_id(),
            role: principal.role.map(crate::identity::principal::Role::name),
            session_id,
            token_id,
            actor_source,
            expires_at,
            user: account.as_ref().map(|user| UserDetails { email: &user.email, name: user.name.as_deref() }),
        },
    ))
}

/// Responds to a logout: 204 to a script, a redirect (303) to the login page to a browser that wants a page.
/// `?cookies=all` makes the browser delete all cookies of the site (`Clear-Site-Data`).
fn logout(call: Call<'_>) -> Reply {
    let Call { config, request, .. } = call;
    let mut reply = if request.wants_page() {
        let login = return_path::uri_reference(&config.return_path.login);
        Reply { status: 303, headers: vec![("location", login)], body: None }
    } else {
        Reply { status: 204, ..Reply::default() }
    };
    if request.parameter("cookies").as_deref() == Some("all") {
        reply.headers.push(("clear-site-data", "\"cookies\"".to_owned()));
    }
    reply
}

/// Returns a JSON response.
pub fn json(status: u16, value: &impl Serialize) -> Reply {
    Reply {
        status,
        headers: vec![("content-type", "application/json".to_owned())],
        body: Some(serde_json::to_string(value).unwrap_or_default()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Me<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserDetails<'a>>,
}

#[derive(Serialize)]
struct UserDetails<'a> {
    email: &'a str,
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct Health {
    version: &'static str,
    status: &'static str,
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
