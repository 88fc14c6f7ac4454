//! Tests of transitions and histories, and a comparison with a simple model.

mod model;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::platform::store::sqlite::Sqlite;

fn evidence(provider: &str, event: &str) -> Evidence {
    Evidence { webhook: provider.into(), event: event.into(), event_type: "t".into(), at: Timestamp(7) }
}

fn begin_of(provider: &str, reference: &str, owner: Option<&str>) -> Command {
    let owner = owner.map(str::to_owned);
    Command::Begin(Begin { provider: provider.into(), reference: reference.into(), owner, reserve: 30 })
}

fn confirm_of(provider: &str, reference: &str) -> Command {
    Command::Confirm { reference: reference.into(), evidence: evidence(provider, "e") }
}

fn attempt(provider: &str, reference: &str, number: i64) -> Attempt {
    Attempt { provider: provider.into(), reference: reference.into(), number }
}

fn call(store: &Sqlite, at: i64, command: &Command) -> Reply {
    store.handle::<Checkouts>(command, Timestamp(at)).expect("a reply")
}

fn read(store: &Sqlite, at: i64, reference: &str) -> Vec<Checkout> {
    match call(store, at, &Command::Read(reference.into())) {
        Reply::Checkouts(all) => all,
        other => panic!("{other:?}"),
    }
}

fn due_at(store: &Sqlite, at: i64) -> Vec<Due> {
    match call(store, at, &Command::Due(100)) {
        Reply::Due(all) => all,
        other => panic!("{other:?}"),
    }
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Begin,
    /// Another user begins the same checkout.
    Foreign,
    Confirm,
    Cancel,
    Expire,
    Tick,
}

#[test]
fn follows_the_transition_table() {
    use Action::{Begin, Cancel, Confirm, Expire, Foreign, Tick};
    use Status::{Cancelled, Confirmed, Expired, Pending};
    for (actions, want) in [
        (&[][..], &[][..]),
        (&[Begin], &[(Pending, false)]),
        (&[Begin, Begin], &[(Pending, false)]),
        (&[Begin, Foreign], &[(Pending, false)]),
        (&[Begin, Confirm], &[(Confirmed, false)]),
        (&[Confirm], &[]),
        (&[Confirm, Begin], &[(Confirmed, false)]),
        (&[Confirm, Begin, Foreign], &[(Confirmed, false)]),
        (&[Begin, Cancel], &[(Cancelled, false)]),
        (&[Begin, Cancel, Cancel], &[(Cancelled, false)]),
        (&[Begin, Cancel, Confirm], &[(Confirmed, true)]),
        (&[Begin, Expire], &[(Expired, false)]),
        (&[Begin, Expire, Cancel], &[(Expired, false)]),
        (&[Begin, Expire, Confirm], &[(Confirmed, true)]),
        (&[Begin, Confirm, Cancel], &[(Confirmed, false)]),
        (&[Begin, Confirm, Expire], &[(Confirmed, false)]),
        (&[Begin, Confirm, Begin], &[(Confirmed, false)]),
        (&[Begin, Expire, Confirm, Confirm], &[(Confirmed, true)]),
        (&[Begin, Expire, Confirm, Begin], &[(Confirmed, true)]),
        // A new attempt begins, and the earlier attempt keeps its status.
        (&[Begin, Cancel, Begin], &[(Pending, false), (Cancelled, false)]),
        (&[Begin, Expire, Begin], &[(Pending, false), (Expired, false)]),
        (&[Begin, Expire, Tick, Begin], &[(Pending, false), (Expired, false)]),
        (&[Begin, Cancel, Foreign], &[(Cancelled, false)]),
        (&[Begin, Cancel, Begin, Confirm], &[(Confirmed, false), (Cancelled, false)]),
        (&[Begin, Cancel, Begin, Cancel, Confirm], &[(Confirmed, true), (Cancelled, false)]),
        (&[Begin, Cancel, Begin, Expire], &[(Expired, false), (Cancelled, false)]),
        (&[Cancel], &[]),
    ] {
        let store = Sqlite::of::<Checkouts>();
        let mut now = 0;
        for action in actions {
            let command = match action {
                Begin => begin_of("w", "r", Some("user:ada")),
                Foreign => begin_of("w", "r", Some("user:bob")),
                Confirm => confirm_of("w", "r"),
                Cancel => {
                    let last = read(&store, now, "r").first().map_or(1, |last| last.attempt.number);
                    Command::Cancel(None, attempt("w", "r", last))
                }
                Expire => {
                    now += 30;
                    Command::Read("r".into())
                }
                Tick => Command::Due(10),
            };
            call(&store, now, &command);
        }
        let found = read(&store, now, "r");
        let statuses: Vec<_> = found.iter().map(|one| (one.status, one.late)).collect();
        assert_eq!(statuses, want, "{actions:?}");
        for one in &found {
            assert_eq!(one.evidence.is_some(), one.status == Confirmed, "{actions:?}");
        }
    }
}

