//! A plain, slow reference of the whole gateway, and random worlds in which the gateway must do the same. The *door* is
//! the gateway as this reference models it.
//!
//! | file | contents |
//! |---|---|
//! | `main.rs` | runs worlds: what happens, in which order |
//! | `rules.rs` | a configuration as plain data; which of two rules requires more |
//! | `paths.rs` | which rule decides a request |
//! | `identity.rs`, `reference.rs`, `guards.rs`, `decision.rs` | the reference: who sends a request, and the decision |
//! | `state.rs`, `request.rs` | users, sessions, tokens and requests as plain data |
//! | `world.rs` | random worlds from a seed |
//! | `compare.rs` | runs the gateway and compares |
//! | `metamorphic.rs` | properties of pairs of requests or configurations |
//!
//! The reference is written from the documentation. It has no cache: where a cache may answer with what was true up to
//! `check_ttl` ago, it says what would follow from each of these answers, and the gateway must do one of them.
//!
//! `DOOR_WORLDS` is the number of worlds, `DOOR_SEED` the first seed: `DOOR_WORLDS=1 DOOR_SEED=…` runs one world again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a test may fail"
)]

#[path = "../common"]
mod common {
    pub(crate) use vestibule::{
        base::time::Timestamp,
        platform::store::{Object, SqlRow, Store, StoreError, Value, decode, encode, migrate},
    };

    #[allow(dead_code, reason = "the crate's own tests use the rest")]
    pub(crate) mod sqlite;
}

#[allow(dead_code, reason = "tests/gateway.rs uses the rest")]
#[path = "../common/platform.rs"]
mod platform;

mod compare;
mod decision;
mod guards;
mod identity;
mod metamorphic;
mod paths;
mod reference;
mod request;
mod rules;
mod state;
mod world;

use vestibule::{config::Config, platform::memory::Memory};

use compare::Actual;
use decision::{Approval, ApprovalState, Count, Decision, Door, Effect, Run, View};
use paths::Found;
use platform::{NOW, Upstream};
use reference::{Case, decide};
use request::{Confirmation, Cookie, Meanwhile, Request, WaitingRequest};
use rules::{Access, Place, Rule};
use state::{Change, PastState, State};
use world::{Random, number};

/// A world under way: the gateway with its platform, and the reference.
struct World {
    seed: u64,
    random: Random,
    config: Config,
    platform: Upstream,
    door: Door,
    state: State,
    /// Only the states that the isolate has seen.
    history: Vec<PastState>,
    /// Whether the isolate has answered a request.
    is_warm: bool,
    now: i64,
    version: i64,
    waiting: Vec<WaitingRequest>,
    sent: usize,
}

/// The number of worlds, unless `DOOR_WORLDS` is set.
const WORLDS: u64 = 80;

