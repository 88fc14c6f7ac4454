//! `/api/audit`: the audit trail, for admins.
//!
//! - `GET` (`?since=`, `?until=` in RFC 3339, `?principal=`, `?operation=`) lists rows, the latest first:
//!   `{items, next}`. The default for `since` is seven days before `until`. A request searches at most eight days, so a
//!   page can be empty and still have a `next`.
//! - `GET /api/audit/verify` (`?day=2026-11-26`, by default today) checks whether the rows of a day are unchanged:
//!   `{ok, rows, chains}`.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    audit::{
        self, Audit, Broken, ChainPosition, Command, Query, Reply, RowPosition, SHARDS, Verification,
        settings::Settings,
    },
    base::{
        sorting::sorted_by,
        time::{Timestamp, whole_seconds},
    },
    http::{
        problem::{Fault, Rejection},
        reply::EarlyResponse,
    },
    identity::call::{self, EndpointResponse, json},
    platform::effects::Effects,
};

type Call<'a> = call::Call<'a, &'a Settings>;

/// A row and its position in the list.
struct ListedRow {
    position: Position,
    text: String,
}

/// The position of a row in the list: its time in seconds, then the shard of its object, then its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    at: i64,
    shard: u8,
    seq: i64,
}

pub(crate) async fn list<E: Effects>(call: Call<'_>, effects: &E) -> Result<EndpointResponse, EarlyResponse> {
    call.reject_unknown_parameters(&["since", "until", "principal", "operation", "cursor", "limit"])?;
    let limit = call.limit()?;
    // No rows exist outside this range, so objects of other days are not called.
    let (oldest, latest) = retained_range(call);
    let end = time_parameter(call, "until")?.unwrap_or(latest).min(latest);
    let since = time_parameter(call, "since")?
        .unwrap_or(Timestamp(end.0.saturating_sub(DAY.saturating_mul(7))))
        .max(oldest);
    let cursor = call
        .request
        .parameter("cursor")
        .map(|text| Position::from_cursor(&text).ok_or(invalid_cursor()))
        .transpose()?;
    let from = cursor.unwrap_or(Position::before(end.0));
    let mut found: Vec<ListedRow> = Vec::new();
    let mut next: Option<Position> = None;
    let mut day = from.first_day();
    let earliest_day = since.0.div_euclid(DAY);
    for searched in 0.. {
        if day < earliest_day || day < 0 {
            break;
        }
        if searched == DAYS_AT_ONCE {
            // The next page starts with the first day that was not searched.
            next = Some(Position::before(day.saturating_add(1).saturating_mul(DAY)));
            break;
        }
        // One row more than a page holds: it shows that there is a next page.
        let remaining =
            limit.saturating_add(1).saturating_sub(i64::try_from(found.len()).unwrap_or(i64::MAX));
        let day_rows = rows_of_day(call, effects, day, since, from, remaining).await?;
        let day_rows = sorted_by(day_rows, |one, other| other.position.cmp(&one.position));
        found.extend(day_rows.into_iter().take(usize::try_from(remaining).unwrap_or_default()));
        if found.len() > usize::try_from(limit).unwrap_or_default() {
            found.pop();
            next = found.last().map(|found| found.position);
            break;
        }
        day = day.saturating_sub(1);
    }
    let items = found.iter().map(to_json).collect::<Option<Vec<_>>>().ok_or(Fault::Internal)?;
    Ok(json(200, &RowsPage { items, next: next.map(Position::to_cursor) }).into())
}

/// Returns rows of a day that come after a position in the list: of each object of that day at most `remaining`. `day`
/// is the number of days since 1970.
async fn rows_of_day<E: Effects>(
    call: Call<'_>,
    effects: &E,
    day: i64,
    since: Timestamp,
    from: Position,
    remaining: i64,
) -> Result<Vec<ListedRow>, EarlyResponse> {
    let mut found = Vec::new();
    let day_name = audit::day_of(Timestamp(day.saturating_mul(DAY)));
    for shard in 0..SHARDS {
        // Of the rows with the time of the position, those of lower shards come after it, and those of its own shard
        // with a lower number.
        let seq = match shard.cmp(&from.shard) {
            std::cmp::Ordering::Less => MAX_SEQ,
            std::cmp::Ordering::Equal => from.seq,
            std::cmp::Ordering::Greater => 0,
        };
        let query = Query {
            since,
            before: RowPosition { at: Timestamp(from.at), seq },
            principal: call.request.parameter("principal"),
            operation: call.request.parameter("operation"),
            limit: remaining,
        };
        let object = audit::object_of(&day_name, shard);
        let Reply::Rows(rows) = effects.call_object::<Audit>(&object, &Command::Find(query)).await? else {
            return Err(Fault::Internal.into());
        };
        let position = |RowPosition { at, seq }| Position { at: at.0, shard, seq };
        found.extend(
            rows.into_iter().map(|row| ListedRow { position: position(row.position), text: row.row }),
        );
    }
    Ok(found)
}

pub(crate) async fn verify<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    call.reject_unknown_parameters(&["day"])?;
    let invalid = Rejection::InvalidBody("day", "expected a day, such as 2026-11-26, within the retention");
    let (oldest, latest) = retained_range(call);
    let day = match call.request.parameter("day") {
        Some(day) => {
            let midnight = Timestamp::parse(&format!("{day}T00:00:00Z")).ok_or(invalid)?;
            if midnight.0.saturating_add(DAY) <= oldest.0 || midnight > latest {
                return Err(invalid.into());
            }
            midnight
        }
        None => call.meta.now,
    };
    let day_name = audit::day_of(day);
    let mut chains = Vec::new();
    for shard in 0..SHARDS {
        chains.push(verify_chain(call, effects, &day_name, shard).await?);
    }
    let ok = chains.iter().all(|chain| chain.broken.is_none());
    let rows = chains.iter().map(|chain| chain.rows).sum();
    Ok(json(200, &DayReport { ok, rows, chains }).into())
}

