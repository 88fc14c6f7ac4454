//! Tests of redirects to the login page, and of pages that replace problem documents.

use serde_json::{Value, json};

use super::{DenialContext, EarlyResponse, respond_early};
use crate::{
    base::time::Timestamp,
    config::{Bindings, Config, read_variables},
    http::{
        path::CanonicalPath,
        problem::{ApprovalError, BotCheck, Fault, ForbiddenBy, RateLimit, Reason, Rejection},
        reply::Reply,
        request::Request,
    },
    platform::event::{Event, RequestMeta},
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

/// Returns the answer to a request, according to its rule.
fn answer(config: &Config, serialized: &str, response: EarlyResponse) -> (Reply, Option<String>) {
    let request = Request::read(serialized).expect("a request");
    let meta = RequestMeta { now: Timestamp(1_000), milliseconds: 1_000_000, request_id: "req_7" };
    let path = CanonicalPath::parse(request.path).expect("a path");
    let rule = Some(config.rules.find(request.method, &path));
    let target = format!("{}{}", path.as_str(), request.query);
    let mut event = Event::new(meta.request_id, request.method);
    respond_early(DenialContext { config, request: &request, meta, rule }, response, &target, &mut event)
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
fn leads_to_the_login_page_and_back() {
    let config = config();
    let from = |page: &str| format!("referer\nhttps://app.example{page}");
    for (request, fields, want, next) in [
        // A navigation: the return path is its target.
        ("GET /a?b=c", NAVIGATE.to_owned(), "302", "/a?b=c"),
        ("HEAD /a", NAVIGATE.to_owned(), "302", "/a"),
        ("GET /a", HTML.to_owned(), "302", "/a"),
        ("GET /a", format!("{NAVIGATE}\n{}", from("/b")), "302", "/a"),
        // A frame gets 401, and the return path is the page around it.
        ("GET /a", format!("{FRAMED}\n{}", from("/b")), "401 page", "/b"),
        ("GET /a", FRAMED.replace("iframe", "frame"), "401 page", "/"),
        ("GET /a", FRAMED.replace("iframe", "object"), "401 page", "/"),
        ("GET /a", FRAMED.replace("iframe", "embed"), "401 page", "/"),
        ("GET /a", FRAMED.replace("iframe", "fencedframe"), "401 page", "/"),
        ("GET /in/a", format!("{FRAMED}\n{}", from("/b")), "302", "/in/a"),
        ("GET /401/a", format!("{FRAMED}\n{}", from("/b")), "401 page", "/b"),
        ("GET /401/a", format!("{NAVIGATE}\n{}", from("/b")), "401 page", "/401/a"),
        ("GET /in/a", NAVIGATE.to_owned(), "302", "/in/a"),
        // A form: the return path is its page.
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
        // A form from an older browser, recognised by its Origin or its Referer.
        ("POST /a", format!("{HTML}\norigin\nhttps://app.example\n{}", from("/b")), "303", "/b"),
        ("POST /a", format!("{HTML}\n{}", from("/b")), "303", "/b"),
        ("POST /a", format!("{HTML}\norigin\nnull\n{}", from("/b")), "401 page", "/b"),
        ("POST /a", format!("{HTML}\norigin\nhttps://pay.example"), "401 page", "/"),
        ("POST /a", format!("{HTML}\norigin\nhttps://app.example.evil"), "401 page", "/"),
        ("POST /a", HTML.to_owned(), "401 page", "/"),
        // A form of another site gets 401, even if that site may send it.
        ("POST /a", FORM.replace("same-origin", "same-site"), "401 page", "/"),
        ("POST /a", FORM.replace("same-origin", "cross-site"), "401 page", "/"),
        ("POST /a", FORM.replace("same-origin", "none"), "401 page", "/"),
        // A script gets the URL of the login page in a problem document.
        ("GET /a", format!("{FETCH}\n{HTML}\n{}", from("/b")), "401 problem", "/b"),
        ("POST /a", format!("{FETCH}\n{HTML}\n{}", from("/b")), "401 problem", "/b"),
        ("GET /in/a", format!("{FETCH}\n{}", from("/b")), "401 problem", "/b"),
        ("GET /a", "accept\n*/*".to_owned(), "401 problem", "/"),
        ("PUT /a", format!("{FORM}\n{}", from("/b")), "401 page", "/b"),
        ("DELETE /a", format!("{HTML}\norigin\nhttps://app.example"), "401 page", "/"),
        ("GET /a", format!("{HTML}\nupgrade\nwebsocket"), "401 problem", "/"),
        // A program with a bearer token gets no login page.
        ("POST /a", format!("{HTML}\n{}\nauthorization\nBearer x", from("/b")), "401 problem", ""),
        ("GET /a", format!("{FETCH}\nauthorization\nBearer x"), "401 problem", ""),
        // The gateway's endpoints never redirect, except for those that people use without a script.
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
        let serialized = format!("{method}\nhttps://app.example{target}\n{fields}");
        let why = EarlyResponse::Rejected(Rejection::Unauthorized(Reason::SessionExpired));
        let (reply, count_cookie) = answer(&config, &serialized, why);
        let kind = if is_page(&reply) { " page" } else { " problem" };
        let kind = if reply.status < 400 { "" } else { kind };
        assert_eq!(format!("{}{kind}", reply.status), want, "{serialized}");
        let login = match want {
            "302" | "303" => header(&reply, "location"),
            _ => header(&reply, "x-vestibule-login-url"),
        };
        let encoded: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let expected = (!next.is_empty()).then(|| format!("/login?next={encoded}"));
        assert_eq!(login, expected.as_deref(), "{serialized}");
        assert_eq!(count_cookie.is_some(), reply.status < 400, "only redirects are counted: {serialized}");
        if want == "401 problem" {
            let document: Value = serde_json::from_str(&reply.body.unwrap_or_default()).expect("JSON");
            assert_eq!(document["loginUrl"].as_str(), expected.as_deref(), "{serialized}");
            assert_eq!(document["type"], "urn:vestibule:errors#unauthorized-session_expired");
        }
    }
}

/// A page that sends its form by itself is stopped like any other redirect loop.
#[test]
fn ends_the_loop_of_a_form_that_sends_itself() {
    let config = config();
    let mut cookies = String::new();
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let form =
            format!("POST\nhttps://app.example/a\n{FORM}\nreferer\nhttps://app.example/b\ncookie\n{cookies}");
        let why = || EarlyResponse::Rejected(Rejection::Unauthorized(Reason::SessionExpired));
        let (reply, count_cookie) = answer(&config, &form, why());
        statuses.push(reply.status);
        cookies = count_cookie.expect("a count").split(';').next().expect("a cookie pair").to_owned();
        let back = "/b".to_owned();
        let login = format!("GET\nhttps://app.example/login?next=/b\n{NAVIGATE}\ncookie\n{cookies}");
        let (reply, count_cookie) = answer(&config, &login, EarlyResponse::SignedIn(back));
        statuses.push(reply.status);
        cookies = count_cookie.expect("a count").split(';').next().expect("a cookie pair").to_owned();
    }
    assert_eq!(statuses, [303, 302, 303, 200], "a page replaces the fourth redirect");
}

#[test]
fn every_refusal_has_a_page_of_its_own() {
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
            "This request could not be checked",
        ),
        (EarlyResponse::Rejected(Rejection::BotCheckFailed(BotCheck::Missing)), "The bot check failed"),
        (
            EarlyResponse::Rejected(Rejection::BotCheckFailed(BotCheck::Unavailable)),
            "This request could not be checked",
        ),
        (
            EarlyResponse::Rejected(Rejection::ConfirmationInvalid(ApprovalError::Expired)),
            "This approval is closed",
        ),
        (EarlyResponse::Rejected(Rejection::NotFound), "Page not found"),
        (EarlyResponse::Rejected(Rejection::RateLimited { limit, reset: 61 }), "Too many requests"),
        (EarlyResponse::Rejected(Rejection::MethodNotAllowed("GET")), "This request was refused"),
        (EarlyResponse::Rejected(Rejection::BodyTooLarge), "This request was refused"),
        (EarlyResponse::Failed(Fault::UpstreamFailed), "The application can&#39;t be reached"),
        (EarlyResponse::Failed(Fault::UpstreamTimeout), "The application takes too long"),
        (EarlyResponse::Failed(Fault::StoreUnavailable), "This page is temporarily unavailable"),
        (EarlyResponse::Failed(Fault::Misconfigured), "This site is not set up correctly"),
        (EarlyResponse::Failed(Fault::Internal), "Something went wrong"),
    ] {
        let again = match &why {
            EarlyResponse::Rejected(rejection) => EarlyResponse::Rejected(*rejection),
            EarlyResponse::Failed(fault) => EarlyResponse::Failed(*fault),
            _ => unreachable!("no other variant is tested"),
        };
        let (page, _) = answer(&config, &format!("GET\nhttps://app.example/a\n{NAVIGATE}"), why);
        let (problem, _) = answer(&config, &format!("GET\nhttps://app.example/a\n{FETCH}"), again);
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
        // The page has all headers of the problem document.
        let kept = problem.headers.iter().filter(|(name, _)| *name != "content-type");
        for (name, value) in kept {
            assert_eq!(header(&page, name), Some(value.as_str()), "{heading}: {name}");
        }
    }
}

