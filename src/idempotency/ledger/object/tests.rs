//! Tests of the `Ledger` objects.

use std::{cell::Cell, time::Duration};

use super::*;
use crate::{
    idempotency::ledger::Spans,
    platform::store::{decode, sqlite::Sqlite},
};

struct TestLedger(Sqlite);

impl TestLedger {
    fn new() -> Self {
        Self(Sqlite::of::<Ledger>())
    }

    fn handle(&self, at: i64, command: &Command) -> Reply {
        self.0.handle::<Ledger>(command, Timestamp(at)).expect("a reply")
    }

    fn start(&self, at: i64, fencing_token: &str, again: bool) -> Verdict {
        let about = About { key: "k".into(), scope: "user:ada".into(), operation: "orders.pay".into() };
        let spans = Spans { lease: Duration::from_secs(10), retention: Duration::from_secs(100) };
        self.verdict(
            at,
            &Command::Start(about, ClaimRequest::new(fencing_token, "print".into(), spans, again)),
        )
    }

    fn verdict(&self, at: i64, command: &Command) -> Verdict {
        match self.handle(at, command) {
            Reply::Verdict(verdict) => verdict,
            other => panic!("{other:?}"),
        }
    }

    fn settle(&self, at: i64, fencing_token: &str, sealed: &[u8]) -> Verdict {
        self.0.1.replace(Some(sealed.to_vec()));
        let outcome = Outcome { status: 201, kept: AnswerLocation::InRow };
        self.verdict(at, &Command::Transition("k".into(), Transition::Settle(fencing_token.into(), outcome)))
    }

    /// Returns the messages to the index, and marks each as sent.
    fn outbox(&self, at: i64) -> Vec<Command> {
        let messages = Ledger::alarm(&self.0, Timestamp(at)).expect("messages");
        messages
            .iter()
            .map(|message| {
                let OutboxMessage::Tell { binding, name, command, done } = message;
                assert_eq!((*binding, name.as_str()), ("LEDGER", INDEX));
                self.handle(at, &decode(done).expect("a command"));
                decode(command).expect("a command")
            })
            .collect()
    }
}

