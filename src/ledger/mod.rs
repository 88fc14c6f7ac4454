//! What has happened before: who has the exclusive right to run something under a key, and what came of it.
//!
//! One pure function, [`step`], decides over one record:
//!
//! 1. A key that is free, or whose retention is over, is **claimed**: for as long as its lease, by one claimant
//!    only, whom a fencing token names. Everybody else is told that it is in flight.
//! 2. The claimant says that it **begins** before anything leaves for upstream. A lease that runs out before
//!    that leaves the key free; one that runs out afterwards leaves it **unknown**: nobody can say whether it
//!    ran.
//! 3. The claimant **settles** it with what came of it, or **releases** it, late too, as long as nobody has
//!    claimed it since. What is settled is answered to whoever asks with the same fingerprint.
//! 4. What is unknown stays so until its retention is over or somebody resolves it, unless whoever claims next
//!    says that it may be run again.
//! 5. Another fingerprint under a key that is not free is refused, whatever the state. A fingerprint that an earlier
//!    version wrote counts as the same where it surely is; where it may not be, the outcome is unknown.

mod object;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use object::{About, Command as Order, INDEX, Ledger, Reply, Unresolved};

use crate::time::{Timestamp, whole_seconds};

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What was asked under it.
    pub fingerprint: String,
    /// Who claimed it last.
    pub fence: String,
    /// Seconds for which an outcome is kept.
    pub retention: i64,
    /// Whether somebody before them may have run it.
    pub in_doubt: bool,
    /// What has become of it.
    pub state: State,
}

/// What has become of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Somebody is at it.
    Claimed {
        /// When the lease ends.
        until: Timestamp,
        /// Whether anything may have left for upstream.
        begun: bool,
    },
    /// It ran.
    Settled {
        /// What came of it.
        outcome: Outcome,
        /// When that is forgotten.
        until: Timestamp,
    },
    /// Whether it ran, nobody knows.
    Unknown {
        /// When the key is free again.
        until: Timestamp,
    },
}

/// What came of something that ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The status that was answered; 0 where nobody knows.
    pub status: u16,
    /// Where the answer is.
    pub kept: Kept,
}

/// Where an answer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kept {
    /// Beside the record.
    Here,
    /// In KV, under this name.
    Elsewhere(String),
    /// Nowhere: it was a stream, or too long.
    Not,
    /// Nowhere: an operator said that it ran.
    BySomebodysWord,
}

/// What can be done with a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
// `tests/commands.txt` tells it from the commands of the object, which contain it.
#[serde(rename = "Step")]
pub enum Command {
    /// Asks for the right to run it.
    Claim(Claim),
    /// Says that something is about to leave for upstream.
    Begin(String),
    /// Says what came of it.
    Settle(String, Outcome),
    /// Says that it did not run, or may run again.
    Release(String),
    /// Says, of an unknown outcome, whether it ran.
    Resolve(String, bool),
}

/// Somebody who asks for the right to run something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Who: never used before.
    pub fence: String,
    /// What is asked.
    pub fingerprint: String,
    /// Seconds until somebody else may have it.
    pub lease: i64,
    /// Seconds for which an outcome is kept.
    pub retention: i64,
    /// Whether what may have run may be run again.
    pub again: bool,
    /// The request's fingerprint as an earlier version wrote it.
    pub earlier: Option<Earlier>,
}

/// A fingerprint as an earlier version wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// The fingerprint.
    pub fingerprint: String,
    /// Whether a record with it is certainly of the same request. If not, it is unknown whether this request ran.
    pub is_same: bool,
}

/// What comes of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It is theirs.
    Granted {
        /// Whether it may have run before.
        may_have_run: bool,
    },
    /// It has run.
    Ran(Outcome),
    /// Somebody is at it, for at most so many seconds.
    InFlight(i64),
    /// Whether it ran, nobody knows.
    Unknown,
    /// Something else was asked under this key.
    Reused,
    /// It is done.
    Done,
    /// It is not theirs any more.
    Lost,
}

impl Claim {
    /// Makes one.
    #[must_use]
    pub fn new(
        fence: &str,
        fingerprint: String,
        (lease, retention): (Duration, Duration),
        again: bool,
    ) -> Self {
        let (lease, retention) = (whole_seconds(lease), whole_seconds(retention));
        Self { fence: fence.to_owned(), fingerprint, lease, retention, again, earlier: None }
    }

    /// Adds the fingerprint that a record of an earlier version has.
    #[must_use]
    pub fn or_earlier(self, earlier: Earlier) -> Self {
        Self { earlier: Some(earlier), ..self }
    }
}

/// Carries a command out over what is known of its key. Nothing is known of a key that is free.
#[must_use]
pub fn step(record: Option<Record>, command: &Command, now: Timestamp) -> (Option<Record>, Verdict) {
    let record = record.and_then(|record| as_of(record, now));
    let (Command::Begin(fence)
    | Command::Settle(fence, _)
    | Command::Release(fence)
    | Command::Resolve(fence, _)) = command
    else {
        let Command::Claim(claim) = command else { return (record, Verdict::Lost) };
        return take(record, claim, now);
    };
    let Some(known) = record else { return (None, Verdict::Lost) };
    if known.fence != *fence {
        return (Some(known), Verdict::Lost);
    }
    let becomes = |state| (Some(Record { state, ..known.clone() }), Verdict::Done);
    match (command, &known.state) {
        (Command::Begin(_), State::Claimed { until, .. }) => {
            becomes(State::Claimed { until: *until, begun: true })
        }
        (Command::Settle(_, outcome), State::Claimed { begun: true, .. } | State::Unknown { .. }) => {
            becomes(State::Settled { outcome: outcome.clone(), until: after(now, known.retention) })
        }
        // Said twice.
        (Command::Settle(..), State::Settled { .. }) => (Some(known), Verdict::Done),
        // That this one did not run says nothing of the one before.
        (Command::Release(_), State::Claimed { .. } | State::Unknown { .. }) if known.in_doubt => {
            becomes(State::Unknown { until: after(now, known.retention) })
        }
        (Command::Release(_), State::Claimed { .. } | State::Unknown { .. })
        | (Command::Resolve(_, false), State::Unknown { .. }) => (None, Verdict::Done),
        (Command::Resolve(_, true), State::Unknown { until }) => {
            let outcome = Outcome { status: 0, kept: Kept::BySomebodysWord };
            becomes(State::Settled { outcome, until: *until })
        }
        _ => (Some(known), Verdict::Lost),
    }
}

/// Tells what a record has become by now; `None` where its key is free.
#[must_use]
pub fn as_of(record: Record, now: Timestamp) -> Option<Record> {
    let until = match record.state {
        State::Claimed { until, .. } if now < until => return Some(record),
        State::Claimed { begun: false, .. } if !record.in_doubt => return None,
        State::Claimed { until, .. } => after(until, record.retention),
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

fn take(record: Option<Record>, claim: &Claim, now: Timestamp) -> (Option<Record>, Verdict) {
    let granted = |in_doubt| {
        let record = Record {
            fingerprint: claim.fingerprint.clone(),
            fence: claim.fence.clone(),
            retention: claim.retention,
            in_doubt,
            state: State::Claimed { until: after(now, claim.lease), begun: false },
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

fn after(now: Timestamp, seconds: i64) -> Timestamp {
    Timestamp(now.0.saturating_add(seconds))
}

#[cfg(test)]
mod tests;
