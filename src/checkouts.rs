//! Checkouts: was it paid? One object for each of 16 groups of refs.
//!
//! | from | by | to |
//! |---|---|---|
//! | – | upstream's answer | `pending`, until it expires |
//! | – | a verified webhook, which was faster | `confirmed` |
//! | `pending` | the browser that gave up | `cancelled` |
//! | `pending` | time | `expired` |
//! | `pending` | a verified webhook | `confirmed` |
//! | `cancelled`, `expired` | a verified webhook | `confirmed`, and late |
//!
//! Only the webhook that a checkout was begun for counts. Nothing else leads to `confirmed`, and nothing leads away from it. What was cancelled or has expired is to be
//! released by upstream, which is told until it has said that it was.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    author::Author,
    encoding,
    store::{Class, Object, Row, Store, StoreError},
    time::Timestamp,
};

/// The `Checkouts` object of one group of refs.
#[derive(Debug)]
pub struct Checkouts;

/// What checkouts can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Registers one that upstream has begun: its ref, the webhook that confirms it, whose it is, and for how many
    /// seconds it is reserved.
    Begin(String, String, Option<String>, i64),
    /// Confirms one, by a verified event.
    Confirm(String, Evidence),
    /// Reads one.
    Read(String),
    /// Gives one up. Without an author, by a client that knows its ref.
    Cancel(Option<Author>, String),
    /// Expires what is overdue, and lists at most so many refs that are to be released.
    Due(i64),
    /// Notes that these were released.
    Released(Vec<String>),
}

/// What they answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// A checkout, if there is one.
    Checkout(Option<Checkout>),
    /// Some refs.
    Refs(Vec<String>),
}

/// A checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkout {
    /// What upstream calls it.
    pub reference: String,
    /// Whose it is: the scope of who began it; `None` where a webhook was faster, or where nobody was known.
    pub owner: Option<String>,
    /// What has become of it.
    pub status: Status,
    /// Whether it was cancelled or had expired when it was confirmed.
    pub late: bool,
    /// What confirmed it.
    pub evidence: Option<Evidence>,
    /// Until when it is reserved.
    pub expires_at: Timestamp,
}

/// The event that confirmed a checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The webhook that received it.
    pub webhook: String,
    /// The provider's id of it, or its content's hash.
    pub event: String,
    /// What happened, in the provider's words.
    pub event_type: String,
    /// When it was received.
    pub at: Timestamp,
}

/// What has become of a checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It waits for a verified event.
    Pending,
    /// A verified event has confirmed it.
    Confirmed,
    /// The browser has given it up.
    Cancelled,
    /// Its time was over.
    Expired,
}

impl Status {
    /// Gives the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// Reads a ref where JSON has one: a text, or a whole number.
#[must_use]
pub fn reference_in(value: &serde_json::Value) -> Option<String> {
    let text = match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
        _ => return None,
    };
    ((1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())).then_some(text)
}

/// How many objects there are.
pub const GROUPS: u8 = 16;

/// Names the object that has a ref.
#[must_use]
pub fn group_of(reference: &str) -> String {
    encoding::hex(&Sha256::digest(reference)).get(..1).unwrap_or_default().to_owned()
}

/// Names them all.
pub fn groups() -> impl Iterator<Item = String> {
    (0..GROUPS).map(|group| format!("{group:x}"))
}

impl Object for Checkouts {
    const CLASS: Class = Class {
        name: "Checkouts",
        binding: "CHECKOUTS",
        schema: &[
            "CREATE TABLE IF NOT EXISTS checkouts (
                reference TEXT PRIMARY KEY, provider TEXT NOT NULL, begun INTEGER NOT NULL, owner TEXT, status TEXT NOT NULL, late INTEGER NOT NULL,
                webhook TEXT, event TEXT, event_type TEXT, confirmed_at INTEGER,
                expires_at INTEGER NOT NULL, released INTEGER NOT NULL) STRICT, WITHOUT ROWID",
            "CREATE INDEX IF NOT EXISTS checkouts_due ON checkouts (status, released, expires_at)",
        ],
    };
    type Command = Command;
    type Reply = Reply;

    fn handle(store: &impl Store, command: Command, now: Timestamp) -> Result<Reply, StoreError> {
        let reference = match command {
            Command::Begin(reference, provider, owner, reserved) => {
                // A webhook that was faster has said more, if it is the right one.
                store.run(
                    "DELETE FROM checkouts WHERE reference = ? AND provider <> ? AND begun = 0",
                    &[(&reference).into(), (&provider).into()],
                )?;
                store.run(
                    "INSERT INTO checkouts (reference, provider, begun, owner, status, late, expires_at, released)
                     VALUES (?, ?, 1, ?, 'pending', 0, ?, 0)
                     ON CONFLICT (reference) DO UPDATE SET begun = 1, owner = coalesce(owner, excluded.owner)
                     WHERE provider = excluded.provider",
                    &[
                        (&reference).into(),
                        (&provider).into(),
                        owner.as_deref().into(),
                        Timestamp(now.0.saturating_add(reserved)).into(),
                    ],
                )?;
                reference
            }
            Command::Confirm(reference, evidence) => {
                confirm(store, &reference, &evidence, now)?;
                reference
            }
            Command::Read(reference) => reference,
            Command::Cancel(author, reference) => {
                author.map_or(Ok(()), |author| author.check_age(now))?;
                store.run(
                    "UPDATE checkouts SET status = 'cancelled'
                     WHERE reference = ? AND status = 'pending' AND expires_at > ?",
                    &[(&reference).into(), now.into()],
                )?;
                reference
            }
            Command::Due(limit) => return due(store, limit, now),
            Command::Released(references) => {
                for reference in &references {
                    store
                        .run("UPDATE checkouts SET released = 1 WHERE reference = ?", &[reference.into()])?;
                }
                return Ok(Reply::Refs(references));
            }
        };
        find(store, &reference, now).map(Reply::Checkout)
    }
}

