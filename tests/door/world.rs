//! Random worlds: a configuration, its users, sessions and tokens, and the requests. One seed determines everything.

use std::collections::BTreeSet;

use proptest::{
    prelude::Rng,
    test_runner::{RngAlgorithm, TestRng},
};
use vestibule::config::{Bindings, Config};

use super::{
    platform::NOW,
    request::{Authorization, Cookie, Meanwhile, Request},
    rules::{Access, Login, Rule, Setup},
    state::{Change, SessionRow, State, Token, User},
};

/// Random choices from a seed.
pub(crate) struct Random(TestRng);

impl Random {
    pub(crate) fn of(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self(TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.0.next_u64() % u64::try_from(end).expect("small")).expect("small")
    }

    pub(crate) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    pub(crate) fn maybe<T: Clone>(&mut self, chance: usize, from: &[T]) -> Option<T> {
        (self.percent(chance) && !from.is_empty()).then(|| self.pick(from))
    }
}

/// Returns a number from the environment.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

const SEGMENTS: [&str; 12] = ["a", "b", "a", "b", "admin", "A", "{x}", "{x}", "x.y", "", "{*r}", "{+r}"];
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];
const OPERATIONS: [&str; 4] = ["orders.list", "orders.one", "payments.create", "other"];

fn pattern(random: &mut Random) -> String {
    let mut path = String::new();
    for at in 0..=random.below(3) {
        let segment = random.pick(&SEGMENTS).replace('x', &format!("x{at}"));
        let segment =
            if segment.starts_with('{') { segment } else { segment.replace(&format!("x{at}"), "x") };
        path.push('/');
        path.push_str(&segment);
        if segment.starts_with("{*") || segment.starts_with("{+") || segment.is_empty() {
            break;
        }
    }
    if random.percent(5) { "/login".to_owned() } else { path }
}

fn rule(random: &mut Random, login: Login) -> Rule {
    use Access::{Admin, Agent, Authenticated, Human, Optional, Owner, Public, User};
    let access =
        random.pick(&[Public, Public, Optional, Authenticated, User, User, Human, Agent, Admin, Owner]);
    let mut rule = Rule::new(&pattern(random), access);
    if random.percent(30) {
        rule.methods = METHODS.into_iter().filter(|_| random.percent(40)).collect();
    }
    rule.operation = random.maybe(50, &OPERATIONS);
    if access == Owner {
        rule.owner_from = Some(if rule.path.contains("{x1}") { "/owners/{x1}" } else { "/owners/one" });
    }
    if login != Login::Token && !matches!(access, Public | Optional | Agent) {
        rule.recent = random.maybe(12, &[60, 600]);
    }
    rule.is_csrf_strict = random.percent(8);
    rule.skips_csrf = random.percent(6) && !rule.is_csrf_strict;
    rule.has_strict_redirects = random.percent(6);
    rule.return_field = random.maybe(10, &["next"]);
    rule.limit = random.maybe(14, &["few", "own", "soft", "trial"]);
    rule.bot_check = random.maybe(10, &["order", "signup"]);
    rule.feature = random.maybe(12, &["on", "off", "listed", "missing"]);
    rule.policy = random.maybe(12, &["yes", "no", "fail", "admins"]);
    rule.idempotency = random.maybe(25, &["optional", "optional", "required"]);
    rule.confirm = random.percent(20) && !matches!(access, Public | Optional | Human);
    rule.audit = if login == Login::Token { None } else { random.maybe(15, &["best_effort", "required"]) };
    if !matches!(access, Public | Optional) {
        rule.unauthenticated = random.maybe(20, &["redirect", "401"]);
    }
    rule.mode = random.maybe(15, &["enforce", "report"]);
    rule.encoded_slashes = random.percent(8) && rule.path.contains('{');
    let guards = [
        ("return_field", rule.return_field.is_some()),
        ("bot_check", rule.bot_check.is_some()),
        ("feature", rule.feature.is_some()),
        ("policy", rule.policy.is_some()),
        ("confirm", rule.confirm),
    ];
    if rule.mode != Some("report") {
        let own = guards.into_iter().filter(|(_, is_set)| *is_set && random.percent(25));
        rule.report = own.map(|(name, _)| name).collect();
    }
    rule
}

/// Returns the parsed configuration, if it has no mistake.
pub(crate) fn parse(setup: &Setup) -> Option<Config> {
    let mut bindings = vec!["SESSIONS", "LEDGER", "CONFIRMATIONS", "LIMITER", "AUDIT", "KV"];
    if setup.has_tokens() {
        bindings.extend(["ACCOUNTS", "TOKENS"]);
    }
    Config::parse(&setup.variables(), &Bindings::named(bindings)).ok()
}

