//! Renders a refusal as a page: what happened, what to do, and the request's id.
//!
//! On a navigation, the page replaces the problem document, with the same status and headers. Upstream's own error
//! responses are never changed.

use super::DenialContext;
use crate::{
    http::{
        page::{self, Frames, Html},
        problem::Problem,
        reply::Reply,
        request::Request,
    },
    routing::rule::Destination,
};

/// The data that a page shows in addition to the problem.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// The path of the home page.
    pub home: Option<&'a str>,
    /// The URL of the login page, if signing in helps.
    pub login_url: Option<&'a str>,
    /// Whether the request is for the page of a confirmation.
    pub is_approval: bool,
    /// Lines for the developer: mistakes of the configuration, or the address of upstream. Empty except in development.
    pub mistakes: &'a str,
}

impl<'a> View<'a> {
    pub(super) fn of(denial: &DenialContext<'a>) -> Self {
        let DenialContext { config, request, rule, .. } = *denial;
        let is_approval = rule.is_some_and(|rule| match rule.destination {
            Destination::Endpoint(route) => route.serves_people(),
            Destination::Upstream
            | Destination::Pages
            | Destination::WrongMethod(_)
            | Destination::InternalOnly => false,
        });
        Self {
            request,
            home: Some(&config.site.return_path.home),
            login_url: None,
            is_approval,
            mistakes: "",
        }
    }
}

/// Replaces the problem document of a reply with a page, if the client accepts a page.
pub fn show(reply: &mut Reply, problem: &Problem<'_>, view: View<'_>) {
    if !view.request.takes_page() {
        return;
    }
    let is_repeatable = matches!(view.request.method, "GET" | "HEAD");
    let reason = if view.is_approval { Some("approval") } else { problem.reason };
    let PageText { heading, happened, remedy, .. } = page_text(problem.error, reason);
    let shows_mistakes = problem.error == "misconfigured" && !view.mistakes.is_empty();
    let remedy = if shows_mistakes { CORRECT } else { *remedy };
    let happened = if happened.is_empty() { &sentence(problem.title) } else { *happened };
    let mut body = Html::new("<h1>{}</h1>\n<p>{}</p>\n", &[heading, happened]);
    if !view.mistakes.is_empty() {
        body.write("<ul>\n", &[]);
        for mistake in view.mistakes.lines() {
            body.write("<li><code>{}</code></li>\n", &[mistake]);
        }
        body.write("</ul>\n", &[]);
    }
    body.write("<p>{}", &[remedy]);
    if let Some(delay) = retry_delay(reply).filter(|_| problem.status == 429) {
        body.write(" You can try again in {}.", &[&delay]);
    }
    if !is_repeatable {
        body.write(" {}", &[form_outcome(problem)]);
    }
    body.write("</p>\n<p class=\"act\">", &[]);
    actions(&mut body, reply, &view, is_repeatable);
    body.write(
        "</p>\n<p class=\"soft\">Error {}, <code>{}</code><br>Request ID <code>{}</code></p>\n",
        &[&problem.status.to_string(), problem.error, problem.request_id],
    );
    reply.headers.retain(|(name, _)| *name != "content-type");
    reply.headers.extend(page::headers(frames(view.request)));
    reply.body = Some(body.into_page(heading));
}

/// Returns the frames in which the answer to a request may be shown.
pub(super) fn frames(request: &Request<'_>) -> Frames {
    if request.is_framed() { Frames::SameOrigin } else { Frames::Nowhere }
}

/// Writes links to continue with, the best one first.
fn actions(body: &mut Html, reply: &Reply, view: &View<'_>, is_repeatable: bool) {
    let suggests_retry = reply.headers.iter().any(|(name, _)| *name == "retry-after")
        || matches!(reply.status, 500 | 502 | 504);
    // In a frame, the link must leave the frame.
    let window = if view.request.is_framed() { "_top" } else { "_self" };
    // An empty reference is this page's own URL (RFC 3986 §4.4).
    let again = (suggests_retry && is_repeatable).then_some("");
    let mut class = "go";
    for (address, window, label) in [
        (view.login_url, window, "Sign in"),
        (again, "_self", "Try again"),
        (view.home, window, "Go to the home page"),
    ] {
        let Some(address) = address else { continue };
        body.write("<a class=\"{}\" target=\"{}\" href=\"{}\">{}</a>\n", &[class, window, address, label]);
        class = "";
    }
}

/// Returns a sentence that says whether the submitted form may have been processed.
fn form_outcome(problem: &Problem<'_>) -> &'static str {
    let may_have_run = matches!(problem.status, 500 | 502 | 504)
        || matches!(
            problem.error,
            "checkout_conflict" | "idempotency_in_flight" | "idempotency_outcome_unknown"
        );
    if may_have_run {
        "Your request may have been processed: check before you send it again."
    } else {
        "Your request was not processed."
    }
}

/// Returns the time of `Retry-After` in words.
fn retry_delay(reply: &Reply) -> Option<String> {
    let (_, seconds) = reply.headers.iter().find(|(name, _)| *name == "retry-after")?;
    let seconds: u32 = seconds.parse().ok()?;
    Some(match seconds {
        0..=1 => "a second".to_owned(),
        2..100 => format!("{seconds} seconds"),
        100..7_200 => format!("{} minutes", seconds.div_ceil(60)),
        _ => format!("{} hours", seconds.div_ceil(3_600)),
    })
}

/// Returns the title of a problem as a sentence.
fn sentence(title: &str) -> String {
    let mut sentence = format!("{title}.");
    if let Some(first) = sentence.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    sentence
}

/// The texts of the page for a code.
#[derive(Debug)]
struct PageText {
    error: &'static str,
    /// The reason of the problem; empty for any reason.
    reason: &'static str,
    heading: &'static str,
    /// If empty, the page shows the problem's title.
    happened: &'static str,
    remedy: &'static str,
}

fn page_text(error: &str, reason: Option<&str>) -> &'static PageText {
    let fits =
        |text: &&PageText| text.error == error && (text.reason.is_empty() || reason == Some(text.reason));
    PAGE_TEXTS.iter().find(fits).unwrap_or(&DEFAULT_TEXT)
}