/// Returns a platform with KV flags and services.
fn platform() -> Upstream {
    let platform = platform::upstream(200, &[]);
    let listed = format!(r#"{{"state":"percent","percent":0,"principals":{:?}}}"#, guards::LISTED);
    let flags = [
        ("on", r#"{"state":"on","percent":0,"principals":[]}"#),
        ("listed", &listed),
        ("off", r#"{"state":"off","percent":100,"principals":[]}"#),
    ];
    for (name, value) in flags {
        platform.kv.borrow_mut().insert(format!("feature:{name}"), value.to_owned());
    }
    platform.external_service.replace(Some(Box::new(|request| Ok(compare::answer_external(request.body)))));
    platform
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::of(seed);
        let (setup, config) = world::setup(&mut random);
        let state = world::state(&mut random, &setup);
        let platform = platform();
        state.store(&platform, NOW);
        let door = Door { setup, counts: Vec::new(), runs: Vec::new(), approvals: Vec::new() };
        Self {
            seed,
            random,
            config,
            platform,
            door,
            state,
            history: Vec::new(),
            is_warm: false,
            now: NOW,
            version: 1,
            waiting: Vec::new(),
            sent: 0,
        }
    }

    /// Adds the state to the history, before it changes.
    fn remember(&mut self, ended_at: i64) {
        self.history.push(PastState { state: self.state.clone(), ended_at });
    }

    fn apply(&mut self, change: &Change) {
        self.remember(self.now);
        self.state.apply(change);
        self.version += 1;
        self.state.store_change(change, self.version, &self.platform, self.now);
    }

    /// Time passes, and something may happen.
    fn pass_time(&mut self) {
        self.now += self.random.pick(&[0, 0, 0, 1, 3, 11, 20, 75]);
        self.platform.now.set(self.now);
        if self.random.percent(20) {
            let change = world::change(&mut self.random, &self.door.setup);
            self.apply(&change);
        } else if self.random.percent(40) {
            self.apply(&Change::Recover);
        }
        if self.random.percent(30) {
            self.platform.memory = Memory::default();
            self.history.clear();
            self.is_warm = false;
        }
    }

    /// Returns what a rule may know at a time: what is stored now, or what an isolate remembers.
    fn views(
        &self,
        now: &State,
        history: &[PastState],
        at: i64,
        rule: &Rule,
        [is_page, is_warm]: [bool; 2],
    ) -> Vec<View> {
        let setup = &self.door.setup;
        let view = |state: State, tokens: &State, owners: &State| View {
            state,
            tokens: tokens.tokens.clone(),
            owners: owners.users.clone(),
            has_registry: setup.has_registry(),
            has_tokens: setup.has_tokens(),
        };
        let mut failing = vec![now.failing.clone()];
        let mut states = vec![now.clone()];
        let is_cached =
            setup.ttl > 0 && rule.access != Access::Admin && rule.place == Place::Upstream && !is_page;
        if is_cached {
            states.extend(
                history.iter().filter(|past| past.ended_at >= at - setup.ttl).map(|past| past.state.clone()),
            );
        }
        for what in ["Sessions", "Tokens", "KV"] {
            if is_warm && now.failing.contains(what) && (is_cached || what == "KV") {
                let mut fewer = failing.clone();
                for failing in &mut fewer {
                    failing.remove(what);
                }
                failing.extend(fewer);
            }
        }
        let mut views = Vec::new();
        for sessions in &states {
            for (tokens, owners) in
                states.iter().flat_map(|tokens| states.iter().map(move |owners| (tokens, owners)))
            {
                for failing in &failing {
                    let found = view(State { failing: failing.clone(), ..sessions.clone() }, tokens, owners);
                    if !views.contains(&found) {
                        views.push(found);
                    }
                }
            }
        }
        views
    }

    /// Returns everything that the reference allows.
    fn decisions(&self, request: &Request, found: &Found) -> Vec<Decision> {
        let mut after = self.state.clone();
        after.apply(&request.meanwhile.change);
        let mut history = self.history.clone();
        history.push(PastState { state: self.state.clone(), ended_at: self.now });
        let mut all = Vec::new();
        for rule in &found.deciding {
            let is_page = found.path == "/login" && request.is_navigation();
            let first = self.views(&self.state, &self.history, self.now, rule, [is_page, self.is_warm]);
            let at = self.now + request.meanwhile.seconds;
            let second = self.views(&after, &history, at, rule, [is_page, true]);
            for views in first.iter().flat_map(|first| second.iter().map(move |second| [first, second])) {
                for counts_longer in [false, true] {
                    let (door, now) = (&self.door, self.now);
                    let decision = decide(Case { door, request, found, rule, views, now, counts_longer });
                    if !all.contains(&decision) {
                        all.push(decision);
                    }
                }
            }
        }
        all
    }

    fn next_request(&mut self) -> Request {
        if let Some(WaitingRequest { approval, request }) = self.random.maybe(25, &self.waiting.clone()) {
            let query = if self.random.percent(12) { "?changed=1" } else { request.query };
            return Request { confirmation: Some(Confirmation::Of(approval)), query, ..request };
        }
        world::request(&mut self.random, &self.door.setup)
    }

    /// Sends the request to the gateway, and what happens meanwhile.
    fn send(&mut self, request: &Request) -> Actual {
        let Meanwhile { change, seconds } = request.meanwhile.clone();
        let (now, version) = (self.now, self.version + 1);
        let mut after = self.state.clone();
        after.apply(&change);
        self.platform.on_body_read.replace(Some(Box::new(move |platform| {
            platform.now.set(now + seconds);
            platform.elapsed.set(1_000 * seconds.unsigned_abs());
            after.store_change(&change, version, platform, now + seconds);
        })));
        self.sent += 1;
        let serialized = request.serialized(&self.state);
        compare::send(&self.config, &mut self.platform, &serialized, request, &format!("req_{}", self.sent))
    }

    fn step(&mut self) {
        self.pass_time();
        self.decide_approval();
        let request = self.next_request();
        let serialized = request.serialized(&self.state);
        let before = self.state.clone();
        let found = paths::find(&self.door.setup.all_rules(), request.method, &request.path);
        let wanted = match &found {
            _ if request.method == "TRACE" => Err((501, "method_not_supported")),
            Some(found) if !found.deciding.is_empty() => Ok(self.decisions(&request, found)),
            _ => Err((400, "ambiguous_path")),
        };
        let actual = self.send(&request);
        let fail = |why: &str| -> ! {
            let found = found.as_ref().map(|found| (&found.deciding, &found.all));
            panic!(
                "DOOR_WORLDS=1 DOOR_SEED={}: request {}: {why}\n{serialized}\n{request:?}\nrules: {found:#?}\n{before:#?}\n{}\n{actual:#?}",
                self.seed,
                self.sent,
                serde_json::Value::Object(self.door.setup.variables()),
            )
        };
        let decisions = match wanted {
            Ok(decisions) => decisions,
            Err((status, code)) => {
                let is_same = (actual.answer.status, actual.answer.code) == (status, code);
                if !is_same || !actual.received.is_empty() {
                    fail(&format!("{status} {code}"));
                }
                return;
            }
        };
        let path = &found.as_ref().expect("a rule").path;
        let target = format!("{path}{}", request.query);
        let id = format!("req_{}", self.sent);
        let differences: Vec<_> =
            decisions.iter().map(|want| actual.differs(want, &self.state, &request, &target, &id)).collect();
        let Some(at) = differences.iter().position(Option::is_none) else {
            fail(&format!("{differences:?}"))
        };
        self.follow(&request, &decisions[at], actual.confirmation_id.as_deref());
        self.is_warm = true;
    }

    /// Remembers what a request changed.
    fn follow(&mut self, request: &Request, decision: &Decision, confirmation: Option<&str>) {
        let arrived = self.now;
        if decision.reads_body {
            self.remember(self.now);
            self.state.apply(&request.meanwhile.change);
            self.version += 1;
            self.now += request.meanwhile.seconds;
        }
        let now = self.now;
        for effect in decision.effects.clone() {
            match effect {
                Effect::Counts { limit, subject } => {
                    self.door.counts.push(Count { limit, subject, at: arrived });
                }
                Effect::Runs { owner, key, fingerprint, status } => {
                    self.door.runs.push(Run { owner, key, fingerprint, status });
                }
                Effect::AsksForApproval { token, fingerprint } => {
                    let is_open = |approval: &&Approval| {
                        (approval.token, &approval.fingerprint) == (token, &fingerprint)
                            && matches!(approval.state, ApprovalState::Pending | ApprovalState::Approved)
                            && now < approval.created + 600
                    };
                    let open = self.door.approvals.iter().find(is_open).map(|approval| approval.id.clone());
                    // A page does not show the id.
                    let Some(id) = confirmation.map(str::to_owned) else { continue };
                    let is_known = self.door.approvals.iter().any(|approval| approval.id == id);
                    assert!(open.is_none_or(|open| open == id), "seed {}", self.seed);
                    if !is_known {
                        self.door.approvals.push(Approval {
                            id: id.clone(),
                            token,
                            fingerprint,
                            created: now,
                            state: ApprovalState::Pending,
                        });
                        self.waiting.push(WaitingRequest { approval: id, request: request.clone() });
                    }
                }
                Effect::Uses { approval, key } => {
                    self.door.approvals[approval].state = ApprovalState::Used(key);
                }
                Effect::Withdraws { approval } => {
                    self.door.approvals[approval].state = ApprovalState::Used(None);
                }
                Effect::SignsOut(session) => {
                    self.remember(now);
                    if self.door.setup.has_registry() {
                        self.state.sessions[session].is_live = false;
                    }
                }
            }
        }
    }

    /// The admin may decide about a request that waits.
    fn decide_approval(&mut self) {
        let pending: Vec<usize> = (0..self.door.approvals.len())
            .filter(|at| {
                self.door.approvals[*at].state == ApprovalState::Pending
                    && self.now < self.door.approvals[*at].created + 600
            })
            .collect();
        let root = self.state.sessions.iter().position(|session| session.id == "s_root").expect("a session");
        let session = &self.state.sessions[root];
        let user = self.state.user("root").expect("an admin");
        let may = session.is_live && session.expires > self.now && user.is_admin && user.is_active;
        if pending.is_empty() || !may || !self.state.failing.is_empty() || self.random.percent(30) {
            return;
        }
        let at = self.random.pick(&pending);
        let approves = self.random.percent(75);
        let id = self.door.approvals[at].id.clone();
        let path = format!("/api/confirmations/{id}/{}", if approves { "approve" } else { "reject" });
        let plain = Request::plain("POST", &path);
        let request = Request { cookies: vec![Cookie::Of(root)], site: Some("same-origin"), ..plain };
        let actual = self.send(&request);
        assert_eq!(actual.answer.status, 200, "seed {}: {actual:#?}", self.seed);
        self.door.approvals[at].state =
            if approves { ApprovalState::Approved } else { ApprovalState::Rejected };
    }
}

/// In every random world, the gateway does what the documentation says.
#[test]
fn does_what_the_reference_says() {
    let worlds = number("DOOR_WORLDS", WORLDS);
    let first = number("DOOR_SEED", 1);
    for seed in first..first + worlds {
        let mut world = World::new(seed);
        for _ in 0..25 {
            world.step();
        }
    }
}
