//! `check-config` fails over what a running Worker only complains of.

#![allow(clippy::expect_used, reason = "a test may fail")]

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use serde_json::json;

fn check(agent_tokens: &str) -> Output {
    let input = json!({
        "vars": {
            "PUBLIC_ORIGINS": "https://app.example, https://www.example",
            "UPSTREAM": "https://origin.example",
            "SESSION": { "login": "accounts" },
        },
        "bindings": ["ACCOUNTS", "LIMITER", "SESSIONS", "TOKENS"],
        "secrets": { "AUTH_SECRET": "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA", "AGENT_TOKENS": agent_tokens },
    });
    let mut child = Command::new(env!("CARGO_BIN_EXE_check-config"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process");
    child.stdin.take().expect("its input").write_all(input.to_string().as_bytes()).expect("written");
    child.wait_with_output().expect("its end")
}

#[test]
fn a_wrong_entry_of_agent_tokens_fails_the_check() {
    let good = "mk_".to_owned() + &"a7".repeat(20);
    let passed = check(&format!("deploy:{good}"));
    assert!(passed.status.success(), "{passed:?}");
    let failed = check(&format!("deploy:{good},nightly:mk_tooshort"));
    let told = String::from_utf8_lossy(&failed.stderr);
    assert_eq!((failed.status.code(), failed.stdout.as_slice()), (Some(1), &b""[..]));
    assert!(
        told.starts_with("AGENT_TOKENS: expected a token of 40 to 256 visible characters for \"nightly\"")
    );
    assert!(!told.contains("tooshort") && !told.contains("a7a7") && told.lines().count() == 1, "{told}");
}
