//! A person's consent to what a machine wants to do. One object for each person, and one for all agents.
//!
//! 1. An [`Act`] is what one credential asks for once: this method, this path and query, this content type and
//!    body. Asked for again while it is open, it is the same act.
//! 2. It is open for [`OPEN`] seconds, undecided or approved; then it is over.
//! 3. A person approves or rejects it. The same decision again changes nothing; another one does not count.
//! 4. An approved act is used once, by the request that it is. What is used under an idempotency key may be used
//!    again under that key: the ledger sees to it that it runs once. Once it is over, it may only be answered again.
//! 5. What was changed in between uses nothing up.
//! 6. What a person is shown of it is forgotten [`OPEN`] seconds after it is over.
//!
//! | state | the request with its id | approve | reject |
//! |---|---|---|---|
//! | pending | is pending | approved | rejected |
//! | approved | runs; used | approved | is approved |
//! | rejected | is rejected | is rejected | rejected |
//! | used | is used; under the same key runs, or is answered again | is used | is used |
//! | over, or never was | is expired, or unknown | likewise | likewise |
//! | any but over, of another request | is changed | | |

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    author::{Author, Credential},
    encoding, ended,
    problem::Unconfirmed,
    store::{Class, Object, SqlRow, Store, StoreError, Value, run_all},
    time::Timestamp,
};

/// The `Confirmations` object of one person, or of all agents.
#[derive(Debug)]
pub struct Confirmations;

/// How ids begin.
pub const PREFIX: &str = "cnf_";

/// Seconds for which an act is open.
pub const OPEN: i64 = 600;

/// Acts of one credential that may be open at a time.
pub const MOST_OPEN: i64 = 20;

/// Bytes of a body that a person is shown.
pub const LONGEST_PREVIEW: usize = 4_096;

/// Whose machines' acts somebody decides.
pub const AGENTS: &str = "agents";

/// What a machine wants to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// `cnf_…`.
    pub id: String,
    /// The credential that asks, among all: whose it is, and its id.
    pub requester: String,
    /// What tells the request from any other.
    pub fingerprint: String,
    /// What a person is shown of it.
    pub shown: Shown,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// What a person is shown of an act.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// The rule's operation, where it has one.
    pub operation: Option<String>,
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// On whose behalf.
    pub principal: Whose,
    /// What acts.
    pub actor: Acting,
    /// The body's type, as it was sent.
    pub content_type: Option<String>,
    /// Further headers that may say what the request means: names and values.
    pub headers: Vec<(String, String)>,
    /// The body's first bytes, where they are text.
    pub preview: Option<String>,
    /// Whether there is more of it than that.
    pub preview_cut: bool,
    /// The body's hash.
    pub body_sha256: String,
}

/// On whose behalf something is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whose {
    /// `user` or `agent`.
    pub kind: String,
    /// The id.
    pub id: String,
}

/// What asks for something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Acting {
    /// `task_token`, `agent_token`, …
    pub source: Option<String>,
    /// The token's id.
    pub token_id: Option<String>,
    /// What people call it.
    pub token_name: Option<String>,
    /// The agent it was made for.
    pub agent_id: Option<String>,
    /// The task it was made for.
    pub task_id: Option<String>,
}

/// How an act stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The act.
    pub act: Act,
    /// Its state, as of now.
    pub state: State,
    /// Until when it is open.
    pub expires_at: Timestamp,
    /// Who decided.
    pub decided_by: Option<String>,
}

/// What has become of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody has decided.
    Pending,
    /// Somebody has consented.
    Approved,
    /// Somebody has refused.
    Rejected,
    /// It was done.
    Used,
    /// Its time is over. Derived when read.
    Expired,
}

/// What can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// For consent to an act.
    Ask(Box<Act>),
    /// To do it now.
    Use(Use),
    /// How one stands.
    Find(String),
    /// How all stand that are not long over, the latest first: those after this one in the list, and how many.
    List(Option<(Timestamp, String)>, i64),
    /// To note what somebody decided.
    Decide {
        /// Of which.
        id: String,
        /// Who: a user, by a session.
        author: Author,
        /// What.
        approves: bool,
    },
    /// To note sessions as ended: decisions that were judged under them are refused.
    EndedSessions(ended::Ids),
}

