//! The endpoints of our own. They stand behind the same door as upstream's.

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
    access::Admission,
    author::Author,
    config::{Config, Login},
    context::Request,
    effects::{BodyError, Effects, Reply},
    event::RequestMeta,
    form::{self, Form},
    limiter::{self, Limiter, Verdict},
    login,
    outline::outlined,
    principal::{Actor, Principal},
    problem::{RateLimit, Rejection},
    refusal::EarlyResponse,
    return_path,
    rule::{Destination, Endpoint, Rule},
    session::{CookieContext, SessionCookies, SessionStatus},
};

/// A request that an endpoint answers.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The request.
    pub request: &'a Request<'a>,
    /// Its canonical path with the query.
    pub target: &'a str,
    /// Its moment.
    pub meta: RequestMeta<'a>,
    /// Its session cookies.
    pub presented: &'a SessionCookies<'a>,
    /// Its body, where the endpoint takes one.
    pub body: Option<&'a Result<String, BodyError>>,
    /// Whom it was let in as.
    pub admission: &'a Admission,
    /// How it ends, as far as the cookie is concerned.
    pub ending: CookieContext<'a>,
}

/// An endpoint's answer, and what becomes of the session cookie with it.
#[derive(Debug)]
pub struct Answered {
    /// The answer.
    pub reply: Reply,
    /// `Set-Cookie` lines in place of those that the session alone would ask for.
    pub cookies: Option<Vec<String>>,
    /// The user who has proved who they are by this request, for the trail.
    pub proved: Option<String>,
    /// What was changed, for the trail: no secret.
    pub detail: Option<String>,
}

impl Answered {
    /// Tells the trail what was changed.
    fn telling(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }
}

/// Reads the body of a request, where it is for an endpoint that takes one.
pub async fn body<E: Effects>(rule: &Rule, effects: &E) -> Option<Result<String, BodyError>> {
    match rule.destination {
        Destination::Endpoint(endpoint) if endpoint.takes_body() => {
            Some(outlined(effects.body(form::LONGEST)).await)
        }
        Destination::Endpoint(_) | Destination::Upstream => None,
    }
}

/// Judges what only the endpoint can, before it is looked whether the same was asked before.
///
/// # Errors
/// [`Rejection`].
pub fn judge(endpoint: Endpoint, call: Call<'_>) -> Result<(), Rejection> {
    match endpoint {
        Endpoint::CreateToken => tokens::judge(call),
        Endpoint::TakeOverToken => tokens::judge_take_over(call),
        _ => Ok(()),
    }
}

/// Tells what an endpoint would refuse whatever the request says.
///
/// # Errors
/// [`Rejection`].
pub fn foresee(rule: &Rule) -> Result<(), Rejection> {
    match rule.destination {
        Destination::Endpoint(Endpoint::InternalOnly) => Err(Rejection::NotFound),
        Destination::Endpoint(Endpoint::WrongMethod(allowed)) => Err(Rejection::MethodNotAllowed(allowed)),
        Destination::Endpoint(_) | Destination::Upstream => Ok(()),
    }
}

/// Answers an admitted request for an endpoint.
///
/// # Errors
/// [`EarlyResponse`]: what the client sent is refused, or a store does not answer.
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
        // The gateway's own: it goes the way of the request that is described.
        Endpoint::Explain => Err(crate::problem::Fault::Internal.into()),
        Endpoint::Catalogue => Ok(catalogue::answer(call, &call.config.catalogue.own).into()),
        Endpoint::CatalogueAsOpenApi => Ok(catalogue::answer(call, &call.config.catalogue.openapi).into()),
        Endpoint::WellKnown => Ok(json(200, &Health { version: VERSION, status: "ok" }).into()),
        Endpoint::InternalOnly => Err(Rejection::NotFound.into()),
        Endpoint::WrongMethod(allowed) => Err(Rejection::MethodNotAllowed(allowed).into()),
    }
}

impl<'a> Call<'a> {
    /// Gives whom the request was let in as, where the rule lets nobody else in.
    fn principal(&self) -> Result<&'a Principal, Rejection> {
        self.admission.principal().ok_or(Rejection::ForbiddenKind)
    }

    /// Returns the author of the request's change, as judged at admission.
    fn author(&self) -> Result<Author, Rejection> {
        Ok(Author::of(self.principal()?, self.admission.judged_at()))
    }

    /// Gives the canonical path.
    fn path(&self) -> &'a str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Refuses parameters that are not known: a misspelt one would be as good as none.
    fn only(&self, known: &[&str]) -> Result<(), Rejection> {
        let query = self.request.query.strip_prefix('?').unwrap_or_default();
        let is_known = |(name, _): (std::borrow::Cow<'_, str>, _)| known.contains(&&*name);
        if url::form_urlencoded::parse(query.as_bytes()).all(is_known) {
            Ok(())
        } else {
            Err(Rejection::InvalidBody("(query)", "expected no other parameters than documented"))
        }
    }

    /// Gives the last segment of the path, decoded.
    fn last_segment(&self) -> Option<String> {
        let segment = self.path().rsplit('/').next()?;
        percent_encoding::percent_decode_str(segment).decode_utf8().ok().map(String::from)
    }

    /// Gives the segment of the path before a last one, decoded.
    fn segment_before(&self, last: &str) -> Option<String> {
        let segment = self.path().strip_suffix(last)?.strip_suffix('/')?.rsplit('/').next()?;
        percent_encoding::percent_decode_str(segment).decode_utf8().ok().map(String::from)
    }

    /// Reads how many a page may hold.
    fn limit(&self) -> Result<i64, Rejection> {
        let wrong = Rejection::InvalidBody("limit", "expected a number from 1 to 100");
        let Some(text) = self.request.parameter("limit") else { return Ok(50) };
        text.parse().ok().filter(|limit| (1..=100).contains(limit)).ok_or(wrong)
    }

    /// Reads the request's body.
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

/// Counts one more under a limit.
async fn within<E: Effects>(effects: &E, limit: RateLimit, whom: &str) -> Result<(), EarlyResponse> {
    let (group, hit) = limiter::hit(limit, whom);
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
    /// Shows at most `limit` of what was found, and where the next page begins if there is more.
    fn new<S>(found: &'a [S], limit: i64, id: impl Fn(&'a S) -> &'a str, show: impl Fn(&'a S) -> T) -> Self {
        let limit = usize::try_from(limit).unwrap_or_default();
        let shown = found.get(..limit).unwrap_or(found);
        let next = if found.len() > limit { shown.last().map(id) } else { None };
        Self { items: shown.iter().map(show).collect(), next }
    }
}

impl From<Reply> for Answered {
    fn from(reply: Reply) -> Self {
        Self { reply, cookies: None, proved: None, detail: None }
    }
}

/// Who you are.
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
            role: principal.role.map(crate::principal::Role::name),
            session_id,
            token_id,
            actor_source,
            expires_at,
            user: account.as_ref().map(|user| Person { email: &user.email, name: user.name.as_deref() }),
        },
    ))
}

/// 204 to a script, the login page to a person. `?cookies=all` has the browser drop every cookie.
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

/// Writes an answer of JSON.
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
    user: Option<Person<'a>>,
}

#[derive(Serialize)]
struct Person<'a> {
    email: &'a str,
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct Health {
    version: &'static str,
    status: &'static str,
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