#[test]
fn says_whether_a_form_may_have_been_processed() {
    let config = config();
    for (why, wanted, unwanted) in [
        (EarlyResponse::Rejected(Rejection::ForbiddenRole), "was not processed", "Try again</a>"),
        (EarlyResponse::Failed(Fault::StoreUnavailable), "was not processed", "Try again</a>"),
        (EarlyResponse::Failed(Fault::UpstreamTimeout), "may have been processed", "Try again</a>"),
        (EarlyResponse::Failed(Fault::UpstreamFailed), "may have been processed", "was not processed"),
        (
            EarlyResponse::Rejected(Rejection::CheckoutConflict),
            "may have been processed",
            "was not processed",
        ),
    ] {
        let (page, _) = answer(&config, &format!("POST\nhttps://app.example/a\n{FORM}"), why);
        let html = page.body.unwrap_or_default();
        assert!(html.contains(wanted) && !html.contains(unwanted), "{html}");
    }
}

#[test]
fn only_frames_of_this_site_show_a_refusal() {
    let config = config();
    for (fields, ancestors, options, link) in [
        (NAVIGATE, "frame-ancestors 'none'", "DENY", "target=\"_self\" href=\"/\">Go to"),
        (FRAMED, "frame-ancestors 'self'", "SAMEORIGIN", "target=\"_top\" href=\"/\">Go to"),
    ] {
        let serialized = format!("GET\nhttps://app.example/a\n{fields}");
        let (page, _) = answer(&config, &serialized, EarlyResponse::Rejected(Rejection::ForbiddenRole));
        let policy = header(&page, "content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; ") && policy.contains(ancestors), "{policy}");
        assert_eq!(header(&page, "x-frame-options"), Some(options));
        assert!(page.body.unwrap_or_default().contains(link), "{fields}");
    }
}

#[test]
fn an_unknown_approval_has_its_own_text() {
    let config = config();
    for (path, heading) in [
        ("/api/confirmations/x", "There is no request for you to approve"),
        ("/api/users/x", "Page not found"),
    ] {
        let serialized = format!("GET\nhttps://app.example{path}\n{NAVIGATE}");
        let (page, _) = answer(&config, &serialized, EarlyResponse::Rejected(Rejection::NotFound));
        assert!(page.body.unwrap_or_default().contains(&format!("<h1>{heading}</h1>")), "{path}");
    }
}
