//! Command streams of one key's record: one claimant at a time, and no second run of a request that may have run.
//!
//! Each byte is a step: its low bits name what happens, its high bits who does it, and how much time passes.

use std::time::Duration;

use vestibule::{
    base::time::Timestamp,
    idempotency::ledger::{
        AnswerLocation, ClaimRequest, Outcome, Record, Spans, Transition, Verdict, transition,
    },
};

const LEASE: i64 = 30;
const RETENTION: i64 = 100;

/// What a slow, plain reference remembers of the key.
#[derive(Default)]
struct Reference {
    /// The claim that was granted last, and when its lease ends.
    holder: Option<(u64, i64)>,
    /// Claims that have begun and were not released.
    begun: Vec<u64>,
    settled: Option<(u64, i64)>,
    /// The time until which something of the key must be remembered.
    remembered_until: i64,
}

pub(crate) fn run(data: &[u8]) {
    let spans = Spans {
        lease: Duration::from_secs(LEASE.unsigned_abs()),
        retention: Duration::from_secs(RETENTION.unsigned_abs()),
    };
    let mut record: Option<Record> = None;
    let mut reference = Reference::default();
    let (mut now, mut claims) = (0_i64, 0_u64);
    for byte in data.iter().take(400) {
        let (action, who, pause) = (byte & 7, u64::from(byte >> 3 & 3), i64::from(byte >> 5));
        now += pause * pause * 3;
        let claimant = claims.saturating_sub(who);
        let token = claimant.to_string();
        let change = match action {
            0 | 1 => {
                claims += 1;
                Transition::Claim(ClaimRequest::new(&claims.to_string(), "same".to_owned(), spans, false))
            }
            2 => {
                claims += 1;
                Transition::Claim(ClaimRequest::new(&claims.to_string(), "other".to_owned(), spans, false))
            }
            3 | 4 => Transition::Begin(token),
            5 => Transition::Settle(token, Outcome { status: 200, kept: AnswerLocation::NotStored }),
            6 => Transition::Release(token),
            _ => Transition::Resolve(token, who == 0),
        };
        let (after, verdict) = transition(record.take(), &change, Timestamp(now));
        record = after;
        check(&mut reference, &change, &verdict, claims, claimant, now);
    }
}

fn check(
    reference: &mut Reference,
    change: &Transition,
    verdict: &Verdict,
    newest: u64,
    claimant: u64,
    now: i64,
) {
    match (change, verdict) {
        (Transition::Claim(_), Verdict::Granted { may_have_run }) => {
            assert!(!may_have_run, "nobody asked for a second run");
            assert!(reference.holder.is_none_or(|(_, until)| now >= until), "two claimants at once");
            let may_have_run = !reference.begun.is_empty() || reference.settled.is_some();
            assert!(!may_have_run || now >= reference.remembered_until, "a request may run twice");
            *reference = Reference { holder: Some((newest, now + LEASE)), ..Reference::default() };
        }
        (Transition::Begin(_), Verdict::Done) => {
            assert_eq!(reference.holder.map(|(holder, _)| holder), Some(claimant), "only the claimant begins");
            reference.begun.push(claimant);
            reference.remembered_until = now + RETENTION;
        }
        (Transition::Settle(..), Verdict::Done) => {
            assert!(reference.begun.contains(&claimant) || reference.settled.is_some_and(|(by, _)| by == claimant));
            if reference.settled.is_none() {
                reference.settled = Some((claimant, now + RETENTION));
                reference.remembered_until = now + RETENTION;
            }
            reference.holder = None;
        }
        (Transition::Release(_) | Transition::Resolve(_, false), Verdict::Done) => {
            assert_eq!(reference.settled, None, "a settled outcome stays");
            *reference = Reference::default();
        }
        (Transition::Resolve(_, true), Verdict::Done) => {
            reference.settled = Some((claimant, reference.remembered_until));
            reference.holder = None;
        }
        (Transition::Claim(_), Verdict::Ran(_)) => assert!(reference.settled.is_some(), "it did not run"),
        _ => {}
    }
}
