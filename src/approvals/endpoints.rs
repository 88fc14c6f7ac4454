//! `/api/confirmations`: requests of machines that need the approval of a person.
//!
//! - `GET` lists the caller's own, the latest first: `{items, next}`. An admin also sees those of all agents, and can
//!   name another user with `?user=`.
//! - `GET /api/confirmations/{id}` returns one: as JSON, or to a browser's navigation as a page with two buttons.
//! - `POST …/approve` and `POST …/reject` decide. They need a session. A token is rejected, also a person's own.
//!
//! A confirmation that the caller may not decide gets the same response as an unknown one: 404.

use std::ops::RangeInclusive;

use serde::Serialize;

use crate::{
    approvals::confirmations::{self, AGENTS, Approval, Command, Confirmations, Reply, State},
    base::{sorting::sorted_by, time::Timestamp},
    http::{
        page::{self, Frames, Html},
        problem::{Fault, Reason, Rejection},
        reply::{self, EarlyResponse},
    },
    identity::{
        call::{self, EndpointResponse, Page, json},
        principal::Role,
    },
    platform::effects::Effects,
    redirects::site::Site,
    sessions::{
        cache::SessionCache,
        registry::{self, Sessions},
    },
};

type Call<'a> = call::Call<'a, &'a Site>;

pub(crate) async fn list<E: Effects>(call: Call<'_>, effects: &E) -> Result<EndpointResponse, EarlyResponse> {
    let principal = call.principal()?;
    let own = principal.user_id().ok_or(Rejection::ForbiddenKind)?;
    let is_admin = principal.role == Some(Role::Admin);
    let scopes = match call.request.parameter("user") {
        Some(other) if other != own && !is_admin => return Err(Rejection::ForbiddenRole.into()),
        Some(other) => vec![format!("user:{other}")],
        None if is_admin => vec![format!("user:{own}"), AGENTS.to_owned()],
        None => vec![format!("user:{own}")],
    };
    let limit = call.limit()?;
    let invalid = Rejection::InvalidBody("cursor", "expected the value of next from the previous page");
    let after =
        call.request.parameter("cursor").map(|text| parse_cursor(&text).ok_or(invalid)).transpose()?;
    let mut found: Vec<Approval> = Vec::new();
    for scope in scopes {
        let object = confirmations::object_of(&scope);
        let list = Command::List(after.clone(), limit.saturating_add(1));
        let Reply::All(all) = effects.call_object::<Confirmations>(&object, &list).await? else {
            return Err(Fault::Internal.into());
        };
        found.extend(all);
    }
    let mut found = sorted_by(found, |one, other| {
        other.act.created_at.cmp(&one.act.created_at).then_with(|| one.act.id.cmp(&other.act.id))
    });
    let limit = usize::try_from(limit).unwrap_or_default();
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next =
        found.last().filter(|_| has_more).map(|last| format!("{} {}", last.act.created_at.0, last.act.id));
    let items: Vec<ConfirmationView<'_>> = found.iter().map(ConfirmationView::of).collect();
    Ok(json(200, &Page { items, next: next.as_deref() }).into())
}

/// Parses a cursor: the creation time and the id of the last act on the previous page.
fn parse_cursor(cursor: &str) -> Option<(Timestamp, String)> {
    let (at, id) = cursor.split_once(' ')?;
    Some((Timestamp(at.parse().ok().filter(|at| (0..=confirmations::MAX_TIME).contains(at))?), id.to_owned()))
}

pub(crate) async fn read<E: Effects>(call: Call<'_>, effects: &E) -> Result<EndpointResponse, EarlyResponse> {
    let id = call.last_segment().ok_or(Rejection::NotFound)?;
    let confirmation = find(call, effects, &id).await?;
    if call.request.is_navigation() {
        return Ok(page(call, &confirmation).into());
    }
    Ok(json(200, &ConfirmationView::of(&confirmation)).into())
}

