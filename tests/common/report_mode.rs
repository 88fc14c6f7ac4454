use std::sync::LazyLock;

use vestibule::{
    audit::{self, Audit},
    crypto::jwt::claims::SessionIds,
    guards::limiter::{self, Limiter},
    sessions::{
        cookies::{SessionTimes, mint},
        registry,
    },
};

use super::*;

/// Every path below has a rule that refuses for a reason of its own.
fn parse_config(more: &Value) -> Config {
    let mut variables = json!({
        "PUBLIC_ORIGINS": ["https://app.example"],
        "UPSTREAM": "https://origin.example",
        "UPSTREAM_SECRET": "u7Qm2Nf8Wc4Ry9Td1Kb6Vh3Xs5Jg0LpZe",
        "SESSION": { "check": "registry", "login": "accounts", "login_path": "/login" },
        "AUTH_SECRET": "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA",
        "TURNSTILE_SECRET": "0x4AAAAAAAbcdefghijklmnopqrstuvwxyz",
        "POLICY_URL": "https://policy.example/decide",
        "AGENT_TOKENS": format!("deploy:{AGENT}"),
        "RATE_LIMITS": [
            { "name": "few", "limit": 2, "period": "1m", "by": "address" },
            { "name": "own", "limit": 2, "period": "1m", "by": "principal" },
            { "name": "soft", "limit": 2, "period": "1m", "by": "address", "on_failure": "open" },
        ],
        "ROUTES": [
            { "path": "/public", "access": "public", "limit": "few" },
            { "path": "/maybe", "access": "optional", "idempotency": "optional" },
            { "path": "/user", "access": "user", "limit": "own", "audit": "best_effort" },
            { "path": "/admin", "access": "admin", "audit": "required", "idempotency": "optional" },
            { "path": "/human", "access": "human", "idempotency": "required" },
            { "path": "/agent", "access": "agent", "limit": "soft", "audit": "required" },
            { "path": "/own/{id}", "access": "owner", "owner_from": "/owners/{id}" },
            { "path": "/flag", "access": "optional", "feature": "beta" },
            { "path": "/policy", "access": "authenticated", "policy": "p", "csrf": "strict" },
            { "path": "/bot", "access": "optional", "bot_check": "order" },
            { "path": "/field", "access": "authenticated", "return_field": "next" },
            { "path": "/confirmed", "access": "authenticated", "confirm": "human", "idempotency": "optional" },
            { "path": "/all", "access": "user", "limit": "own", "feature": "beta", "policy": "p",
              "confirm": "human", "audit": "required", "idempotency": "optional" },
        ],
    });
    let variables_map = variables.as_object_mut().expect("an object");
    for (name, value) in more.as_object().expect("an object") {
        variables_map.insert(name.clone(), value.clone());
    }
    variables_map.retain(|_, value| !value.is_null());
    let bindings = ["SESSIONS", "ACCOUNTS", "TOKENS", "LEDGER", "CONFIRMATIONS", "LIMITER", "AUDIT", "KV"];
    Config::parse(variables.as_object().expect("an object"), &Bindings::named(bindings)).expect("valid")
}

static ENFORCING: LazyLock<Config> = LazyLock::new(|| parse_config(&json!({})));
static REPORTING: LazyLock<Config> = LazyLock::new(|| parse_config(&json!({ "MODE": "report" })));

const PATHS: [&str; 21] = [
    "/public",
    "/maybe",
    "/user",
    "/admin",
    "/human",
    "/agent",
    "/own/7",
    "/flag",
    "/policy",
    "/bot",
    "/field",
    "/field?next=https://evil.example",
    "/confirmed",
    "/all",
    "/login",
    "/no/rule",
    "//admin",
    "/ADMIN",
    "/public/%2e%2e%2fadmin",
    "/api/auth/me",
    "/_vestibule/account",
];

/// What a client presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    None,
    Ada,
    Root,
    Ended,
    Malformed,
    TwoUsers,
    Agent,
    UnknownToken,
    AdaAndAgent,
}

