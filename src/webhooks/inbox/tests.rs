//! Tests of the inbox: sequences of commands, and databases of earlier versions.

use super::*;
use crate::platform::store::sqlite::Sqlite;

fn event(id: &str, key: &str, subject: Option<&str>) -> Event {
    let received = Received {
        provider: "w".into(),
        key: key.into(),
        event_id: None,
        event_type: Some("t".into()),
        payload_hash: "h".into(),
        earlier_key: None,
    };
    let subject = subject.map(str::to_owned);
    Event { id: id.into(), received, subject, target: "/hook".into(), header_lines: HeaderLines::default() }
}

fn redeliver(at: i64, id: &str) -> Command {
    Command::Redeliver(Author::in_person("root", Timestamp(at)), id.to_owned())
}

struct TestInbox(Sqlite);

impl TestInbox {
    fn send(&self, at: i64, command: &Command) -> Reply {
        self.0.handle::<Inbox>(command, Timestamp(at)).expect("a reply")
    }

    fn accept(&self, at: i64, event: Event) -> Reply {
        self.0.1.replace(Some(event.id.clone().into_bytes()));
        self.send(at, &Command::Accept(event, 100_000))
    }

    fn pick(&self, at: i64, pick: Pick) -> Vec<String> {
        match self.send(at, &Command::Pick(pick)) {
            Reply::Picked(all) => all.into_iter().map(|one| one.id).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// Returns all due events while these are being delivered.
    fn due_beside(&self, at: i64, flying: &[&str]) -> Vec<String> {
        let flying = flying.iter().map(|id| (*id).to_owned()).collect();
        self.pick(at, Pick { flying, room: 100, retries: 100 })
    }

    fn due(&self, at: i64) -> Vec<String> {
        assert_eq!(Inbox::alarm(&self.0, Timestamp(at)), Ok(vec![]));
        self.due_beside(at, &[])
    }

    fn state(&self, id: &str) -> (State, i64, i64) {
        match self.send(0, &Command::List(None, None, 100)) {
            Reply::Events(all) => {
                let one = all.iter().find(|one| one.event.id == id).expect("an event");
                (one.state, one.attempts, one.duplicates)
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn accepts_an_event_once_and_delivers_it() {
    let inbox = TestInbox(Sqlite::of::<Inbox>());
    assert_eq!(inbox.accept(10, event("a", "k", None)), Reply::Done);
    assert_eq!(inbox.accept(11, event("b", "k", None)), Reply::Duplicate);
    assert_eq!(Inbox::next_alarm(&inbox.0, Timestamp(11)), Ok(Some(Timestamp(10))));
    assert_eq!(inbox.due(11), ["a"]);
    inbox.0.1.take();
    assert!(
        matches!(inbox.send(11, &Command::Load("a".into())), Reply::Event(found) if found.received.key == "k")
    );
    assert_eq!(inbox.0.1.take().as_deref(), Some(&b"a"[..]), "the body must be attached");
    inbox.send(12, &Command::RecordAttempt("a".into(), 204));
    assert_eq!(inbox.state("a"), (State::Delivered, 1, 1));
    assert!(inbox.due(13).is_empty());
    let late = Command::Redeliver(Author::in_person("root", Timestamp(8)), "a".into());
    assert!(inbox.0.handle::<Inbox>(&late, Timestamp(14)).is_err(), "the author was checked too long ago");
    assert!(inbox.due(14).is_empty());
    assert_eq!(inbox.send(14, &redeliver(14, "a")), Reply::Done);
    assert_eq!(inbox.due(14), ["a"]);
    assert_eq!(inbox.send(14, &redeliver(14, "x")), Reply::NotFound);
    inbox.send(15, &Command::RecordAttempt("a".into(), 200));
    assert!(inbox.due(200_000).is_empty());
    assert_eq!(Inbox::next_alarm(&inbox.0, Timestamp(0)), Ok(None), "the event must be deleted");
    assert!(inbox.0.run("SELECT 1 FROM bodies", &[]).expect("rows").is_empty());
}

#[test]
fn retries_with_growing_delays_until_dead() {
    let inbox = TestInbox(Sqlite::of::<Inbox>());
    inbox.accept(0, event("a", "k", None));
    let mut now = 0;
    let mut last = 0;
    for attempt in 1..MOST_ATTEMPTS {
        inbox.send(now, &Command::RecordAttempt("a".into(), 500));
        assert!(inbox.due(now).is_empty());
        let next = Inbox::next_alarm(&inbox.0, Timestamp(now)).expect("a time").expect("some").0;
        let gap = next - now;
        let full = (5 << (attempt - 1).min(11)).min(7_200);
        assert!(gap * 4 >= full * 3 - 4 && gap * 4 <= full * 5, "{attempt}: {gap}");
        last = next;
        now = next;
        assert_eq!(inbox.due(now), ["a"]);
    }
    inbox.send(last, &Command::RecordAttempt("a".into(), 0));
    assert_eq!(inbox.state("a").0, State::Dead);
    assert!((12 * 3_600..36 * 3_600).contains(&last), "{last}");
    inbox.send(last, &redeliver(last, "a"));
    assert_eq!(inbox.state("a"), (State::Received, 0, 0));
}

#[test]
fn delivers_events_of_a_subject_in_order() {
    let inbox = TestInbox(Sqlite::of::<Inbox>());
    for (id, subject) in [("a", Some("s")), ("b", Some("s")), ("c", None), ("d", Some("t")), ("e", None)] {
        inbox.accept(0, event(id, id, subject));
    }
    assert_eq!(inbox.due(0), ["a", "c", "d", "e"]);
    inbox.send(0, &Command::RecordAttempt("a".into(), 500));
    assert_eq!(inbox.due(0), ["c", "d", "e"], "b waits for a");
    inbox.send(9, &Command::RecordAttempt("a".into(), 200));
    assert_eq!(inbox.due(9), ["c", "d", "e", "b"], "b must be queued behind due events");
}

#[test]
fn picks_first_attempts_before_retries() {
    let inbox = TestInbox(Sqlite::of::<Inbox>());
    for at in 0..10 {
        inbox.accept(at, event(&format!("old{at}"), &format!("old{at}"), None));
        inbox.send(at, &Command::RecordAttempt(format!("old{at}"), 500));
    }
    for at in 20..25 {
        inbox.accept(at, event(&format!("new{at}"), &format!("new{at}"), None));
    }
    let all = inbox.due(100);
    assert_eq!(all.len(), 15);
    assert_eq!(all[..5], ["new20", "new21", "new22", "new23", "new24"]);
    assert!(all[5..].iter().all(|id| id.starts_with("old")));
    let some = |room, retries| inbox.pick(100, Pick { flying: vec![], room, retries });
    assert_eq!(some(3, 100), ["new20", "new21", "new22"]);
    assert_eq!(some(7, 1).len(), 6, "picks at most one retry");
    assert_eq!(some(0, 100), [""; 0]);
    assert_eq!(some(-1, -1), [""; 0]);
}

#[test]
fn does_not_pick_an_event_or_subject_in_delivery() {
    let inbox = TestInbox(Sqlite::of::<Inbox>());
    for (id, subject) in [("a", Some("s")), ("b", Some("s")), ("c", None), ("d", None)] {
        inbox.accept(0, event(id, id, subject));
    }
    assert_eq!(inbox.due_beside(0, &["a", "c"]), ["d"]);
    // An operator redelivers an older event of a subject while the next event is being delivered.
    inbox.send(1, &Command::RecordAttempt("a".into(), 200));
    assert_eq!(inbox.due_beside(1, &["c"]), ["d", "b"], "b must be queued behind due events");
    inbox.send(2, &redeliver(2, "a"));
    assert_eq!(inbox.due_beside(2, &["b", "c", "d"]), [""; 0]);
    inbox.send(3, &Command::RecordAttempt("b".into(), 500));
    assert_eq!(inbox.due_beside(60, &["c", "d"]), ["a"], "the older event must come first");
    inbox.send(61, &Command::RecordAttempt("a".into(), 200));
    assert_eq!(inbox.due_beside(61, &["c", "d"]), ["b"]);
}

#[test]
fn a_subject_with_many_events_does_not_delay_others() {
    let inbox = TestInbox(Sqlite::of::<Inbox>());
    for at in 0..50 {
        inbox.accept(0, event(&format!("m{at:02}"), &format!("m{at:02}"), Some("many")));
    }
    inbox.accept(5, event("x", "x", Some("other")));
    inbox.send(6, &Command::RecordAttempt("m00".into(), 200));
    assert_eq!(inbox.due(6), ["x", "m01"]);
}

/// A store that records the statements that scan the table of events.
struct Watched<'a>(&'a Sqlite, std::cell::RefCell<Vec<String>>);

impl Store for Watched<'_> {
    fn run(&self, statement: &str, parameters: &[Value<'_>]) -> Result<Vec<SqlRow>, StoreError> {
        let plain: Vec<Value<'_>> = parameters
            .iter()
            .map(|value| if *value == Value::Attached { Value::Null } else { *value })
            .collect();
        for row in self.0.run(&format!("EXPLAIN QUERY PLAN {statement}"), &plain)? {
            let detail = row.text(3)?;
            if detail.starts_with("SCAN") && detail.contains("events") {
                self.1.borrow_mut().push(format!("{detail}: {statement}"));
            }
        }
        self.0.run(statement, parameters)
    }
}

#[test]
fn no_command_scans_all_events() {
    let inbox = TestInbox(Sqlite::of::<Inbox>());
    let watched = Watched(&inbox.0, std::cell::RefCell::default());
    let send = |command: Command| {
        inbox.0.1.replace(Some(vec![1]));
        Inbox::handle(&watched, command, Timestamp(9)).expect("a reply");
        Inbox::next_alarm(&watched, Timestamp(9)).expect("a time");
        Inbox::alarm(&watched, Timestamp(9)).expect("nothing");
    };
    for (id, subject) in [("a", Some("s")), ("b", Some("s")), ("c", None)] {
        send(Command::Accept(event(id, id, subject), 100));
    }
    send(Command::Pick(Pick { flying: vec!["a".into()], room: 10, retries: 10 }));
    send(Command::RecordAttempt("a".into(), 500));
    send(Command::RecordAttempt("a".into(), 200));
    send(redeliver(9, "a"));
    send(Command::Load("a".into()));
    assert_eq!(*watched.1.borrow(), [""; 0]);
}

/// A database as version 0.1 made it.
const EARLIER: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS events (
        id TEXT PRIMARY KEY, number INTEGER NOT NULL, key TEXT NOT NULL UNIQUE, event_id TEXT,
        event_type TEXT, payload_hash TEXT NOT NULL, subject TEXT, target TEXT NOT NULL,
        fields TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL,
        duplicates INTEGER NOT NULL, status INTEGER, received_at INTEGER NOT NULL,
        at INTEGER NOT NULL, until INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS events_due ON events (state, at)",
    "CREATE INDEX IF NOT EXISTS events_number ON events (number)",
    "CREATE INDEX IF NOT EXISTS events_until ON events (until)",
    "CREATE INDEX IF NOT EXISTS events_subject ON events (subject, state, number)",
    "CREATE TABLE IF NOT EXISTS bodies (id TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT",
    "INSERT INTO events VALUES
        ('a', 1, 'a', NULL, 't', 'h', 's', '/', '', 'delivered', 1, 0, 200, 0, 5, 100000),
        ('b', 2, 'b', NULL, 't', 'h', 's', '/', '', 'received', 3, 0, 500, 0, 7, 100000),
        ('c', 3, 'c', NULL, 't', 'h', 's', '/', '', 'received', 0, 0, NULL, 0, 1, 100000),
        ('d', 4, 'd', NULL, 't', 'h', NULL, '/', '', 'received', 0, 0, NULL, 0, 2, 100000),
        ('e', 5, 'e', NULL, 't', 'h', NULL, '/', '', 'dead', 20, 0, 500, 0, 3, 100000)",
];

#[test]
fn opens_a_database_of_an_earlier_version() {
    let inbox = TestInbox(Sqlite::of_earlier::<Inbox>(EARLIER).restarted::<Inbox>());
    assert_eq!(Inbox::next_alarm(&inbox.0, Timestamp(2)), Ok(Some(Timestamp(2))));
    assert_eq!(inbox.due(9), ["d", "b"]);
    inbox.send(9, &Command::RecordAttempt("b".into(), 200));
    assert_eq!(inbox.due(9), ["d", "c"]);
    assert_eq!(inbox.accept(10, event("f", "d", None)), Reply::Duplicate);
    inbox.accept(10, event("g", "g", None));
    assert_eq!(inbox.due(10), ["d", "c", "g"]);
}