pub(crate) async fn decide<E: Effects>(
    call: Call<'_>,
    effects: &E,
    approves: bool,
) -> Result<EndpointResponse, EarlyResponse> {
    let action = if approves { "approve" } else { "reject" };
    let id = call.segment_before(action).ok_or(Rejection::NotFound)?;
    let principal = call.principal()?;
    // A token does not prove that a person decides: a machine that has a person's token could approve its own request.
    let (Some(user), Some(session)) = (principal.user_id(), principal.session_id()) else {
        return Err(Rejection::ForbiddenHumanOnly.into());
    };
    let object = confirmations::object_of_id(&id).ok_or(Rejection::NotFound)?;
    find(call, effects, &id).await?;
    // `Sessions` notes this decision. A request that ends the session then tells the object before it is answered.
    let deciding = registry::Command::Deciding { session: session.to_owned(), object: object.to_owned() };
    if effects.call_object::<Sessions>(user, &deciding).await? == registry::Reply::Gone {
        return Err(session_ended(effects, user).into());
    }
    let decide = Command::Decide { id: id.clone(), author: call.author()?, approves };
    let confirmation = match effects.call_object::<Confirmations>(object, &decide).await? {
        Reply::Found(Some(confirmation)) => confirmation,
        Reply::Found(None) => return Err(Rejection::NotFound.into()),
        Reply::Refused(why) => return Err(Rejection::ConfirmationInvalid(why).into()),
        Reply::SessionEnded => return Err(session_ended(effects, user).into()),
        _ => return Err(Fault::Internal.into()),
    };
    if call.request.wants_page() {
        let location = format!("{}/confirmations/{id}", call.cx.endpoints);
        return Ok(reply::Reply { status: 303, headers: vec![("location", location)], body: None }.into());
    }
    Ok(json(200, &ConfirmationView::of(&confirmation)).into())
}

/// Deletes what this isolate remembers of a user whose session has ended, and returns the rejection.
fn session_ended<E: Effects>(effects: &E, user: &str) -> Rejection {
    effects.memory().of::<SessionCache>().forget_user(user);
    Rejection::Unauthorized(Reason::SessionEnded)
}

/// Returns a confirmation that the caller may decide; 404 for any other.
async fn find<E: Effects>(call: Call<'_>, effects: &E, id: &str) -> Result<Approval, EarlyResponse> {
    let principal = call.principal()?;
    let object = confirmations::object_of_id(id).ok_or(Rejection::NotFound)?;
    let own = principal.user_id().map(|id| confirmations::object_of(&format!("user:{id}")));
    if principal.role != Some(Role::Admin) && own.as_deref() != Some(object) {
        return Err(Rejection::NotFound.into());
    }
    match effects.call_object::<Confirmations>(object, &Command::Find(id.to_owned())).await? {
        Reply::Found(found) => Ok(*found.ok_or(Rejection::NotFound)?),
        _ => Err(Fault::Internal.into()),
    }
}

/// Returns the page on which a person decides. The page cannot be framed, loads no resources and runs no scripts.
fn page(call: Call<'_>, confirmation: &Approval) -> reply::Reply {
    let shown = &confirmation.act.shown;
    let actor = &shown.actor;
    let reader = call.admission.principal().map(crate::identity::principal::Principal::id);
    let is_reader = reader == Some(shown.principal.id.as_str());
    let principal =
        if is_reader { format!("you ({})", shown.principal.id) } else { shown.principal.id.clone() };
    let token =
        [&actor.token_name, &actor.token_id].map(Option::as_deref).map(Option::unwrap_or_default).join(", ");
    let (heading, state) = match confirmation.state {
        State::Pending => ("A machine asks for your approval", ""),
        State::Approved => ("Approved", "It runs when the machine sends it again."),
        State::Rejected => ("Rejected", "It will not run."),
        State::Used => (
            "Approved and used",
            "The machine has sent the request once. Only the application knows the result.",
        ),
        State::Expired => ("Expired", "The machine can ask again."),
    };
    let mut page = Html::new(
        "<h1>{}</h1>\n<dl>\n<dt>Request</dt><dd><code>{} {}</code></dd>\n",
        &[heading, &shown.method, &visible(&shown.path)],
    );
    let mut row = |name: &str, text: &str| page.write(ROW, &[name, &visible(text)]);
    for (name, text) in [
        ("Operation", shown.operation.as_deref()),
        ("On behalf of", Some(principal.as_str())),
        ("Kind of machine", actor.source.as_deref()),
        ("Agent", actor.agent_id.as_deref()),
        ("Task", actor.task_id.as_deref()),
        ("Token", actor.token_id.as_ref().map(|_| token.as_str())),
        ("Content type", Some(shown.content_type.as_deref().unwrap_or("none"))),
    ] {
        if let Some(text) = text {
            row(name, text);
        }
    }
    for (name, value) in &shown.headers {
        row("Header", &format!("{name}: {value}"));
    }
    row("Expires", &format_expiry(confirmation, call.meta.now));
    page.write("</dl>\n", &[]);
    if let Some(text) = &shown.preview {
        page.write("<pre dir=\"ltr\">{}</pre>\n", &[&visible(text)]);
    }
    let note = match (&shown.preview, shown.preview_cut) {
        (Some(_), false) => None,
        (Some(_), true) => Some("Only the beginning of the body is shown here."),
        (None, false) if shown.body_sha256 == EMPTY => {
            page.write("<p>The request has no body.</p>\n", &[]);
            None
        }
        (None, _) => Some("The body is not text, so it cannot be shown."),
    };
    if let Some(note) = note {
        page.write(BODY_NOTE, &[note, &shown.body_sha256]);
    }
    let home = &call.cx.return_path.home;
    if confirmation.state == State::Pending {
        let (endpoints, id) = (call.cx.endpoints, confirmation.act.id.as_str());
        page.write(BUTTONS, &[endpoints, id, endpoints, id]);
    } else {
        page.write("<p><strong>{}</strong></p>\n", &[state]);
    }
    let note = if confirmation.state == State::Pending { ONCE_NOTE } else { "" };
    page.write(FOOT, &[note, home]);
    reply::Reply {
        status: 200,
        headers: page::headers(Frames::Nowhere).into(),
        body: Some(page.into_page("Approve a request")),
    }
}

