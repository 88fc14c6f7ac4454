//! `explain` on the command line: what its output contains besides the decision.

#![allow(clippy::expect_used, reason = "a test may fail")]

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

fn explain(method: &str, path: &str, headers: &Value) -> String {
    let input = json!({
        "vars": {
            "PUBLIC_ORIGINS": "https://app.example",
            "UPSTREAM": "https://origin.example",
            "SESSION": { "login": "upstream" },
            "ROUTES": [
                { "path": "/a", "access": "user" },
                { "path": "/never", "access": "user", "unauthenticated": "401" },
                { "path": "/noted", "access": "public", "audit": "best_effort" },
            ],
        },
        "bindings": ["AUDIT", "SESSIONS"],
        "secrets": null,
        "method": method,
        "url": format!("https://app.example{path}"),
        "headers": headers,
        "now": 1_800_000_000,
    });
    let mut child = Command::new(env!("CARGO_BIN_EXE_tools"))
        .arg("explain")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child process");
    child.stdin.take().expect("stdin").write_all(input.to_string().as_bytes()).expect("written");
    let output = child.wait_with_output().expect("an exit status");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn shows_the_browser_result_if_it_differs() {
    let hint = "(a browser that navigates there gets 302 redirect_to_login: add --navigate)";
    for (method, path, headers, has_hint) in [
        ("GET", "/a", json!([]), true),
        ("HEAD", "/a", json!([]), true),
        ("GET", "/never", json!([]), false),
        ("POST", "/a", json!([]), false),
        ("GET", "/a", json!([["Sec-Fetch-Mode", "cors"]]), false),
        ("GET", "/a", json!([["Sec-Fetch-Mode", "navigate"]]), false),
        ("GET", "/noted", json!([]), false),
    ] {
        let text = explain(method, path, &headers);
        assert_eq!(text.contains(hint), has_hint, "{method} {path} {headers}: {text}");
    }
}

#[test]
fn shows_a_best_effort_audit_as_passed() {
    let text = explain("GET", "/noted", &json!([]));
    let line = text.lines().find(|line| line.trim_start().starts_with("audit")).expect("a line");
    assert!(line.contains("passed") && line.contains("best_effort"), "{line}");
    let text = explain("GET", "/a", &json!([["Sec-Fetch-Mode", "navigate"]]));
    assert!(text.contains("302 redirect_to_login"), "{text}");
}
