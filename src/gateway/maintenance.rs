//! The work at each tick of the cron trigger: expires overdue checkouts, and tells upstream which reservations to
//! release.
//!
//! The gateway sends the same body to each path of `MAINTENANCE`: a signed `POST` with an `Idempotency-Key` derived
//! from the tick and the path. Only one tick runs at a time, and a finished tick does not run again. If any path does
//! not accept the refs, all paths get them again at the next tick.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    base::{encoding, sorting::sorted, time::Timestamp},
    checkouts::{self, Checkouts, settings::MaintenancePath},
    config::Config,
    http::problem::Fault,
    idempotency::ledger::{self, About, AnswerLocation, ClaimRequest, Ledger, Outcome, Spans, Verdict},
    platform::{
        effects::{Effects, UpstreamRequest},
        event::RequestMeta,
    },
    upstream::forward::{self, IdentityHeaders},
};
use std::borrow::Cow;

/// The outcome of a tick for one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum TickOutcome {
    /// Upstream accepted the request.
    Done,
    /// Upstream answered with another status than 2xx.
    Refused,
    /// Upstream or a store did not answer.
    Failed,
    /// This tick is already finished, or another tick is running.
    Skipped,
}

/// A log line about a tick and one path.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    /// Always `maintenance`.
    event: &'static str,
    request_id: &'a str,
    /// Missing if no path was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    outcome: TickOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// The number of reservations in the request to upstream.
    released: usize,
}

/// Checkout attempts to release, by the `Checkouts` object (the group) that stores them.
type Due = BTreeMap<String, Vec<checkouts::Due>>;

/// The JSON body that upstream gets at a tick.
#[derive(Serialize)]
struct Body<'a> {
    tick: String,
    /// Refs of which every checkout is to be released: sorted, without duplicates.
    release: Vec<&'a str>,
    /// All reservations to release, each with its provider.
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