fn confirm(
    store: &impl Store,
    reference: &str,
    evidence: &Evidence,
    now: Timestamp,
) -> Result<(), StoreError> {
    let known = find(store, reference, now)?;
    if known.as_ref().is_some_and(|known| known.status == Status::Confirmed) {
        return Ok(());
    }
    let is_late = known.is_some_and(|known| known.status != Status::Pending);
    store.run(
        "INSERT INTO checkouts (reference, provider, begun, status, late, webhook, event, event_type, confirmed_at,
         expires_at, released) VALUES (?, ?, 0, 'confirmed', ?, ?, ?, ?, ?, ?, 0)
         ON CONFLICT (reference) DO UPDATE SET status = 'confirmed', late = excluded.late,
         webhook = excluded.webhook, event = excluded.event, event_type = excluded.event_type,
         confirmed_at = excluded.confirmed_at WHERE provider = excluded.provider",
        &[
            reference.into(),
            (&evidence.webhook).into(),
            i64::from(is_late).into(),
            (&evidence.webhook).into(),
            (&evidence.event).into(),
            (&evidence.event_type).into(),
            evidence.at.into(),
            now.into(),
        ],
    )?;
    Ok(())
}

fn due(store: &impl Store, limit: i64, now: Timestamp) -> Result<Reply, StoreError> {
    store.run(
        "UPDATE checkouts SET status = 'expired' WHERE reference IN (
            SELECT reference FROM checkouts WHERE status = 'pending' AND expires_at <= ? LIMIT 1000)",
        &[now.into()],
    )?;
    let rows = store.run(
        "SELECT reference FROM checkouts WHERE status IN ('cancelled', 'expired') AND released = 0
         ORDER BY expires_at LIMIT ?",
        &[limit.into()],
    )?;
    rows.iter().map(|row| row.text(0)).collect::<Result<_, _>>().map(Reply::Refs)
}

fn find(store: &impl Store, reference: &str, now: Timestamp) -> Result<Option<Checkout>, StoreError> {
    let rows = store.run(
        "SELECT reference, owner, status, late, webhook, event, event_type, confirmed_at, expires_at
         FROM checkouts WHERE reference = ?",
        &[reference.into()],
    )?;
    rows.first().map(|row| checkout(row, now)).transpose()
}

