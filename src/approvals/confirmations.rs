//! Approvals: a person's consent to an act of a machine. One object for each person, and one for all agents.
//!
//! 1. An [`Act`] is a request of one credential that runs once: this host, method, path, query, body and headers. If
//!    the credential asks for it again while it is open, it gets the same act.
//! 2. An act is open for [`OPEN`] seconds, while it is pending or approved. Then it expires.
//! 3. A person approves or rejects it. The same decision again changes nothing; a different one is refused.
//! 4. An approved act is used once, by the same request. An act that was used with an idempotency key may be used
//!    again with that key: the ledger ensures that the request runs once. [`OPEN`] seconds after the act was created,
//!    the request may only be replayed.
//! 5. A request that was changed does not use up the act.
//! 6. The details that a person sees are deleted [`OPEN`] seconds after the act expires.
//!
//! | state | the request with the act's id | approve | reject |
//! |---|---|---|---|
//! | pending | waits: pending | approved | rejected |
//! | approved | runs; the act becomes used | approved | refused: approved |
//! | rejected | refused: rejected | refused: rejected | rejected |
//! | used | refused: used; with the same key it runs or is replayed | refused: used | refused: used |
//! | expired, or unknown | refused: expired, or unknown | the same | the same |
//! | any but expired, other request | refused: changed | | |

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    base::{encoding, time::Timestamp},
    http::problem::Unconfirmed,
    identity::{
        author::{Author, Credential},
        ended,
    },
    platform::store::{Class, Object, SqlRow, Store, StoreError, Value, run_all},
};

/// The `Confirmations` object of one person, or of all agents.
#[derive(Debug)]
pub struct Confirmations;

/// The prefix of ids.
pub const PREFIX: &str = "cnf_";

/// How long an act is open, in seconds.
pub const OPEN: i64 = 600;

/// Maximum number of open acts of one credential.
pub const MOST_OPEN: i64 = 20;

/// Maximum number of bytes in the preview of a body.
pub const LONGEST_PREVIEW: usize = 4_096;

/// The scope of the object that holds the acts of all agents, for [`object_of`].
pub const AGENTS: &str = "agents";

/// A request that a machine wants to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// The id: `cnf_…`.
    pub id: String,
    /// The credential that asks, unique among all: its principal, and its id.
    pub requester: String,
    /// The fingerprint, which distinguishes the request from all others.
    pub fingerprint: String,
    /// The details that a person sees.
    pub shown: Shown,
    /// When the act was created.
    pub created_at: Timestamp,
}

/// The details of an act that a person sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// The name of the rule's operation, if it has one.
    pub operation: Option<String>,
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The principal for whom the machine asks.
    pub principal: Whose,
    /// The actor: the token that sends the request.
    pub actor: Acting,
    /// The body's content type, as the client sent it.
    pub content_type: Option<String>,
    /// Other headers that may change the meaning of the request: names and values.
    pub headers: Vec<(String, String)>,
    /// The body's first bytes, if they are text.
    pub preview: Option<String>,
    /// Whether the body is longer than the preview.
    pub preview_cut: bool,
    /// The body's SHA-256, in hex.
    pub body_sha256: String,
}

/// A principal, as a person sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whose {
    /// `user` or `agent`.
    pub kind: String,
    /// The principal's id.
    pub id: String,
}

/// An actor, as a person sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Acting {
    /// The token's source: `task_token`, `agent_token`, …
    pub source: Option<String>,
    /// The token's id.
    pub token_id: Option<String>,
    /// The token's name.
    pub token_name: Option<String>,
    /// The agent for which the token was created.
    pub agent_id: Option<String>,
    /// The task for which the token was created.
    pub task_id: Option<String>,
}

/// An act and its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The act.
    pub act: Act,
    /// The state, as of now.
    pub state: State,
    /// When the act expires.
    pub expires_at: Timestamp,
    /// The id of the user who decided.
    pub decided_by: Option<String>,
}

/// The state of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No person has decided yet.
    Pending,
    /// A person has approved the act.
    Approved,
    /// A person has rejected the act.
    Rejected,
    /// A request has used the act.
    Used,
    /// The act has expired. This state is derived when the act is read, and not stored.
    Expired,
}

/// A command to the object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Asks for a person's consent to an act.
    Ask(Box<Act>),
    /// Uses an act for a request.
    Use(Use),
    /// Returns the act with this id.
    Find(String),
    /// Lists the acts that were created at most twice [`OPEN`] seconds ago, the latest first. Takes the last item of
    /// the previous page (its time and id), and the maximum number of acts.
    List(Option<(Timestamp, String)>, i64),
    /// Stores a person's decision.
    Decide {
        /// The act's id.
        id: String,
        /// The user who decides, with the credential of a session.
        author: Author,
        /// Whether the user approves the act.
        approves: bool,
    },
    /// Notes sessions as ended: decisions of authors with these sessions are refused.
    EndedSessions(ended::Ids),
}