const CREDENTIALS: [Client; 9] = [
    Client::None,
    Client::Ada,
    Client::Root,
    Client::Ended,
    Client::Malformed,
    Client::TwoUsers,
    Client::Agent,
    Client::UnknownToken,
    Client::AdaAndAgent,
];

impl Client {
    /// Returns the header lines.
    fn lines(self, config: &Config) -> String {
        let token = |user, session| {
            let ids = SessionIds { user, session };
            mint(
                &config.sessions.policy,
                &config.sessions.keys,
                ids,
                SessionTimes::of_sign_in(Timestamp(NOW)),
            )
            .expect("a token")
        };
        let cookie = |value: &str| format!("\ncookie\na=1; mk_session={value}");
        let agent = format!("\nauthorization\nBearer {AGENT}");
        match self {
            Self::None => String::new(),
            Self::Ada => cookie(&token("ada", "live")),
            Self::Root => cookie(&token("root", "live")),
            Self::Ended => cookie(&token("ada", "gone")),
            Self::Malformed => cookie("broken"),
            Self::TwoUsers => {
                cookie(&format!("{}; mk_session={}", token("ada", "live"), token("root", "live")))
            }
            Self::Agent => agent,
            Self::UnknownToken => "\nauthorization\nBearer mk_unknown".to_owned(),
            Self::AdaAndAgent => cookie(&token("ada", "live")) + &agent,
        }
    }

    fn has_cookie(self) -> bool {
        !matches!(self, Self::None | Self::Agent | Self::UnknownToken)
    }

    /// The author for whom upstream may get identity headers, at most.
    fn author(self) -> Option<&'static str> {
        match self {
            Self::Ada | Self::AdaAndAgent => Some("ada"),
            Self::Root => Some("root"),
            Self::Agent => Some("deploy"),
            Self::None | Self::Ended | Self::Malformed | Self::TwoUsers | Self::UnknownToken => None,
        }
    }
}

/// A request, and the state of the deployment that it meets.
#[derive(Clone, Debug)]
struct Case {
    path: &'static str,
    method: &'static str,
    credential: Client,
    /// Header lines about the place that the request comes from.
    origin: &'static str,
    has_key: bool,
    /// Requests that were already counted.
    counted: u32,
    /// Whether the policy and Turnstile let the request pass.
    is_approved: bool,
    /// The call to an object that fails: none, one of the first, or all of them.
    fails_at: Option<u32>,
    no_store: bool,
}

fn cases() -> impl Strategy<Value = Case> {
    let origins = prop::sample::select(vec![
        "\nsec-fetch-site\nsame-origin",
        "\nsec-fetch-site\nsame-origin",
        "\nsec-fetch-site\nsame-origin\nsec-fetch-mode\nnavigate\nsec-fetch-dest\ndocument",
        "\nsec-fetch-site\ncross-site\norigin\nhttps://evil.example",
        "",
    ]);
    (
        (prop::sample::select(PATHS.to_vec()), prop::sample::select(vec!["GET", "POST", "PUT"])),
        (prop::sample::select(CREDENTIALS.to_vec()), origins),
        (any::<bool>(), 0_u32..3, any::<bool>()),
        (prop::option::weighted(0.4, 1_u32..6), prop::bool::weighted(0.1)),
    )
        .prop_map(
            |(
                (path, method),
                (credential, origin),
                (has_key, counted, is_approved),
                (fails_at, no_store),
            )| Case {
                path,
                method,
                credential,
                origin,
                has_key,
                counted,
                is_approved,
                fails_at,
                no_store,
            },
        )
}

/// What became of a case: the answer, the log line, and what upstream received.
struct Done {
    answer: Answer<()>,
    event: Value,
    /// The requests that upstream received, except for ownership lookups.
    received: Vec<Received>,
    /// The questions to external services.
    external: Vec<String>,
}

