//! Of `super`, over tables and histories.

use std::{cell::Cell, time::Duration};

use super::*;
use crate::store::{decode, sqlite::Sqlite};

struct Scope(Sqlite);

impl Scope {
    fn new() -> Self {
        Self(Sqlite::of::<Ledger>())
    }

    fn ask(&self, at: i64, command: &Command) -> Reply {
        self.0.handle::<Ledger>(command, Timestamp(at)).expect("a reply")
    }

    fn start(&self, at: i64, fence: &str, again: bool) -> Verdict {
        let about = About { key: "k".into(), scope: "user:ada".into(), operation: "orders.pay".into() };
        let spans = (Duration::from_secs(10), Duration::from_secs(100));
        self.verdict(at, &Command::Start(about, Claim::new(fence, "print".into(), spans, again)))
    }

    fn verdict(&self, at: i64, command: &Command) -> Verdict {
        match self.ask(at, command) {
            Reply::Verdict(verdict) => verdict,
            other => panic!("{other:?}"),
        }
    }

    fn settle(&self, at: i64, fence: &str, sealed: &[u8]) -> Verdict {
        self.0.1.replace(Some(sealed.to_vec()));
        let outcome = Outcome { status: 201, kept: Kept::Here };
        self.verdict(at, &Command::Step("k".into(), Step::Settle(fence.into(), outcome)))
    }

    fn errands(&self, at: i64) -> Vec<Command> {
        let errands = Ledger::wake(&self.0, Timestamp(at)).expect("errands");
        errands
            .iter()
            .map(|errand| {
                let OutboxMessage::Tell { binding, name, command, done } = errand;
                assert_eq!((*binding, name.as_str()), ("LEDGER", INDEX));
                self.ask(at, &decode(done).expect("a command"));
                decode(command).expect("a command")
            })
            .collect()
    }
}

