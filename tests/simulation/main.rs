//! Simulations of the Durable Objects: random sequences of commands by several clients, with crashes, restarts, lost
//! replies, late alarms and late messages. After each step, the object agrees with a plain reference.
//!
//! | file | simulates |
//! |---|---|
//! | `world/` | `Accounts`, `Sessions`, `Tokens` and `Logins` with the messages between them |
//! | `registry.rs` | the sessions of one user |
//! | `ledger.rs` | a ledger and its index |
//! | `inbox.rs` | an inbox and its deliveries |
//! | `approvals.rs` | approvals |
//! | `checkouts.rs` | checkouts |
//! | `limiter.rs` | rate limits |
//! | `audit.rs` | an audit trail |
//!
//! A run follows from its seed. A run that fails prints the seed and its last steps; `SIMULATION_SEED=… cargo test
//! --test simulation` repeats it. `SIMULATION_RUNS=…` makes longer simulations: that many runs for each object.
//!
//! The faults ([`Simulation::send`]):
//!
//! - **Before the commit**, a statement of the command fails. Nothing of the command is stored, and its client gets an
//!   error.
//! - **After the commit**, the reply is lost. The client gets an error, and may send the command again.
//! - **A restart**: the object starts again on the same database.
//! - **An alarm** fires late, twice, or fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::needless_pass_by_value,
    clippy::single_match_else,
    reason = "a test may fail"
)]

use std::{
    collections::VecDeque,
    env,
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use vestibule::{
    base::time::Timestamp,
    platform::store::{Object, OutboxMessage, SqlRow, Store, StoreError, Value, decode, encode, migrate},
};

mod approvals;
mod audit;
mod checkouts;
mod inbox;
mod ledger;
mod limiter;
mod registry;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../common/sqlite.rs"]
mod sqlite;
mod world;

use sqlite::Sqlite;

/// A sequence of pseudo-random numbers (`SplitMix64`), which a seed determines.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below this one.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % end
    }

    /// Returns a number from `first` to `last`.
    fn within(&mut self, first: i64, last: i64) -> i64 {
        first + i64::try_from(self.below(usize::try_from(last - first + 1).unwrap())).unwrap()
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Returns an index, with these weights.
    fn weighted(&mut self, weights: &[usize]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (at, weight) in weights.iter().enumerate() {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return at,
            }
        }
        unreachable!()
    }
}

/// What became of a command.
#[derive(Debug)]
enum Sent<R> {
    /// The client has the reply.
    Answered(R),
    /// The object replied, but the client does not know it.
    Lost(R),
    /// The object stored nothing: it was killed.
    Killed,
    /// The object refused the command as an error, and stored nothing.
    Failed,
}

impl<R> Sent<R> {
    /// Returns the object's reply, whether or not the client has it.
    fn reply(self) -> Option<R> {
        match self {
            Self::Answered(reply) | Self::Lost(reply) => Some(reply),
            Self::Killed | Self::Failed => None,
        }
    }

    fn is_answered(&self) -> bool {
        matches!(self, Self::Answered(_))
    }
}

/// One run.
struct Simulation {
    random: Random,
    /// The clock of the object, in seconds.
    now: i64,
    /// The number of commands that were sent.
    commands: u64,
    names: u64,
    last_steps: VecDeque<String>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let random = Random(seed);
        Self { random, now: 1_700_000_000, commands: 0, names: 0, last_steps: VecDeque::new() }
    }

    fn time(&self) -> Timestamp {
        Timestamp(self.now)
    }

    /// Returns a name that this run has not used before.
    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    /// Remembers a step, for a failure.
    fn note(&mut self, step: String) {
        if self.last_steps.len() == STEPS_SHOWN {
            self.last_steps.pop_front();
        }
        self.last_steps.push_back(format!("{} {step}", self.now));
    }

    /// Sends a command to an object, with a fault in one of five cases.
    fn send<O: Object>(&mut self, store: &Sqlite, command: &O::Command) -> Sent<O::Reply>
    where
        O::Command: Debug,
        O::Reply: Debug,
    {
        let fault = self.random.below(25);
        if fault == 0 {
            store.reopen::<O>();
        }
        let sent = match fault {
            1 | 2 => self.send_and_kill::<O>(store, command),
            3 | 4 => match store.handle::<O>(command, self.time()) {
                Ok(reply) => Sent::Lost(reply),
                Err(_) => Sent::Failed,
            },
            _ => match store.handle::<O>(command, self.time()) {
                Ok(reply) => Sent::Answered(reply),
                Err(StoreError(_)) => Sent::Failed,
            },
        };
        self.commands += 1;
        self.note(format!("{} {command:?} → {sent:?}", O::CLASS.name));
        sent
    }

    /// Sends a command, and kills the object at one of the first statements.
    fn send_and_kill<O: Object>(&mut self, store: &Sqlite, command: &O::Command) -> Sent<O::Reply> {
        let before = store.contents();
        let attached = store.1.borrow().clone();
        store.fail_after(Some(u32::try_from(self.random.below(6)).unwrap()));
        let reply = store.handle::<O>(command, self.time());
        let was_killed = store.has_failed();
        store.fail_after(None);
        match reply {
            Ok(reply) => {
                assert!(!was_killed, "{} hides the failure of a statement", O::CLASS.name);
                Sent::Answered(reply)
            }
            Err(_) => {
                assert_eq!(store.contents(), before, "a command that failed has stored something");
                store.1.replace(attached);
                store.reopen::<O>();
                if was_killed { Sent::Killed } else { Sent::Failed }
            }
        }
    }

    /// Fires the alarm of an object: early, late or again. It may fail; then the platform fires it again.
    fn alarm<O: Object>(&mut self, store: &Sqlite) -> Vec<OutboxMessage> {
        if self.random.one_in(8) {
            let before = store.contents();
            store.fail_after(Some(u32::try_from(self.random.below(4)).unwrap()));
            let result = store.atomically(|| O::alarm(store, self.time()));
            let was_killed = store.has_failed();
            store.fail_after(None);
            match result {
                Ok(messages) => {
                    assert!(!was_killed, "{} hides the failure of a statement", O::CLASS.name);
                    return messages;
                }
                Err(_) => assert_eq!(store.contents(), before, "an alarm that failed has stored something"),
            }
        }
        let messages = store.atomically(|| O::alarm(store, self.time())).expect("messages");
        self.note(format!("{}: an alarm with {} messages", O::CLASS.name, messages.len()));
        messages
    }
}

/// The number of steps that a failure shows.
const STEPS_SHOWN: usize = 40;

/// Simulates runs from successive seeds.
fn simulate(name: &str, runs: u64, run: fn(&mut Simulation)) {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seed = number("SIMULATION_SEED");
    let first = seed.unwrap_or(1);
    let runs = number("SIMULATION_RUNS").unwrap_or(if seed.is_some() { 1 } else { runs });
    let mut commands = 0;
    for seed in first..first + runs {
        let mut simulation = Simulation::new(seed);
        let result = catch_unwind(AssertUnwindSafe(|| run(&mut simulation)));
        commands += simulation.commands;
        if let Err(panic) = result {
            for step in &simulation.last_steps {
                eprintln!("{step}");
            }
            eprintln!("{name}: SIMULATION_SEED={seed} repeats this run");
            resume_unwind(panic);
        }
    }
    println!("{name}: {commands} commands in {runs} runs");
}