impl Case {
    fn serialized(&self, config: &Config) -> String {
        let Self { path, method, credential, origin, has_key, .. } = self;
        let key = if *has_key { "\nidempotency-key\n6f1c3a52-0001" } else { "" };
        let lines = credential.lines(config);
        format!(
            "{method}\nhttps://app.example{path}\ncf-connecting-ip\n192.0.2.7\ncontent-type\n\
             application/x-www-form-urlencoded\nx-user-id\nroot{origin}{lines}{key}"
        )
    }

    /// Runs the case in a deployment with the users Ada and Root, who is an admin.
    fn run(&self, config: &Config) -> Done {
        let upstream = deployment(config, self.counted);
        if self.is_approved {
            let allow = r#"{"decision":"allow"}"#.to_owned();
            let solved = r#"{"success":true,"action":"order","hostname":"app.example"}"#.to_owned();
            let body = if self.path == "/bot" { solved } else { allow };
            upstream.external_responses.borrow_mut().push(ExternalResponse { status: 200, body });
        }
        *upstream.body.borrow_mut() = Some(b"next=%2Fhome".to_vec());
        upstream.fails_at.set(self.fails_at);
        upstream.store_calls.set(if self.no_store { None } else { Some(0) });
        let (answer, event) = send(config, &upstream, &self.serialized(config));
        let received = upstream.received.take();
        let received = received.into_iter().filter(|(target, ..)| !target.starts_with("/owners")).collect();
        Done { answer, event, received, external: upstream.external_requests.take() }
    }
}

/// Returns a deployment with the users Ada and Root, who is an admin, and an agent's token that was used before.
fn deployment(config: &Config, counted: u32) -> Upstream {
    let upstream = upstream(200, &[]);
    for (user, role) in [("ada", Role::User), ("root", Role::Admin)] {
        let session = Session::opened("live", Timestamp(NOW), Timestamp(NOW + 3_600));
        let open = Command::Open(UserStatus { role, active: true, version: 0 }, session);
        let opened = upstream.objects.call::<Sessions>(user, &open, Timestamp(NOW));
        assert_eq!(opened, Ok(registry::Reply::Done(1)));
    }
    for limit in &config.limits {
        for subject in ["192.0.2.7", "user:ada", "user:root", "address:192.0.2.7"] {
            for _ in 0..counted {
                let (group, hit) = limiter::hit(limit.rate, subject);
                upstream.objects.call::<Limiter>(&group, &hit, Timestamp(NOW)).expect("counted");
            }
        }
    }
    let agent = format!("GET\nhttps://app.example/maybe\nauthorization\nBearer {AGENT}");
    send(config, &upstream, &agent);
    assert!(upstream.received.take().len() == 1, "the token is stored");
    Upstream { memory: Memory::default(), ..upstream }
}

/// The steps that report mode reports.
const REPORTABLE: [&str; 12] = [
    "address_limit",
    "csrf",
    "identity",
    "scope",
    "access",
    "principal_limit",
    "return_field",
    "bot_check",
    "feature",
    "hooks",
    "policy",
    "confirmation",
];

fn header_of<'a>(received: &'a Received, name: &str) -> Option<&'a str> {
    received.1.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str())
}

fn needs_claim(event: &Value) -> bool {
    let rule = event["rule"].as_str().unwrap_or_default();
    event["method"] != "GET" && ["/maybe", "/admin", "/human", "/confirmed", "/all"].contains(&rule)
}

