//! `/api/audit`: the trail, for an operator.
//!
//! - `GET` (`?since=`, `?until=` in RFC 3339, `?principal=`, `?operation=`) lists rows, the latest first:
//!   `{items, next}`. Without `since`, the last seven days. It looks through eight days at a time: a page may be empty
//!   and have a `next` all the same.
//! - `GET /api/audit/verify` (`?day=2026-11-26`, today without) tells whether the rows of a day are as they were
//!   written: `{ok, rows, chains}`.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Answered, Call, json};
use crate::{
    audit::{self, Audit, Broken, Command, Query, Reply, SHARDS},
    effects::Effects,
    problem::{Fault, Rejection},
    refusal::EarlyResponse,
    sorting::sorted_by,
    time::{Timestamp, whole_seconds},
};

/// A row, and its place in the list.
struct Found {
    place: Place,
    text: String,
}

/// Where a row stands in the list: by its time, and within a second by its object and number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    at: i64,
    shard: u8,
    seq: i64,
}

pub(super) async fn list<E: Effects>(call: Call<'_>, effects: &E) -> Result<Answered, EarlyResponse> {
    call.only(&["since", "until", "principal", "operation", "cursor", "limit"])?;
    let limit = call.limit()?;
    // Nothing is older than that, and nobody is asked about days on which there is nothing.
    let (oldest, latest) = kept(call);
    let end = time(call, "until")?.unwrap_or(latest).min(latest);
    let since =
        time(call, "since")?.unwrap_or(Timestamp(end.0.saturating_sub(DAY.saturating_mul(7)))).max(oldest);
    let cursor =
        call.request.parameter("cursor").map(|text| Place::read(&text).ok_or(wrong_cursor())).transpose()?;
    let from = cursor.unwrap_or(Place { at: end.0, shard: 0, seq: 0 });
    let (mut found, mut next): (Vec<Found>, Option<Place>) = (Vec::new(), None);
    // Before midnight is the day before.
    let mut day =
        if from.shard == 0 && from.seq == 0 { from.at.saturating_sub(1) } else { from.at }.div_euclid(DAY);
    let last = since.0.div_euclid(DAY);
    for looked in 0.. {
        if day < last || day < 0 {
            break;
        }
        if looked == DAYS_AT_ONCE {
            // On with all of the day that was not looked at.
            let at = day.saturating_add(1).saturating_mul(DAY);
            next = Some(Place { at, shard: 0, seq: 0 });
            break;
        }
        let room = limit.saturating_add(1).saturating_sub(i64::try_from(found.len()).unwrap_or(i64::MAX));
        let of_day = of_day(call, effects, day, (since, from, room)).await?;
        let of_day = sorted_by(of_day, |one, other| other.place.cmp(&one.place));
        found.extend(of_day.into_iter().take(usize::try_from(room).unwrap_or_default()));
        if found.len() > usize::try_from(limit).unwrap_or_default() {
            found.pop();
            next = found.last().map(|found| found.place);
            break;
        }
        day = day.saturating_sub(1);
    }
    let items = found.iter().map(shown).collect::<Option<Vec<_>>>().ok_or(Fault::Internal)?;
    Ok(json(200, &Listed { items, next: next.map(Place::write) }).into())
}

/// Finds the rows of a day that come after a place, from all of its objects.
async fn of_day<E: Effects>(
    call: Call<'_>,
    effects: &E,
    day: i64,
    (since, from, room): (Timestamp, Place, i64),
) -> Result<Vec<Found>, EarlyResponse> {
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
            limit: room,
        };
        let object = audit::object_of(&name, shard);
        let Reply::Rows(rows) = effects.call_object::<Audit>(&object, &Command::Find(query)).await? else {
            return Err(Fault::Internal.into());
        };
        let place = |at: Timestamp, seq| Place { at: at.0, shard, seq };
        found.extend(rows.into_iter().map(|(at, seq, text)| Found { place: place(at, seq), text }));
    }
    Ok(found)
}

