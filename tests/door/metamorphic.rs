//! Properties of pairs: what must not change, or only in one direction, if a request or a configuration changes.
//!
//! One platform serves both of a pair. So these requests have nothing that is counted or remembered.

use vestibule::{config::Config, platform::memory::Memory};

use super::{
    WORLDS,
    compare::{Actual, IDENTITY, send},
    platform::{NOW, Received, Upstream},
    request::{Meanwhile, Request},
    rules::{Access, Rule, Setup},
    state::State,
    world::{self, Random, number},
};

/// A configuration without report mode, and what its requests meet.
struct Fixture {
    random: Random,
    setup: Setup,
    config: Config,
    state: State,
    platform: Upstream,
    name: String,
}

/// Calls a function with some fixtures.
fn each_fixture(mut then: impl FnMut(&mut Fixture)) {
    let (worlds, first) = (number("DOOR_WORLDS", WORLDS).div_ceil(4), number("DOOR_SEED", 1));
    for seed in first..first + worlds {
        let mut random = Random::of(seed);
        let (mut setup, _) = world::setup(&mut random);
        setup.reports = false;
        for rule in &mut setup.rules {
            (rule.mode, rule.report, rule.limit) = (None, Vec::new(), None);
        }
        let Some(config) = world::parse(&setup) else { continue };
        let state = world::state(&mut random, &setup);
        let platform = super::platform();
        state.store(&platform, NOW);
        then(&mut Fixture {
            random,
            setup,
            config,
            state,
            platform,
            name: format!("DOOR_WORLDS=1 DOOR_SEED={seed}"),
        });
    }
}

impl Fixture {
    /// Returns a request that nothing remembers.
    fn request(&mut self) -> Request {
        loop {
            let request = world::request(&mut self.random, &self.setup);
            if !request.path.to_lowercase().contains("logout") {
                return Request { key: None, upstream: 200, meanwhile: Meanwhile::NOTHING, ..request };
            }
        }
    }

    /// Sends a request in a new isolate.
    fn send(&mut self, request: &Request, config: Option<&Config>) -> Actual {
        self.platform.memory = Memory::default();
        self.platform.on_body_read.replace(Some(Box::new(|_| {})));
        let serialized = request.serialized(&self.state);
        send(config.unwrap_or(&self.config), &mut self.platform, &serialized, request, "req_1")
    }
}

/// Returns whom upstream serves.
fn identity(received: &Received) -> Vec<(&'static str, &str)> {
    let set =
        |name: &str| received.1.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str());
    IDENTITY.into_iter().filter_map(|name| Some((name, set(name)?))).collect()
}

/// Report mode forwards what enforcing mode forwards, and logs what it refuses.
#[test]
fn report_mode_forwards_what_enforcing_mode_forwards() {
    each_fixture(|fixture| {
        let reporting =
            world::parse(&Setup { reports: true, ..fixture.setup.clone() }).expect("a configuration");
        for _ in 0..12 {
            let request = fixture.request();
            let (enforced, reported) =
                (fixture.send(&request, None), fixture.send(&request, Some(&reporting)));
            let why = format!("{}: {request:?}\n{}\n{}", fixture.name, enforced.event, reported.event);
            match (&enforced.received[..], &reported.received[..]) {
                ([enforced], [reported]) => {
                    assert_eq!(identity(enforced), identity(reported), "{why}");
                }
                ([], [_]) => {
                    let would = reported.would_refuse.as_ref().expect(&why);
                    let refused = &enforced.answer;
                    assert_eq!(
                        (would.status, would.code, would.reason),
                        (refused.status, refused.code, refused.reason),
                        "{why}"
                    );
                }
                ([], []) => {
                    // Refused in both: by a built-in route, or a step that is never in report mode.
                    let step = reported.event["step"].as_str().unwrap_or("dispatch");
                    assert!(
                        ["path", "rule", "claim", "audit", "dispatch"].contains(&step) || is_own(&reported),
                        "{why}"
                    );
                }
                _ => panic!("{why}"),
            }
        }
    });
}

fn is_own(actual: &Actual) -> bool {
    let rule = actual.event["rule"].as_str().unwrap_or_default();
    rule.starts_with("/api/") || rule.starts_with("/.well-known/")
}

/// A rule with one more requirement lets nothing through that it refused before.
#[test]
fn a_guard_lets_no_more_through() {
    let guards: [fn(&mut Rule); 9] = [
        |rule| rule.feature = Some("off"),
        |rule| rule.feature = Some("listed"),
        |rule| rule.policy = Some("admins"),
        |rule| rule.bot_check = Some("order"),
        |rule| (rule.is_csrf_strict, rule.skips_csrf) = (true, false),
        |rule| rule.return_field = Some("next"),
        |rule| rule.confirm = true,
        |rule| rule.recent = Some(60),
        |rule| rule.access = Access::Admin,
    ];
    each_fixture(|fixture| {
        let mut stricter = fixture.setup.clone();
        if stricter.rules.is_empty() {
            return;
        }
        let at = fixture.random.below(stricter.rules.len());
        let before = stricter.rules[at].clone();
        fixture.random.pick(&guards)(&mut stricter.rules[at]);
        if !stricter.rules[at].requires_at_least(&before, false) {
            return;
        }
        let Some(config) = world::parse(&stricter) else { return };
        for _ in 0..12 {
            let request = fixture.request();
            let (less, more) = (fixture.send(&request, None), fixture.send(&request, Some(&config)));
            // Two rules of which neither was the stricter one may be ordered now.
            if less.received.is_empty() && less.answer.code != "ambiguous_path" {
                let why = format!("{}: {request:?}\n{}\n{}", fixture.name, less.event, more.event);
                assert!(more.received.is_empty(), "{why}");
            }
        }
    });
}