fn is_reportable(event: &Value) -> bool {
    let rule = event["rule"].as_str().unwrap_or_default();
    let is_ours = rule.starts_with("/api") || rule.starts_with("/_vestibule");
    let step = event["step"].as_str();
    // Without its principal, a request has no claim.
    let has_no_claim = step == Some("identity") && needs_claim(event);
    !is_ours
        && !has_no_claim
        && (step.is_some_and(|step| REPORTABLE.contains(&step)) || event["decision"] == "redirect_from_login")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// Report mode reports exactly what enforcing mode refuses.
    #[test]
    fn reports_what_enforcing_mode_refuses(case in cases()) {
        let (refused, reported) = (case.run(&ENFORCING), case.run(&REPORTING));
        let (event, report) = (&refused.event, &reported.event);
        if is_reportable(event) {
            let would_refuse = &report["wouldRefuse"];
            // Nobody is asked for an approval, so it is not known whether that would have failed.
            let is_not_asked = event["step"] == "confirmation"
                && event["decision"] == "store_unavailable"
                && would_refuse["code"] == "confirmation_required";
            if is_not_asked {
                prop_assert_eq!(&would_refuse["step"], "confirmation");
                return Ok(());
            }
            prop_assert_eq!(&would_refuse["code"], &event["decision"], "{} {}", event, report);
            prop_assert_eq!(&would_refuse["status"], &event["status"], "{} {}", event, report);
            prop_assert_eq!(&would_refuse["reason"], &event["reason"], "{} {}", event, report);
            if event["step"].is_string() {
                prop_assert_eq!(&would_refuse["step"], &event["step"], "{} {}", event, report);
            }
            prop_assert!(refused.received.is_empty());
            // After a refusal, no guard runs.
            prop_assert_eq!(reported.external, refused.external, "{} {}", event, report);
            // Upstream is called, unless a step that is never in report mode refused the request.
            let is_through = report["decision"] == "would_refuse";
            prop_assert_eq!(reported.received.len(), usize::from(is_through), "{} {}", event, report);
            let later = report["step"].as_str().unwrap_or_default();
            let is_enforced =
                ["audit", "claim", "dispatch"].contains(&later) || (later == "identity" && needs_claim(report));
            prop_assert!(is_through || is_enforced, "{}", report);
        } else {
            prop_assert!(report["wouldRefuse"].is_null(), "{} {}", event, report);
            for member in ["decision", "status", "reason", "step", "principal", "idempotency", "rule"] {
                prop_assert_eq!(&report[member], &event[member], "{} {}", event, report);
            }
            prop_assert_eq!(reported.received, refused.received);
        }
    }

    /// Upstream gets no identity that is not proven, whatever was refused.
    #[test]
    fn stamps_only_proven_identities(case in cases()) {
        let step = case.run(&ENFORCING).event["step"].as_str().unwrap_or_default().to_owned();
        for received in case.run(&REPORTING).received {
            let author = header_of(&received, "x-author-id");
            if let Some(author) = author {
                prop_assert!(case.credential.author().is_some_and(|own| author == own), "{}", author);
                // After a body was read, the client is checked again, and that check may find the principal.
                let is_checked_again = case.fails_at.is_some() && case.method != "GET";
                let is_proven = step != "csrf" && (step != "identity" || is_checked_again);
                prop_assert!(is_proven, "{}: {}", step, author);
            }
            for name in ["x-user-id", "x-user-role", "x-session-id"] {
                let is_forged = author.is_none() && header_of(&received, name).is_some();
                prop_assert!(!is_forged, "{}", name);
            }
            // The client's own header is never forwarded.
            prop_assert!(received.2.iter().any(|name| name == "x-user-id"));
            prop_assert!(header_of(&received, "x-vestibule-assertion").is_some());
            // Nor does upstream get the session cookie of a request that another site may have sent.
            if step == "csrf" && case.credential.has_cookie() {
                prop_assert_eq!(header_of(&received, "cookie"), Some("a=1"));
            }
            // An ended session's cookie, and one that could not be checked, do not reach upstream.
            let asks = !matches!(case.path, "/public" | "/login");
            if case.credential == Client::Ended && asks {
                prop_assert_eq!(header_of(&received, "cookie"), Some("a=1"));
            }
            prop_assert!(header_of(&received, "x-confirmed-by").is_none());
        }
    }

    /// In report mode, an invalid cookie stays in the browser.
    #[test]
    fn leaves_invalid_cookies_alone(case in cases()) {
        let Done { answer, event, .. } = case.run(&REPORTING);
        let lines: Vec<String> = match answer {
            Answer::Relayed((), edits) | Answer::Watched((), edits, _) => {
                edits.append.into_iter().filter(|(name, _)| *name == "set-cookie").map(|(_, line)| line).collect()
            }
            Answer::Own(reply) | Answer::Feed(reply, _) => {
                reply.headers.into_iter().filter(|(name, _)| *name == "set-cookie").map(|(_, line)| line).collect()
            }
        };
        prop_assert!(!lines.iter().any(|line| line.starts_with("mk_session=;")), "{:?} {}", lines, event);
        if case.credential == Client::Malformed {
            prop_assert_eq!(&event["wouldExpireCookie"], true, "{}", event);
        }
    }
}

