//! `explain` on the command line: what its output contains besides the decision.

#![allow(clippy::expect_used, reason = "a test may fail")]

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

fn explain(method: &str, path: &str, headers: &Value) -> String {
    explain_as("nobody", method, path, headers)
}

fn explain_as(client: &str, method: &str, path: &str, headers: &Value) -> String {
    let input = json!({
        "vars": {
            "PUBLIC_ORIGINS": "https://app.example",
            "UPSTREAM": "https://origin.example",
            "SESSION": { "login": "accounts" },
            "ROUTES": [
                { "path": "/a", "access": "user" },
                { "path": "/admins", "access": "admin", "recent": "10m" },
                { "path": "/agents", "access": "agent" },
                { "path": "/people", "access": "human" },
                { "path": "/never", "access": "user", "unauthenticated": "401" },
                { "path": "/noted", "access": "public", "audit": "best_effort" },
                { "path": "/tried", "access": "admin", "audit": "best_effort", "mode": "report" },
            ],
        },
        "bindings": ["ACCOUNTS", "AUDIT", "LIMITER", "SESSIONS", "TOKENS"],
        "secrets": null,
        "as": client,
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

#[test]
fn decides_for_each_client() {
    for (path, decisions) in [
        ("/a", ["401 unauthorized", "allow", "allow", "403 forbidden_kind", "allow"]),
        (
            "/admins",
            ["401 unauthorized", "403 forbidden_role", "allow", "403 forbidden_kind", "403 forbidden_role"],
        ),
        (
            "/agents",
            ["401 unauthorized", "403 forbidden_kind", "403 forbidden_kind", "allow", "403 forbidden_kind"],
        ),
        (
            "/people",
            ["401 unauthorized", "allow", "allow", "403 forbidden_human_only", "403 forbidden_human_only"],
        ),
    ] {
        let clients = ["nobody", "user", "admin", "agent", "mat_"];
        for (client, decision) in clients.into_iter().zip(decisions) {
            let text = explain_as(client, "GET", path, &json!([["sec-fetch-mode", "cors"]]));
            let last = text.lines().rfind(|line| !line.starts_with('(')).unwrap_or_default();
            assert!(last.starts_with(decision), "{client} at {path}: {text}");
        }
    }
}

#[test]
fn replays_a_log_by_rule() {
    let input = json!({
        "vars": {
            "PUBLIC_ORIGINS": "https://app.example",
            "UPSTREAM": "https://origin.example",
            "SESSION": { "login": "upstream" },
            "ROUTES": [
                { "path": "/assets/{*rest}", "access": "public" },
                { "path": "/admin", "access": "admin" },
                { "path": "/people", "access": "human" },
                { "path": "/tried", "access": "admin", "mode": "report" },
            ],
        },
        "bindings": ["SESSIONS"],
        "secrets": null,
        "as": "user",
        "json": true,
        "now": 1_800_000_000,
        "requests": [
            ["GET", "https://app.example/assets/a.js", 700],
            ["GET", "https://app.example/assets/b.js", 1],
            ["GET", "https://app.example/reports", 40],
            ["POST", "https://app.example/reports", 2],
            ["GET", "https://app.example/admin", 3],
            ["POST", "https://app.example/people", 5],
            ["GET", "https://app.example/tried", 6],
            ["GET", "https://app.example/a%00b", 1],
        ],
    });
    let mut child = Command::new(env!("CARGO_BIN_EXE_tools"))
        .arg("replay")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child process");
    child.stdin.take().expect("stdin").write_all(input.to_string().as_bytes()).expect("written");
    let output = child.wait_with_output().expect("an exit status");
    assert!(output.status.success(), "{output:?}");
    let rows: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rows: Vec<String> = rows
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| {
            format!("{} {} | {} | {}", row["requests"], row["rule"], row["nobody"], row["as"])
                .replace('"', "")
        })
        .collect();
    assert_eq!(
        rows,
        [
            "1 (no canonical path) | 400 ambiguous_path | 400 ambiguous_path",
            "42 (no rule) | 401 unauthorized | pass",
            "3 /admin | 401 unauthorized | 403 forbidden_role",
            "701 /assets/{*rest} | pass | pass",
            "5 /people | 401 unauthorized | pass",
            "6 /tried | would_refuse 401 unauthorized | would_refuse 403 forbidden_role",
        ]
    );
}

#[test]
fn says_what_report_mode_lets_through() {
    let text = explain_as("user", "GET", "/tried", &json!([]));
    let outcome =
        |step: &str| text.lines().find(|line| line.trim_start().starts_with(step)).unwrap_or_default();
    assert!(outcome("access").contains("would refuse 403 forbidden_role"), "{text}");
    assert!(outcome("hooks").contains("skipped") && outcome("dispatch").contains("passed"), "{text}");
    assert!(
        text.contains("\nwould_refuse: 403 forbidden_role at access. Report mode lets the request through\n"),
        "{text}"
    );
    assert!(explain_as("admin", "GET", "/tried", &json!([])).contains("\nallow\n"));
}
