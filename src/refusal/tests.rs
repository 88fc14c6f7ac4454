//! Who is led to the login page, and who gets a page in place of a problem document.

use serde_json::{Value, json};

use super::{DenialContext, EarlyResponse, turn_away};
use crate::{
    config::{Bindings, Config, read_variables},
    context::Request,
    effects::Reply,
    event::{Event, RequestMeta},
    path::CanonicalPath,
    problem::{BotCheck, Fault, ForbiddenBy, RateLimit, Reason, Rejection, Unconfirmed},
    time::Timestamp,
};

fn config() -> Config {
    let variables = json!({
        "PUBLIC_ORIGINS": ["https://app.example", "https://www.example"],
        "ALLOWED_ORIGINS": ["https://pay.example"],
        "UPSTREAM": "https://origin.example",
        "SESSION": { "login": "accounts" },
        "SETUP_TOKEN": "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p",
        "AUTH_SECRET": "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA",
        "ROUTES": [
            { "path": "/in/{*rest}", "access": "user", "unauthenticated": "redirect" },
            { "path": "/401/{*rest}", "access": "user", "unauthenticated": "401" },
            { "path": "/approved", "access": "user", "confirm": "human" },
        ],
    });
    let variables = read_variables(&variables.to_string()).expect("an object");
    let bindings = ["SESSIONS", "ACCOUNTS", "CONFIRMATIONS", "LEDGER", "LIMITER", "TOKENS"];
    Config::parse(&variables, &Bindings::named(bindings)).expect("valid")
}

/// Turns a request away, as its rule says.
fn turned(config: &Config, account: &str, why: EarlyResponse) -> (Reply, Option<String>) {
    let request = Request::read(account).expect("an account");
    let meta = RequestMeta { now: Timestamp(1_000), milliseconds: 1_000_000, request_id: "req_7" };
    let path = CanonicalPath::judge(request.path).expect("a path");
    let rule = Some(config.rules.find(request.method, &path));
    let target = format!("{}{}", path.as_str(), request.query);
    let mut event = Event::new(meta.request_id, request.method);
    turn_away(DenialContext { config, request: &request, meta, rule }, why, &target, &mut event)
}

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str())
}

fn is_page(reply: &Reply) -> bool {
    header(reply, "content-type") == Some("text/html; charset=utf-8")
}

const NAVIGATE: &str = "sec-fetch-mode\nnavigate\nsec-fetch-dest\ndocument";
const FRAMED: &str = "sec-fetch-mode\nnavigate\nsec-fetch-dest\niframe";
const FORM: &str = "sec-fetch-mode\nnavigate\nsec-fetch-dest\ndocument\nsec-fetch-site\nsame-origin";
const FETCH: &str = "sec-fetch-mode\ncors\nsec-fetch-dest\nempty\nsec-fetch-site\nsame-origin";
const HTML: &str = "accept\ntext/html,*/*;q=0.8";

