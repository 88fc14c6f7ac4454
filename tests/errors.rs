//! `docs/errors.md` has a section for every code and reason that the gateway can emit, and `type` links to that
//! section.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use std::{collections::BTreeSet, fs};

use vestibule::{
    http::problem::{
        ABOUT_BLANK, ApprovalError, BotCheck, DEFAULT_BASE, Fault, ForbiddenBy, Problem, Reason, Rejection,
    },
    webhooks::InvalidSignature,
};

/// Returns the codes in `src/http/problem/`: each text in the form of a code that directly follows a status.
fn codes() -> BTreeSet<String> {
    let source: String = ["src/http/problem/fault.rs", "src/http/problem/rejection.rs"]
        .map(|file| fs::read_to_string(file).expect("a file"))
        .concat();
    let words: Vec<&str> = source.split_whitespace().collect();
    let status = |word: &str| word.trim_start_matches('(').strip_suffix(',').map(str::parse::<u16>);
    let code = |word: &str| Some(word.strip_prefix('"')?.strip_suffix("\",")?.to_owned());
    let found: BTreeSet<String> = words
        .windows(2)
        .filter(|pair| matches!(status(pair[0]), Some(Ok(400..600))))
        .map(|pair| code(pair[1]).unwrap_or_else(|| panic!("no code after {}", pair[0])))
        .collect();
    assert!(found.len() > 30, "too few codes found: check where src/http/problem/ lists them");
    found
}

/// Returns the reasons that a type lists in its `fn code`, as anchors below an error code.
fn reasons(file: &str, type_name: &str, error: &str) -> Vec<String> {
    let source = fs::read_to_string(file).expect("a file");
    let (_, body) = source.split_once(&format!("impl {type_name} {{")).expect("an impl");
    let (_, body) = body.split_once("fn code(self)").expect("a code");
    let (body, _) = body.split_once("\n    }\n").expect("an end");
    let found: Vec<String> = body
        .split("=> \"")
        .skip(1)
        .map(|rest| format!("{error}-{}", rest.split('"').next().unwrap_or_default()))
        .collect();
    assert!(found.len() > 2, "{type_name}");
    found
}

fn emitted() -> BTreeSet<String> {
    let problem = "src/http/problem/reason.rs";
    codes()
        .into_iter()
        .chain(["idempotency_outcome_unknown-session_not_repeated".to_owned()])
        .chain(reasons(problem, "Reason", "unauthorized"))
        .chain(reasons(problem, "BotCheck", "bot_check_failed"))
        .chain(reasons(problem, "OutOfScope", "forbidden_scope"))
        .chain(reasons(problem, "ForbiddenBy", "forbidden_policy"))
        .chain(reasons(problem, "ApprovalError", "confirmation_invalid"))
        .chain(reasons("src/webhooks/mod.rs", "InvalidSignature", "invalid_signature"))
        .chain(reasons("src/sessions/logout_token.rs", "LogoutTokenError", "logout_token_invalid"))
        .collect()
}

/// Returns the sections of the document: the anchor that a renderer makes of each heading, and the text.
fn sections() -> Vec<(String, String)> {
    let document = fs::read_to_string("docs/errors.md").expect("the document");
    let section = |text: &str| {
        let (heading, body) = text.split_once('\n').expect("a heading");
        // Like GitHub: lower case, no punctuation, hyphens for spaces.
        let anchor = heading.trim().to_lowercase().replace(':', "").replace(' ', "-");
        (anchor, body.to_owned())
    };
    document.split("\n### ").skip(1).map(section).collect()
}

#[test]
fn documents_exactly_the_emitted_codes_and_reasons() {
    let documented: BTreeSet<String> = sections().into_iter().map(|(anchor, _)| anchor).collect();
    let emitted = emitted();
    let missing: Vec<&String> = emitted.difference(&documented).collect();
    let unknown: Vec<&String> = documented.difference(&emitted).collect();
    assert!(missing.is_empty(), "docs/errors.md lacks {missing:?}");
    assert!(unknown.is_empty(), "docs/errors.md has {unknown:?}, which the gateway never emits");
}

#[test]
fn sections_are_complete_and_sorted() {
    let sections = sections();
    for (anchor, body) in &sections {
        for part in ["\n- Meaning: ", "\n- Client: ", "\n- Operator: "] {
            assert_eq!(body.matches(part).count(), 1, "{anchor}:{part}");
        }
    }
    let names: Vec<&String> = sections.iter().map(|(anchor, _)| anchor).collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(names, sorted);
}

#[test]
fn type_links_to_the_section() {
    let documented: BTreeSet<String> = sections().into_iter().map(|(anchor, _)| anchor).collect();
    for (problem, anchor) in [
        (Rejection::Unauthorized(Reason::SessionExpired).problem(""), "unauthorized-session_expired"),
        (Rejection::ForbiddenPolicy(ForbiddenBy::Unavailable).problem(""), "forbidden_policy-unavailable"),
        (Rejection::BotCheckFailed(BotCheck::Unavailable).problem(""), "bot_check_failed-unavailable"),
        (Rejection::ConfirmationInvalid(ApprovalError::Used).problem(""), "confirmation_invalid-used"),
        (
            Rejection::InvalidSignature(InvalidSignature::TooOld.code()).problem(""),
            "invalid_signature-too_old",
        ),
        (Rejection::ForbiddenPolicy(ForbiddenBy::LastAdmin).problem(""), "forbidden_policy-last_admin"),
        (Rejection::AmbiguousPath.problem(""), "ambiguous_path"),
        (Fault::Misconfigured.problem(""), "misconfigured"),
    ] {
        assert_eq!(problem.anchor(), anchor);
        assert!(documented.contains(anchor), "{anchor}");
        let base = "https://docs.example/errors.md";
        assert_eq!(type_of(&problem.with_base(base)), format!("{base}#{anchor}"));
    }
    // Without a base, `type` stays `about:blank`.
    assert_eq!(type_of(&Fault::Internal.problem("").with_base(ABOUT_BLANK)), "about:blank");
}

#[test]
fn the_entry_script_uses_the_default_type() {
    let script = fs::read_to_string("src/edge/entry.js").expect("a file");
    assert!(script.contains(&format!("\"type\":\"{DEFAULT_BASE}#internal\"")), "entry.js");
    let member = vestibule::config::schema::VARIABLES.iter().find(|member| member.name == "PROBLEM_BASE");
    assert_eq!(member.expect("a variable").default, Some(DEFAULT_BASE));
}

fn type_of(problem: &Problem<'_>) -> String {
    let document: serde_json::Value = serde_json::from_str(&problem.to_json()).expect("JSON");
    document["type"].as_str().expect("a type").to_owned()
}