/// A request of a client at one address.
fn request(method: &str, path: &str, lines: &str) -> String {
    format!(
        "{method}\nhttps://app.example{path}\ncf-connecting-ip\n192.0.2.7\nsec-fetch-site\nsame-origin{lines}"
    )
}

#[test]
fn a_guard_in_report_mode_leaves_the_other_checks() {
    let limits = json!([{ "name": "few", "limit": 2, "period": "1m", "by": "address", "mode": "report" }]);
    let config = parse_config(&json!({
        "RATE_LIMITS": limits,
        "ROUTES": [
            { "path": "/limited", "access": "user", "limit": "few" },
            { "path": "/two", "access": "user", "bot_check": "order", "policy": "p", "report": ["bot_check"] },
            { "path": "/both", "access": "user", "bot_check": "order", "policy": "p", "report": ["bot_check", "policy"] },
            { "path": "/confirmed", "access": "authenticated", "confirm": "human", "report": "confirm" },
        ],
    }));
    let (none, ada) = (Client::None.lines(&config), Client::Ada.lines(&config));
    let agent = Client::Agent.lines(&config);
    for (path, lines, decision, step, would_refuse) in [
        ("/limited", &ada, "would_refuse", json!(null), json!("rate_limited")),
        ("/limited", &none, "unauthorized", json!("access"), json!("rate_limited")),
        ("/two", &ada, "forbidden_policy", json!("policy"), json!("bot_check_failed")),
        ("/two", &none, "unauthorized", json!("access"), json!(null)),
        ("/both", &ada, "would_refuse", json!(null), json!("bot_check_failed")),
        ("/confirmed", &agent, "would_refuse", json!(null), json!("confirmation_required")),
        ("/confirmed", &ada, "allow", json!(null), json!(null)),
    ] {
        let upstream = deployment(&config, 2);
        let (_, event) = send(&config, &upstream, &request("GET", path, lines));
        let found = (&event["decision"], &event["step"], &event["wouldRefuse"]["code"]);
        assert_eq!(found, (&json!(decision), &step, &would_refuse), "{path} {event}");
        let is_through = matches!(decision, "would_refuse" | "allow");
        assert_eq!(upstream.received.borrow().len(), usize::from(is_through), "{path} {event}");
    }
}

#[test]
fn no_spelling_evades_a_rule_that_refuses() {
    let config = parse_config(&json!({ "ROUTES": [
        { "path": "/admin", "access": "admin", "mode": "report" },
        { "path": "/files/{*rest}", "access": "user" },
        { "path": "/files/secret", "access": "admin", "mode": "report" },
    ] }));
    let (none, ada) = (String::new(), Client::Ada.lines(&config));
    for (path, lines, decision) in [
        ("/admin", &none, "would_refuse"),
        // As written, this is a path without a rule, which refuses.
        ("/ADMIN", &none, "unauthorized"),
        ("/ADMIN", &ada, "forbidden_role"),
        ("/files/secret", &none, "would_refuse"),
        ("/files//secret", &none, "unauthorized"),
        ("/files/other", &none, "unauthorized"),
    ] {
        let upstream = deployment(&config, 0);
        let (_, event) = send(&config, &upstream, &request("GET", path, lines));
        assert_eq!(event["decision"], decision, "{path}: {event}");
        assert_eq!(upstream.received.borrow().len(), usize::from(decision == "would_refuse"), "{path}");
    }
}