#[test]
fn those_who_are_not_signed_in() {
    let config = config();
    let from = |page: &str| format!("referer\nhttps://app.example{page}");
    for (request, fields, want, next) in [
        // A navigation comes back to where it was going.
        ("GET /a?b=c", NAVIGATE.to_owned(), "302", "/a?b=c"),
        ("HEAD /a", NAVIGATE.to_owned(), "302", "/a"),
        ("GET /a", HTML.to_owned(), "302", "/a"),
        ("GET /a", format!("{NAVIGATE}\n{}", from("/b")), "302", "/a"),
        // A frame gets its 401, and the page around it is where one comes back to.
        ("GET /a", format!("{FRAMED}\n{}", from("/b")), "401 page", "/b"),
        ("GET /a", FRAMED.replace("iframe", "frame"), "401 page", "/"),
        ("GET /a", FRAMED.replace("iframe", "object"), "401 page", "/"),
        ("GET /a", FRAMED.replace("iframe", "embed"), "401 page", "/"),
        ("GET /a", FRAMED.replace("iframe", "fencedframe"), "401 page", "/"),
        ("GET /in/a", format!("{FRAMED}\n{}", from("/b")), "302", "/in/a"),
        ("GET /401/a", format!("{FRAMED}\n{}", from("/b")), "401 page", "/b"),
        ("GET /401/a", format!("{NAVIGATE}\n{}", from("/b")), "401 page", "/401/a"),
        ("GET /in/a", NAVIGATE.to_owned(), "302", "/in/a"),
        // A form comes back to its page.
        ("POST /a", format!("{FORM}\n{}", from("/b?c=d")), "303", "/b?c=d"),
        ("POST /a", FORM.to_owned(), "303", "/"),
        ("POST /a", format!("{FORM}\nreferer\nhttps://evil.example/b"), "303", "/"),
        ("POST /a", format!("{FORM}\nreferer\nhttps://app.example.evil/b"), "303", "/"),
        ("POST /a", format!("{FORM}\nreferer\nhttps://app.example:444/b"), "303", "/"),
        ("POST /a", format!("{FORM}\nreferer\nhttps://app.example@evil/b"), "303", "/"),
        ("POST /a", format!("{FORM}\nreferer\nhttps://www.example/b"), "303", "/"),
        ("POST /a", format!("{FORM}\n{}", from("//evil.example")), "303", "/"),
        ("POST /a", format!("{FORM}\n{}", from("/login?next=/b")), "303", "/"),
        ("POST /a", format!("{FORM}\n{}", from("/api/auth/logout")), "303", "/"),
        ("POST /a", format!("{FORM}\n{}", from(&format!("/{}", "x".repeat(5_000)))), "303", "/"),
        ("POST /in/a", format!("{FORM}\n{}", from("/b")), "303", "/b"),
        ("POST /401/a", format!("{FORM}\n{}", from("/b")), "401 page", "/b"),
        ("POST /a", format!("{FORM}\n{}", from("/b")).replace("document", "iframe"), "401 page", "/b"),
        ("POST /in/a", format!("{FORM}\n{}", from("/b")).replace("document", "iframe"), "303", "/b"),
        // One of an older browser, by its Origin or its Referer.
        ("POST /a", format!("{HTML}\norigin\nhttps://app.example\n{}", from("/b")), "303", "/b"),
        ("POST /a", format!("{HTML}\n{}", from("/b")), "303", "/b"),
        ("POST /a", format!("{HTML}\norigin\nnull\n{}", from("/b")), "401 page", "/b"),
        ("POST /a", format!("{HTML}\norigin\nhttps://pay.example"), "401 page", "/"),
        ("POST /a", format!("{HTML}\norigin\nhttps://app.example.evil"), "401 page", "/"),
        ("POST /a", HTML.to_owned(), "401 page", "/"),
        // Another site's form is none of ours, even where it is allowed to send one.
        ("POST /a", FORM.replace("same-origin", "same-site"), "401 page", "/"),
        ("POST /a", FORM.replace("same-origin", "cross-site"), "401 page", "/"),
        ("POST /a", FORM.replace("same-origin", "none"), "401 page", "/"),
        // A script is told where.
        ("GET /a", format!("{FETCH}\n{HTML}\n{}", from("/b")), "401 problem", "/b"),
        ("POST /a", format!("{FETCH}\n{HTML}\n{}", from("/b")), "401 problem", "/b"),
        ("GET /in/a", format!("{FETCH}\n{}", from("/b")), "401 problem", "/b"),
        ("GET /a", "accept\n*/*".to_owned(), "401 problem", "/"),
        ("PUT /a", format!("{FORM}\n{}", from("/b")), "401 page", "/b"),
        ("DELETE /a", format!("{HTML}\norigin\nhttps://app.example"), "401 page", "/"),
        ("GET /a", format!("{HTML}\nupgrade\nwebsocket"), "401 problem", "/"),
        // A program that has a token has no login page.
        ("POST /a", format!("{HTML}\n{}\nauthorization\nBearer x", from("/b")), "401 problem", ""),
        ("GET /a", format!("{FETCH}\nauthorization\nBearer x"), "401 problem", ""),
        // Our own endpoints never redirect, but for those that people use without a script.
        ("GET /api/auth/me", NAVIGATE.to_owned(), "401 page", "/"),
        ("GET /api/auth/me", format!("{FETCH}\n{}", from("/b")), "401 problem", "/b"),
        ("POST /api/agent-tokens", format!("{FORM}\n{}", from("/b")), "401 page", "/b"),
        ("GET /api/confirmations/x", NAVIGATE.to_owned(), "302", "/api/confirmations/x"),
        (
            "POST /api/confirmations/x/approve",
            format!("{FORM}\n{}", from("/api/confirmations/x")),
            "303",
            "/api/confirmations/x",
        ),
        ("GET /api/confirmations/x", FETCH.to_owned(), "401 problem", "/"),
    ] {
        let (method, target) = request.split_once(' ').expect("a request");
        let account = format!("{method}\nhttps://app.example{target}\n{fields}");
        let why = EarlyResponse::Rejected(Rejection::Unauthorized(Reason::SessionExpired));
        let (reply, counted) = turned(&config, &account, why);
        let form = if is_page(&reply) { " page" } else { " problem" };
        let form = if reply.status < 400 { "" } else { form };
        assert_eq!(format!("{}{form}", reply.status), want, "{account}");
        let login = match want {
            "302" | "303" => header(&reply, "location"),
            _ => header(&reply, "x-vestibule-login-url"),
        };
        let encoded: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let expected = (!next.is_empty()).then(|| format!("/login?next={encoded}"));
        assert_eq!(login, expected.as_deref(), "{account}");
        assert_eq!(counted.is_some(), reply.status < 400, "only redirects are counted: {account}");
        if want == "401 problem" {
            let document: Value = serde_json::from_str(&reply.body.unwrap_or_default()).expect("JSON");
            assert_eq!(document["loginUrl"].as_str(), expected.as_deref(), "{account}");
            assert_eq!(document["type"], "urn:vestibule:errors#unauthorized-session_expired");
        }
    }
}

