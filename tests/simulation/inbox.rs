//! An inbox and its deliveries. An accepted event is delivered at least once or dead after its attempts, under one key,
//! and after all earlier events of its subject. An event that is sent again is a duplicate.
//!
//! Upstream answers, fails or does not answer. The object dies at times: it forgets what it is delivering, and delivers
//! that again.

use std::collections::{BTreeMap, BTreeSet};

use vestibule::{
    base::time::Timestamp,
    http::request::HeaderLines,
    identity::author::{Author, Credential},
    platform::store::{Object, Store},
    webhooks::{
        Received,
        inbox::{Command, Event, Inbox, MOST_ATTEMPTS, Pick, Reply, State},
    },
};

use crate::{Sent, Simulation, simulate, sqlite::Sqlite};

const RETENTION: i64 = 100_000;

#[test]
fn an_accepted_event_is_delivered_in_order_and_under_one_key() {
    simulate("inbox", 8, run);
}

/// An event, as it was accepted.
#[derive(Clone, Debug)]
struct Known {
    key: String,
    subject: Option<String>,
    state: State,
    attempts: i64,
    duplicates: i64,
    status: Option<i64>,
    until: i64,
    /// The time before which a failed event is not tried again.
    not_before: i64,
}

struct World {
    store: Sqlite,
    /// By id. The ids are in the order in which events were accepted.
    events: BTreeMap<String, Known>,
    flying: Vec<String>,
    /// Keys whose providers got a response, and keys that upstream has accepted.
    answered: BTreeSet<String>,
    delivered: BTreeSet<String>,
}

fn run(simulation: &mut Simulation) {
    let mut world = World {
        store: Sqlite::of::<Inbox>(),
        events: BTreeMap::new(),
        flying: Vec::new(),
        answered: BTreeSet::new(),
        delivered: BTreeSet::new(),
    };
    for _ in 0..200 {
        simulation.now += match simulation.random.below(20) {
            0 => simulation.random.within(0, 9_000),
            _ => simulation.random.within(0, 9),
        };
        match simulation.random.weighted(&[6, 6, 7, 1, 1, 1, 2]) {
            0 => world.accept(simulation),
            1 => world.pick(simulation),
            2 => world.finish(simulation, false),
            // The process is killed, and with it the deliveries.
            3 => world.flying.clear(),
            4 => world.redeliver(simulation),
            5 => world.alarm(simulation),
            _ => world.list(simulation),
        }
    }
    world.settle(simulation);
}

impl World {
    fn accept(&mut self, simulation: &mut Simulation) {
        let number = simulation.random.below(200);
        let (key, subject) = (format!("key {number}"), ["", "s1", "s2"][number % 3]);
        let subject = (!subject.is_empty()).then(|| subject.to_owned());
        // A provider that gets no response sends the event again, as a new request.
        for _ in 0..3 {
            let count = simulation.name("");
            let id = format!("whk_shop.{count:0>6}");
            let event = Event {
                id: id.clone(),
                received: Received {
                    provider: "shop".to_owned(),
                    key: key.clone(),
                    event_id: None,
                    event_type: None,
                    payload_hash: "hash".to_owned(),
                    earlier_key: None,
                },
                subject: subject.clone(),
                target: "/hook".to_owned(),
                header_lines: HeaderLines(String::new()),
            };
            self.store.1.replace(Some(key.clone().into_bytes()));
            let sent = simulation.send::<Inbox>(&self.store, &Command::Accept(event, RETENTION));
            let is_answered = sent.is_answered();
            let known = self.events.values_mut().find(|known| known.key == key);
            match (sent.reply(), known) {
                (Some(Reply::Duplicate), Some(known)) => known.duplicates += 1,
                (Some(Reply::Done), None) => {
                    let (state, until) = (State::Received, simulation.now + RETENTION);
                    let (subject, key) = (subject.clone(), key.clone());
                    let (attempts, duplicates, status, not_before) = (0, 0, None, 0);
                    let known =
                        Known { key, subject, state, attempts, duplicates, status, until, not_before };
                    self.events.insert(id, known);
                }
                (None, _) => {}
                other => panic!("{other:?}"),
            }
            if is_answered {
                self.answered.insert(key);
                return;
            }
        }
    }

    /// Returns whether an earlier event of the same subject waits.
    fn waits_behind(&self, id: &str) -> bool {
        let subject = &self.events[id].subject;
        subject.is_some()
            && self
                .events
                .range(..id.to_owned())
                .any(|(_, other)| other.subject == *subject && other.state == State::Received)
    }

    fn pick(&mut self, simulation: &mut Simulation) {
        let (room, retries) = (simulation.random.within(1, 4), simulation.random.within(0, 2));
        let pick = Pick { flying: self.flying.clone(), room, retries };
        let Sent::Answered(Reply::Picked(picked)) =
            simulation.send::<Inbox>(&self.store, &Command::Pick(pick))
        else {
            return;
        };
        assert!(picked.len() <= usize::try_from(room).unwrap());
        assert!(picked.iter().filter(|picked| picked.retry).count() <= usize::try_from(retries).unwrap());
        for picked in picked {
            let known = self.events[&picked.id].clone();
            assert_eq!(known.state, State::Received);
            assert_eq!(picked.retry, known.attempts > 0);
            assert!(known.not_before <= simulation.now, "{} is tried too soon", picked.id);
            assert!(!self.waits_behind(&picked.id), "{} overtakes an earlier event", picked.id);
            for id in &self.flying {
                let same = known.subject.is_some() && self.events[id].subject == known.subject;
                assert!(*id != picked.id && !same, "{} is delivered twice at once", picked.id);
            }
            self.store.1.take();
            let loaded = simulation.send::<Inbox>(&self.store, &Command::Load(picked.id.clone()));
            if let Sent::Answered(loaded) = loaded {
                let Reply::Event(event) = loaded else { panic!("{loaded:?}") };
                assert_eq!(event.received.key, known.key, "another key");
                assert_eq!(self.store.1.take(), Some(known.key.into_bytes()), "another body");
                self.flying.push(picked.id);
            }
        }
    }