/// A request that is sent with an act's id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Use {
    /// The act's id.
    pub id: String,
    /// The credential that sends the request.
    pub requester: String,
    /// The request's fingerprint.
    pub fingerprint: String,
    /// The hash of the idempotency key, and the seconds for which the ledger keeps the outcome.
    pub key: Option<(String, i64)>,
}

/// A reply of the object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The act that was asked for, now or before, and its state.
    Asked(Box<Standing>),
    /// The request may run: the id of the user who consented. If the second value is true, the act has expired: the
    /// request may only be replayed.
    Consented(String, bool),
    /// The request may not run, or the decision is not possible.
    Refused(Unconfirmed),
    /// The credential has [`MOST_OPEN`] open acts; seconds until the first one expires.
    Full(u32),
    /// The act and its state; `None` if there is no such act.
    Found(Option<Box<Standing>>),
    /// The acts that were listed, each with its state.
    All(Vec<Standing>),
    /// The session of the author has ended.
    SessionEnded,
    /// The sessions are noted.
    Done,
}

/// Returns the name of the object for a scope: `user:<id>` for the machines of one user, or [`AGENTS`].
#[must_use]
pub fn object_of(scope: &str) -> String {
    let digest = encoding::hex(&Sha256::digest(scope));
    digest.get(..16).unwrap_or_default().to_owned()
}

/// Returns the name of the object in an act's id; `None` if the id is malformed.
#[must_use]
pub fn object_in(id: &str) -> Option<&str> {
    let (object, random) = id.strip_prefix(PREFIX)?.split_once('.')?;
    let is_hex = object.len() == 16 && object.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (is_hex && (16..=64).contains(&random.len())).then_some(object)
}

/// Returns the preview of a body: its first bytes, if they are text, and whether the body is longer.
#[must_use]
pub fn preview(first: &[u8], length: usize) -> (Option<String>, bool) {
    let is_cut = length > first.len();
    let text = match std::str::from_utf8(first) {
        Ok(text) => Some(text),
        // The first bytes end within a character.
        Err(error) if is_cut && error.error_len().is_none() => {
            first.get(..error.valid_up_to()).and_then(|whole| std::str::from_utf8(whole).ok())
        }
        Err(_) => None,
    };
    (text.map(str::to_owned).filter(|_| length > 0), is_cut)
}

/// Returns a text of at most `most` characters, followed by a mark if it was cut.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most).chain("… (cut)".chars()).collect()
}

impl State {
    /// Returns the name.
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

    /// Returns the reason why an act in this state cannot be used, or cannot be decided differently.
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

/// A row: the act and its state, and the hash of the idempotency key with which it was used.
struct Record {
    standing: Standing,
    key: Option<String>,
}

/// Checks whether a request may use an act; the record is `None` if there is no such act.
fn judge(record: Option<&Record>, request: &Use) -> Result<(), Unconfirmed> {
    let Some(Record { standing, key }) = record else { return Err(Unconfirmed::Unknown) };
    let Standing { act, state, .. } = standing;
    if act.requester != request.requester {
        return Err(Unconfirmed::Unknown);
    }
    let is_same = act.fingerprint == request.fingerprint;
    match (state, key, &request.key) {
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
            Command::Use(request) => use_up(store, &request, now),
            Command::Find(id) => {
                // A row that is kept only for its idempotency key is not shown.
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

    /// Returns when the next row is due. Rows are deleted even if no client returns, because they contain parts of
    /// bodies.
    fn wake_at(store: &impl Store, _now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let rows = store.run("SELECT min(iif(shown = '', key_until, until)) FROM acts", &[])?;
        rows.first().map_or(Ok(None), |row| Ok(row.optional_integer(0)?.map(Timestamp)))
    }

    fn wake(
        store: &impl Store,
        now: Timestamp,
    ) -> Result<Vec<crate::platform::store::OutboxMessage>, StoreError> {
        store.run("DELETE FROM acts WHERE until <= ?1 AND key_until <= ?1", &[now.into()])?;
        // The remaining rows are kept only for their idempotency keys.
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
    // After the act has expired, requests are refused as expired for as long again.
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

fn use_up(store: &impl Store, request: &Use, now: Timestamp) -> Result<Reply, StoreError> {
    let record = find(store, &request.id, now)?;
    if let Err(why) = judge(record.as_ref(), request) {
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
        let (key, kept) = request.key.as_ref().map_or((None, 0), |(key, kept)| (Some(key.as_str()), *kept));
        store.run(
            "UPDATE acts SET state = 'used', key = ?, key_until = ? WHERE id = ?",
            &[Value::from(key), now.0.saturating_add(kept).into(), (&request.id).into()],
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
    // The alarm that deletes rows may be late.
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
