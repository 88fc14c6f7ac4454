//! The `Ledger` objects: one for each scope, with a row for each key, and one that knows which outcomes
//! are unknown anywhere.
//!
//! A command is one load, one [`step`] and one write, in one transaction. What comes of a key that nobody asks
//! for any more is found when the object is woken: at the end of the first lease or retention.

use serde::{Deserialize, Serialize};

use super::{Claim, Command as Step, Kept, Outcome, Record, State, Verdict, as_of, step};
use crate::{
    store::{Class, Errand, Object, Row, Store, StoreError, Value},
    time::Timestamp,
};

/// The `Ledger` object of one scope.
#[derive(Debug)]
pub struct Ledger;

/// The name of the one that knows which outcomes are unknown.
pub const INDEX: &str = "index";

/// What a ledger can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Claims a key and, where that is granted, says at once that it begins.
    Start(About, Claim),
    /// Does something about a key. What is settled here has its answer attached.
    Step(String, Step),
    /// Takes note of an unknown outcome.
    Note(Unresolved),
    /// Forgets one that is unknown no more.
    Forget(String),
    /// Lists unknown outcomes by id, after the one named.
    Unresolved(Option<String>, i64),
    /// Finds one.
    Find(String),
    /// Notes that an errand is done.
    Done(i64),
}

/// What a ledger answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// What came of it. Of an answer that is kept here, it is attached.
    Verdict(Verdict),
    /// Some unknown outcomes.
    Unresolved(Vec<Unresolved>),
    /// It is done.
    Done,
}

/// What a key is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The key, hashed.
    pub key: String,
    /// Whose it is: the name of the ledger.
    pub scope: String,
    /// What is done under it.
    pub operation: String,
}

/// An outcome that nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unresolved {
    /// The id: that of the request which did not come back.
    pub id: String,
    /// What it was about.
    pub about: About,
    /// Until when the key is held for it.
    pub until: Timestamp,
}

impl Object for Ledger {
    const CLASS: Class = Class {
        name: "Ledger",
        binding: "LEDGER",
        schema: &[
            "CREATE TABLE IF NOT EXISTS claims (
                key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, fence TEXT NOT NULL,
                retention INTEGER NOT NULL, in_doubt INTEGER NOT NULL, state TEXT NOT NULL,
                until INTEGER NOT NULL, status INTEGER, kept TEXT, scope TEXT NOT NULL,
                operation TEXT NOT NULL, noted TEXT) STRICT, WITHOUT ROWID",
            "CREATE INDEX IF NOT EXISTS claims_until ON claims (until)",
            "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT",
            "CREATE TABLE IF NOT EXISTS errands (id INTEGER PRIMARY KEY, command TEXT NOT NULL) STRICT",
            // Of the index alone.
            "CREATE TABLE IF NOT EXISTS unresolved (
                id TEXT PRIMARY KEY, key TEXT NOT NULL, scope TEXT NOT NULL, operation TEXT NOT NULL,
                until INTEGER NOT NULL) STRICT, WITHOUT ROWID",
        ],
    };
    type Command = Command;
    type Reply = Reply;

    fn handle(store: &impl Store, command: Command, now: Timestamp) -> Result<Reply, StoreError> {
        match command {
            Command::Start(about, claim) => {
                let fence = claim.fence.clone();
                let verdict = carry_out(store, &about.key, Some(&about), &Step::Claim(claim), now)?;
                if matches!(verdict, Verdict::Granted { .. }) {
                    carry_out(store, &about.key, None, &Step::Begin(fence), now)?;
                }
                Ok(Reply::Verdict(verdict))
            }
            Command::Step(key, command) => carry_out(store, &key, None, &command, now).map(Reply::Verdict),
            Command::Note(Unresolved { id, about: About { key, scope, operation }, until }) => {
                store.run(
                    "INSERT OR REPLACE INTO unresolved (id, key, scope, operation, until) VALUES (?, ?, ?, ?, ?)",
                    &[(&id).into(), (&key).into(), (&scope).into(), (&operation).into(), until.into()],
                )?;
                Ok(Reply::Done)
            }
            Command::Forget(id) => {
                store.run("DELETE FROM unresolved WHERE id = ?", &[(&id).into()])?;
                Ok(Reply::Done)
            }
            Command::Unresolved(after, limit) => {
                let rows = store.run(
                    &format!(
                        "SELECT {UNRESOLVED} FROM unresolved WHERE id > ? AND until > ? ORDER BY id LIMIT ?"
                    ),
                    &[after.as_deref().unwrap_or("").into(), now.into(), limit.into()],
                )?;
                rows.iter().map(unresolved).collect::<Result<_, _>>().map(Reply::Unresolved)
            }
            Command::Find(id) => {
                let select = format!("SELECT {UNRESOLVED} FROM unresolved WHERE id = ?");
                let rows = store.run(&select, &[(&id).into()])?;
                rows.iter().map(unresolved).collect::<Result<_, _>>().map(Reply::Unresolved)
            }
            Command::Done(id) => {
                store.run("DELETE FROM errands WHERE id = ?", &[id.into()])?;
                Ok(Reply::Done)
            }
        }
    }

    fn wake_at(store: &impl Store, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        if !store.run("SELECT 1 FROM errands LIMIT 1", &[])?.is_empty() {
            return Ok(Some(now));
        }
        let first = "SELECT min(first) FROM (SELECT min(until) AS first FROM claims
            UNION ALL SELECT min(until) FROM unresolved)";
        let rows = store.run(first, &[])?;
        let first = rows.first().map(|row| row.optional_integer(0)).transpose()?.flatten();
        Ok(first.map(Timestamp))
    }

    fn wake(store: &impl Store, now: Timestamp) -> Result<Vec<Errand>, StoreError> {
        let due = "SELECT key FROM claims WHERE until <= ? ORDER BY until LIMIT 500";
        for row in store.run(due, &[now.into()])? {
            let key = row.text(0)?;
            if let Some(known) = load(store, &key)? {
                let now_is = as_of(known.record.clone(), now);
                save(store, &key, &known, now_is)?;
            }
        }
        store.run("DELETE FROM unresolved WHERE until <= ?", &[now.into()])?;
        let rows = store.run("SELECT id, command FROM errands ORDER BY id LIMIT 50", &[])?;
        rows.iter()
            .map(|row| {
                let done = serde_json::to_string(&Command::Done(row.integer(0)?));
                let done = done.map_err(|error| StoreError(error.to_string()))?;
                Ok(Errand::Tell {
                    binding: Self::CLASS.binding,
                    name: INDEX.to_owned(),
                    command: row.text(1)?,
                    done,
                })
            })
            .collect()
    }
}

