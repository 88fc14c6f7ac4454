//! `check-config` fails for mistakes that a running Worker only logs.

#![allow(clippy::expect_used, reason = "a test may fail")]

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

fn check(agent_tokens: &str) -> Output {
    check_with(agent_tokens, &json!({}))
}

fn check_with(agent_tokens: &str, more: &Value) -> Output {
    let mut vars = json!({
        "PUBLIC_ORIGINS": "https://app.example, https://www.example",
        "UPSTREAM": "https://origin.example",
        "SESSION": { "login": "accounts" },
    });
    vars.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    run(&json!({
        "vars": vars,
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

#[test]
fn warns_of_everything_in_report_mode() {
    let good = "deploy:mk_".to_owned() + &"a7".repeat(20);
    let limit = json!([{ "name": "few", "limit": 1, "period": "1m", "by": "address", "mode": "report" }]);
    let routes = json!([
        { "path": "/whole", "access": "user", "mode": "report" },
        { "path": "/limited", "access": "user", "limit": "few" },
        { "path": "/guard", "access": "user", "report": "hooks" },
        { "path": "/strict", "access": "user", "mode": "enforce" },
    ]);
    let deployment = json!({
        "MODE": "report",
        "ROUTES": [
            { "path": "/strict", "access": "user", "mode": "enforce" },
            { "path": "/a", "access": "user" },
        ],
    });
    let warnings = |more| {
        let output = check_with(&good, &more);
        assert!(output.status.success(), "{output:?}");
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let lines = text.lines().filter(|line| line.contains("report mode")).map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    let found = warnings(json!({ "ROUTES": routes, "RATE_LIMITS": limit }));
    for (line, part) in found.iter().zip(["\"/whole\"", "\"few\"", "report, in the rule for \"/guard\""]) {
        assert!(line.contains(part), "{line}: {part}");
    }
    assert_eq!(found.len(), 3, "{found:?}");
    let found = warnings(deployment);
    assert!(found.iter().any(|line| line.contains("MODE: report mode")), "{found:?}");
    assert!(!found.iter().any(|line| line.contains("/strict")), "{found:?}");
    assert!(found.iter().any(|line| line.contains("\"/a\"")), "{found:?}");
}
