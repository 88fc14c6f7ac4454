//! The `Confirmations` object: its tables and commands.

use std::time::Duration;

use super::{
    Approval, ApprovalDetails, ApprovalRequest, Command, Confirmations, MAX_OPEN, MAX_TIME, OPEN, Reply,
    State, Use,
};
use crate::{
    base::time::Timestamp,
    http::problem::ApprovalError,
    identity::{author::Credential, ended},
    platform::store::{Class, Object, SqlRow, Store, StoreError, Value, run_all},
};

/// A row: the act and its state, and the hash of the idempotency key with which it was used.
struct Record {
    approval: Approval,
    key: Option<String>,
}

/// Checks whether a request may use an act; the record is `None` if there is no such act.
fn check_use(record: Option<&Record>, request: &Use) -> Result<(), ApprovalError> {
    let Some(Record { approval, key }) = record else { return Err(ApprovalError::Unknown) };
    let Approval { act, state, .. } = approval;
    if act.requester != request.requester {
        return Err(ApprovalError::Unknown);
    }
    let is_same = act.fingerprint == request.fingerprint;
    match (state, key, &request.key) {
        (State::Expired, ..) => Err(ApprovalError::Expired),
        _ if !is_same => Err(ApprovalError::Changed),
        (State::Used, Some(known), Some((offered, _))) if known == offered => Ok(()),
        (State::Approved, ..) => Ok(()),
        (state, ..) => Err(state.refusal()),
    }
}