/// Returns a configuration without mistakes: a rule that would be one is left out.
pub(crate) fn setup(random: &mut Random) -> (Setup, Config) {
    let login =
        random.pick(&[Login::Token, Login::Upstream, Login::Accounts, Login::Accounts, Login::Accounts]);
    let mut setup = Setup {
        login,
        ttl: random.pick(&[0, 0, 10]),
        is_csrf_strict: random.percent(10),
        reports: random.percent(25),
        forwards_credentials: random.percent(85),
        refresh_after: random.pick(&[0, 600, 86_400]),
        rules: Vec::new(),
    };
    let mut config = parse(&setup).expect("a configuration without rules");
    for _ in 0..3 + random.below(6) {
        let rule = rule(random, login);
        setup.rules.push(rule);
        match parse(&setup) {
            Some(parsed) => config = parsed,
            None => drop(setup.rules.pop()),
        }
    }
    (setup, config)
}

/// Returns users, sessions and tokens.
pub(crate) fn state(random: &mut Random, setup: &Setup) -> State {
    let users = vec![
        User { id: "ada", is_admin: false, is_active: true },
        User { id: "root", is_admin: true, is_active: true },
        User { id: "bee", is_admin: random.percent(40), is_active: random.percent(85) },
    ];
    let session = |random: &mut Random, id, user: &'static str, is_live| {
        let issued = NOW - random.pick(&[0, 5, 300, 1_200]);
        let authenticated = if setup.has_registry() { issued - random.pick(&[0, 55, 700]) } else { issued };
        SessionRow {
            id,
            user,
            issued,
            expires: NOW + random.pick(&[30, 3_600, 3_600, 3_600]),
            authenticated,
            is_live,
        }
    };
    let sessions = vec![
        session(random, "s_ada", "ada", true),
        session(random, "s_ada2", "ada", true),
        session(random, "s_root", "root", true),
        session(random, "s_bee", "bee", users[2].is_active),
        session(random, "s_gone", "ada", false),
    ];
    let mut tokens = Vec::new();
    let kinds = [
        ("mul_1", "ada"),
        ("mat_2", "ada"),
        ("mcn_3", "bee"),
        ("mk_4", "root"),
        ("mk_5", "bee"),
        ("mat_6", "root"),
        ("mul_7", "ada"),
    ];
    let ids = ["tok_1", "tok_2", "tok_3", "tok_4", "tok_5", "tok_6", "tok_7"];
    for ((value, owner), id) in kinds.into_iter().zip(ids) {
        let is_own = value.starts_with("mk_");
        let is_machine = !value.starts_with("mul_");
        tokens.push(Token {
            value: format!("{value}{}", "0123456789abcdef".repeat(3)),
            id,
            owner,
            agent: random.maybe(60, &[if is_own { "agt_own" } else { "agt_7" }]).filter(|_| is_machine),
            task: random.maybe(50, &["tsk_1"]).filter(|_| is_machine),
            expires: random.maybe(20, &[NOW - 5, NOW + 40]),
            is_revoked: random.percent(8),
            operations: random
                .maybe(25, &[vec!["orders.*"], vec!["*"], vec!["payments.create", "vestibule.*"]]),
            methods: random.maybe(12, &[vec!["GET"], vec!["POST", "PUT"]]),
            addresses: random.maybe(10, &[vec!["192.0.2.7"]]),
        });
    }
    State { users, sessions, tokens, failing: BTreeSet::new() }
}

/// Returns something that happens, now or while a body arrives.
pub(crate) fn change(random: &mut Random, setup: &Setup) -> Change {
    let failing = ["Sessions", "Tokens", "Limiter", "Ledger", "Confirmations", "Audit", "KV", "external"];
    match random.below(10) {
        0 | 1 if setup.has_registry() => Change::EndSession(random.below(5)),
        2 | 3 if setup.has_registry() => Change::SetUser {
            user: random.below(3),
            is_admin: random.percent(50),
            is_active: random.percent(60),
        },
        4 | 5 if setup.has_tokens() => Change::RevokeToken(random.below(7)),
        6 | 7 => Change::Fail(random.pick(&failing)),
        _ => Change::Recover,
    }
}

/// Writes a path for a pattern, in some spelling.
fn path(random: &mut Random, setup: &Setup) -> String {
    const BUILT_IN: [&str; 5] =
        ["/api/auth/me", "/api/auth/logout", "/.well-known/vestibule", "/api/sessions", "/login"];
    let patterns: Vec<&str> = setup.rules.iter().map(|rule| rule.path.as_str()).collect();
    let pattern = match random.below(10) {
        0 | 1 => random.pick(&BUILT_IN),
        2 => random.pick(&["/", "/a", "/none/of/them", "/admin/b"]),
        _ if patterns.is_empty() => "/a",
        _ => random.pick(&patterns),
    };
    let part = |random: &mut Random, part: &str| match part.get(..2) {
        Some("{*" | "{+") => random.pick(&["", "a", "a/b", "7"]).to_owned(),
        Some(first) if first.starts_with('{') => random.pick(&["7", "a", "admin"]).to_owned(),
        _ => part.to_owned(),
    };
    let mut path: Vec<String> = pattern.split('/').map(|it| part(random, it)).collect();
    if random.percent(25) {
        respell(random, &mut path);
    }
    let path = path.join("/");
    if path.starts_with('/') { path } else { format!("/{path}") }
}