/// Runs the work of a tick. Returns log lines, as JSON.
pub async fn run<E: Effects>(
    config: &Config,
    effects: &E,
    tick: Timestamp,
    meta: RequestMeta<'_>,
) -> Vec<String> {
    let work = Work { config, effects, tick, meta };
    let reports = match work.run_exclusively().await {
        Ok(reports) => reports,
        Err(_) => vec![work.report(None, TickOutcome::Failed)],
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
    /// Runs the tick, unless another tick is running or this one is finished.
    async fn run_exclusively(&self) -> Result<Vec<Report<'a>>, Fault> {
        if self.config.checkouts.maintenance.is_empty() {
            return Ok(Vec::new());
        }
        let timeouts =
            self.config.checkouts.maintenance.iter().map(|maintained| maintained.timeout).sum::<Duration>();
        let lease = timeouts.saturating_add(MARGIN);
        if !self.claim(LOCK, Spans { lease, retention: NO_RETENTION }).await? {
            return Ok(vec![self.report(None, TickOutcome::Skipped)]);
        }
        let tick = format!("tick {}", self.tick.0);
        let reports = if self.claim(&tick, Spans { lease, retention: RETENTION }).await? {
            let reports = self.notify_all().await;
            self.settle(&tick).await?;
            reports?
        } else {
            vec![self.report(None, TickOutcome::Skipped)]
        };
        self.settle(LOCK).await?;
        Ok(reports)
    }

    /// Notifies every path. Marks the attempts as released if all paths accepted them.
    async fn notify_all(&self) -> Result<Vec<Report<'a>>, Fault> {
        let due = self.find_due().await?;
        let mut reports = Vec::with_capacity(self.config.checkouts.maintenance.len());
        for maintained in &self.config.checkouts.maintenance {
            reports.push(self.notify(maintained, &due).await);
        }
        if reports.iter().all(|report| report.outcome == TickOutcome::Done) {
            for (group, due) in due {
                let attempts = due.into_iter().map(|one| one.attempt).collect();
                let released = checkouts::Command::Released(attempts);
                self.effects.call_object::<Checkouts>(&group, &released).await?;
            }
        }
        Ok(reports)
    }

    async fn notify(&self, maintained: &'a MaintenancePath, due: &Due) -> Report<'a> {
        let mut report = self.report(Some(&maintained.path), TickOutcome::Failed);
        let all = || due.values().flatten();
        let release: Vec<&str> =
            all().filter(|one| !one.is_shared).map(|one| one.attempt.reference.as_str()).collect();
        let mut release = sorted(release);
        release.dedup();
        report.released = all().count();
        let reservations = all().map(Reservation::of).collect();
        let body = Body { tick: self.tick.to_string(), release, reservations };
        let body = serde_json::to_string(&body).unwrap_or_default();
        let key = hash(&format!("{} {}", self.tick.0, maintained.path));
        let Some(request) = self.request(maintained, &key) else {
            return report;
        };
        if let Ok(response) = self.effects.post(request, &body).await {
            report.status = Some(response.status);
            report.outcome =
                if (200..300).contains(&response.status) { TickOutcome::Done } else { TickOutcome::Refused };
        }
        report
    }

    fn request<'b>(&'b self, maintained: &'b MaintenancePath, key: &'b str) -> Option<UpstreamRequest<'b>> {
        let RequestMeta { request_id, now, .. } = self.meta;
        let identity = IdentityHeaders { target: &maintained.path, request_id, now, profile: None };
        let headers =
            [("content-type", "application/json"), ("x-operation", "maintenance"), ("idempotency-key", key)];
        let headers = headers.map(|(name, value)| (name, Cow::Borrowed(value)));
        forward::own_post(self.config.upstream_context(), identity, headers, maintained.timeout)
    }

    async fn find_due(&self) -> Result<Due, Fault> {
        let mut due = Due::new();
        if !self.config.checkouts.has_store {
            return Ok(due);
        }
        for group in checkouts::groups() {
            let command = checkouts::Command::Due(MAX_PER_GROUP);
            if let checkouts::Reply::Due(found) =
                self.effects.call_object::<Checkouts>(&group, &command).await?
                && !found.is_empty()
            {
                due.insert(group, found);
            }
        }
        Ok(due)
    }

    async fn claim(&self, name: &str, spans: Spans) -> Result<bool, Fault> {
        let about = About { key: hash(name), scope: SCOPE.to_owned(), operation: "maintenance".to_owned() };
        let claim = ClaimRequest::new(&self.fencing_token(name), String::new(), spans, true);
        match self.effects.call_object::<Ledger>(SCOPE, &ledger::Command::Start(about, claim)).await? {
            ledger::Reply::Verdict(Verdict::Granted { .. }) => Ok(true),
            ledger::Reply::Verdict(_) => Ok(false),
            _ => Err(Fault::Internal),
        }
    }

    async fn settle(&self, name: &str) -> Result<(), Fault> {
        let outcome = Outcome { status: 200, kept: AnswerLocation::NotStored };
        let settle = ledger::Transition::Settle(self.fencing_token(name), outcome);
        self.effects
            .call_object::<Ledger>(SCOPE, &ledger::Command::Transition(hash(name), settle))
            .await
            .map(drop)
    }

    fn fencing_token(&self, name: &str) -> String {
        format!("{}.{}", self.meta.request_id, hash(name).get(..8).unwrap_or_default())
    }

    fn report(&self, path: Option<&'a str>, outcome: TickOutcome) -> Report<'a> {
        let request_id = self.meta.request_id;
        Report { event: "maintenance", request_id, path, outcome, status: None, released: 0 }
    }
}

fn hash(name: &str) -> String {
    encoding::hex(&Sha256::digest(name))
}

const SCOPE: &str = "maintenance";
const LOCK: &str = "lock";

/// The maximum number of attempts to release from each of the 16 groups at one tick.
const MAX_PER_GROUP: i64 = 50;

/// Time that a lease has in addition to the timeouts of all paths.
const MARGIN: Duration = Duration::from_mins(1);

/// The retention of the lock: it is free again as soon as it is settled.
const NO_RETENTION: Duration = Duration::ZERO;

/// The retention of a finished tick. The platform does not request a tick again much later, so what a crash leaves
/// behind blocks no later tick.
const RETENTION: Duration = Duration::from_mins(10);
