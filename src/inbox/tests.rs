//! Of `super`, over tables and histories.

use super::*;
use crate::store::sqlite::Sqlite;

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
    Event { id: id.into(), received, subject, target: "/hook".into(), fields: String::new() }
}

fn redeliver(at: i64, id: &str) -> Command {
    Command::Redeliver(Author::in_person("root", Timestamp(at)), id.to_owned())
}

struct Box(Sqlite);

impl Box {
    fn ask(&self, at: i64, command: &Command) -> Reply {
        self.0.handle::<Inbox>(command, Timestamp(at)).expect("a reply")
    }

    fn accept(&self, at: i64, event: Event) -> Reply {
        self.0.1.replace(Some(event.id.clone().into_bytes()));
        self.ask(at, &Command::Accept(event, 100_000))
    }

    fn due(&self, at: i64) -> Vec<String> {
        let errands = Inbox::wake(&self.0, Timestamp(at)).expect("errands");
        errands
            .into_iter()
            .map(|errand| match errand {
                Errand::Deliver { id } => id,
                Errand::Tell { .. } => panic!("an inbox tells nobody"),
            })
            .collect()
    }

    fn state(&self, id: &str) -> (State, i64, i64) {
        match self.ask(0, &Command::List(None, None, 100)) {
            Reply::Events(all) => {
                let one = all.iter().find(|one| one.event.id == id).expect("an event");
                (one.state, one.attempts, one.duplicates)
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn accepted_once_and_delivered() {
    let inbox = Box(Sqlite::of::<Inbox>());
    assert_eq!(inbox.accept(10, event("a", "k", None)), Reply::Done);
    assert_eq!(inbox.accept(11, event("b", "k", None)), Reply::Duplicate);
    assert_eq!(Inbox::wake_at(&inbox.0, Timestamp(11)), Ok(Some(Timestamp(10))));
    assert_eq!(inbox.due(11), ["a"]);
    inbox.0.1.take();
    assert!(
        matches!(inbox.ask(11, &Command::Load("a".into())), Reply::Event(found) if found.received.key == "k")
    );
    assert_eq!(inbox.0.1.take().as_deref(), Some(&b"a"[..]), "its body goes along");
    inbox.ask(12, &Command::Tried("a".into(), 204));
    assert_eq!(inbox.state("a"), (State::Delivered, 1, 1));
    assert!(inbox.due(13).is_empty());
    let late = Command::Redeliver(Author::in_person("root", Timestamp(8)), "a".into());
    assert!(inbox.0.handle::<Inbox>(&late, Timestamp(14)).is_err(), "judged too long ago");
    assert!(inbox.due(14).is_empty());
    assert_eq!(inbox.ask(14, &redeliver(14, "a")), Reply::Done);
    assert_eq!(inbox.due(14), ["a"]);
    assert_eq!(inbox.ask(14, &redeliver(14, "x")), Reply::NotFound);
    inbox.ask(15, &Command::Tried("a".into(), 200));
    assert!(inbox.due(200_000).is_empty());
    assert_eq!(Inbox::wake_at(&inbox.0, Timestamp(0)), Ok(None), "it is forgotten");
    assert!(inbox.0.run("SELECT 1 FROM bodies", &[]).expect("rows").is_empty());
}

#[test]
fn tried_again_later_each_time_until_it_is_dead() {
    let inbox = Box(Sqlite::of::<Inbox>());
    inbox.accept(0, event("a", "k", None));
    let mut now = 0;
    let mut last = 0;
    for attempt in 1..MOST_ATTEMPTS {
        inbox.ask(now, &Command::Tried("a".into(), 500));
        assert!(inbox.due(now).is_empty());
        let next = Inbox::wake_at(&inbox.0, Timestamp(now)).expect("a time").expect("some").0;
        let gap = next - now;
        let full = (5 << (attempt - 1).min(11)).min(7_200);
        assert!(gap * 4 >= full * 3 - 4 && gap * 4 <= full * 5, "{attempt}: {gap}");
        last = next;
        now = next;
        assert_eq!(inbox.due(now), ["a"]);
    }
    inbox.ask(last, &Command::Tried("a".into(), 0));
    assert_eq!(inbox.state("a").0, State::Dead);
    assert!((12 * 3_600..36 * 3_600).contains(&last), "{last}");
    inbox.ask(last, &redeliver(last, "a"));
    assert_eq!(inbox.state("a"), (State::Received, 0, 0));
}

#[test]
fn one_after_the_other_where_they_have_a_subject() {
    let inbox = Box(Sqlite::of::<Inbox>());
    for (id, subject) in [("a", Some("s")), ("b", Some("s")), ("c", None), ("d", Some("t")), ("e", None)] {
        inbox.accept(0, event(id, id, subject));
    }
    assert_eq!(inbox.due(0), ["a", "c", "d", "e"]);
    inbox.ask(0, &Command::Tried("a".into(), 500));
    assert_eq!(inbox.due(0), ["c", "d", "e"], "b waits for a");
    inbox.ask(9, &Command::Tried("a".into(), 200));
    assert_eq!(inbox.due(9), ["b", "c", "d", "e"]);
}