impl Object for Confirmations {
    const CLASS: Class = Class {
        name: "Confirmations",
        binding: "CONFIRMATIONS",
        alarm_delay: Some(Duration::from_secs(2)),
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
                let found = find(store, &id, now)?.map(|record| Box::new(record.approval));
                Ok(Reply::Found(found.filter(|approval| approval.act.shown != ApprovalDetails::default())))
            }
            Command::List(after, limit) => {
                let since = now.0.saturating_sub(OPEN.saturating_mul(2));
                let (at, id) = after.unwrap_or((Timestamp(MAX_TIME), String::new()));
                let text = format!(
                    "SELECT {COLUMNS} FROM acts WHERE created_at > ?1 AND (created_at < ?2 OR (created_at = ?2 AND id > ?3))
                     ORDER BY created_at DESC, id LIMIT ?4"
                );
                let rows = store.run(&text, &[since.into(), at.into(), (&id).into(), limit.into()])?;
                let all = rows.iter().map(|row| Ok(read_row(row, now)?.approval));
                all.collect::<Result<_, StoreError>>().map(Reply::All)
            }
            Command::Decide { id, author, approves } => {
                author.check_age(now)?;
                let (Some(by), Credential::Session(_)) = (&author.user, &author.credential) else {
                    return Err(StoreError("only a person's session may decide".to_owned()));
                };
                if ended::is_recorded(store, &author)? {
                    return Ok(Reply::SessionEnded);
                }
                decide(store, &id, by, approves, now)
            }
            Command::EndedSessions(ids) => {
                ended::record(store, &ids, now)?;
                Ok(Reply::Done)
            }
        }
    }

    /// Returns when the next row is due. Rows are deleted even if no client returns, because they contain parts of
    /// bodies.
    fn next_alarm(store: &impl Store, _now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let rows = store.run("SELECT min(iif(shown = '', key_until, until)) FROM acts", &[])?;
        rows.first().map_or(Ok(None), |row| Ok(row.optional_integer(0)?.map(Timestamp)))
    }

    fn alarm(
        store: &impl Store,
        now: Timestamp,
    ) -> Result<Vec<crate::platform::store::OutboxMessage>, StoreError> {
        store.run("DELETE FROM acts WHERE until <= ?1 AND key_until <= ?1", &[now.into()])?;
        // The remaining rows are kept only for their idempotency keys.
        store.run("UPDATE acts SET shown = '' WHERE until <= ?", &[now.into()])?;
        Ok(Vec::new())
    }

    fn is_read_only(command: &Command) -> bool {
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

fn ask(store: &impl Store, act: ApprovalRequest, now: Timestamp) -> Result<Reply, StoreError> {
    let open = now.0.saturating_sub(OPEN);
    let text = format!(
        "SELECT {COLUMNS} FROM acts WHERE requester = ? AND fingerprint = ? AND created_at > ?
         AND state IN ('pending', 'approved') ORDER BY created_at DESC LIMIT 1"
    );
    let known = store.run(&text, &[(&act.requester).into(), (&act.fingerprint).into(), open.into()])?;
    if let Some(row) = known.first() {
        return Ok(Reply::Asked(Box::new(read_row(row, now)?.approval)));
    }
    let rows = store.run(
        "SELECT count(*), min(created_at) FROM acts WHERE requester = ? AND created_at > ?
         AND state IN ('pending', 'approved')",
        &[(&act.requester).into(), open.into()],
    )?;
    let row = rows.first().ok_or_else(|| StoreError("the count is missing".to_owned()))?;
    if row.integer(0)? >= MAX_OPEN {
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
    let act = ApprovalRequest { created_at: now, ..act };
    let expires_at = Timestamp(now.0.saturating_add(OPEN));
    Ok(Reply::Asked(Box::new(Approval { act, state: State::Pending, expires_at, decided_by: None })))
}

fn use_up(store: &impl Store, request: &Use, now: Timestamp) -> Result<Reply, StoreError> {
    let record = find(store, &request.id, now)?;
    if let Err(why) = check_use(record.as_ref(), request) {
        return Ok(match record {
            Some(record) if why == ApprovalError::Pending => Reply::Asked(Box::new(record.approval)),
            _ => Reply::Refused(why),
        });
    }
    let Some(Record { mut approval, .. }) = record else {
        return Ok(Reply::Refused(ApprovalError::Unknown));
    };
    let by = approval
        .decided_by
        .take()
        .ok_or_else(|| StoreError("an approved act has no user who approved it".to_owned()))?;
    if approval.state == State::Approved {
        let (key, kept) = request.key.as_ref().map_or((None, 0), |(key, kept)| (Some(key.as_str()), *kept));
        store.run(
            "UPDATE acts SET state = 'used', key = ?, key_until = ? WHERE id = ?",
            &[Value::from(key), now.0.saturating_add(kept).into(), (&request.id).into()],
        )?;
    }
    Ok(Reply::Approved(by, approval.expires_at <= now))
}

fn decide(
    store: &impl Store,
    id: &str,
    by: &str,
    approves: bool,
    now: Timestamp,
) -> Result<Reply, StoreError> {
    let Some(Record { mut approval, .. }) = find(store, id, now)? else { return Ok(Reply::Found(None)) };
    let wanted = if approves { State::Approved } else { State::Rejected };
    match approval.state {
        State::Pending => {
            store.run(
                "UPDATE acts SET state = ?, decided_by = ? WHERE id = ?",
                &[wanted.name().into(), by.into(), id.into()],
            )?;
            approval.state = wanted;
            approval.decided_by = Some(by.to_owned());
        }
        state if state == wanted => {}
        state => return Ok(Reply::Refused(state.refusal())),
    }
    Ok(Reply::Found(Some(Box::new(approval))))
}

fn find(store: &impl Store, id: &str, now: Timestamp) -> Result<Option<Record>, StoreError> {
    // The alarm that deletes rows may be late.
    let rows = store.run(
        &format!("SELECT {COLUMNS} FROM acts WHERE id = ?1 AND max(until, key_until) > ?2"),
        &[id.into(), now.into()],
    )?;
    rows.first().map(|row| read_row(row, now)).transpose()
}

fn read_row(row: &SqlRow, now: Timestamp) -> Result<Record, StoreError> {
    let unreadable = |error: serde_json::Error| StoreError(error.to_string());
    let created_at = Timestamp(row.integer(4)?);
    let expires_at = Timestamp(created_at.0.saturating_add(OPEN));
    let name = row.text(5)?;
    let stored = State::parse(&name).ok_or_else(|| StoreError(format!("unknown state {name:?}")))?;
    let is_over = matches!(stored, State::Pending | State::Approved) && expires_at <= now;
    let act = ApprovalRequest {
        id: row.text(0)?,
        requester: row.text(1)?,
        fingerprint: row.text(2)?,
        shown: match row.text(3)?.as_str() {
            "" => ApprovalDetails::default(),
            shown => serde_json::from_str(shown).map_err(unreadable)?,
        },
        created_at,
    };
    let state = if is_over { State::Expired } else { stored };
    let approval = Approval { act, state, expires_at, decided_by: row.optional_text(6)? };
    Ok(Record { approval, key: row.optional_text(7)? })
}

const COLUMNS: &str = "id, requester, fingerprint, shown, created_at, state, decided_by, key";