/// Verifies the rows of one object, [`ROWS_AT_ONCE`] in each call.
async fn verify_chain<E: Effects>(
    call: Call<'_>,
    effects: &E,
    day_name: &str,
    shard: u8,
) -> Result<ChainReport, EarlyResponse> {
    let name = audit::object_of(day_name, shard);
    let mut after = ChainPosition::default();
    loop {
        let keys = call.cx.keys.clone();
        let command = Command::Verify(Verification {
            name: name.clone(),
            keys,
            after: after.clone(),
            limit: ROWS_AT_ONCE,
        });
        let report = |last: ChainPosition, broken| ChainReport {
            day: day_name.to_owned(),
            shard,
            rows: last.seq,
            head: last.hash,
            broken,
        };
        match effects.call_object::<Audit>(&name, &command).await? {
            Reply::Holds { head, is_end: true } => return Ok(report(head, None)),
            Reply::Holds { head, is_end: false } => after = head,
            Reply::Broken { seq, why } => return Ok(report(after, Some(BrokenLink { seq, why }))),
            _ => return Err(Fault::Internal.into()),
        }
    }
}

/// Returns a row as JSON: its id and time, then the members that were written.
fn to_json(found: &ListedRow) -> Option<Map<String, Value>> {
    let Value::Object(row) = serde_json::from_str(&found.text).ok()? else { return None };
    let Position { at, shard, seq } = found.position;
    let day = audit::day_of(Timestamp(at));
    let mut json_row = Map::new();
    json_row.insert("id".to_owned(), format!("aud_{day}.{shard}.{seq}").into());
    json_row.insert("at".to_owned(), Timestamp(at).to_string().into());
    json_row.extend(row);
    Some(json_row)
}

fn time_parameter(call: Call<'_>, name: &'static str) -> Result<Option<Timestamp>, Rejection> {
    let invalid = Rejection::InvalidBody(name, "expected an RFC 3339 time, such as 2026-11-26T12:00:00Z");
    call.request.parameter(name).map(|text| Timestamp::parse(&text).ok_or(invalid)).transpose()
}

/// Returns the earliest and the latest time for which rows can exist.
fn retained_range(call: Call<'_>) -> (Timestamp, Timestamp) {
    let now = call.meta.now.0;
    // An object deletes all its rows when the last retention ends, so a row may stay up to a day longer than its own.
    // A row may have a later time than `now`, because the clocks of machines differ: by much less than an hour.
    let oldest = now.saturating_sub(whole_seconds(call.cx.retention)).saturating_sub(DAY);
    (Timestamp(oldest), Timestamp(now.saturating_add(HOUR)))
}

fn invalid_cursor() -> Rejection {
    Rejection::InvalidBody("cursor", "expected the value of next from the previous page")
}

impl Position {
    /// Returns the position in the list after which the rows before a time come. No row has this position: rows are
    /// numbered from 1.
    fn before(at: i64) -> Self {
        Self { at, shard: 0, seq: 0 }
    }

    /// Returns the first day that can have rows after this position in the list: the number of days since 1970.
    fn first_day(self) -> i64 {
        // If the time is midnight, all rows before it are of the previous day.
        let at = if self == Self::before(self.at) { self.at.saturating_sub(1) } else { self.at };
        at.div_euclid(DAY)
    }

    fn to_cursor(self) -> String {
        format!("{}.{}.{}", self.at, self.shard, self.seq)
    }

    fn from_cursor(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let at = parts.next()?.parse().ok().filter(|at| (0..=MAX_TIME).contains(at))?;
        let shard = parts.next()?.parse().ok().filter(|shard| *shard < SHARDS)?;
        let seq = parts.next()?.parse().ok().filter(|seq| (0..=MAX_SEQ).contains(seq))?;
        parts.next().is_none().then_some(Self { at, shard, seq })
    }
}

#[derive(Serialize)]
struct RowsPage {
    items: Vec<Map<String, Value>>,
    next: Option<String>,
}

#[derive(Serialize)]
struct DayReport {
    ok: bool,
    rows: i64,
    chains: Vec<ChainReport>,
}

/// The result of verifying the rows of one object.
#[derive(Serialize)]
struct ChainReport {
    day: String,
    shard: u8,
    /// The number of valid rows.
    rows: i64,
    /// The hash of the last valid row. With a copy of it elsewhere, an operator can see whether rows were removed.
    head: String,
    broken: Option<BrokenLink>,
}

#[derive(Serialize)]
struct BrokenLink {
    /// The number of the first row that is not as it was written.
    seq: i64,
    why: Broken,
}

/// A day in seconds.
const DAY: i64 = 86_400;
/// An hour in seconds.
const HOUR: i64 = 3_600;
/// Maximum number of days that one request searches.
const DAYS_AT_ONCE: i64 = 8;
/// Maximum number of rows that one call verifies. It is so large that a request may make enough calls for millions of
/// rows.
const ROWS_AT_ONCE: i64 = 5_000;
/// The end of the year 9999, in seconds since 1970.
const MAX_TIME: i64 = 253_402_300_799;
/// More than the number of any row.
const MAX_SEQ: i64 = MAX_TIME;