/// A request that has an act's id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Use {
    /// The id.
    pub id: String,
    /// The credential that asks.
    pub requester: String,
    /// What tells the request from any other.
    pub fingerprint: String,
    /// The hash of its idempotency key, and for how many seconds the ledger keeps what comes of it.
    pub key: Option<(String, i64)>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It is asked for, and stands like this.
    Asked(Box<Standing>),
    /// It may be done: who has consented; whether it is over, so that it may be answered again and not done again.
    Consented(String, bool),
    /// It may not be done, or not be decided so.
    Refused(Unconfirmed),
    /// There are as many open as may be; seconds until one is over.
    Full(u32),
    /// How it stands; `None` where there is none.
    Found(Option<Box<Standing>>),
    /// How all stand.
    All(Vec<Standing>),
    /// The session of the author has ended.
    SessionEnded,
    /// It is noted.
    Done,
}

/// Names the object of one person's machines, or of [`AGENTS`].
#[must_use]
pub fn object_of(whose: &str) -> String {
    let digest = encoding::hex(&Sha256::digest(whose));
    digest.get(..16).unwrap_or_default().to_owned()
}

/// Finds the object that has the act of an id.
#[must_use]
pub fn object_in(id: &str) -> Option<&str> {
    let (object, random) = id.strip_prefix(PREFIX)?.split_once('.')?;
    let is_hex = object.len() == 16 && object.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (is_hex && (16..=64).contains(&random.len())).then_some(object)
}

/// Makes what a person is shown of a body: its first bytes, where they are text, and whether there are more.
#[must_use]
pub fn preview(first: &[u8], length: usize) -> (Option<String>, bool) {
    let is_cut = length > first.len();
    let text = match std::str::from_utf8(first) {
        Ok(text) => Some(text),
        // Cut off within a character.
        Err(error) if is_cut && error.error_len().is_none() => {
            first.get(..error.valid_up_to()).and_then(|whole| std::str::from_utf8(whole).ok())
        }
        Err(_) => None,
    };
    (text.map(str::to_owned).filter(|_| length > 0), is_cut)
}

/// Cuts a text that is shown.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most).chain("… (cut)".chars()).collect()
}

impl State {
    /// Gives the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Used => "used",
            Self::Expired => "expired",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Pending, Self::Approved, Self::Rejected, Self::Used]
            .into_iter()
            .find(|state| state.name() == name)
    }

    /// Tells why an act that stands like this is not to be done, or decided otherwise.
    fn refusal(self) -> Unconfirmed {
        match self {
            Self::Pending => Unconfirmed::Pending,
            Self::Approved => Unconfirmed::Approved,
            Self::Rejected => Unconfirmed::Rejected,
            Self::Used => Unconfirmed::Used,
            Self::Expired => Unconfirmed::Expired,
        }
    }
}

/// A row: the act, what is stored of its state, and the key it was used under.
struct Record {
    standing: Standing,
    key: Option<String>,
}

/// What a request that has an act's id may do. `None` where there is no such act.
fn judge(record: Option<&Record>, asked: &Use) -> Result<(), Unconfirmed> {
    let Some(Record { standing, key }) = record else { return Err(Unconfirmed::Unknown) };
    let Standing { act, state, .. } = standing;
    if act.requester != asked.requester {
        return Err(Unconfirmed::Unknown);
    }
    let is_same = act.fingerprint == asked.fingerprint;
    match (state, key, &asked.key) {
        (State::Expired, ..) => Err(Unconfirmed::Expired),
        _ if !is_same => Err(Unconfirmed::Changed),
        (State::Used, Some(known), Some((offered, _))) if known == offered => Ok(()),
        (State::Approved, ..) => Ok(()),
        (state, ..) => Err(state.refusal()),
    }
}

impl Object for Confirmations {
    const CLASS: Class = Class {
        name: "Confirmations",
        binding: "CONFIRMATIONS",
        migrations: &[|store| run_all(store, TABLES)],
    };
    type Command = Command;
    type Reply = Reply;