#[test]
fn nobody_is_asked_to_approve_what_has_run() {
    let config = parse_config(&json!({ "MODE": "report" }));
    let upstream = deployment(&config, 0);
    let agent = Client::Agent.lines(&config);
    let (_, event) = send(&config, &upstream, &request("POST", "/confirmed", &agent));
    assert_eq!(event["wouldRefuse"]["code"], "confirmation_required");
    assert_eq!(upstream.received.borrow().len(), 1);
    let count = upstream
        .objects
        .with::<Confirmations, _>(&confirmations::object_of(confirmations::AGENTS), |store| {
            common::Store::run(store, "SELECT count(*) FROM acts", &[]).expect("rows")[0].integer(0)
        });
    assert_eq!(count, Ok(0));
}

#[test]
fn a_claim_never_belongs_to_an_unproven_principal() {
    let config = parse_config(&json!({ "MODE": "report" }));
    let upstream = deployment(&config, 0);
    let key = "\nidempotency-key\n6f1c3a52-0002";
    let send = |lines: &str| send(&config, &upstream, &request("POST", "/admin", &format!("{lines}{key}"))).1;
    // The same key is a claim of its own for each client: by principal, or by the credentials as sent.
    let unproven =
        ["\ncookie\nmk_session=one", "\ncookie\nmk_session=two", "\nauthorization\nBearer one", ""];
    for lines in unproven.map(str::to_owned).iter().chain([&Client::Ada.lines(&config)]) {
        let (first, second) = (send(lines), send(lines));
        assert_eq!(
            (&first["idempotency"], &second["idempotency"]),
            (&json!("settled"), &json!("replayed")),
            "{lines}"
        );
        assert_eq!(first["decision"], "would_refuse");
    }
    assert_eq!(upstream.received.borrow().len(), 5);
}

#[test]
fn the_trail_says_what_would_be_refused() {
    let config = parse_config(&json!({ "MODE": "report" }));
    for (path, lines, principal, phases) in [
        ("/admin", Client::Ada.lines(&config), json!("ada"), &["done", "begun"][..]),
        ("/admin", String::new(), json!(null), &["done", "begun"]),
        ("/user", String::new(), json!(null), &["done"]),
    ] {
        let upstream = deployment(&config, 0);
        send(&config, &upstream, &request("GET", path, &lines));
        let object = audit::object_of(&audit::day_of(Timestamp(NOW)), audit::shard_of("req_1"));
        let query = audit::Query {
            since: Timestamp(0),
            before: audit::RowPosition { at: Timestamp(i64::MAX), seq: 0 },
            principal: None,
            operation: None,
            limit: 10,
        };
        let found = upstream.objects.call::<Audit>(&object, &audit::Command::Find(query), Timestamp(NOW));
        let audit::Reply::Rows(rows) = found.expect("a reply") else { panic!("rows") };
        let rows: Vec<Value> =
            rows.iter().map(|found| serde_json::from_str(&found.row).expect("JSON")).collect();
        assert_eq!(
            rows.iter().map(|row| row["phase"].as_str().expect("a phase")).collect::<Vec<_>>(),
            phases
        );
        for row in rows {
            assert_eq!(
                (&row["decision"], &row["principal"]["id"]),
                (&json!("would_refuse"), &principal),
                "{row}"
            );
            let step = &row["wouldRefuse"]["step"];
            assert_eq!(step, "access", "{row}");
        }
    }
}

#[test]
fn the_required_row_is_never_in_report_mode() {
    let config = parse_config(&json!({ "MODE": "report" }));
    let upstream = deployment(&config, 0);
    upstream.store_calls.set(None);
    let (answer, event) = send(&config, &upstream, &request("GET", "/admin", ""));
    assert_eq!(own_reply(answer).status, 503);
    assert_eq!((&event["step"], &event["wouldRefuse"]["status"]), (&json!("audit"), &json!(401)));
    assert!(upstream.received.borrow().is_empty());
}