#[test]
fn separates_checkouts_by_provider_and_ref() {
    let store = Sqlite::of::<Checkouts>();
    // Two users begin checkouts with the same ref at two providers: both are registered.
    assert_eq!(call(&store, 0, &begin_of("a", "r", Some("user:ada"))), Reply::Begun(BeginOutcome::Started));
    assert_eq!(call(&store, 0, &begin_of("b", "r", Some("user:bob"))), Reply::Begun(BeginOutcome::Started));
    call(&store, 1, &confirm_of("b", "r"));
    let all = read(&store, 1, "r");
    let state_of = |provider: &str| {
        let one = all.iter().find(|one| one.attempt.provider == provider).expect("a checkout");
        (one.status, one.owner.as_deref())
    };
    assert_eq!(state_of("a"), (Status::Pending, Some("user:ada")));
    assert_eq!(state_of("b"), (Status::Confirmed, Some("user:bob")));
    // The unpaid checkout is released by provider and ref, never by the ref alone.
    assert_eq!(due_at(&store, 30), [Due { attempt: attempt("a", "r", 1), is_shared: true }]);
    call(&store, 31, &Command::Cancel(None, attempt("b", "r", 1)));
    assert_eq!(read(&store, 31, "r").len(), 2);
}

#[test]
fn reports_a_conflict_and_changes_nothing() {
    for (actions, want) in [
        (&[Some("user:ada"), Some("user:bob")][..], BeginOutcome::Conflict),
        (&[Some("user:ada"), None], BeginOutcome::Conflict),
        (&[Some("user:ada"), Some("agent:ada")], BeginOutcome::Conflict),
        (&[Some("user:ada"), Some("user:ada")], BeginOutcome::Continued),
        (&[None, None], BeginOutcome::Continued),
        // The client has signed in since.
        (&[None, Some("user:ada")], BeginOutcome::Continued),
        (&[None, Some("user:ada"), Some("user:bob")], BeginOutcome::Conflict),
        (&[None, Some("user:ada"), None], BeginOutcome::Conflict),
    ] {
        for is_paid in [false, true] {
            let store = Sqlite::of::<Checkouts>();
            let (last, before) = actions.split_last().expect("actions");
            for owner in before {
                call(&store, 0, &begin_of("w", "r", *owner));
            }
            if is_paid {
                call(&store, 1, &confirm_of("w", "r"));
            }
            let unchanged = read(&store, 2, "r");
            let reply = call(&store, 2, &begin_of("w", "r", *last));
            assert_eq!(reply, Reply::Begun(want), "{actions:?}");
            if want == BeginOutcome::Conflict {
                assert_eq!(read(&store, 2, "r"), unchanged, "{actions:?}");
            }
        }
    }
}

#[test]
fn hides_an_early_event_until_the_checkout_begins() {
    let store = Sqlite::of::<Checkouts>();
    call(&store, 0, &confirm_of("w", "r"));
    call(&store, 0, &Command::Confirm { reference: "r".into(), evidence: evidence("w", "second") });
    assert_eq!(read(&store, 0, "r"), []);
    // The event does not count for a checkout of another provider.
    call(&store, 1, &begin_of("other", "r", None));
    assert_eq!(read(&store, 1, "r").first().map(|one| one.status), Some(Status::Pending));
    call(&store, 2, &begin_of("w", "r", Some("user:ada")));
    let found = read(&store, 2, "r");
    let one = found.iter().find(|one| one.attempt.provider == "w").expect("a checkout");
    assert_eq!((one.status, one.late, one.owner.as_deref()), (Status::Confirmed, false, Some("user:ada")));
    assert_eq!(
        one.evidence.as_ref().map(|evidence| evidence.event.as_str()),
        Some("e"),
        "the first event counts"
    );
}

#[test]
fn releases_cancelled_and_expired_attempts_until_confirmed() {
    let store = Sqlite::of::<Checkouts>();
    let refs = |due: Vec<Due>| due.into_iter().map(|one| one.attempt.reference).collect::<Vec<_>>();
    for reference in ["a", "b", "c"] {
        call(&store, 0, &begin_of("w", reference, None));
    }
    let late = Command::Cancel(Some(Author::in_person("ada", Timestamp(-5))), attempt("w", "a", 1));
    assert!(store.handle::<Checkouts>(&late, Timestamp(1)).is_err(), "the author was checked too long ago");
    assert_eq!(refs(due_at(&store, 1)), [""; 0]);
    let by = Author::in_person("ada", Timestamp(1));
    call(&store, 1, &Command::Cancel(Some(by), attempt("w", "a", 1)));
    call(&store, 2, &confirm_of("w", "b"));
    assert_eq!(refs(due_at(&store, 3)), ["a"]);
    assert_eq!(
        call(&store, 30, &Command::Due(1)),
        Reply::Due(vec![Due { attempt: attempt("w", "a", 1), is_shared: false }])
    );
    assert_eq!(refs(due_at(&store, 30)), ["a", "c"]);
    call(&store, 31, &Command::Released(vec![attempt("w", "a", 1)]));
    assert_eq!(refs(due_at(&store, 31)), ["c"]);
    // The checkout is paid late, before it was released.
    call(&store, 32, &confirm_of("w", "c"));
    assert_eq!(refs(due_at(&store, 33)), [""; 0]);
}