/// A page that sends its form by itself goes round no longer than a link that does.
#[test]
fn a_form_that_sends_itself_is_stopped() {
    let config = config();
    let mut cookies = String::new();
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let form =
            format!("POST\nhttps://app.example/a\n{FORM}\nreferer\nhttps://app.example/b\ncookie\n{cookies}");
        let why = || EarlyResponse::Rejected(Rejection::Unauthorized(Reason::SessionExpired));
        let (reply, counted) = turned(&config, &form, why());
        statuses.push(reply.status);
        cookies = counted.expect("a count").split(';').next().expect("a pair").to_owned();
        let back = config.return_path.accept("/b").expect("a path");
        let login = format!("GET\nhttps://app.example/login?next=/b\n{NAVIGATE}\ncookie\n{cookies}");
        let (reply, counted) = turned(&config, &login, EarlyResponse::SignedIn(back));
        statuses.push(reply.status);
        cookies = counted.expect("a count").split(';').next().expect("a pair").to_owned();
    }
    assert_eq!(statuses, [303, 302, 303, 200], "the fourth is a page");
}

#[test]
fn every_refusal_has_its_page() {
    let config = config();
    let limit = RateLimit { name: "x", limit: 1, period: 60 };
    for (why, heading) in [
        (EarlyResponse::Rejected(Rejection::AmbiguousPath), "This address can&#39;t be used"),
        (
            EarlyResponse::Rejected(Rejection::ForbiddenOrigin { development: false }),
            "This came from another site",
        ),
        (EarlyResponse::Rejected(Rejection::ForbiddenRole), "You can&#39;t use this page"),
        (EarlyResponse::Rejected(Rejection::ForbiddenKind), "You can&#39;t use this page"),
        (EarlyResponse::Rejected(Rejection::ForbiddenOwner), "You can&#39;t use this page"),
        (EarlyResponse::Rejected(Rejection::ForbiddenHumanOnly), "You can&#39;t use this page"),
        (EarlyResponse::Rejected(Rejection::FeatureDisabled), "You can&#39;t use this page"),
        (
            EarlyResponse::Rejected(Rejection::ForbiddenPolicy(ForbiddenBy::Policy)),
            "You can&#39;t use this page",
        ),
        (
            EarlyResponse::Rejected(Rejection::ForbiddenPolicy(ForbiddenBy::Unavailable)),
            "This could not be checked",
        ),
        (
            EarlyResponse::Rejected(Rejection::BotCheckFailed(BotCheck::Missing)),
            "The check for robots did not pass",
        ),
        (
            EarlyResponse::Rejected(Rejection::BotCheckFailed(BotCheck::Unavailable)),
            "This could not be checked",
        ),
        (
            EarlyResponse::Rejected(Rejection::ConfirmationInvalid(Unconfirmed::Expired)),
            "This can&#39;t be decided any more",
        ),
        (EarlyResponse::Rejected(Rejection::NotFound), "There is nothing here"),
        (EarlyResponse::Rejected(Rejection::RateLimited { limit, reset: 61 }), "Too many requests"),
        (EarlyResponse::Rejected(Rejection::MethodNotAllowed("GET")), "This request was refused"),
        (EarlyResponse::Rejected(Rejection::BodyTooLarge), "This request was refused"),
        (EarlyResponse::Failed(Fault::UpstreamFailed), "The application can&#39;t be reached"),
        (EarlyResponse::Failed(Fault::UpstreamTimeout), "The application takes too long"),
        (EarlyResponse::Failed(Fault::StoreUnavailable), "This can&#39;t be answered now"),
        (EarlyResponse::Failed(Fault::Misconfigured), "This site is not set up correctly"),
        (EarlyResponse::Failed(Fault::Internal), "Something went wrong"),
    ] {
        let again = match &why {
            EarlyResponse::Rejected(rejection) => EarlyResponse::Rejected(*rejection),
            EarlyResponse::Failed(fault) => EarlyResponse::Failed(*fault),
            _ => unreachable!("only these"),
        };
        let (page, _) = turned(&config, &format!("GET\nhttps://app.example/a\n{NAVIGATE}"), why);
        let (problem, _) = turned(&config, &format!("GET\nhttps://app.example/a\n{FETCH}"), again);
        assert!(is_page(&page) && !is_page(&problem), "{heading}");
        assert_eq!(page.status, problem.status);
        let html = page.body.as_deref().unwrap_or_default();
        assert!(html.contains(&format!("<h1>{heading}</h1>")), "{heading}: {html}");
        let document: Value = serde_json::from_str(&problem.body.unwrap_or_default()).expect("JSON");
        let code = document["error"].as_str().expect("a code");
        for part in [format!("<code>{code}</code>"), "<code>req_7</code>".to_owned(), "href=\"/\"".to_owned()]
        {
            assert!(html.contains(&part), "{heading} lacks {part}: {html}");
        }
        assert!(!html.contains("<script") && !html.contains("style="), "{html}");
        // What a document's headers say, the page's say too.
        let said = problem.headers.iter().filter(|(name, _)| *name != "content-type");
        for (name, value) in said {
            assert_eq!(header(&page, name), Some(value.as_str()), "{heading}: {name}");
        }
    }
}

