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
    audit::{self, Audit, Broken, Command, Query, Reply, SHARDS, settings::Settings},
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
struct FoundRow {
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
    let from = cursor.unwrap_or(Position { at: end.0, shard: 0, seq: 0 });
    let (mut found, mut next): (Vec<FoundRow>, Option<Position>) = (Vec::new(), None);
    // Without shard and number, the rows wanted are those before this time. Before midnight is the previous day.
    let mut day =
        if from.shard == 0 && from.seq == 0 { from.at.saturating_sub(1) } else { from.at }.div_euclid(DAY);
    let last_day = since.0.div_euclid(DAY);
    for searched in 0.. {
        if day < last_day || day < 0 {
            break;
        }
        if searched == DAYS_AT_ONCE {
            // The next page starts with the first day that was not searched.
            let at = day.saturating_add(1).saturating_mul(DAY);
            next = Some(Position { at, shard: 0, seq: 0 });
            break;
        }
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

/// Returns the rows of a day that come after a position in the list, at most `remaining` of each object of that day.
async fn rows_of_day<E: Effects>(
    call: Call<'_>,
    effects: &E,
    day: i64,
    since: Timestamp,
    from: Position,
    remaining: i64,
) -> Result<Vec<FoundRow>, EarlyResponse> {
    let mut found = Vec::new();
    let name = audit::day_of(Timestamp(day.saturating_mul(DAY)));
    for shard in 0..SHARDS {
        let seq = match shard.cmp(&from.shard) {
            std::cmp::Ordering::Less => i64::MAX >> 11,
            std::cmp::Ordering::Equal => from.seq,
            std::cmp::Ordering::Greater => 0,
        };
        let query = Query {
            since,
            before: (Timestamp(from.at), seq),
            principal: call.request.parameter("principal"),
            operation: call.request.parameter("operation"),
            limit: remaining,
        };
        let object = audit::object_of(&name, shard);
        let Reply::Rows(rows) = effects.call_object::<Audit>(&object, &Command::Find(query)).await? else {
            return Err(Fault::Internal.into());
        };
        let position = |at: Timestamp, seq| Position { at: at.0, shard, seq };
        found.extend(rows.into_iter().map(|(at, seq, text)| FoundRow { position: position(at, seq), text }));
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
            let day = Timestamp::parse(&format!("{day}T00:00:00Z")).ok_or(invalid)?;
            let is_kept = day.0.saturating_add(DAY) > oldest.0 && day <= latest;
            audit::day_of(if is_kept { day } else { return Err(invalid.into()) })
        }
        None => audit::day_of(call.meta.now),
    };
    let mut chains = Vec::new();
    for shard in 0..SHARDS {
        chains.push(chain(call, effects, &day, shard).await?);
    }
    let ok = chains.iter().all(|chain| chain.broken.is_none());
    let rows = chains.iter().map(|chain| chain.rows).sum();
    Ok(json(200, &Verification { ok, rows, chains }).into())
}

async fn chain<E: Effects>(
    call: Call<'_>,
    effects: &E,
    day: &str,
    shard: u8,
) -> Result<Chain, EarlyResponse> {
    let name = audit::object_of(day, shard);
    let mut after = (0, String::new());
    loop {
        let keys = call.cx.keys.clone();
        let command = Command::Verify { name: name.clone(), keys, after: after.clone(), limit: ROWS_AT_ONCE };
        let chain = |rows, head, broken| Chain { day: day.to_owned(), shard, rows, head, broken };
        match effects.call_object::<Audit>(&name, &command).await? {
            Reply::Holds { seq, head, is_end: true } => return Ok(chain(seq, head, None)),
            Reply::Holds { seq, head, is_end: false } => after = (seq, head),
            Reply::Broken { seq, why } => {
                return Ok(chain(after.0, after.1, Some(BrokenLink { seq, why })));
            }
            _ => return Err(Fault::Internal.into()),
        }
    }
}

/// Returns a row as JSON: its id and time, then the members that were written.
fn to_json(found: &FoundRow) -> Option<Map<String, Value>> {
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
    let oldest = now.saturating_sub(whole_seconds(call.cx.retention)).saturating_sub(DAY);
    (Timestamp(oldest), Timestamp(now.saturating_add(HOUR)))
}

fn invalid_cursor() -> Rejection {
    Rejection::InvalidBody("cursor", "expected the value of next from the previous page")
}

impl Position {
    fn to_cursor(self) -> String {
        format!("{}.{}.{}", self.at, self.shard, self.seq)
    }

    fn from_cursor(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let at = parts.next()?.parse().ok().filter(|at| (0..=LATEST).contains(at))?;
        let shard = parts.next()?.parse().ok().filter(|shard| *shard < SHARDS)?;
        let seq = parts.next()?.parse().ok().filter(|seq| (0..=LATEST).contains(seq))?;
        parts.next().is_none().then_some(Self { at, shard, seq })
    }
}

#[derive(Serialize)]
struct RowsPage {
    items: Vec<Map<String, Value>>,
    next: Option<String>,
}

#[derive(Serialize)]
struct Verification {
    ok: bool,
    rows: i64,
    chains: Vec<Chain>,
}

#[derive(Serialize)]
struct Chain {
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
    seq: i64,
    why: Broken,
}

/// A day in seconds.
const DAY: i64 = 86_400;
/// An hour in seconds.
const HOUR: i64 = 3_600;
/// Maximum number of days that one request searches.
const DAYS_AT_ONCE: i64 = 8;
/// Rows that one call verifies. A day with millions of rows then takes no more calls than a request may make.
const ROWS_AT_ONCE: i64 = 5_000;

/// The end of the year 9999 in seconds since 1970, and more than the number of any row.
const LATEST: i64 = 253_402_300_799;
