//! What is done at each tick of the cron trigger: checkouts whose time is over expire, and upstream is told what it
//! may release.
//!
//! Each path of `MAINTENANCE` is asked once for each tick, by a `POST` that is signed and has an
//! `Idempotency-Key` of the tick's. While one tick is at a path, no other is. What upstream does not take is told
//! again at the next tick.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    checkouts::{self, Checkouts},
    config::{Config, Maintained},
    effects::Effects,
    encoding,
    event::Moment,
    forward,
    ledger::{self, About, Claim, Kept, Ledger, Order, Outcome, Verdict},
    problem::Fault,
    time::Timestamp,
};

/// What came of a tick at one path, for the log.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    /// Always `maintenance`.
    event: &'static str,
    request_id: &'a str,
    path: &'a str,
    /// `done`, `refused`, `failed`, or `skipped`: this tick was done, or another one is at it.
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// How many refs upstream was told to release.
    released: usize,
}

/// Does what is to be done at a tick; a line of JSON for each path.
pub async fn run<E: Effects>(
    config: &Config,
    effects: &E,
    tick: Timestamp,
    moment: Moment<'_>,
) -> Vec<String> {
    let mut lines = Vec::with_capacity(config.maintenance.len());
    for maintained in &config.maintenance {
        let path = maintained.path.as_str();
        let mut report = Report {
            event: "maintenance",
            request_id: moment.request_id,
            path,
            outcome: "failed",
            status: None,
            released: 0,
        };
        let at_it = Work { config, effects, maintained, moment };
        if let Ok(outcome) = at_it.alone(tick, &mut report).await {
            report.outcome = outcome;
        }
        lines.push(serde_json::to_string(&report).unwrap_or_default());
    }
    lines
}

struct Work<'a, E> {
    config: &'a Config,
    effects: &'a E,
    maintained: &'a Maintained,
    moment: Moment<'a>,
}

impl<E: Effects> Work<'_, E> {
    /// Keeps other ticks away meanwhile.
    async fn alone(&self, tick: Timestamp, report: &mut Report<'_>) -> Result<&'static str, Fault> {
        let lock = format!("at {}", self.maintained.path);
        if !self.start(&lock).await? {
            return Ok("skipped");
        }
        let done = self.once(tick, report).await;
        self.step(&lock, ledger::Command::Release(self.fence(&lock))).await?;
        done
    }

    /// Does it unless it was done.
    async fn once(&self, tick: Timestamp, report: &mut Report<'_>) -> Result<&'static str, Fault> {
        let name = format!("{} {}", tick.0, self.maintained.path);
        if !self.start(&name).await? {
            return Ok("skipped");
        }
        let due = self.due().await?;
        let release: Vec<&str> = due.values().flatten().map(String::as_str).collect();
        report.released = release.len();
        let body = serde_json::json!({ "tick": tick.to_string(), "release": release }).to_string();
        let key = hash(&name);
        let outbound = forward::maintenance(self.config, self.maintained, &key, self.moment);
        let outbound = outbound.ok_or(Fault::Misconfigured)?;
        let answer = self.effects.post(outbound, &body).await;
        report.status = answer.as_ref().ok().map(|inbound| inbound.status);
        match answer {
            Ok(inbound) if (200..300).contains(&inbound.status) => {
                let outcome = Outcome { status: inbound.status, kept: Kept::Not };
                self.step(&name, ledger::Command::Settle(self.fence(&name), outcome)).await?;
                for (group, references) in due {
                    let released = checkouts::Command::Released(references);
                    self.effects.ask::<Checkouts>(&group, &released).await?;
                }
                Ok("done")
            }
            Ok(_) => {
                self.step(&name, ledger::Command::Release(self.fence(&name))).await?;
                Ok("refused")
            }
            Err(fault) => {
                self.step(&name, ledger::Command::Release(self.fence(&name))).await?;
                Err(fault)
            }
        }
    }

    /// Lists the refs to release, by their group.
    async fn due(&self) -> Result<BTreeMap<String, Vec<String>>, Fault> {
        let mut due = BTreeMap::new();
        if !self.config.has_checkouts {
            return Ok(due);
        }
        for group in checkouts::groups() {
            let asked = checkouts::Command::Due(MOST_OF_A_GROUP);
            if let checkouts::Reply::Refs(refs) = self.effects.ask::<Checkouts>(&group, &asked).await?
                && !refs.is_empty()
            {
                due.insert(group, refs);
            }
        }
        Ok(due)
    }

    async fn start(&self, name: &str) -> Result<bool, Fault> {
        let about = About { key: hash(name), scope: SCOPE.to_owned(), operation: "maintenance".to_owned() };
        let spans = (self.maintained.timeout.saturating_add(MARGIN), RETENTION);
        let claim = Claim::new(&self.fence(name), String::new(), spans, true);
        match self.effects.ask::<Ledger>(SCOPE, &Order::Start(about, claim)).await? {
            ledger::Reply::Verdict(Verdict::Granted { .. }) => Ok(true),
            ledger::Reply::Verdict(_) => Ok(false),
            _ => Err(Fault::Internal),
        }
    }

    async fn step(&self, name: &str, command: ledger::Command) -> Result<(), Fault> {
        self.effects.ask::<Ledger>(SCOPE, &Order::Step(hash(name), command)).await.map(drop)
    }

    fn fence(&self, name: &str) -> String {
        format!("{} {name}", self.moment.request_id)
    }
}

fn hash(name: &str) -> String {
    encoding::hex(&Sha256::digest(name))
}

const SCOPE: &str = "maintenance";

/// Of 16 groups.
const MOST_OF_A_GROUP: i64 = 50;

const MARGIN: Duration = Duration::from_mins(1);

const RETENTION: Duration = Duration::from_hours(24);