    fn handle(store: &impl Store, command: Command, now: Timestamp) -> Result<Reply, StoreError> {
        match command {
            Command::Ask(act) => ask(store, *act, now),
            Command::Use(asked) => use_up(store, &asked, now),
            Command::Find(id) => {
                // What is kept for its key alone is nobody's to look at.
                let found = find(store, &id, now)?.map(|record| Box::new(record.standing));
                Ok(Reply::Found(found.filter(|standing| standing.act.shown != Shown::default())))
            }
            Command::List(after, limit) => {
                let since = now.0.saturating_sub(OPEN.saturating_mul(2));
                let (at, id) = after.unwrap_or((Timestamp(i64::MAX >> 11), String::new()));
                let text = format!(
                    "SELECT {COLUMNS} FROM acts WHERE created_at > ?1 AND (created_at < ?2 OR (created_at = ?2 AND id > ?3))
                     ORDER BY created_at DESC, id LIMIT ?4"
                );
                let rows = store.run(&text, &[since.into(), at.into(), (&id).into(), limit.into()])?;
                let all = rows.iter().map(|row| Ok(record(row, now)?.standing));
                all.collect::<Result<_, StoreError>>().map(Reply::All)
            }
            Command::Decide { id, author, approves } => {
                author.check_age(now)?;
                let (Some(by), Credential::Session(_)) = (&author.user, &author.credential) else {
                    return Err(StoreError("only a person's session decides".to_owned()));
                };
                if ended::is_noted(store, &author)? {
                    return Ok(Reply::SessionEnded);
                }
                decide(store, (&id, by, approves), now)
            }
            Command::EndedSessions(ids) => {
                ended::note(store, &ids, now)?;
                Ok(Reply::Done)
            }
        }
    }

    /// What nobody comes back for goes all the same: it holds what bodies said.
    fn wake_at(store: &impl Store, _now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let rows = store.run("SELECT min(iif(shown = '', key_until, until)) FROM acts", &[])?;
        rows.first().map_or(Ok(None), |row| Ok(row.optional_integer(0)?.map(Timestamp)))
    }

    fn wake(store: &impl Store, now: Timestamp) -> Result<Vec<crate::store::OutboxMessage>, StoreError> {
        store.run("DELETE FROM acts WHERE until <= ?1 AND key_until <= ?1", &[now.into()])?;
        // Kept for its key alone.
        store.run("UPDATE acts SET shown = '' WHERE until <= ?", &[now.into()])?;
        Ok(Vec::new())
    }

    fn only_asks(command: &Command) -> bool {
        matches!(command, Command::Find(_) | Command::List(..))
    }
}

/// The tables of version 1.
const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS acts (
        id TEXT PRIMARY KEY, requester TEXT NOT NULL, fingerprint TEXT NOT NULL, shown TEXT NOT NULL,
        created_at INTEGER NOT NULL, state TEXT NOT NULL, decided_by TEXT, key TEXT,
        until INTEGER NOT NULL, key_until INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS acts_until ON acts (until)",
    "CREATE INDEX IF NOT EXISTS acts_requester ON acts (requester, fingerprint)",
    ended::TABLE,
];

fn ask(store: &impl Store, act: Act, now: Timestamp) -> Result<Reply, StoreError> {
    let open = now.0.saturating_sub(OPEN);
    let text = format!(
        "SELECT {COLUMNS} FROM acts WHERE requester = ? AND fingerprint = ? AND created_at > ?
         AND state IN ('pending', 'approved') ORDER BY created_at DESC LIMIT 1"
    );
    let known = store.run(&text, &[(&act.requester).into(), (&act.fingerprint).into(), open.into()])?;
    if let Some(row) = known.first() {
        return Ok(Reply::Asked(Box::new(record(row, now)?.standing)));
    }
    let rows = store.run(
        "SELECT count(*), min(created_at) FROM acts WHERE requester = ? AND created_at > ?
         AND state IN ('pending', 'approved')",
        &[(&act.requester).into(), open.into()],
    )?;
    let row = rows.first().ok_or_else(|| StoreError("no count".to_owned()))?;
    if row.integer(0)? >= MOST_OPEN {
        let first = row.optional_integer(1)?.unwrap_or(now.0);
        let left = first.saturating_add(OPEN).saturating_sub(now.0).max(1);
        return Ok(Reply::Full(u32::try_from(left).unwrap_or(u32::MAX)));
    }
    let shown = serde_json::to_string(&act.shown).map_err(|error| StoreError(error.to_string()))?;
    // Over, it is told for as long again that it is.
    let until = now.0.saturating_add(OPEN.saturating_mul(2));
    store.run(
        "INSERT INTO acts (id, requester, fingerprint, shown, created_at, state, until, key_until)
         VALUES (?, ?, ?, ?, ?, 'pending', ?, 0)",
        &[
            (&act.id).into(),
            (&act.requester).into(),
            (&act.fingerprint).into(),
            (&shown).into(),
            now.into(),
            until.into(),
        ],
    )?;
    let act = Act { created_at: now, ..act };
    let expires_at = Timestamp(now.0.saturating_add(OPEN));
    Ok(Reply::Asked(Box::new(Standing { act, state: State::Pending, expires_at, decided_by: None })))
}