#[test]
fn a_forged_sign_in_signs_nobody_in() {
    let routes = json!([{ "path": "/sign-in", "methods": ["POST"], "access": "public", "login": true }]);
    let session = json!({ "check": "registry", "login": "upstream" });
    let config = parse_config(&json!({
        "MODE": "report", "ROUTES": routes, "SESSION": session, "AGENT_TOKENS": null, "RATE_LIMITS": null,
    }));
    for (site, has_session) in [("same-origin", true), ("cross-site", false)] {
        let upstream = upstream(200, &[("x-vestibule-login", "ada")]);
        let serialized = format!("POST\nhttps://app.example/sign-in\nsec-fetch-site\n{site}");
        let (answer, event) = send(&config, &upstream, &serialized);
        assert_eq!(event["wouldRefuse"]["code"] == "forbidden_origin", !has_session, "{event}");
        let edits = relayed(answer);
        assert_eq!(edits.append.iter().any(|(name, _)| *name == "set-cookie"), has_session, "{site}");
        assert!(edits.remove.iter().any(|name| name == "x-vestibule-login"));
    }
}

#[test]
fn a_body_that_is_known_to_be_too_long_is_forwarded() {
    let config = parse_config(&json!({ "MODE": "report" }));
    for (path, lines, decision) in [
        ("/field", Client::Ada.lines(&config), "would_refuse"),
        // A claim needs the body, and is never in report mode. This platform reads a body of any length.
        ("/confirmed", Client::Agent.lines(&config) + "\nidempotency-key\n6f1c3a52", "would_refuse"),
    ] {
        for (length, code) in [("1048577", json!("body_too_large")), ("1048576", json!(null))] {
            let upstream = deployment(&config, 0);
            *upstream.body.borrow_mut() = Some(b"next=/".to_vec());
            let is_read = std::rc::Rc::new(Cell::new(false));
            let seen = is_read.clone();
            *upstream.on_body_read.borrow_mut() = Some(Box::new(move |_| seen.set(true)));
            let form = "\ncontent-type\napplication/x-www-form-urlencoded";
            let serialized = request("POST", path, &format!("{lines}{form}\ncontent-length\n{length}"));
            let (_, event) = send(&config, &upstream, &serialized);
            if code.is_null() {
                assert_ne!(event["wouldRefuse"]["code"], "body_too_large", "{path} {event}");
                assert!(is_read.get());
            } else {
                assert_eq!(
                    (&event["decision"], &event["wouldRefuse"]["code"]),
                    (&json!(decision), &code),
                    "{event}"
                );
                assert_eq!(is_read.get(), path == "/confirmed", "{path}");
            }
            assert_eq!(upstream.received.borrow().len(), 1, "{path} {event}");
        }
    }
}

#[test]
fn a_request_without_its_principal_claims_no_key() {
    let config = parse_config(&json!({ "MODE": "report" }));
    let upstream = deployment(&config, 0);
    upstream.fails_at.set(Some(1));
    upstream.store_calls.set(Some(0));
    let key = "\nidempotency-key\n6f1c3a52-0003";
    let lines = Client::Root.lines(&config) + key;
    let (answer, event) = send(&config, &upstream, &request("POST", "/admin", &lines));
    assert_eq!((own_reply(answer).status, &event["step"]), (503, &json!("identity")), "{event}");
    assert!(upstream.received.borrow().is_empty());
}

#[test]
fn streams_are_not_watched() {
    for (mode, is_watched) in [("report", false), ("enforce", true)] {
        let config = parse_config(&json!({ "ROUTES": [
            { "path": "/stream", "access": "user", "stream_check": "20s", "mode": mode },
        ] }));
        let upstream = Upstream {
            answer: Ok((200, vec![("content-type", "text/event-stream")])),
            ..deployment(&config, 0)
        };
        let (answer, _) = send(&config, &upstream, &request("GET", "/stream", &Client::Ada.lines(&config)));
        assert_eq!(matches!(answer, Answer::Watched(..)), is_watched, "{mode}");
    }
}