#[test]
fn releases_a_new_attempt_only_when_it_expires() {
    for give_up in [true, false] {
        let store = Sqlite::of::<Checkouts>();
        call(&store, 0, &begin_of("w", "r", None));
        if give_up {
            call(&store, 1, &Command::Cancel(None, attempt("w", "r", 1)));
        }
        // A tick has listed the first attempt, and upstream begins another one before it gets the release.
        let first = due_at(&store, 30);
        assert_eq!(first.len(), 1);
        call(&store, 31, &begin_of("w", "r", None));
        assert_eq!(due_at(&store, 32), [], "upstream holds a new reservation under this ref");
        call(&store, 33, &Command::Released(first.into_iter().map(|one| one.attempt).collect()));
        assert_eq!(due_at(&store, 60), []);
        assert_eq!(due_at(&store, 61), [Due { attempt: attempt("w", "r", 2), is_shared: false }]);
    }
    // A late cancellation of the first attempt does not cancel the new one.
    let store = Sqlite::of::<Checkouts>();
    call(&store, 0, &begin_of("w", "r", None));
    call(&store, 30, &begin_of("w", "r", None));
    call(&store, 31, &Command::Cancel(None, attempt("w", "r", 1)));
    assert_eq!(read(&store, 31, "r").first().map(|one| one.status), Some(Status::Pending));
}

#[test]
fn keeps_twenty_attempts_at_most() {
    let store = Sqlite::of::<Checkouts>();
    for at in 0..50 {
        call(&store, at * 30, &begin_of("w", "r", None));
    }
    let all = read(&store, 1_500, "r");
    assert_eq!(all.len(), 20);
    assert_eq!((all[0].attempt.number, all[19].attempt.number), (50, 31));
}

/// The database of version 0.1.
const EARLIER: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS checkouts (
        reference TEXT PRIMARY KEY, provider TEXT NOT NULL, begun INTEGER NOT NULL, owner TEXT, status TEXT NOT NULL, late INTEGER NOT NULL,
        webhook TEXT, event TEXT, event_type TEXT, confirmed_at INTEGER,
        expires_at INTEGER NOT NULL, released INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS checkouts_due ON checkouts (status, released, expires_at)",
    "INSERT INTO checkouts VALUES
        ('pending', 'w', 1, 'user:ada', 'pending', 0, NULL, NULL, NULL, NULL, 90, 0),
        ('paid', 'w', 1, 'user:ada', 'confirmed', 1, 'w', 'e', 't', 7, 30, 1),
        ('early', 'w', 0, NULL, 'confirmed', 0, 'w', 'e', 't', 7, 7, 0),
        ('over', 'v', 1, NULL, 'cancelled', 0, NULL, NULL, NULL, NULL, 60, 0),
        ('done', 'v', 1, NULL, 'expired', 0, NULL, NULL, NULL, NULL, 20, 1)",
];

#[test]
fn opens_a_database_of_an_earlier_version() {
    let store = Sqlite::of_earlier::<Checkouts>(EARLIER).restarted::<Checkouts>();
    let state_of = |reference: &str| {
        let all = read(&store, 50, reference);
        assert!(all.len() <= 1);
        all.into_iter().next().map(|one| (one.attempt.provider, one.status, one.late, one.owner))
    };
    let ada = Some("user:ada".to_owned());
    assert_eq!(state_of("pending"), Some(("w".into(), Status::Pending, false, ada.clone())));
    assert_eq!(state_of("paid"), Some(("w".into(), Status::Confirmed, true, ada)));
    assert_eq!(state_of("over"), Some(("v".into(), Status::Cancelled, false, None)));
    assert_eq!(state_of("early"), None);
    assert_eq!(due_at(&store, 50).len(), 1, "a released attempt stays released");
    call(&store, 51, &begin_of("w", "early", None));
    assert_eq!(state_of("early"), Some(("w".into(), Status::Confirmed, false, None)));
    call(&store, 52, &confirm_of("w", "pending"));
    assert_eq!(state_of("pending").map(|(_, status, ..)| status), Some(Status::Confirmed));
}
