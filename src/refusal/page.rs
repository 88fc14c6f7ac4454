//! A refusal as a page: what happened, what to do, the request's id.
//!
//! It stands in for the problem document where a person is looking for a page, and has the same status and headers.
//! Upstream's own errors are never touched.

use super::Scene;
use crate::{
    context::Request,
    effects::Reply,
    page::{self, Frames, Html},
    problem::Problem,
    rule::Destination,
};

/// What a page shows beside the problem.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// The home page.
    pub home: Option<&'a str>,
    /// The login page, where signing in helps.
    pub login_url: Option<&'a str>,
    /// Whether it is about what a machine asks a person.
    pub is_approval: bool,
    /// What is wrong with the configuration, one mistake a line. Only in development.
    pub mistakes: &'a str,
}

impl<'a> View<'a> {
    pub(super) fn of(scene: &Scene<'a>) -> Self {
        let Scene { config, request, rule, .. } = *scene;
        let is_approval = rule.is_some_and(|rule| match rule.destination {
            Destination::Upstream => false,
            Destination::Endpoint(endpoint) => endpoint.serves_people(),
        });
        Self { request, home: Some(&config.return_path.home), login_url: None, is_approval, mistakes: "" }
    }
}

/// Turns a reply that holds a problem document into a page, where the request takes one.
pub fn show(reply: &mut Reply, problem: &Problem<'_>, view: View<'_>) {
    if !view.request.takes_page() {
        return;
    }
    let words = Words::of(problem, &view);
    let is_sent_again = matches!(view.request.method, "GET" | "HEAD");
    let mut body = Html::default()
        .markup("<h1>")
        .text(words.heading)
        .markup("</h1>\n<p>")
        .text(&sentence(words.happened))
        .markup("</p>\n");
    if !view.mistakes.is_empty() {
        body = body.markup("<ul>\n");
        for mistake in view.mistakes.lines() {
            body = body.markup("<li><code>").text(mistake).markup("</code></li>\n");
        }
        body = body.markup("</ul>\n");
    }
    body = body.markup("<p>").text(words.remedy);
    if let Some(wait) = wait(reply).filter(|_| problem.status == 429) {
        body = body.markup(" There is room again in ").text(&wait).markup(".");
    }
    if !is_sent_again {
        body = body.markup(" ").text(what_became(problem));
    }
    body = body.markup("</p>\n");
    body = body.html(actions(reply, &view, is_sent_again));
    body = body
        .markup("<p class=\"soft\">Error ")
        .text(&problem.status.to_string())
        .markup(", <code>")
        .text(problem.error)
        .markup("</code><br>Request <code>")
        .text(problem.request_id)
        .markup("</code></p>\n");
    reply.headers.retain(|(name, _)| *name != "content-type");
    reply.headers.extend(page::headers(frames(view.request)));
    reply.body = Some(body.into_page(words.heading));
}

/// Tells where the answer to a request may be shown.
pub(super) fn frames(request: &Request<'_>) -> Frames {
    if request.is_framed() { Frames::SameOrigin } else { Frames::Nowhere }
}

/// Writes what a person can go on with: the first is the best.
fn actions(reply: &Reply, view: &View<'_>, is_sent_again: bool) -> Html {
    // Within a frame they would stay there.
    let target = if view.request.is_framed() { "\" target=\"_top\">" } else { "\">" };
    let is_retried = reply.headers.iter().any(|(name, _)| *name == "retry-after")
        || matches!(reply.status, 500 | 502 | 504);
    let mut links = Html::default().markup("<p class=\"act\">");
    let mut class = "<a class=\"go\" href=\"";
    if let Some(url) = view.login_url {
        links = links.markup(class).text(url).markup(target).markup("Sign in</a>\n");
        class = "<a href=\"";
    }
    if is_retried && is_sent_again {
        // An empty reference is the page itself (RFC 3986 §4.4).
        links = links.markup(class).markup("\">Try again</a>\n");
        class = "<a href=\"";
    }
    if let Some(home) = view.home {
        links = links.markup(class).text(home).markup(target).markup("Go to the home page</a>");
    }
    links.markup("</p>\n")
}