    /// A delivery ends.
    fn finish(&mut self, simulation: &mut Simulation, succeeds: bool) {
        if self.flying.is_empty() {
            return;
        }
        let at = simulation.random.below(self.flying.len());
        let id = self.flying.swap_remove(at);
        let status = if succeeds { 200 } else { *simulation.random.pick(&[200, 204, 500, 0]) };
        let is_success = (200..300).contains(&status);
        if is_success && let Some(known) = self.events.get(&id) {
            self.delivered.insert(known.key.clone());
        }
        // An outcome that cannot be stored is forgotten: the event is delivered again.
        let sent = simulation.send::<Inbox>(&self.store, &Command::RecordAttempt(id.clone(), status));
        let Some(reply) = sent.reply() else { return };
        let Some(known) = self.events.get_mut(&id).filter(|known| known.state == State::Received) else {
            return assert_eq!(reply, Reply::NotFound);
        };
        assert_eq!(reply, Reply::Done);
        known.attempts += 1;
        known.status = Some(status.into());
        if is_success {
            known.state = State::Delivered;
        } else if known.attempts == MOST_ATTEMPTS {
            known.state = State::Dead;
        } else {
            let doublings = u32::try_from(known.attempts - 1).unwrap();
            let full = (5_i64 << doublings.min(20)).min(7_200);
            known.not_before = simulation.now + full - full / 4;
        }
    }

    fn redeliver(&mut self, simulation: &mut Simulation) {
        let ids: Vec<String> = self.events.keys().cloned().collect();
        let id =
            if ids.is_empty() { "whk_shop.none".to_owned() } else { simulation.random.pick(&ids).clone() };
        let author = Author {
            user: Some("root".to_owned()),
            credential: Credential::Session("ses_1".to_owned()),
            checked_at: Timestamp(simulation.now - simulation.random.within(0, 6)),
        };
        let is_late = author.checked_at.0 < simulation.now - 5;
        let sent = simulation.send::<Inbox>(&self.store, &Command::Redeliver(author, id.clone()));
        let Some(reply) = sent.reply() else { return };
        assert!(!is_late);
        match self.events.get_mut(&id) {
            Some(known) => {
                assert_eq!(reply, Reply::Done);
                (known.state, known.attempts, known.not_before) = (State::Received, 0, 0);
            }
            None => assert_eq!(reply, Reply::NotFound),
        }
    }

    fn alarm(&mut self, simulation: &mut Simulation) {
        simulation.alarm::<Inbox>(&self.store);
        let now = simulation.now;
        self.events.retain(|_, known| known.state == State::Received || known.until > now);
        for known in self.events.values_mut().filter(|known| known.until <= now) {
            known.until = now + 3_600;
        }
        self.flying.retain(|id| self.events.contains_key(id));
        let bodies = self.store.run("SELECT count(*) FROM bodies", &[]).expect("a count");
        assert_eq!(bodies[0].integer(0), Ok(i64::try_from(self.events.len()).unwrap()));
    }

    fn list(&self, simulation: &mut Simulation) {
        let sent = simulation.send::<Inbox>(&self.store, &Command::List(None, None, 1_000));
        let Some(Reply::Events(all)) = sent.reply() else { return };
        assert_eq!(all.len(), self.events.len());
        for (found, (id, known)) in all.iter().zip(&self.events) {
            assert_eq!(found.event.id, *id);
            let found = (found.state, found.attempts, found.duplicates, found.status);
            assert_eq!(found, (known.state, known.attempts, known.duplicates, known.status), "{id}");
        }
    }

    /// In the end upstream accepts everything: nothing waits for ever, and nothing that was accepted is lost.
    fn settle(&mut self, simulation: &mut Simulation) {
        for _ in 0..3_000 {
            if self.events.values().all(|known| known.state != State::Received) {
                break;
            }
            let due = Inbox::next_alarm(&self.store, simulation.time()).expect("a time").expect("an alarm");
            simulation.now = simulation.now.max(due.0);
            self.alarm(simulation);
            self.pick(simulation);
            self.finish(simulation, true);
        }
        for (id, known) in &self.events {
            assert_ne!(known.state, State::Received, "{id} waits for ever: {known:?}");
        }
        let dead: BTreeSet<&String> =
            self.events.values().filter(|known| known.state == State::Dead).map(|known| &known.key).collect();
        for key in &self.answered {
            assert!(self.delivered.contains(key) || dead.contains(key), "{key} was never delivered");
        }
        simulation.now += 2 * RETENTION;
        self.alarm(simulation);
        assert_eq!(self.store.run("SELECT 1 FROM events", &[]), Ok(Vec::new()));
    }
}
