//! The ledger: for each key, who has the exclusive right to run a request, and its outcome.
//!
//! One pure function, [`transition`], changes one record:
//!
//! 1. **Claim**: a key that is free, or whose retention is over, is claimed by one claimant until its lease ends. A
//!    fencing token identifies the claimant. All others get the reply that the request is in flight.
//! 2. **Begin**: the claimant sends this before the request goes to upstream. If the lease ends and the claimant has
//!    not begun, the key is free. If it has begun, the outcome is **unknown**: the request may have run. The object's
//!    command `Start` claims and begins at once.
//! 3. **Settle** or **release**: the claimant stores the outcome, or frees the key. Both also work after the lease, as
//!    long as no other claim was granted. A settled outcome is the reply to later claims with the same fingerprint.
//! 4. An unknown outcome stays unknown until its retention is over or an operator **resolves** it. The exception: a
//!    claim with `again` is granted, because its request may run twice.
//! 5. A claim with another fingerprint on a key that is not free is rejected in every state. A fingerprint of an
//!    earlier version counts as the same if it certainly is; otherwise, the outcome is unknown.

mod object;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use object::{About, Command, INDEX, Ledger, Reply, Unresolved};

use crate::base::time::{Timestamp, whole_seconds};

/// The record of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Fingerprint of the request.
    pub fingerprint: String,
    /// Fencing token of the last claimant.
    pub fencing_token: String,
    /// Seconds for which an outcome is kept.
    pub retention: i64,
    /// Whether an earlier claimant may have run the request.
    pub in_doubt: bool,
    /// State of the key.
    pub state: State,
}

/// The state of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// A claimant is running the request.
    Claimed {
        /// End of the lease.
        until: Timestamp,
        /// Whether the request may have been sent to upstream.
        begun: bool,
    },
    /// The request ran.
    Settled {
        /// Its outcome.
        outcome: Outcome,
        /// End of the retention.
        until: Timestamp,
    },
    /// It is unknown whether the request ran.
    Unknown {
        /// End of the retention. The key is then free again.
        until: Timestamp,
    },
}

/// The outcome of a request that ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Status of the answer. 0 if unknown.
    pub status: u16,
    /// Where the answer is stored.
    pub kept: AnswerLocation,
}

/// Where an answer is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AnswerLocation {
    /// With the record.
    InRow,
    /// In KV, under this name.
    InKv(String),
    /// Not stored: it was a stream, or too long.
    NotStored,
    /// Not stored: an operator confirmed that the request ran.
    ResolvedByOperator,
}

/// A change of one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transition {
    /// Claims the right to run a request.
    Claim(ClaimRequest),
    /// Records that the request is about to be sent to upstream. Takes the fencing token.
    Begin(String),
    /// Stores the outcome. Takes the fencing token.
    Settle(String, Outcome),
    /// Frees the key: the request did not run, or may run again. Takes the fencing token.
    Release(String),
    /// Resolves an unknown outcome: whether the request ran. Takes the fencing token.
    Resolve(String, bool),
}

/// A claim to run a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRequest {
    /// Fencing token. It must be new.
    pub fencing_token: String,
    /// Fingerprint of the request.
    pub fingerprint: String,
    /// Seconds until another claim can be granted.
    pub lease: i64,
    /// Seconds for which an outcome is kept.
    pub retention: i64,
    /// Whether a request that may have run may run again.
    pub again: bool,
    /// Fingerprint of the request in the format of an earlier version.
    pub earlier: Option<Earlier>,
}

/// How long a claim and its outcome are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spans {
    /// Time until another claim can be granted.
    pub lease: Duration,
    /// Time for which an outcome is kept.
    pub retention: Duration,
}

/// A fingerprint in the format of an earlier version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// The fingerprint.
    pub fingerprint: String,
    /// Whether a record with this fingerprint is certainly of the same request. If not, it is unknown whether this
    /// request ran.
    pub is_same: bool,
}

/// The result of a transition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The claim is granted.
    Granted {
        /// Whether the request may have run before.
        may_have_run: bool,
    },
    /// The request has run.
    Ran(Outcome),
    /// Another claimant is running the request. Holds the seconds until its lease ends.
    InFlight(i64),
    /// It is unknown whether the request ran.
    Unknown,
    /// Another request used this key.
    Reused,
    /// The transition was applied.
    Done,
    /// The transition was not applied: the claim is no longer held, or the state does not allow it.
    Lost,
}

impl ClaimRequest {
    /// Makes a claim without a fingerprint of an earlier version.
    #[must_use]
    pub fn new(fencing_token: &str, fingerprint: String, spans: Spans, again: bool) -> Self {
        let (lease, retention) = (whole_seconds(spans.lease), whole_seconds(spans.retention));
        Self { fencing_token: fencing_token.to_owned(), fingerprint, lease, retention, again, earlier: None }
    }