#[test]
fn sends_messages_that_an_earlier_version_stored() {
    let ledger = TestLedger::new();
    let unresolved = r#"{"id":"i","about":{"key":"k","scope":"s","operation":"o"},"until":99}"#;
    for (stored, want) in [
        (r#"{"Forget":"i"}"#.to_owned(), Command::Forget("i".into())),
        (
            format!(r#"{{"Note":{unresolved}}}"#),
            Command::Note(serde_json::from_str(unresolved).expect("one")),
        ),
    ] {
        ledger.0.run("INSERT INTO errands (command) VALUES (?)", &[(&stored).into()]).expect("a row");
        let sent = ledger.outbox(2);
        assert_eq!(format!("{sent:?}"), format!("{:?}", [want]));
    }
}

/// A store that counts statements.
struct Counting<'a> {
    store: &'a Sqlite,
    statements: Cell<u32>,
}

impl Store for Counting<'_> {
    fn run(&self, statement: &str, parameters: &[Value<'_>]) -> Result<Vec<SqlRow>, StoreError> {
        self.statements.set(self.statements.get().saturating_add(1));
        self.store.run(statement, parameters)
    }
}

#[test]
fn commands_run_few_statements() {
    let ledger = TestLedger::new();
    let statements = |command: Command, attached: Option<&[u8]>| {
        ledger.0.1.replace(attached.map(<[u8]>::to_vec));
        let counting = Counting { store: &ledger.0, statements: Cell::default() };
        Ledger::handle(&counting, command, Timestamp(1)).expect("a reply");
        counting.statements.get()
    };
    let start = |fencing_token: &str| {
        let about = About { key: "k".into(), scope: "user:ada".into(), operation: "orders.pay".into() };
        let spans = Spans { lease: Duration::from_secs(10), retention: Duration::from_secs(100) };
        Command::Start(about, ClaimRequest::new(fencing_token, "print".into(), spans, false))
    };
    let settle = Transition::Settle("a".into(), Outcome { status: 201, kept: AnswerLocation::InRow });
    assert_eq!(statements(start("a"), None), 2);
    assert_eq!(statements(start("b"), None), 1, "in flight");
    assert_eq!(statements(Command::Transition("k".into(), settle), Some(b"sealed")), 3);
    assert_eq!(statements(start("c"), None), 2, "replayed");
}

#[test]
fn replays_an_answer_until_its_retention_ends() {
    let ledger = TestLedger::new();
    assert_eq!(ledger.start(0, "a", false), Verdict::Granted { may_have_run: false });
    assert_eq!(ledger.start(1, "b", false), Verdict::InFlight(9));
    assert_eq!(ledger.settle(2, "a", b"sealed"), Verdict::Done);
    let ran = Verdict::Ran(Outcome { status: 201, kept: AnswerLocation::InRow });
    assert_eq!(ledger.start(3, "b", false), ran);
    assert_eq!(ledger.0.1.take().as_deref(), Some(&b"sealed"[..]), "the answer is attached");
    assert_eq!(Ledger::next_alarm(&ledger.0, Timestamp(3)), Ok(Some(Timestamp(102))));
    assert!(ledger.outbox(101).is_empty());
    assert_eq!(ledger.start(101, "b", false), ran);
    assert!(ledger.outbox(102).is_empty());
    assert_eq!(Ledger::next_alarm(&ledger.0, Timestamp(102)), Ok(None), "no data is left");
    assert!(ledger.0.run("SELECT 1 FROM answers", &[]).expect("rows").is_empty());
}

#[test]
fn reports_unknown_outcomes_to_the_index() {
    let (ledger, index) = (TestLedger::new(), TestLedger::new());
    ledger.start(0, "req_a", false);
    assert!(ledger.outbox(9).is_empty());
    // The alarm finds it without another request.
    let added = ledger.outbox(10);
    assert!(matches!(&added[..], [Command::Note(Unresolved { id, .. })] if id == "req_a"), "{added:?}");
    for command in &added {
        index.handle(10, command);
    }
    let list = |at| match index.handle(at, &Command::Unresolved(None, 10)) {
        Reply::Unresolved(all) => {
            all.into_iter().map(|one| (one.id, one.about.operation)).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(list(10), [("req_a".to_owned(), "orders.pay".to_owned())]);
    assert_eq!(list(110), [], "its retention is over");
    assert!(ledger.outbox(11).is_empty(), "sent once only");
    // The claimant settles it late.
    assert_eq!(ledger.settle(12, "req_a", b"late"), Verdict::Done);
    let removed = ledger.outbox(12);
    assert!(matches!(&removed[..], [Command::Forget(id)] if id == "req_a"), "{removed:?}");
    index.handle(12, &removed[0]);
    assert_eq!(list(12), []);
    assert_eq!(
        ledger.start(13, "req_b", false),
        Verdict::Ran(Outcome { status: 201, kept: AnswerLocation::InRow })
    );
}

#[test]
fn resolves_an_unknown_outcome_either_way() {
    for (ran, then) in [
        (true, Verdict::Ran(Outcome { status: 0, kept: AnswerLocation::ResolvedByOperator })),
        (false, Verdict::Granted { may_have_run: false }),
    ] {
        let ledger = TestLedger::new();
        ledger.start(0, "req_a", false);
        let resolving = |checked_at| Command::Resolve {
            author: Author::in_person("root", Timestamp(checked_at)),
            key: "k".into(),
            id: "req_a".into(),
            ran,
        };
        let resolve = |at| ledger.verdict(at, &resolving(at));
        let without_author = Command::Transition("k".into(), Transition::Resolve("req_a".into(), ran));
        for command in [without_author, resolving(4)] {
            assert!(ledger.0.handle::<Ledger>(&command, Timestamp(10)).is_err(), "{command:?}");
        }
        assert_eq!(resolve(9), Verdict::Lost, "the lease has not ended");
        assert_eq!(resolve(10), Verdict::Done);
        assert_eq!(resolve(11), Verdict::Lost, "resolved before");
        assert_eq!(ledger.start(12, "req_b", false), then);
    }
}

#[test]
fn a_clock_that_leaps_runs_nothing_twice() {
    let ran = Verdict::Ran(Outcome { status: 201, kept: AnswerLocation::InRow });
    for leap in [-1_000_000, -100, -11, -1, 0, 1, 9] {
        let ledger = TestLedger::new();
        assert_eq!(ledger.start(1_000, "a", false), Verdict::Granted { may_have_run: false });
        let while_it_runs = ledger.start(1_000 + leap, "b", false);
        assert!(matches!(while_it_runs, Verdict::InFlight(_)), "{leap}: {while_it_runs:?}");
        assert_eq!(ledger.settle(1_000 + leap, "a", b"sealed"), Verdict::Done, "{leap}");
        for later in [-1_000_000, 0, 50, 99] {
            assert_eq!(ledger.start(1_000 + leap + later, "c", false), ran, "{leap} {later}");
        }
    }
    // A leap over the lease: nobody knows whether the request ran, also when the clock goes back.
    let ledger = TestLedger::new();
    ledger.start(1_000, "a", false);
    assert_eq!(ledger.start(1_050, "b", false), Verdict::Unknown);
    assert_eq!(ledger.start(1_000, "c", false), Verdict::Unknown);
    assert_eq!(ledger.settle(1_001, "a", b"sealed"), Verdict::Done, "its claimant knows");
    assert_eq!(ledger.start(1_002, "d", false), ran);
}

#[test]
fn start_claims_and_begins() {
    let ledger = TestLedger::new();
    ledger.start(0, "a", false);
    assert_eq!(ledger.start(10, "b", false), Verdict::Unknown, "a may have run");
    assert_eq!(ledger.start(11, "c", true), Verdict::Granted { may_have_run: true });
    let release = Command::Transition("k".into(), Transition::Release("c".into()));
    assert_eq!(ledger.verdict(12, &release), Verdict::Done);
    assert_eq!(ledger.start(13, "d", false), Verdict::Unknown, "c did not run, but a may have");
}