/// A row.
struct Known {
    record: Record,
    about: About,
    /// The id under which the index knows it.
    noted: Option<String>,
}

fn carry_out(
    store: &impl Store,
    key: &str,
    about: Option<&About>,
    command: &Step,
    now: Timestamp,
) -> Result<Verdict, StoreError> {
    let known = load(store, key)?;
    let (after, verdict) = step(known.as_ref().map(|known| known.record.clone()), command, now);
    match (known, about, after) {
        (Some(known), about, after) => {
            let known = Known { about: about.unwrap_or(&known.about).clone(), ..known };
            save(store, key, &known, after)?;
        }
        (None, Some(about), Some(after)) => write(store, key, &after, about, None)?,
        (None, ..) => {}
    }
    if let Verdict::Ran(Outcome { kept: Kept::Here, .. }) = &verdict {
        // It goes along with the reply.
        store.run("SELECT sealed FROM answers WHERE key = ?", &[key.into()])?;
    }
    Ok(verdict)
}

/// Writes what has become of a row, with what else hangs on it: its answer, and what the index knows.
fn save(store: &impl Store, key: &str, known: &Known, after: Option<Record>) -> Result<(), StoreError> {
    if after.as_ref() == Some(&known.record) {
        return Ok(());
    }
    let is_here =
        |state: &State| matches!(state, State::Settled { outcome: Outcome { kept: Kept::Here, .. }, .. });
    match (is_here(&known.record.state), after.as_ref().is_some_and(|after| is_here(&after.state))) {
        (true, false) => {
            store.run("DELETE FROM answers WHERE key = ?", &[key.into()])?;
        }
        (false, true) => {
            let insert = "INSERT OR REPLACE INTO answers (key, sealed) VALUES (?, ?)";
            store.run(insert, &[key.into(), Value::Attached])?;
        }
        (true, true) | (false, false) => {}
    }
    let unknown = after.as_ref().and_then(|after| match after.state {
        State::Unknown { until } => {
            Some(Unresolved { id: after.fence.clone(), about: known.about.clone(), until })
        }
        State::Claimed { .. } | State::Settled { .. } => None,
    });
    let note = unknown.as_ref().map(|unknown| unknown.id.clone());
    if let Some(unknown) = unknown {
        send(store, &Command::Note(unknown))?;
    }
    if let Some(noted) = known.noted.as_ref().filter(|noted| note.as_ref() != Some(noted)) {
        send(store, &Command::Forget(noted.clone()))?;
    }
    match after {
        Some(after) => write(store, key, &after, &known.about, note.as_deref()),
        None => store.run("DELETE FROM claims WHERE key = ?", &[key.into()]).map(drop),
    }
}

