//! A ledger and its index. Within its retention, a request runs at most once under its key, unless it may run again.
//! Its outcome is the answer to the same request, and to no other.
//!
//! Clients send the same or another request under a few keys. A client runs its request when it has the claim, perhaps
//! long after its lease, and stores the outcome. It dies at times. A client that does not know whether it has the claim
//! releases it. The clock goes back at times, but not by more than the lease.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use vestibule::{
    idempotency::ledger::{
        About, AnswerLocation, ClaimRequest, Command, Ledger, Outcome, Reply, Spans, Transition, Unresolved,
        Verdict,
    },
    identity::author::{Author, Credential},
    platform::store::{Object, OutboxMessage, Store, decode},
};

use crate::{Sent, Simulation, simulate, sqlite::Sqlite};

const LEASE: i64 = 30;
const RETENTION: i64 = 400;
const KEYS: [&str; 3] = ["k1", "k2", "k3"];

#[test]
fn a_request_runs_once_and_its_outcome_is_replayed() {
    simulate("ledger", 25, run);
}

/// A key that is not free.
#[derive(Clone, Debug)]
struct Held {
    fingerprint: String,
    token: String,
    /// Whether an earlier claimant may have run the request.
    may_have_run: bool,
    state: State,
    /// The end of the lease or of the retention.
    until: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Running,
    Ran(Outcome, Vec<u8>),
    Unknown,
}

/// A client that has a claim.
struct Claimant {
    key: &'static str,
    token: String,
    has_run: bool,
}

struct Ledgers {
    ledger: Sqlite,
    index: Sqlite,
    held: BTreeMap<&'static str, Held>,
    claimants: Vec<Claimant>,
    /// Requests that ran and may not run again, by key: until when.
    ran: BTreeMap<&'static str, i64>,
    messages: Vec<OutboxMessage>,
}

fn run(simulation: &mut Simulation) {
    let mut ledgers = Ledgers {
        ledger: Sqlite::of::<Ledger>(),
        index: Sqlite::of::<Ledger>(),
        held: BTreeMap::new(),
        claimants: Vec::new(),
        ran: BTreeMap::new(),
        messages: Vec::new(),
    };
    for _ in 0..150 {
        simulation.now += match simulation.random.below(20) {
            0 => simulation.random.within(LEASE, RETENTION + 20),
            1 => simulation.random.within(-20, 0),
            _ => simulation.random.within(0, 9),
        };
        match simulation.random.weighted(&[8, 8, 2, 3, 3, 2]) {
            0 => ledgers.start(simulation),
            1 => ledgers.go_on(simulation),
            2 => ledgers.resolve(simulation),
            3 => ledgers.alarm(simulation),
            4 => ledgers.deliver(simulation),
            _ => ledgers.read(simulation),
        }
    }
    ledgers.settle(simulation);
}

impl Ledgers {
    /// Brings a key up to the present time, as each command on it does.
    fn pass_time(&mut self, key: &'static str, now: i64) {
        let Some(held) = self.held.get_mut(key) else { return };
        if held.state == State::Running && now >= held.until {
            (held.state, held.until) = (State::Unknown, held.until + RETENTION);
        }
        if held.state != State::Running && now >= held.until {
            self.held.remove(key);
        }
    }