/// Says what became of a form that was sent.
fn what_became(problem: &Problem<'_>) -> &'static str {
    match problem.status {
        502 | 504 | 500 => "What you sent may have been carried out: look before you send it again.",
        _ => "What you sent was not carried out.",
    }
}

/// Says when it is worth trying again.
fn wait(reply: &Reply) -> Option<String> {
    let (_, seconds) = reply.headers.iter().find(|(name, _)| *name == "retry-after")?;
    let seconds: u32 = seconds.parse().ok()?;
    Some(match seconds {
        0..=1 => "a second".to_owned(),
        2..100 => format!("{seconds} seconds"),
        100..7_200 => format!("{} minutes", seconds.div_ceil(60)),
        _ => format!("{} hours", seconds.div_ceil(3_600)),
    })
}

/// Writes a title of a problem as a sentence; what is one stays as it is.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    let end = if text.ends_with('.') { "" } else { "." };
    first.into_iter().chain(characters).chain(end.chars()).collect()
}

/// What is said to a person.
struct Words {
    heading: &'static str,
    happened: &'static str,
    remedy: &'static str,
}

impl Words {
    fn of(problem: &Problem<'_>, view: &View<'_>) -> Self {
        const ASK: &str = "Ask an administrator of this site for access, or sign in with another account.";
        const LATER: &str =
            "Try again in a moment. If it goes on, tell the operator of this site the request below.";
        const NO_ACCESS: &str = "You can't use this page";
        let is_unavailable = problem.reason == Some("unavailable");
        let (heading, happened, remedy) = match problem.error {
            "ambiguous_path" => (
                "This address can't be used",
                "It can be read in more than one way: by an escape, a slash or a capital letter that does not belong there.",
                "Check the address, or start from the home page.",
            ),
            "unauthorized" => (
                "Sign in to go on",
                match problem.reason {
                    Some("no_credential") => "You are not signed in.",
                    Some("session_expired") => "Your session has expired.",
                    Some("session_revoked") => "Your session was ended.",
                    Some("session_ambiguous") => {
                        "Your browser sent the sessions of two different accounts; both were cleared."
                    }
                    Some("token_unknown" | "token_revoked" | "token_expired") => {
                        "The access token is not valid."
                    }
                    _ => "Your session was not valid; it was cleared.",
                },
                "Sign in, and you will be led back.",
            ),
            "forbidden_origin" => (
                "This came from another site",
                "Another site sent this request with your browser, so it was refused.",
                "If you meant to do this, do it from this site's own pages.",
            ),
            "forbidden_role" => (NO_ACCESS, "It needs a role that your account does not have.", ASK),
            "forbidden_kind" => (NO_ACCESS, "It does not serve the kind of account that you use.", ASK),
            "forbidden_owner" => (NO_ACCESS, "It belongs to somebody else.", ASK),
            "forbidden_human_only" => (
                NO_ACCESS,
                "It is for people alone, and the credential of a program came with the request.",
                "Sign in as yourself, without an access token.",
            ),
            "forbidden_policy" | "bot_check_failed" if is_unavailable => {
                ("This could not be checked", "The service that decides about it did not answer.", LATER)
            }
            "forbidden_policy" => (NO_ACCESS, "A rule of this site does not allow it.", ASK),
            "feature_disabled" => (NO_ACCESS, "It is not open to you, or not yet.", ASK),
            "bot_check_failed" => (
                "The check for robots did not pass",
                "Nothing showed that a person sent this.",
                "Go back, load the page again and repeat the check.",
            ),
            "confirmation_invalid" => (
                "This can't be decided any more",
                match problem.reason {
                    Some("approved" | "used") => "It was approved before.",
                    Some("rejected") => "It was rejected before.",
                    _ => "Its time is over.",
                },
                "You need not do anything.",
            ),
            "not_found" if view.is_approval => (
                "There is nothing here for you to decide",
                "The request may belong to another account, or is no longer kept.",
                "If somebody sent you this link, sign in with the account that it was meant for.",
            ),
            "not_found" => (
                "There is nothing here",
                "This page does not exist, or it is not yours to see.",
                "Check the address, or start from the home page.",
            ),
            "rate_limited" => (
                "Too many requests",
                "You sent more than this site takes in such a time.",
                "Wait, then try again.",
            ),
            "upstream_failed" => {
                ("The application can't be reached", "It did not answer, or broke off its answer.", LATER)
            }
            "upstream_timeout" => ("The application takes too long", "It did not answer in time.", LATER),
            "store_unavailable" => (
                "This can't be answered now",
                "What is needed to decide about it could not be looked up.",
                LATER,
            ),
            "misconfigured" => (
                "This site is not set up correctly",
                "The configuration of its gateway has a mistake, so nothing is let through.",
                "If this is your site, the log names each mistake, and so does npm run check-config.",
            ),
            "internal" => ("Something went wrong", "It is a fault of this site's, not of yours.", LATER),
            _ => ("This request was refused", problem.title, "Go back, and try again from there."),
        };
        Self { heading, happened, remedy }
    }
}