#[test]
fn what_is_said_of_a_form_that_was_sent() {
    let config = config();
    for (why, wanted, unwanted) in [
        (EarlyResponse::Rejected(Rejection::ForbiddenRole), "was not carried out", "Try again</a>"),
        (EarlyResponse::Failed(Fault::StoreUnavailable), "was not carried out", "Try again</a>"),
        (EarlyResponse::Failed(Fault::UpstreamTimeout), "may have been carried out", "Try again</a>"),
        (EarlyResponse::Failed(Fault::UpstreamFailed), "may have been carried out", "was not carried out"),
        (
            EarlyResponse::Rejected(Rejection::CheckoutConflict),
            "may have been carried out",
            "was not carried out",
        ),
    ] {
        let (page, _) = turned(&config, &format!("POST\nhttps://app.example/a\n{FORM}"), why);
        let html = page.body.unwrap_or_default();
        assert!(html.contains(wanted) && !html.contains(unwanted), "{html}");
    }
}

#[test]
fn a_frame_of_this_site_shows_it_and_no_other() {
    let config = config();
    for (fields, ancestors, options, link) in [
        (NAVIGATE, "frame-ancestors 'none'", "DENY", "target=\"_self\" href=\"/\">Go to"),
        (FRAMED, "frame-ancestors 'self'", "SAMEORIGIN", "target=\"_top\" href=\"/\">Go to"),
    ] {
        let account = format!("GET\nhttps://app.example/a\n{fields}");
        let (page, _) = turned(&config, &account, EarlyResponse::Rejected(Rejection::ForbiddenRole));
        let policy = header(&page, "content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; ") && policy.contains(ancestors), "{policy}");
        assert_eq!(header(&page, "x-frame-options"), Some(options));
        assert!(page.body.unwrap_or_default().contains(link), "{fields}");
    }
}

#[test]
fn another_accounts_approval() {
    let config = config();
    for (path, heading) in [
        ("/api/confirmations/x", "There is nothing here for you to decide"),
        ("/api/users/x", "There is nothing here"),
    ] {
        let account = format!("GET\nhttps://app.example{path}\n{NAVIGATE}");
        let (page, _) = turned(&config, &account, EarlyResponse::Rejected(Rejection::NotFound));
        assert!(page.body.unwrap_or_default().contains(&format!("<h1>{heading}</h1>")), "{path}");
    }
}