fn checkout(row: &Row, now: Timestamp) -> Result<Checkout, StoreError> {
    let expires_at = Timestamp(row.integer(8)?);
    let status = match row.text(2)?.as_str() {
        // Seen before it was noted.
        "pending" if expires_at <= now => Status::Expired,
        "pending" => Status::Pending,
        "confirmed" => Status::Confirmed,
        "cancelled" => Status::Cancelled,
        "expired" => Status::Expired,
        other => return Err(StoreError(format!("no status is called {other:?}"))),
    };
    let evidence = match (row.optional_text(4)?, row.optional_text(5)?, row.optional_text(6)?) {
        (Some(webhook), Some(event), Some(event_type)) => {
            Some(Evidence { webhook, event, event_type, at: Timestamp(row.integer(7)?) })
        }
        _ => None,
    };
    let late = row.integer(3)? != 0;
    let (reference, owner) = (row.text(0)?, row.optional_text(1)?);
    Ok(Checkout { reference, owner, status, late, evidence, expires_at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::Sqlite;

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Begin,
        Confirm,
        Cancel,
        Expire,
    }

    #[test]
    fn every_row_of_the_table() {
        use Act::{Begin, Cancel, Confirm, Expire};
        use Status::{Cancelled, Confirmed, Expired, Pending};
        for (acts, want) in [
            (&[][..], None),
            (&[Begin], Some((Pending, false))),
            (&[Begin, Begin], Some((Pending, false))),
            (&[Begin, Confirm], Some((Confirmed, false))),
            (&[Confirm], Some((Confirmed, false))),
            (&[Confirm, Begin], Some((Confirmed, false))),
            (&[Begin, Cancel], Some((Cancelled, false))),
            (&[Begin, Cancel, Cancel], Some((Cancelled, false))),
            (&[Begin, Cancel, Confirm], Some((Confirmed, true))),
            (&[Begin, Expire], Some((Expired, false))),
            (&[Begin, Expire, Cancel], Some((Expired, false))),
            (&[Begin, Expire, Begin], Some((Expired, false))),
            (&[Begin, Expire, Confirm], Some((Confirmed, true))),
            (&[Begin, Confirm, Cancel], Some((Confirmed, false))),
            (&[Begin, Confirm, Expire], Some((Confirmed, false))),
            (&[Begin, Expire, Confirm, Confirm], Some((Confirmed, true))),
            (&[Cancel], None),
        ] {
            let store = Sqlite::of::<Checkouts>();
            let mut now = 0;
            for act in acts {
                let command = match act {
                    Begin => Command::Begin("r".into(), "w".into(), Some("user:ada".into()), 30),
                    Confirm => Command::Confirm("r".into(), evidence()),
                    Cancel => Command::Cancel(None, "r".into()),
                    Expire => {
                        now = 30;
                        Command::Read("r".into())
                    }
                };
                store.handle::<Checkouts>(&command, Timestamp(now)).expect("a reply");
            }
            let Reply::Checkout(found) =
                store.handle::<Checkouts>(&Command::Read("r".into()), Timestamp(now)).expect("a reply")
            else {
                panic!("no checkout");
            };
            assert_eq!(found.as_ref().map(|found| (found.status, found.late)), want, "{acts:?}");
            let has_evidence = found.is_some_and(|found| found.evidence.is_some());
            assert_eq!(has_evidence, want.is_some_and(|(status, _)| status == Confirmed), "{acts:?}");
        }
    }

    #[test]
    fn another_providers_word_counts_nothing() {
        let store = Sqlite::of::<Checkouts>();
        let ask = |command: Command| store.handle::<Checkouts>(&command, Timestamp(0)).expect("a reply");
        let status = || match ask(Command::Read("r".into())) {
            Reply::Checkout(found) => found.map(|found| found.status),
            Reply::Refs(_) => panic!("no checkout"),
        };
        ask(Command::Begin("r".into(), "other".into(), None, 30));
        ask(Command::Confirm("r".into(), evidence()));
        assert_eq!(status(), Some(Status::Pending));
        // Nor does it where it was faster.
        let store = Sqlite::of::<Checkouts>();
        let ask = |command: Command| store.handle::<Checkouts>(&command, Timestamp(0)).expect("a reply");
        ask(Command::Confirm("r".into(), evidence()));
        let Reply::Checkout(Some(found)) = ask(Command::Begin("r".into(), "other".into(), None, 30)) else {
            panic!("no checkout");
        };
        assert_eq!((found.status, found.evidence), (Status::Pending, None));
    }

    #[test]
    fn what_is_over_is_released_once() {
        let store = Sqlite::of::<Checkouts>();
        let ask = |at, command: Command| store.handle::<Checkouts>(&command, Timestamp(at)).expect("a reply");
        for reference in ["a", "b", "c"] {
            ask(0, Command::Begin(reference.into(), "w".into(), None, 30));
        }
        let late = Command::Cancel(Some(Author::in_person("ada", Timestamp(-5))), "a".into());
        assert!(store.handle::<Checkouts>(&late, Timestamp(1)).is_err(), "judged too long ago");
        assert_eq!(ask(1, Command::Due(10)), Reply::Refs(vec![]));
        ask(1, Command::Cancel(Some(Author::in_person("ada", Timestamp(1))), "a".into()));
        ask(2, Command::Confirm("b".into(), evidence()));
        assert_eq!(ask(3, Command::Due(10)), Reply::Refs(vec!["a".into()]));
        assert_eq!(ask(30, Command::Due(1)), Reply::Refs(vec!["a".into()]));
        assert_eq!(ask(30, Command::Due(10)), Reply::Refs(vec!["a".into(), "c".into()]));
        ask(31, Command::Released(vec!["a".into()]));
        assert_eq!(ask(31, Command::Due(10)), Reply::Refs(vec!["c".into()]));
        // Paid after all, before it was released.
        ask(32, Command::Confirm("c".into(), evidence()));
        assert_eq!(ask(33, Command::Due(10)), Reply::Refs(vec![]));
    }

    fn evidence() -> Evidence {
        Evidence { webhook: "w".into(), event: "e".into(), event_type: "t".into(), at: Timestamp(7) }
    }
}
