//! What is done at each tick of the cron trigger: checkouts whose time is over expire, and upstream is told what it
//! may release.
//!
//! Each path of `MAINTENANCE` is told the same, by a `POST` that is signed and has an `Idempotency-Key` of the tick
//! and the path. While one tick is at it, no other is, and a tick that was done is not done again. Refs that not
//! every path took are told again at the next tick.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    checkouts::{self, Checkouts},
    config::{Config, Maintained},
    effects::Effects,
    encoding,
    event::RequestMeta,
    forward,
    ledger::{self, About, Claim, Kept, Ledger, Order, Outcome, Verdict},
    problem::Fault,
    sorting::sorted,
    time::Timestamp,
};

/// What came of a tick at one path, for the log.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    /// Always `maintenance`.
    event: &'static str,
    request_id: &'a str,
    /// Absent where no path was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    /// `done`, `refused`, `failed`, or `skipped`: this tick was done, or another one is at it.
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// How many refs upstream was told to release.
    released: usize,
}

/// The checkouts to release, by the group that has them.
type Due = BTreeMap<String, Vec<checkouts::Due>>;

/// The body that upstream gets at a tick.
#[derive(Serialize)]
struct Body<'a> {
    tick: String,
    /// Refs whose checkouts are all to be released.
    release: Vec<&'a str>,
    /// All reservations to release, each by its provider too.
    reservations: Vec<Reservation<'a>>,
}

#[derive(Serialize)]
struct Reservation<'a> {
    provider: &'a str,
    r#ref: &'a str,
}

impl<'a> Reservation<'a> {
    fn of(due: &'a checkouts::Due) -> Self {
        Self { provider: &due.attempt.provider, r#ref: &due.attempt.reference }
    }
}

/// Does what is to be done at a tick; lines of JSON for the log.
pub async fn run<E: Effects>(
    config: &Config,
    effects: &E,
    tick: Timestamp,
    meta: RequestMeta<'_>,
) -> Vec<String> {
    let work = Work { config, effects, tick, meta };
    let reports = match work.alone().await {
        Ok(reports) => reports,
        Err(_) => vec![work.report(None, "failed")],
    };
    reports.iter().map(|report| serde_json::to_string(report).unwrap_or_default()).collect()
}

struct Work<'a, E> {
    config: &'a Config,
    effects: &'a E,
    tick: Timestamp,
    meta: RequestMeta<'a>,
}

impl<'a, E: Effects> Work<'a, E> {
    /// Keeps other ticks away meanwhile.
    async fn alone(&self) -> Result<Vec<Report<'a>>, Fault> {
        if self.config.maintenance.is_empty() {
            return Ok(Vec::new());
        }
        let timeouts = self.config.maintenance.iter().map(|maintained| maintained.timeout).sum::<Duration>();
        let lease = timeouts.saturating_add(MARGIN);
        if !self.start(LOCK, (lease, AT_ONCE)).await? {
            return Ok(vec![self.report(None, "skipped")]);
        }
        let tick = format!("tick {}", self.tick.0);
        let reports = if self.start(&tick, (lease, RETENTION)).await? {
            let reports = self.tell_all().await;
            self.settle(&tick).await?;
            reports?
        } else {
            vec![self.report(None, "skipped")]
        };
        self.settle(LOCK).await?;
        Ok(reports)
    }

    /// Tells every path, and notes what all of them took.
    async fn tell_all(&self) -> Result<Vec<Report<'a>>, Fault> {
        let due = self.due().await?;
        let mut reports = Vec::with_capacity(self.config.maintenance.len());
        for maintained in &self.config.maintenance {
            reports.push(self.tell(maintained, &due).await);
        }
        if reports.iter().all(|report| report.outcome == "done") {
            for (group, due) in due {
                let attempts = due.into_iter().map(|one| one.attempt).collect();
                let released = checkouts::Command::Released(attempts);
                self.effects.call_object::<Checkouts>(&group, &released).await?;
            }
        }
        Ok(reports)
    }

    async fn tell(&self, maintained: &'a Maintained, due: &Due) -> Report<'a> {
        let mut report = self.report(Some(&maintained.path), "failed");
        let all = || due.values().flatten();
        let release: Vec<&str> =
            all().filter(|one| !one.is_shared).map(|one| one.attempt.reference.as_str()).collect();
        let mut release = sorted(release);
        release.dedup();
        report.released = all().count();
        let reservations = all().map(Reservation::of).collect();
        let told = Body { tick: self.tick.to_string(), release, reservations };
        let body = serde_json::to_string(&told).unwrap_or_default();
        let key = hash(&format!("{} {}", self.tick.0, maintained.path));
        let Some(outbound) = forward::maintenance(self.config, maintained, &key, self.meta) else {
            return report;
        };
        if let Ok(inbound) = self.effects.post(outbound, &body).await {
            report.status = Some(inbound.status);
            report.outcome = if (200..300).contains(&inbound.status) { "done" } else { "refused" };
        }
        report
    }

    async fn due(&self) -> Result<Due, Fault> {
        let mut due = Due::new();
        if !self.config.has_checkouts {
            return Ok(due);
        }
        for group in checkouts::groups() {
            let asked = checkouts::Command::Due(MOST_OF_A_GROUP);
            if let checkouts::Reply::Due(found) =
                self.effects.call_object::<Checkouts>(&group, &asked).await?
                && !found.is_empty()
            {
                due.insert(group, found);
            }
        }
        Ok(due)
    }

    async fn start(&self, name: &str, spans: (Duration, Duration)) -> Result<bool, Fault> {
        let about = About { key: hash(name), scope: SCOPE.to_owned(), operation: "maintenance".to_owned() };
        let claim = Claim::new(&self.fence(name), String::new(), spans, true);
        match self.effects.call_object::<Ledger>(SCOPE, &Order::Start(about, claim)).await? {
            ledger::Reply::Verdict(Verdict::Granted { .. }) => Ok(true),
            ledger::Reply::Verdict(_) => Ok(false),
            _ => Err(Fault::Internal),
        }
    }

    async fn settle(&self, name: &str) -> Result<(), Fault> {
        let outcome = Outcome { status: 200, kept: Kept::Not };
        let settle = ledger::Command::Settle(self.fence(name), outcome);
        self.effects.call_object::<Ledger>(SCOPE, &Order::Step(hash(name), settle)).await.map(drop)
    }

    fn fence(&self, name: &str) -> String {
        format!("{}.{}", self.meta.request_id, hash(name).get(..8).unwrap_or_default())
    }

    fn report(&self, path: Option<&'a str>, outcome: &'static str) -> Report<'a> {
        let request_id = self.meta.request_id;
        Report { event: "maintenance", request_id, path, outcome, status: None, released: 0 }
    }
}

fn hash(name: &str) -> String {
    encoding::hex(&Sha256::digest(name))
}

const SCOPE: &str = "maintenance";
const LOCK: &str = "lock";

/// Of 16 groups.
const MOST_OF_A_GROUP: i64 = 50;

const MARGIN: Duration = Duration::from_mins(1);

/// The lock is free again as soon as it is settled, and a tick is not asked for again much later: whatever a crash
/// leaves is not in anybody's way.
const AT_ONCE: Duration = Duration::ZERO;
const RETENTION: Duration = Duration::from_mins(10);