const fn text(
    error: &'static str,
    reason: &'static str,
    heading: &'static str,
    happened: &'static str,
    remedy: &'static str,
) -> PageText {
    PageText { error, reason, heading, happened, remedy }
}

static DEFAULT_TEXT: PageText =
    text("", "", "This request was refused", "", "Go back, and try again from there.");

/// The texts by code. The first match counts, so a code with a reason comes before the code alone.
#[rustfmt::skip]
static PAGE_TEXTS: &[PageText] = &[
    text("ambiguous_path", "", "This address can't be used", "Servers can read it in more than one way, because of an escaped character, a slash or a capital letter in it.", CHECK),
    text("unauthorized", "no_credential", SIGN_IN, "You are not signed in.", BACK),
    text("unauthorized", "session_expired", SIGN_IN, "Your session has expired.", BACK),
    text("unauthorized", "session_revoked", SIGN_IN, "Your session was ended.", BACK),
    text("unauthorized", "session_ambiguous", SIGN_IN, "Your browser sent the sessions of two accounts, so both were cleared.", BACK),
    text("unauthorized", "", SIGN_IN, "Your session or token is not valid.", BACK),
    text("reauthentication_required", "", "Confirm that it is you", "You signed in too long ago for this page.", "After you have confirmed that it is you, you return to this page."),
    text("forbidden_origin", "", "This came from another site", "Another site made your browser send this request, so it was refused.", "If you meant to do this, do it on this site's own pages."),
    text("forbidden_role", "", NO_ACCESS, "It needs a role that your account does not have.", ASK),
    text("forbidden_kind", "", NO_ACCESS, "It is not available to this kind of account.", ASK),
    text("forbidden_owner", "", NO_ACCESS, "It belongs to another user.", ASK),
    text("forbidden_human_only", "", NO_ACCESS, "It is only for people, and the request contained a program's credential.", "Sign in yourself, without an access token."),
    text("forbidden_scope", "", NO_ACCESS, "The access token in the request is not allowed to do this.", "Sign in yourself, without an access token."),
    text("forbidden_policy", "unavailable", UNCHECKED, UNAVAILABLE, LATER),
    text("forbidden_policy", "", NO_ACCESS, "A rule of this site does not allow it.", ASK),
    text("feature_disabled", "", NO_ACCESS, "This feature is not enabled for you.", ASK),
    text("bot_check_failed", "unavailable", UNCHECKED, UNAVAILABLE, LATER),
    text("bot_check_failed", "", "The bot check failed", "The site could not verify that a person sent this request.", "Go back, reload the page and pass the check again."),
    text("confirmation_invalid", "", "This approval is closed", "The request was already approved or rejected, or the approval has expired.", "You do not need to do anything."),
    text("not_found", "approval", "There is no request for you to approve", "The request may belong to another account, or it no longer exists.", "If you followed a link, sign in with the account that it was sent to."),
    text("not_found", "", "Page not found", "This page does not exist, or you do not have access to it.", CHECK),
    text("rate_limited", "", "Too many requests", "You sent more requests than this site allows in a short time.", "Wait, then try again."),
    text("upstream_failed", "", "The application can't be reached", "It did not answer, or its answer broke off.", LATER),
    text("upstream_timeout", "", "The application takes too long", "It did not answer in time.", LATER),
    text("store_unavailable", "", "This page is temporarily unavailable", "A data store of this site did not answer.", LATER),
    text("pages_missing", "", "This page was not deployed", "The gateway of this site has pages of its own, such as the one for signing in, and their files are missing.", "If this is your site: deploy the folder _vestibule with your static assets."),
    text("misconfigured", "", "This site is not set up correctly", "The configuration of its gateway has a mistake, so every request is refused.", "If this is your site, read the log: the log names each mistake."),
    text("internal", "", "Something went wrong", "This is a fault of the site, not of your request.", LATER),
];

const SIGN_IN: &str = "Sign in to continue";
const BACK: &str = "After you sign in, you return to this page.";
const NO_ACCESS: &str = "You can't use this page";
const ASK: &str = "Ask an administrator of this site for access, or sign in with another account.";
const CHECK: &str = "Check the address, or start from the home page.";
const UNCHECKED: &str = "This request could not be checked";
const UNAVAILABLE: &str = "The service that checks requests did not answer.";
const CORRECT: &str = "Correct the mistakes listed above. A change in wrangler.toml takes effect by itself; after a change in .dev.vars, stop npm start and start it again.";
const LATER: &str =
    "Try again in a moment. If that does not help, tell the operator of this site the request ID below.";