#[test]
fn messages_that_an_earlier_version_stored_are_sent() {
    let scope = Scope::new();
    let unresolved = r#"{"id":"i","about":{"key":"k","scope":"s","operation":"o"},"until":99}"#;
    for (stored, want) in [
        (r#"{"Forget":"i"}"#.to_owned(), Command::Forget("i".into())),
        (
            format!(r#"{{"Note":{unresolved}}}"#),
            Command::Note(serde_json::from_str(unresolved).expect("one")),
        ),
    ] {
        scope.0.run("INSERT INTO errands (command) VALUES (?)", &[(&stored).into()]).expect("a row");
        let sent = scope.errands(2);
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
fn a_key_takes_few_statements() {
    let scope = Scope::new();
    let statements = |command: Command, attached: Option<&[u8]>| {
        scope.0.1.replace(attached.map(<[u8]>::to_vec));
        let counting = Counting { store: &scope.0, statements: Cell::default() };
        Ledger::handle(&counting, command, Timestamp(1)).expect("a reply");
        counting.statements.get()
    };
    let start = |fence: &str| {
        let about = About { key: "k".into(), scope: "user:ada".into(), operation: "orders.pay".into() };
        let spans = (Duration::from_secs(10), Duration::from_secs(100));
        Command::Start(about, Claim::new(fence, "print".into(), spans, false))
    };
    let settle = Step::Settle("a".into(), Outcome { status: 201, kept: Kept::Here });
    assert_eq!(statements(start("a"), None), 2);
    assert_eq!(statements(start("b"), None), 1, "it is in flight");
    assert_eq!(statements(Command::Step("k".into(), settle), Some(b"sealed")), 3);
    assert_eq!(statements(start("c"), None), 2, "it is replayed");
}

#[test]
fn an_answer_is_kept_and_forgotten() {
    let scope = Scope::new();
    assert_eq!(scope.start(0, "a", false), Verdict::Granted { may_have_run: false });
    assert_eq!(scope.start(1, "b", false), Verdict::InFlight(9));
    assert_eq!(scope.settle(2, "a", b"sealed"), Verdict::Done);
    let ran = Verdict::Ran(Outcome { status: 201, kept: Kept::Here });
    assert_eq!(scope.start(3, "b", false), ran);
    assert_eq!(scope.0.1.take().as_deref(), Some(&b"sealed"[..]), "it goes along");
    assert_eq!(Ledger::wake_at(&scope.0, Timestamp(3)), Ok(Some(Timestamp(102))));
    assert!(scope.errands(101).is_empty());
    assert_eq!(scope.start(101, "b", false), ran);
    assert!(scope.errands(102).is_empty());
    assert_eq!(Ledger::wake_at(&scope.0, Timestamp(102)), Ok(None), "nothing is left");
    assert!(scope.0.run("SELECT 1 FROM answers", &[]).expect("rows").is_empty());
}

#[test]
fn what_nobody_knows_is_known_to_the_index() {
    let (scope, index) = (Scope::new(), Scope::new());
    scope.start(0, "req_a", false);
    assert!(scope.errands(9).is_empty());
    // Found when it is woken, though nobody asks.
    let noted = scope.errands(10);
    assert!(matches!(&noted[..], [Command::Note(Unresolved { id, .. })] if id == "req_a"), "{noted:?}");
    for command in &noted {
        index.ask(10, command);
    }
    let list = |at| match index.ask(at, &Command::Unresolved(None, 10)) {
        Reply::Unresolved(all) => {
            all.into_iter().map(|one| (one.id, one.about.operation)).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(list(10), [("req_a".to_owned(), "orders.pay".to_owned())]);
    assert_eq!(list(110), [], "its time is over");
    assert!(scope.errands(11).is_empty(), "once");
    // It came back after all.
    assert_eq!(scope.settle(12, "req_a", b"late"), Verdict::Done);
    let forgotten = scope.errands(12);
    assert!(matches!(&forgotten[..], [Command::Forget(id)] if id == "req_a"), "{forgotten:?}");
    index.ask(12, &forgotten[0]);
    assert_eq!(list(12), []);
    assert_eq!(scope.start(13, "req_b", false), Verdict::Ran(Outcome { status: 201, kept: Kept::Here }));
}

#[test]
fn resolved_either_way() {
    for (ran, then) in [
        (true, Verdict::Ran(Outcome { status: 0, kept: Kept::BySomebodysWord })),
        (false, Verdict::Granted { may_have_run: false }),
    ] {
        let scope = Scope::new();
        scope.start(0, "req_a", false);
        let resolving = |judged_at| Command::Resolve {
            author: Author::in_person("root", Timestamp(judged_at)),
            key: "k".into(),
            id: "req_a".into(),
            ran,
        };
        let resolve = |at| scope.verdict(at, &resolving(at));
        let nobodys = Command::Step("k".into(), Step::Resolve("req_a".into(), ran));
        for command in [nobodys, resolving(4)] {
            assert!(scope.0.handle::<Ledger>(&command, Timestamp(10)).is_err(), "{command:?}");
        }
        assert_eq!(resolve(9), Verdict::Lost, "it may still come back");
        assert_eq!(resolve(10), Verdict::Done);
        assert_eq!(resolve(11), Verdict::Lost, "once");
        assert_eq!(scope.start(12, "req_b", false), then);
    }
}

#[test]
fn a_claim_is_begun_in_the_same_breath() {
    let scope = Scope::new();
    scope.start(0, "a", false);
    assert_eq!(scope.start(10, "b", false), Verdict::Unknown, "it may have run");
    assert_eq!(scope.start(11, "c", true), Verdict::Granted { may_have_run: true });
    let release = Command::Step("k".into(), Step::Release("c".into()));
    assert_eq!(scope.verdict(12, &release), Verdict::Done);
    assert_eq!(scope.start(13, "d", false), Verdict::Unknown, "that c did not run says nothing of a");
}