fn use_up(store: &impl Store, asked: &Use, now: Timestamp) -> Result<Reply, StoreError> {
    let record = find(store, &asked.id, now)?;
    if let Err(why) = judge(record.as_ref(), asked) {
        return Ok(match record {
            Some(record) if why == Unconfirmed::Pending => Reply::Asked(Box::new(record.standing)),
            _ => Reply::Refused(why),
        });
    }
    let Some(Record { mut standing, .. }) = record else {
        return Ok(Reply::Refused(Unconfirmed::Unknown));
    };
    let by = standing.decided_by.take().ok_or_else(|| StoreError("nobody has consented".to_owned()))?;
    if standing.state == State::Approved {
        let (key, kept) = asked.key.as_ref().map_or((None, 0), |(key, kept)| (Some(key.as_str()), *kept));
        store.run(
            "UPDATE acts SET state = 'used', key = ?, key_until = ? WHERE id = ?",
            &[Value::from(key), now.0.saturating_add(kept).into(), (&asked.id).into()],
        )?;
    }
    Ok(Reply::Consented(by, standing.expires_at <= now))
}

fn decide(
    store: &impl Store,
    (id, by, approves): (&str, &str, bool),
    now: Timestamp,
) -> Result<Reply, StoreError> {
    let Some(Record { mut standing, .. }) = find(store, id, now)? else { return Ok(Reply::Found(None)) };
    let wanted = if approves { State::Approved } else { State::Rejected };
    match standing.state {
        State::Pending => {
            store.run(
                "UPDATE acts SET state = ?, decided_by = ? WHERE id = ?",
                &[wanted.name().into(), by.into(), id.into()],
            )?;
            standing.state = wanted;
            standing.decided_by = Some(by.to_owned());
        }
        state if state == wanted => {}
        state => return Ok(Reply::Refused(state.refusal())),
    }
    Ok(Reply::Found(Some(Box::new(standing))))
}

fn find(store: &impl Store, id: &str, now: Timestamp) -> Result<Option<Record>, StoreError> {
    // The alarm that removes what is over may be late.
    let rows = store.run(
        &format!("SELECT {COLUMNS} FROM acts WHERE id = ?1 AND max(until, key_until) > ?2"),
        &[id.into(), now.into()],
    )?;
    rows.first().map(|row| record(row, now)).transpose()
}

fn record(row: &SqlRow, now: Timestamp) -> Result<Record, StoreError> {
    let unreadable = |error: serde_json::Error| StoreError(error.to_string());
    let created_at = Timestamp(row.integer(4)?);
    let expires_at = Timestamp(created_at.0.saturating_add(OPEN));
    let name = row.text(5)?;
    let stored = State::parse(&name).ok_or_else(|| StoreError(format!("no state is called {name:?}")))?;
    let is_over = matches!(stored, State::Pending | State::Approved) && expires_at <= now;
    let act = Act {
        id: row.text(0)?,
        requester: row.text(1)?,
        fingerprint: row.text(2)?,
        shown: match row.text(3)?.as_str() {
            "" => Shown::default(),
            shown => serde_json::from_str(shown).map_err(unreadable)?,
        },
        created_at,
    };
    let state = if is_over { State::Expired } else { stored };
    let standing = Standing { act, state, expires_at, decided_by: row.optional_text(6)? };
    Ok(Record { standing, key: row.optional_text(7)? })
}

const COLUMNS: &str = "id, requester, fingerprint, shown, created_at, state, decided_by, key";

#[cfg(test)]
mod tests;