    /// A client claims a key.
    fn start(&mut self, simulation: &mut Simulation) {
        let (key, fingerprint) =
            (*simulation.random.pick(&KEYS), *simulation.random.pick(&["one", "one", "two"]));
        let (token, again) = (simulation.name("req_"), simulation.random.one_in(6));
        let about = About { key: key.to_owned(), scope: "user:a".to_owned(), operation: "pay".to_owned() };
        let spans = Spans { lease: seconds(LEASE), retention: seconds(RETENTION) };
        let claim = ClaimRequest::new(&token, fingerprint.to_owned(), spans, again);
        self.ledger.1.take();
        let sent = simulation.send::<Ledger>(&self.ledger, &Command::Start(about, claim));
        let is_answered = sent.is_answered();
        if let Some(Reply::Verdict(verdict)) = sent.reply() {
            let attached = self.ledger.1.take();
            self.check_claim(key, fingerprint, &token, again, &verdict, attached, simulation.now);
            if is_answered && matches!(verdict, Verdict::Granted { .. }) {
                self.claimants.push(Claimant { key, token, has_run: false });
                return;
            }
        }
        // Nothing ran: the client releases the claim that it may have.
        if !is_answered {
            self.transition(simulation, key, Transition::Release(token), None);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a claim and its reply")]
    fn check_claim(
        &mut self,
        key: &'static str,
        fingerprint: &str,
        token: &str,
        again: bool,
        verdict: &Verdict,
        attached: Option<Vec<u8>>,
        now: i64,
    ) {
        self.pass_time(key, now);
        let known = self.held.get(key).cloned();
        let wanted = match &known {
            None => Verdict::Granted { may_have_run: false },
            Some(held) if held.fingerprint != fingerprint => Verdict::Reused,
            Some(Held { state: State::Running, until, .. }) => Verdict::InFlight(until - now),
            Some(Held { state: State::Ran(outcome, bytes), .. }) => {
                let is_here = outcome.kept == AnswerLocation::InRow;
                assert_eq!(attached, is_here.then(|| bytes.clone()), "another answer");
                Verdict::Ran(outcome.clone())
            }
            Some(Held { state: State::Unknown, .. }) if again => Verdict::Granted { may_have_run: true },
            Some(Held { state: State::Unknown, .. }) => Verdict::Unknown,
        };
        assert_eq!(*verdict, wanted, "{key}");
        if let Verdict::Granted { may_have_run } = wanted {
            if !may_have_run {
                let until = self.ran.get(key).copied().unwrap_or(i64::MIN);
                assert!(now >= until, "{key} may run twice");
            }
            let (fingerprint, token) = (fingerprint.to_owned(), token.to_owned());
            let until = now + LEASE;
            self.held.insert(key, Held { fingerprint, token, may_have_run, state: State::Running, until });
        }
    }

    /// A claimant runs its request, stores its outcome, gives up or dies.
    fn go_on(&mut self, simulation: &mut Simulation) {
        if self.claimants.is_empty() {
            return;
        }
        let at = simulation.random.below(self.claimants.len());
        if !self.claimants[at].has_run && simulation.random.one_in(2) {
            let claimant = &mut self.claimants[at];
            claimant.has_run = true;
            let is_latest = self.held.get(claimant.key).is_some_and(|held| held.token == claimant.token);
            // Later than its lease, the reference cannot say for how long the request is remembered.
            if is_latest && self.held[claimant.key].state == State::Running {
                self.ran.insert(
                    claimant.key,
                    simulation.now.min(self.held[claimant.key].until) + RETENTION - 200,
                );
            }
            return;
        }
        let Claimant { key, token, has_run } = self.claimants.swap_remove(at);
        match simulation.random.below(5) {
            0 => {}
            1 if !has_run => self.transition(simulation, key, Transition::Release(token), None),
            _ if has_run => {
                let bytes = simulation.name("answer ").into_bytes();
                let kept = match simulation.random.below(3) {
                    0 => AnswerLocation::NotStored,
                    1 => AnswerLocation::InKv("name".to_owned()),
                    _ => AnswerLocation::InRow,
                };
                let settle = Transition::Settle(token, Outcome { status: 201, kept });
                // A Worker that gets no answer tries again without the body.
                self.transition(simulation, key, settle, Some(bytes));
            }
            _ => self.claimants.push(Claimant { key, token, has_run }),
        }
    }

    fn transition(
        &mut self,
        simulation: &mut Simulation,
        key: &'static str,
        change: Transition,
        bytes: Option<Vec<u8>>,
    ) {
        for _ in 0..2 {
            self.ledger.1.replace(bytes.clone());
            let command = Command::Transition(key.to_owned(), change.clone());
            let sent = simulation.send::<Ledger>(&self.ledger, &command);
            self.ledger.1.take();
            let is_answered = sent.is_answered();
            if let Some(reply) = sent.reply() {
                self.pass_time(key, simulation.now);
                let is_done = self.apply(key, &change, bytes.as_deref(), simulation.now);
                let wanted = if is_done { Verdict::Done } else { Verdict::Lost };
                assert_eq!(reply, Reply::Verdict(wanted), "{key} {change:?}");
            }
            if is_answered {
                return;
            }
        }
    }

    /// Returns whether the transition is possible.
    fn apply(&mut self, key: &'static str, change: &Transition, bytes: Option<&[u8]>, now: i64) -> bool {
        let (Transition::Settle(token, _) | Transition::Release(token) | Transition::Resolve(token, _)) =
            change
        else {
            panic!("{change:?}")
        };
        let Some(held) = self.held.get_mut(key).filter(|held| held.token == *token) else { return false };
        match (change, &held.state) {
            (Transition::Settle(_, outcome), State::Running | State::Unknown) => {
                held.state = State::Ran(outcome.clone(), bytes.unwrap_or_default().to_vec());
                held.until = now + RETENTION;
            }
            (Transition::Settle(..), State::Ran(..)) => {}
            (Transition::Release(_), State::Running | State::Unknown) if held.may_have_run => {
                (held.state, held.until) = (State::Unknown, now + RETENTION);
            }
            (Transition::Release(_), State::Running | State::Unknown)
            | (Transition::Resolve(_, false), State::Unknown) => {
                self.held.remove(key);
                // A claimant that releases its key has not run. An operator who says so is trusted.
                self.ran.remove(key);
            }
            (Transition::Resolve(_, true), State::Unknown) => {
                let outcome = Outcome { status: 0, kept: AnswerLocation::ResolvedByOperator };
                held.state = State::Ran(outcome, Vec::new());
            }
            _ => return false,
        }
        true
    }

    /// An operator resolves what the index lists, perhaps too late.
    fn resolve(&mut self, simulation: &mut Simulation) {
        let listed = self.listed(simulation.now);
        if listed.is_empty() {
            return;
        }
        let Unresolved { id, about, .. } = simulation.random.pick(&listed).clone();
        let key = *KEYS.iter().find(|key| **key == about.key).expect("a key");
        let (is_old, ran) = (simulation.random.one_in(4), simulation.random.one_in(2));
        let checked_at = vestibule::base::time::Timestamp(simulation.now - if is_old { 6 } else { 5 });
        let author = Author {
            user: Some("root".to_owned()),
            credential: Credential::Session("ses_1".to_owned()),
            checked_at,
        };
        let command = Command::Resolve { author, key: about.key, id: id.clone(), ran };
        match simulation.send::<Ledger>(&self.ledger, &command) {
            Sent::Failed => assert!(is_old),
            Sent::Killed => {}
            Sent::Answered(reply) | Sent::Lost(reply) => {
                assert!(!is_old);
                self.pass_time(key, simulation.now);
                let is_done = self.apply(key, &Transition::Resolve(id.clone(), ran), None, simulation.now);
                assert_eq!(reply, Reply::Verdict(if is_done { Verdict::Done } else { Verdict::Lost }));
                drop(simulation.send::<Ledger>(&self.index, &Command::Forget(id)));
            }
        }
    }

    fn alarm(&mut self, simulation: &mut Simulation) {
        // An alarm runs until its messages are sent or it dies.
        self.messages = simulation.alarm::<Ledger>(&self.ledger);
        self.messages.reverse();
        for key in KEYS {
            self.pass_time(key, simulation.now);
        }
        simulation.alarm::<Ledger>(&self.index);
    }

    /// Delivers the next message of the alarm. Its sender may not learn of it.
    fn deliver(&mut self, simulation: &mut Simulation) {
        let Some(OutboxMessage::Tell { command, done, .. }) = self.messages.pop() else { return };
        let sent = simulation.send::<Ledger>(&self.index, &decode(&command).expect("a command"));
        if !sent.is_answered()
            || !simulation.send::<Ledger>(&self.ledger, &decode(&done).expect("a command")).is_answered()
        {
            self.messages.clear();
        }
    }

    fn read(&mut self, simulation: &mut Simulation) {
        let key = *simulation.random.pick(&KEYS);
        self.ledger.1.take();
        let sent = simulation.send::<Ledger>(&self.ledger, &Command::ReadOutcome(key.to_owned()));
        if let Some(reply) = sent.reply() {
            let held = self.held.get(key).filter(|held| simulation.now < held.until);
            let wanted = match held.map(|held| &held.state) {
                Some(State::Ran(outcome, _)) => Reply::Verdict(Verdict::Ran(outcome.clone())),
                _ => Reply::Done,
            };
            assert_eq!(reply, wanted);
        }
    }

    fn listed(&self, now: i64) -> Vec<Unresolved> {
        let now = vestibule::base::time::Timestamp(now);
        match self.index.handle::<Ledger>(&Command::Unresolved(None, 100), now).expect("a reply") {
            Reply::Unresolved(all) => all,
            other => panic!("{other:?}"),
        }
    }

    /// When all is told, the index lists exactly the keys whose outcome is unknown. Later, nothing is left.
    fn settle(&mut self, simulation: &mut Simulation) {
        for _ in 0..60 {
            self.alarm(simulation);
            while !self.messages.is_empty() {
                self.deliver(simulation);
            }
            if self.ledger.run("SELECT 1 FROM errands", &[]).expect("rows").is_empty() {
                break;
            }
        }
        let listed: BTreeSet<String> = self.listed(simulation.now).into_iter().map(|one| one.id).collect();
        let unknown = self.held.values().filter(|held| held.state == State::Unknown);
        assert_eq!(listed, unknown.map(|held| held.token.clone()).collect());
        for _ in 0..20 {
            simulation.now += LEASE + RETENTION;
            self.alarm(simulation);
            while !self.messages.is_empty() {
                self.deliver(simulation);
            }
        }
        for table in ["claims", "answers", "errands"] {
            let rows = self.ledger.run(&format!("SELECT 1 FROM {table}"), &[]).expect("rows");
            assert!(rows.is_empty(), "{table} keeps rows");
        }
        assert_eq!(self.index.run("SELECT 1 FROM unresolved", &[]), Ok(Vec::new()));
        assert_eq!(Ledger::next_alarm(&self.ledger, simulation.time()), Ok(None));
    }
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds.unsigned_abs())
}