pub(super) async fn verify<E: Effects>(call: Call<'_>, effects: &E) -> Result<Answered, EarlyResponse> {
    call.only(&["day"])?;
    let wrong = Rejection::InvalidBody("day", "expected a day, such as 2026-11-26, of which rows are kept");
    let (oldest, latest) = kept(call);
    let day = match call.request.parameter("day") {
        Some(day) => {
            let day = Timestamp::parse(&format!("{day}T00:00:00Z")).ok_or(wrong)?;
            let is_kept = day.0.saturating_add(DAY) > oldest.0 && day <= latest;
            audit::day_of(if is_kept { day } else { return Err(wrong.into()) })
        }
        None => audit::day_of(call.meta.now),
    };
    let mut chains = Vec::new();
    for shard in 0..SHARDS {
        chains.push(chain(call, effects, &day, shard).await?);
    }
    let ok = chains.iter().all(|chain| chain.broken.is_none());
    let rows = chains.iter().map(|chain| chain.rows).sum();
    Ok(json(200, &Verified { ok, rows, chains }).into())
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
        let keys = call.config.audit_keys.clone();
        let command = Command::Verify { name: name.clone(), keys, after: after.clone(), limit: ROWS_AT_ONCE };
        let chain = |rows, head, broken| Chain { day: day.to_owned(), shard, rows, head, broken };
        match effects.call_object::<Audit>(&name, &command).await? {
            Reply::Holds { seq, head, is_end: true } => return Ok(chain(seq, head, None)),
            Reply::Holds { seq, head, is_end: false } => after = (seq, head),
            Reply::Broken { seq, why } => {
                return Ok(chain(after.0, after.1, Some(Break { seq, why })));
            }
            _ => return Err(Fault::Internal.into()),
        }
    }
}

/// Shows a row: what was written, and its place before it.
fn shown(found: &Found) -> Option<Map<String, Value>> {
    let Value::Object(row) = serde_json::from_str(&found.text).ok()? else { return None };
    let Place { at, shard, seq } = found.place;
    let day = audit::day_of(Timestamp(at));
    let mut shown = Map::new();
    shown.insert("id".to_owned(), format!("aud_{day}.{shard}.{seq}").into());
    shown.insert("at".to_owned(), Timestamp(at).to_string().into());
    shown.extend(row);
    Some(shown)
}

fn time(call: Call<'_>, name: &'static str) -> Result<Option<Timestamp>, Rejection> {
    let wrong = Rejection::InvalidBody(name, "expected a time in RFC 3339, such as 2026-11-26T12:00:00Z");
    call.request.parameter(name).map(|text| Timestamp::parse(&text).ok_or(wrong)).transpose()
}

/// The first moment of which rows may be kept, and the last.
fn kept(call: Call<'_>) -> (Timestamp, Timestamp) {
    let now = call.meta.now.0;
    let oldest = now.saturating_sub(whole_seconds(call.config.audit_retention)).saturating_sub(DAY);
    (Timestamp(oldest), Timestamp(now.saturating_add(HOUR)))
}

fn wrong_cursor() -> Rejection {
    Rejection::InvalidBody("cursor", "expected the next of a page before")
}

impl Place {
    fn write(self) -> String {
        format!("{}.{}.{}", self.at, self.shard, self.seq)
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let at = parts.next()?.parse().ok().filter(|at| (0..=LATEST).contains(at))?;
        let shard = parts.next()?.parse().ok().filter(|shard| *shard < SHARDS)?;
        let seq = parts.next()?.parse().ok().filter(|seq| (0..=LATEST).contains(seq))?;
        parts.next().is_none().then_some(Self { at, shard, seq })
    }
}

#[derive(Serialize)]
struct Listed {
    items: Vec<Map<String, Value>>,
    next: Option<String>,
}

#[derive(Serialize)]
struct Verified {
    ok: bool,
    rows: i64,
    chains: Vec<Chain>,
}

#[derive(Serialize)]
struct Chain {
    day: String,
    shard: u8,
    /// How many hold.
    rows: i64,
    /// The hash of the last of them: kept elsewhere, it shows that none of them is gone.
    head: String,
    broken: Option<Break>,
}

#[derive(Serialize)]
struct Break {
    seq: i64,
    why: Broken,
}

/// Seconds.
const DAY: i64 = 86_400;
const HOUR: i64 = 3_600;
const DAYS_AT_ONCE: i64 = 8;
/// A day of millions is verified within the requests that one request may make.
const ROWS_AT_ONCE: i64 = 5_000;

/// The end of the year 9999, and more than any number of rows.
const LATEST: i64 = 253_402_300_799;