/// Another spelling of a path that is refused is refused.
#[test]
fn another_spelling_is_never_less_protected() {
    each_fixture(|fixture| {
        for _ in 0..24 {
            let request = fixture.request();
            let segments: Vec<String> = request.path.split('/').map(str::to_owned).collect();
            let is_plain = |text: &String| !text.is_empty() && text.chars().all(|it| it.is_ascii_lowercase());
            if !segments[1..].iter().all(is_plain) {
                continue;
            }
            let first = fixture.send(&request, None);
            // A redirect away from the login page protects nothing.
            let is_other = ["ambiguous_path", "redirect_from_login"].contains(&first.answer.code);
            if !first.received.is_empty() || is_other {
                continue;
            }
            for _ in 0..3 {
                let mut other = segments.clone();
                world::respell(&mut fixture.random, &mut other);
                let respelled = Request { path: other.join("/"), ..request.clone() };
                // Only what some server reads as the same path: a `?` cuts off what follows.
                let is_cut = respelled.path.split_once("%3F").is_some_and(|(_, after)| after.contains('/'));
                if ["..", "%2e", "%2F", "%5C", "%00", "%zz", "%252F"]
                    .iter()
                    .any(|it| respelled.path.contains(it))
                    || is_cut
                {
                    continue;
                }
                let second = fixture.send(&respelled, None);
                let why = format!("{}: {respelled:?}\n{}\n{}", fixture.name, first.event, second.event);
                assert!(second.received.is_empty(), "{why}");
            }
        }
    });
}

/// Without a credential, upstream serves nobody whom this credential would prove.
#[test]
fn a_removed_credential_proves_nothing() {
    const OF_SESSIONS: [&str; 1] = ["x-session-id"];
    const OF_TOKENS: [&str; 4] = ["x-actor-source", "x-agent-id", "x-task-id", "x-agent-token-id"];
    each_fixture(|fixture| {
        for _ in 0..12 {
            let request = fixture.request();
            let no_session = Request { cookies: Vec::new(), ..request.clone() };
            let no_token = Request { authorization: None, ..request.clone() };
            let neither = Request { cookies: Vec::new(), authorization: None, ..request };
            for (request, names) in [
                (no_session, &OF_SESSIONS[..]),
                (no_token, &OF_TOKENS[..]),
                (neither, &["x-author-id", "x-user-id"]),
            ] {
                let actual = fixture.send(&request, None);
                let Some(received) = actual.received.first() else { continue };
                let found = identity(received);
                assert!(!found.iter().any(|(name, _)| names.contains(name)), "{}: {request:?}", fixture.name);
                let is_anonymous = request.cookies.is_empty() && request.authorization.is_none();
                let rules = fixture.setup.all_rules();
                let deciding =
                    super::paths::find(&rules, request.method, &request.path).expect("a rule").deciding;
                let is_open =
                    deciding.iter().all(|rule| matches!(rule.access, Access::Public | Access::Optional));
                assert!(!is_anonymous || is_open, "{}: {request:?} {}", fixture.name, actual.event);
            }
        }
    });
}

/// Every built-in route does the same in each mode.
#[test]
fn built_in_routes_ignore_the_mode() {
    const PATHS: [&str; 4] = ["/api/auth/me", "/.well-known/vestibule", "/api/sessions", "/API/auth/me"];
    each_fixture(|fixture| {
        let reporting =
            world::parse(&Setup { reports: true, ..fixture.setup.clone() }).expect("a configuration");
        for path in PATHS {
            if path == "/api/sessions" && !fixture.setup.has_registry() {
                continue;
            }
            let request = Request { path: path.to_owned(), ..fixture.request() };
            // Ending the other sessions is remembered.
            let request = Request {
                method: if request.method == "DELETE" { "GET" } else { request.method },
                ..request
            };
            let (enforced, reported) =
                (fixture.send(&request, None), fixture.send(&request, Some(&reporting)));
            let why = format!("{}: {request:?}\n{}\n{}", fixture.name, enforced.event, reported.event);
            assert_eq!(enforced.answer, reported.answer, "{why}");
            assert!(enforced.received.is_empty() && reported.received.is_empty(), "{why}");
            assert!(reported.would_refuse.is_none(), "{why}");
        }
    });
}