/// Formats the expiry: in UTC, and while it can still be decided or used also as minutes from now. The page has no
/// script that could convert it to local time.
fn format_expiry(confirmation: &Approval, now: Timestamp) -> String {
    let at = confirmation.expires_at.to_string().replace('T', " ").replace('Z', " UTC");
    let is_open = matches!(confirmation.state, State::Pending | State::Approved);
    match confirmation.expires_at.seconds_since(now) {
        seconds if !is_open || seconds <= 0 => at,
        1..60 => format!("{at} (in less than a minute)"),
        60..120 => format!("{at} (in a minute)"),
        seconds => format!("{at} (in {} minutes)", seconds / 60),
    }
}

/// Escapes characters that are invisible or change the text direction, so that a person approves what they read.
fn visible(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        let is_hidden = HIDDEN.iter().any(|range| range.contains(&character));
        if is_hidden || (character.is_control() && !matches!(character, '\n' | '\t')) {
            escaped.push_str(&character.escape_unicode().to_string());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfirmationView<'a> {
    id: &'a str,
    state: &'static str,
    #[serde(flatten)]
    act: &'a confirmations::ApprovalDetails,
    created_at: String,
    expires_at: String,
    decided_by: Option<&'a str>,
}

impl<'a> ConfirmationView<'a> {
    fn of(confirmation: &'a Approval) -> Self {
        Self {
            id: &confirmation.act.id,
            state: confirmation.state.name(),
            act: &confirmation.act.shown,
            created_at: confirmation.act.created_at.to_string(),
            expires_at: confirmation.expires_at.to_string(),
            decided_by: confirmation.decided_by.as_deref(),
        }
    }
}

/// SHA-256 of the empty string.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Invisible characters: Unicode's Cf, Zl, Zp and `Default_Ignorable_Code_Point`, and others that show nothing.
const HIDDEN: &[RangeInclusive<char>] = &[
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{600}'..='\u{605}',
    '\u{61c}'..='\u{61c}',
    '\u{6dd}'..='\u{6dd}',
    '\u{70f}'..='\u{70f}',
    '\u{890}'..='\u{891}',
    '\u{8e2}'..='\u{8e2}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{2800}'..='\u{2800}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fffb}',
    '\u{110bd}'..='\u{110bd}',
    '\u{110cd}'..='\u{110cd}',
    '\u{13430}'..='\u{1343f}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d159}'..='\u{1d159}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e0fff}',
];

const ROW: &str = "<dt>{}</dt><dd>{}</dd>\n";

const BODY_NOTE: &str = "<p><strong>{}</strong></p>\n<p><small>SHA-256 <code>{}</code></small></p>\n";

const BUTTONS: &str = "<div class=\"act\">
<form method=\"post\" action=\"{}/confirmations/{}/approve\"><button class=\"go\">Approve once</button></form>
<form method=\"post\" action=\"{}/confirmations/{}/reject\"><button>Reject</button></form>
</div>
";

const ONCE_NOTE: &str = "You approve only this request, and only once. ";

const FOOT: &str = "<p class=\"soft\">{}<a href=\"{}\">Back to the site</a></p>
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_invisible_characters() {
        for (text, want) in [
            ("{\"to\": \"eve\"}\n\t", "{\"to\": \"eve\"}\n\t"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("a\u{200b}\0\r", "a\\u{200b}\\u{0}\\u{d}"),
            ("Zoë, 日本", "Zoë, 日本"),
        ] {
            assert_eq!(visible(text), want);
        }
    }
}
