//! Checkouts. A payment that a verified event confirmed stays confirmed, an attempt keeps its owner, and upstream
//! releases each reservation that has ended. `src/checkouts/tests/model.rs` compares each reply with a model; here,
//! Workers and objects die.
//!
//! The gateway repeats what it does not know to be done: a provider sends its event again, and an attempt is due again
//! until upstream's release was recorded.

use std::collections::{BTreeMap, BTreeSet};

use vestibule::{
    base::time::Timestamp,
    checkouts::{
        Attempt, Begin, BeginOutcome, Checkout, Checkouts, Command, Evidence, MOST_ATTEMPTS, Reply, Status,
    },
};

use crate::{Sent, Simulation, simulate, sqlite::Sqlite};

const REFERENCES: [&str; 3] = ["r", "s", "t"];
const PROVIDERS: [&str; 2] = ["stripe", "paddle"];
const RESERVED: i64 = 30;

#[test]
fn a_confirmed_payment_stays_confirmed_and_each_reservation_is_released() {
    simulate("checkouts", 25, run);
}

type Key = (&'static str, &'static str);

#[derive(Default)]
struct Reference {
    /// Checkouts for which a provider got its response: its event counts.
    paid: BTreeSet<Key>,
    begun: BTreeSet<Key>,
    owners: BTreeMap<Attempt, String>,
    confirmed: BTreeSet<Attempt>,
    /// The attempts whose reservation upstream has released.
    released: BTreeSet<Attempt>,
}

fn run(simulation: &mut Simulation) {
    let store = Sqlite::of::<Checkouts>();
    let mut reference = Reference::default();
    for _ in 0..150 {
        simulation.now += simulation.random.within(0, 3) * simulation.random.within(0, 6);
        let key = (*simulation.random.pick(&PROVIDERS), *simulation.random.pick(&REFERENCES));
        match simulation.random.weighted(&[5, 1, 4, 3, 4]) {
            0 => begin(simulation, &store, &mut reference, key),
            1 => pay(simulation, &store, &mut reference, key),
            2 => {
                let number = simulation.random.within(1, 4);
                let attempt = attempt(key, number);
                drop(simulation.send::<Checkouts>(&store, &Command::Cancel(None, attempt)));
            }
            3 => release(simulation, &store, &mut reference),
            _ => check(simulation, &store, &mut reference, key.1),
        }
    }
    // All reservations end. Upstream is told until it has released each that is not confirmed.
    simulation.now += 10 * RESERVED;
    for _ in 0..10 {
        release(simulation, &store, &mut reference);
    }
    let due = store.handle::<Checkouts>(&Command::Due(100), simulation.time());
    assert_eq!(due, Ok(Reply::Due(Vec::new())));
    for name in REFERENCES {
        check(simulation, &store, &mut reference, name);
    }
}

fn attempt((provider, reference): Key, number: i64) -> Attempt {
    Attempt { provider: provider.to_owned(), reference: reference.to_owned(), number }
}

fn read(simulation: &Simulation, store: &Sqlite, name: &str) -> Vec<Checkout> {
    match store.handle::<Checkouts>(&Command::Read(name.to_owned()), simulation.time()) {
        Ok(Reply::Checkouts(all)) => all,
        other => panic!("{other:?}"),
    }
}

fn last(simulation: &Simulation, store: &Sqlite, key: Key) -> Option<Checkout> {
    let all = read(simulation, store, key.1);
    all.into_iter().find(|one| one.attempt.provider == key.0)
}

/// Upstream begins a checkout. A client that gets no response begins it again.
fn begin(simulation: &mut Simulation, store: &Sqlite, reference: &mut Reference, key: Key) {
    let owner =
        simulation.random.pick(&[None, Some("user:a"), Some("user:a"), Some("user:b")]).map(str::to_owned);
    for _ in 0..3 {
        let before = last(simulation, store, key);
        let begin = Begin {
            provider: key.0.to_owned(),
            reference: key.1.to_owned(),
            owner: owner.clone(),
            reserve: RESERVED,
        };
        let sent = simulation.send::<Checkouts>(store, &Command::Begin(begin));
        let is_answered = sent.is_answered();
        let after = last(simulation, store, key);
        match sent.reply() {
            None => assert_eq!(after, before),
            Some(Reply::Begun(BeginOutcome::Conflict)) => {
                assert_eq!(after, before);
                assert!(before.is_some_and(|one| one.owner.is_some() && one.owner != owner));
            }
            Some(Reply::Begun(outcome)) => {
                let after = after.expect("an attempt");
                assert_eq!(after.owner, owner);
                let number = before.as_ref().map_or(0, |one| one.attempt.number);
                let is_new = after.attempt.number == number + 1;
                assert_eq!(outcome == BeginOutcome::Started, is_new);
                // A client that repeats its request has one reservation.
                let continues =
                    before.is_some_and(|one| matches!(one.status, Status::Pending | Status::Confirmed));
                assert_eq!(is_new, !continues);
                let is_early = is_new && number == 0 && reference.paid.contains(&key);
                assert!(!is_early || after.status == Status::Confirmed, "the early event was lost");
                reference.begun.insert(key);
            }
            other => panic!("{other:?}"),
        }
        if is_answered {
            return;
        }
    }
}