/// Writes a path in another way.
pub(crate) fn respell(random: &mut Random, path: &mut Vec<String>) {
    let at = 1 + random.below((path.len() - 1).max(1));
    let Some(segment) = path.get_mut(at) else { return };
    match random.below(14) {
        0 => *segment = segment.to_uppercase(),
        1 => segment.push_str(";v=1"),
        2 => *segment = segment.replacen('a', "%61", 1),
        3 => *segment = segment.replacen('a', "%41", 1),
        4 => path.push(String::new()),
        5 => path.insert(at, String::new()),
        6 => segment.push('.'),
        7 => segment.push_str("%20"),
        8 => segment.push_str("%2Fb"),
        9 => segment.push_str("%3Fx"),
        10 => path.insert(at, random.pick(&["..", ".", "%2e%2e"]).to_owned()),
        11 => segment.push_str(random.pick(&["%5Cb", "%00", "%zz", "%252Fb"])),
        12 => segment.push_str("%3bv"),
        _ => *segment = segment.to_lowercase(),
    }
}

/// Returns a request.
pub(crate) fn request(random: &mut Random, setup: &Setup) -> Request {
    let path = path(random, setup);
    let is_logout = path.to_lowercase().contains("logout");
    let cookie = |random: &mut Random| match random.below(10) {
        0 => Cookie::Malformed,
        1 => Cookie::Forged(random.below(5)),
        2 => Cookie::Expired(random.below(5)),
        _ => Cookie::Of(random.below(5)),
    };
    let count = random.pick(&[0, 0, 0, 1, 1, 1, 1, 1, 2, 3]);
    let cookies: Vec<Cookie> =
        (0..if is_logout { count.min(1) } else { count }).map(|_| cookie(random)).collect();
    let authorization = match random.below(if cookies.is_empty() { 12 } else { 40 }) {
        0..=6 => Some(Authorization::Token(random.below(7))),
        7 => Some(Authorization::Unknown),
        8 => Some(Authorization::Foreign),
        9 => Some(Authorization::Basic),
        10 => Some(Authorization::Several(random.below(7))),
        _ => None,
    };
    // Nobody but the other methods of built-in routes needs more than these.
    let method = random
        .pick(&["GET", "GET", "GET", "HEAD", "POST", "POST", "POST", "PUT", "OPTIONS", "PATCH", "TRACE"]);
    let site = random.pick(&[
        (Some("same-origin"), None),
        (Some("same-origin"), None),
        (Some("none"), None),
        (Some("cross-site"), Some("https://evil.example")),
        (Some("same-site"), Some("https://friend.example")),
        (Some("same-site"), None),
        (Some("same-site"), Some("https://evil.example")),
        (None, Some("https://app.example")),
        (None, Some("null")),
        (None, None),
        (None, None),
    ]);
    let is_person = random.percent(35);
    Request {
        method,
        path,
        query: random.pick(&["", "", "", "?next=/a", "?next=https://evil.example/", "?q=1"]),
        address: random.pick(&["192.0.2.7", "192.0.2.7", "198.51.100.9"]),
        cookies,
        authorization,
        site: site.0,
        origin: site.1,
        referer: random.maybe(20, &["https://app.example/a", "https://evil.example/"]),
        mode: if is_person { random.maybe(70, &["navigate"]) } else { random.maybe(30, &["cors"]) },
        dest: random.maybe(10, &["iframe", "document"]),
        accept: is_person.then_some("text/html"),
        is_upgrade: random.percent(3),
        key: random.maybe(35, &["key-1", "key-2"]),
        confirmation: random.maybe(3, &[super::request::Confirmation::Unknown]),
        bot_header: random.maybe(40, &["good-order", "good-signup", "good-order", "bad", "spent"]),
        bot_field: random.maybe(50, &["good-order", "good-signup", "bad"]),
        field: random.maybe(50, &["/a", "/a", "https://evil.example/"]),
        forged: FORGED.into_iter().filter(|_| random.percent(6)).collect(),
        upstream: random.pick(&[200, 200, 200, 200, 404, 500]),
        owner: random.pick(&[Ok("ada"), Ok("ada"), Ok("bee"), Err(404), Err(410), Err(500)]),
        meanwhile: if random.percent(50) {
            Meanwhile { change: change(random, setup), seconds: random.pick(&[0, 1, 8, 12, 40]) }
        } else {
            Meanwhile::NOTHING
        },
    }
}

/// Headers that no client may set, in several spellings.
const FORGED: [&str; 12] = [
    "x-user-id",
    "x_user_id",
    "x-user.role",
    "x-author-id",
    "x-confirmed-by",
    "x-vestibule-assertion",
    "x-forwarded-for",
    "forwarded",
    "x-original-url",
    "x-actor_source",
    "x-agent-id",
    "x-session-id",
];
