//! `check-config` fails for mistakes that a running Worker only logs.

#![allow(clippy::expect_used, reason = "a test may fail")]

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

fn check(agent_tokens: &str) -> Output {
    run(&json!({
        "vars": {
            "PUBLIC_ORIGINS": "https://app.example, https://www.example",
            "UPSTREAM": "https://origin.example",
            "SESSION": { "login": "accounts" },
        },
        "bindings": ["ACCOUNTS", "LIMITER", "SESSIONS", "TOKENS"],
        "secrets": { "AUTH_SECRET": "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA", "AGENT_TOKENS": agent_tokens },
    }))
}

fn run(input: &Value) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tools"))
        .arg("check-config")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a child process");
    child.stdin.take().expect("stdin").write_all(input.to_string().as_bytes()).expect("written");
    child.wait_with_output().expect("an exit status")
}

#[test]
fn fails_if_an_agent_token_is_invalid() {
    let good = "mk_".to_owned() + &"a7".repeat(20);
    let passed = check(&format!("deploy:{good}"));
    assert!(passed.status.success(), "{passed:?}");
    let failed = check(&format!("deploy:{good},nightly:mk_tooshort"));
    let message = String::from_utf8_lossy(&failed.stderr);
    assert_eq!((failed.status.code(), failed.stdout.as_slice()), (Some(1), &b""[..]));
    assert!(
        message.starts_with("AGENT_TOKENS: expected a token of 40 to 256 visible characters for \"nightly\"")
    );
    assert!(
        !message.contains("tooshort") && !message.contains("a7a7") && message.lines().count() == 1,
        "{message}"
    );
}

#[test]
fn unknown_secrets_are_no_mistake() {
    let passed = run(&json!({
        "vars": {
            "PUBLIC_ORIGINS": "https://app.example",
            "UPSTREAM": "https://origin.example",
            "SESSION": { "login": "accounts" },
            "MAILER": "https://mailer.example",
            "WEBHOOKS": [{ "name": "stripe", "scheme": "stripe", "path": "/webhooks/stripe" }],
            "ROUTES": [{ "path": "/signup", "access": "public", "bot_check": "signup" }],
        },
        "bindings": ["ACCOUNTS", "LEDGER", "LIMITER", "SESSIONS", "TOKENS"],
        "secrets": null,
    }));
    assert!(passed.status.success(), "{passed:?}");
}