/// Leaves word for the index.
fn send(store: &impl Store, command: &Command) -> Result<(), StoreError> {
    let command = serde_json::to_string(command).map_err(|error| StoreError(error.to_string()))?;
    store.run("INSERT INTO errands (command) VALUES (?)", &[(&command).into()]).map(drop)
}

fn write(
    store: &impl Store,
    key: &str,
    record: &Record,
    about: &About,
    noted: Option<&str>,
) -> Result<(), StoreError> {
    let (state, until, outcome) = match &record.state {
        State::Claimed { until, begun: false } => ("claimed", until, None),
        State::Claimed { until, begun: true } => ("begun", until, None),
        State::Settled { outcome, until } => ("settled", until, Some(outcome)),
        State::Unknown { until } => ("unknown", until, None),
    };
    let status = outcome.map_or(Value::Null, |outcome| i64::from(outcome.status).into());
    let kept = outcome.map(|outcome| match &outcome.kept {
        Kept::Here => "here",
        Kept::Not => "not",
        Kept::BySomebodysWord => "word",
        Kept::Elsewhere(name) => name,
    });
    store.run(
        "INSERT OR REPLACE INTO claims (key, fingerprint, fence, retention, in_doubt, state, until, status, kept,
         scope, operation, noted) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        &[
            key.into(),
            (&record.fingerprint).into(),
            (&record.fence).into(),
            record.retention.into(),
            i64::from(record.in_doubt).into(),
            state.into(),
            (*until).into(),
            status,
            kept.into(),
            (&about.scope).into(),
            (&about.operation).into(),
            noted.into(),
        ],
    )?;
    Ok(())
}

fn load(store: &impl Store, key: &str) -> Result<Option<Known>, StoreError> {
    let rows = store.run(
        "SELECT fingerprint, fence, retention, in_doubt, state, until, status, kept, scope, operation, noted
         FROM claims WHERE key = ?",
        &[key.into()],
    )?;
    let Some(row) = rows.first() else { return Ok(None) };
    let until = Timestamp(row.integer(5)?);
    let state = match row.text(4)?.as_str() {
        "claimed" => State::Claimed { until, begun: false },
        "begun" => State::Claimed { until, begun: true },
        "settled" => State::Settled { outcome: outcome(row)?, until },
        "unknown" => State::Unknown { until },
        other => return Err(StoreError(format!("no state is called {other:?}"))),
    };
    let record = Record {
        fingerprint: row.text(0)?,
        fence: row.text(1)?,
        retention: row.integer(2)?,
        in_doubt: row.integer(3)? != 0,
        state,
    };
    let about = About { key: key.to_owned(), scope: row.text(8)?, operation: row.text(9)? };
    Ok(Some(Known { record, about, noted: row.optional_text(10)? }))
}

fn outcome(row: &Row) -> Result<Outcome, StoreError> {
    let status = u16::try_from(row.integer(6)?).map_err(|_| StoreError("no status".to_owned()))?;
    let kept = row.text(7)?;
    let kept = match kept.as_str() {
        "here" => Kept::Here,
        "not" => Kept::Not,
        "word" => Kept::BySomebodysWord,
        _ => Kept::Elsewhere(kept),
    };
    Ok(Outcome { status, kept })
}

fn unresolved(row: &Row) -> Result<Unresolved, StoreError> {
    Ok(Unresolved {
        id: row.text(0)?,
        about: About { key: row.text(1)?, scope: row.text(2)?, operation: row.text(3)? },
        until: Timestamp(row.integer(4)?),
    })
}

const UNRESOLVED: &str = "id, key, scope, operation, until";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::sqlite::Sqlite;

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
                    let Errand::Tell { binding, name, command, done } = errand else { panic!("{errand:?}") };
                    assert_eq!((*binding, name.as_str()), ("LEDGER", INDEX));
                    self.ask(at, &serde_json::from_str(done).expect("a command"));
                    serde_json::from_str(command).expect("a command")
                })
                .collect()
        }
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
            let resolve =
                |at| scope.verdict(at, &Command::Step("k".into(), Step::Resolve("req_a".into(), ran)));
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
}