    /// Adds the fingerprint that a record of an earlier version would have.
    #[must_use]
    pub fn with_earlier(self, earlier: Earlier) -> Self {
        Self { earlier: Some(earlier), ..self }
    }
}

/// Applies a transition to the record of its key. A free key has no record.
#[must_use]
pub fn transition(record: Option<Record>, change: &Transition, now: Timestamp) -> (Option<Record>, Verdict) {
    let record = record.and_then(|record| as_of(record, now));
    let (Transition::Begin(fencing_token)
    | Transition::Settle(fencing_token, _)
    | Transition::Release(fencing_token)
    | Transition::Resolve(fencing_token, _)) = change
    else {
        let Transition::Claim(claim) = change else { return (record, Verdict::Lost) };
        return grant(record, claim, now);
    };
    let Some(known) = record else { return (None, Verdict::Lost) };
    if known.fencing_token != *fencing_token {
        return (Some(known), Verdict::Lost);
    }
    let set = |state| (Some(Record { state, ..known.clone() }), Verdict::Done);
    match (change, &known.state) {
        (Transition::Begin(_), State::Claimed { until, .. }) => {
            set(State::Claimed { until: *until, begun: true })
        }
        (Transition::Settle(_, outcome), State::Claimed { begun: true, .. } | State::Unknown { .. }) => {
            set(State::Settled { outcome: outcome.clone(), until: plus_seconds(now, known.retention) })
        }
        // A repeated transition.
        (Transition::Settle(..), State::Settled { .. }) => (Some(known), Verdict::Done),
        // This claimant did not run the request, but an earlier one may have.
        (Transition::Release(_), State::Claimed { .. } | State::Unknown { .. }) if known.in_doubt => {
            set(State::Unknown { until: plus_seconds(now, known.retention) })
        }
        (Transition::Release(_), State::Claimed { .. } | State::Unknown { .. })
        | (Transition::Resolve(_, false), State::Unknown { .. }) => (None, Verdict::Done),
        (Transition::Resolve(_, true), State::Unknown { until }) => {
            let outcome = Outcome { status: 0, kept: AnswerLocation::ResolvedByOperator };
            set(State::Settled { outcome, until: *until })
        }
        _ => (Some(known), Verdict::Lost),
    }
}

/// Returns the state of a record at the current time, or `None` if its key is free.
#[must_use]
pub fn as_of(record: Record, now: Timestamp) -> Option<Record> {
    let until = match record.state {
        State::Claimed { until, .. } if now < until => return Some(record),
        State::Claimed { begun: false, .. } if !record.in_doubt => return None,
        State::Claimed { until, .. } => plus_seconds(until, record.retention),
        State::Settled { until, .. } | State::Unknown { until } => until,
    };
    if now >= until {
        return None;
    }
    match record.state {
        State::Claimed { .. } => Some(Record { state: State::Unknown { until }, ..record }),
        State::Settled { .. } | State::Unknown { .. } => Some(record),
    }
}

/// Grants a claim if the key is free, or unknown and `again` is set.
fn grant(record: Option<Record>, claim: &ClaimRequest, now: Timestamp) -> (Option<Record>, Verdict) {
    let granted = |in_doubt| {
        let record = Record {
            fingerprint: claim.fingerprint.clone(),
            fencing_token: claim.fencing_token.clone(),
            retention: claim.retention,
            in_doubt,
            state: State::Claimed { until: plus_seconds(now, claim.lease), begun: false },
        };
        (Some(record), Verdict::Granted { may_have_run: in_doubt })
    };
    let Some(known) = record else { return granted(false) };
    if known.fingerprint != claim.fingerprint {
        match claim.earlier.as_ref().filter(|earlier| earlier.fingerprint == known.fingerprint) {
            Some(Earlier { is_same: true, .. }) => {}
            Some(Earlier { is_same: false, .. }) => return (Some(known), Verdict::Unknown),
            None => return (Some(known), Verdict::Reused),
        }
    }
    let verdict = match &known.state {
        State::Claimed { until, .. } => Verdict::InFlight(until.seconds_since(now)),
        State::Settled { outcome, .. } => Verdict::Ran(outcome.clone()),
        State::Unknown { .. } if claim.again => return granted(true),
        State::Unknown { .. } => Verdict::Unknown,
    };
    (Some(known), verdict)
}

fn plus_seconds(time: Timestamp, seconds: i64) -> Timestamp {
    Timestamp(time.0.saturating_add(seconds))
}

#[cfg(test)]
mod tests;