/// A provider sends its event until it gets a response.
fn pay(simulation: &mut Simulation, store: &Sqlite, reference: &mut Reference, key: Key) {
    let evidence = Evidence {
        webhook: key.0.to_owned(),
        event: simulation.name("evt_"),
        event_type: "paid".to_owned(),
        at: simulation.time(),
    };
    for _ in 0..20 {
        let confirm = Command::Confirm { reference: key.1.to_owned(), evidence: evidence.clone() };
        let before = last(simulation, store, key);
        let sent = simulation.send::<Checkouts>(store, &confirm);
        if matches!(sent, Sent::Answered(_) | Sent::Lost(_)) {
            reference.paid.insert(key);
            match (before, last(simulation, store, key)) {
                (Some(before), Some(after)) => {
                    assert_eq!(after.status, Status::Confirmed);
                    let was_over = matches!(before.status, Status::Cancelled | Status::Expired);
                    assert_eq!(after.late, before.late || was_over);
                    let first = before.evidence.unwrap_or_else(|| evidence.clone());
                    assert_eq!(after.evidence, Some(first), "the first event counts");
                }
                (before, after) => assert_eq!((before, after), (None, None)),
            }
        }
        if sent.is_answered() {
            return;
        }
    }
}

/// The gateway tells upstream to release what is due, and records it. Either may fail halfway.
fn release(simulation: &mut Simulation, store: &Sqlite, reference: &mut Reference) {
    let Sent::Answered(Reply::Due(due)) = simulation.send::<Checkouts>(store, &Command::Due(100)) else {
        return;
    };
    for one in &due {
        let provider =
            PROVIDERS.iter().find(|provider| **provider == one.attempt.provider).expect("a provider");
        let name = REFERENCES.iter().find(|name| **name == one.attempt.reference).expect("a reference");
        let last = last(simulation, store, (provider, name)).expect("an attempt");
        assert_eq!(last.attempt, one.attempt, "upstream holds a newer reservation under this ref");
        assert!(matches!(last.status, Status::Cancelled | Status::Expired), "{last:?} is to be released");
        let is_shared = read(simulation, store, name).iter().any(|other| {
            other.attempt.provider != *provider && matches!(other.status, Status::Pending | Status::Confirmed)
        });
        assert!(one.is_shared || !is_shared);
    }
    let released: Vec<Attempt> = due.into_iter().map(|one| one.attempt).collect();
    let sent = simulation.send::<Checkouts>(store, &Command::Released(released.clone()));
    if sent.reply().is_some() {
        for attempt in released {
            assert!(reference.released.insert(attempt), "released before");
        }
    }
}

fn check(simulation: &mut Simulation, store: &Sqlite, reference: &mut Reference, name: &'static str) {
    let all = read(simulation, store, name);
    let most = usize::try_from(MOST_ATTEMPTS).unwrap() * PROVIDERS.len();
    assert!(all.len() <= most, "{} attempts", all.len());
    for one in &all {
        assert_eq!(one.evidence.is_some(), one.status == Status::Confirmed);
        if one.status == Status::Confirmed {
            reference.confirmed.insert(one.attempt.clone());
        } else {
            assert!(!reference.confirmed.contains(&one.attempt), "{one:?} was confirmed");
        }
        if one.status == Status::Pending {
            assert!(one.expires_at > Timestamp(simulation.now));
        }
        if let Some(owner) = &one.owner {
            let known = reference.owners.entry(one.attempt.clone()).or_insert_with(|| owner.clone());
            assert_eq!(known, owner, "{:?} has another owner", one.attempt);
        }
    }
}
