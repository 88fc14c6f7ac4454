//! Compares the ledger with a simple model: the list of all claims of a key.

#![expect(clippy::arithmetic_side_effects, reason = "a test may fail")]

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Action {
    Claim { fingerprint: usize, again: bool },
    Begin(usize),
    Settle(usize),
    Release(usize),
    Resolve(usize, bool),
    Wait(i64),
}

const LEASE: i64 = 10;
const RETENTION: i64 = 40;

/// A claim in the model.
#[derive(Clone, Debug)]
struct ModelClaim {
    fencing_token: String,
    fingerprint: usize,
    claimed: i64,
    begun: bool,
    /// How it ended, and when. For [`ModelEnd::ResolvedAsRun`], the end of its retention.
    ended: Option<(ModelEnd, i64)>,
    in_doubt: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum ModelEnd {
    Settled,
    ResolvedAsRun,
    Freed,
    UnknownAgain,
}

/// The state of the key, computed from its last claim.
#[derive(Clone, Copy, Debug, PartialEq)]
enum ModelState {
    Free,
    InFlight(i64),
    Settled,
    ResolvedAsRun,
    Unknown,
}

impl ModelClaim {
    fn state(&self, now: i64) -> ModelState {
        let lease_end = self.claimed + LEASE;
        match self.ended {
            Some((ModelEnd::Settled, at)) if now < at + RETENTION => ModelState::Settled,
            Some((ModelEnd::UnknownAgain, at)) if now < at + RETENTION => ModelState::Unknown,
            // A resolved outcome is kept until the retention of the unknown outcome would have ended.
            Some((ModelEnd::ResolvedAsRun, until)) if now < until => ModelState::ResolvedAsRun,
            None if now < lease_end => ModelState::InFlight(lease_end - now),
            None if (self.begun || self.in_doubt) && now < lease_end + RETENTION => ModelState::Unknown,
            // Released, or the retention is over.
            Some(_) | None => ModelState::Free,
        }
    }

    fn unknown_until(&self) -> i64 {
        match self.ended {
            Some((ModelEnd::UnknownAgain, at)) => at + RETENTION,
            _ => self.claimed + LEASE + RETENTION,
        }
    }
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        8 => (0..4_usize, any::<bool>())
            .prop_map(|(number, again)| Action::Claim { fingerprint: number / 3, again }),
        4 => (0..3_usize).prop_map(Action::Begin),
        3 => (0..3_usize).prop_map(Action::Settle),
        2 => (0..3_usize).prop_map(Action::Release),
        1 => (0..2_usize, any::<bool>()).prop_map(|(back, ran)| Action::Resolve(back, ran)),
        4 => (1..LEASE + 2).prop_map(Action::Wait),
        1 => (RETENTION - 1..RETENTION + 12).prop_map(Action::Wait),
    ];
    prop::collection::vec(action, 1..24)
}

fn outcome() -> Outcome {
    Outcome { status: 201, kept: AnswerLocation::InRow }
}

/// Applies a history to the ledger and the model. `back` counts claimants from the latest one.
#[expect(clippy::too_many_lines, reason = "one model")]
fn compare(history: &[Action]) {
    let (mut now, mut record) = (1_000, None);
    let mut claims: Vec<ModelClaim> = Vec::new();
    for action in history {
        let fencing_token = |back: &usize| {
            claims
                .len()
                .checked_sub(back + 1)
                .map_or("unknown".to_owned(), |at| claims[at].fencing_token.clone())
        };
        let (command, expected) = match action {
            Action::Wait(seconds) => {
                now += seconds;
                continue;
            }
            Action::Claim { fingerprint, again, .. } => {
                let fencing_token = format!("req_{}", claims.len());
                let command = Transition::Claim(ClaimRequest {
                    fencing_token: fencing_token.clone(),
                    fingerprint: fingerprint.to_string(),
                    lease: LEASE,
                    retention: RETENTION,
                    again: *again,
                    earlier: None,
                });
                let new = |in_doubt| ModelClaim {
                    fencing_token,
                    fingerprint: *fingerprint,
                    claimed: now,
                    begun: false,
                    ended: None,
                    in_doubt,
                };
                let last = claims.last().map(|claim| (claim.state(now), claim.fingerprint));
                let expected = match last {
                    None | Some((ModelState::Free, _)) => {
                        claims.push(new(false));
                        Verdict::Granted { may_have_run: false }
                    }
                    Some((_, known)) if known != *fingerprint => Verdict::Reused,
                    Some((ModelState::InFlight(left), _)) => Verdict::InFlight(left),
                    Some((ModelState::Settled, _)) => Verdict::Ran(outcome()),
                    Some((ModelState::ResolvedAsRun, _)) => {
                        Verdict::Ran(Outcome { status: 0, kept: AnswerLocation::ResolvedByOperator })
                    }
                    Some((ModelState::Unknown, _)) if *again => {
                        claims.push(new(true));
                        Verdict::Granted { may_have_run: true }
                    }
                    Some((ModelState::Unknown, _)) => Verdict::Unknown,
                };
                (command, expected)
            }
            Action::Begin(back) => {
                let command = Transition::Begin(fencing_token(back));
                let last = claims.last_mut().filter(|_| *back == 0);
                let expected = match last {
                    Some(claim) if matches!(claim.state(now), ModelState::InFlight(_)) => {
                        claim.begun = true;
                        Verdict::Done
                    }
                    _ => Verdict::Lost,
                };
                (command, expected)
            }
            Action::Settle(back) => {
                let command = Transition::Settle(fencing_token(back), outcome());
                let last = claims.last_mut().filter(|_| *back == 0);
                let expected = match last.map(|claim| (claim.state(now), claim)) {
                    Some((ModelState::InFlight(_), claim)) if claim.begun => {
                        claim.ended = Some((ModelEnd::Settled, now));
                        Verdict::Done
                    }
                    Some((ModelState::Unknown, claim)) => {
                        claim.ended = Some((ModelEnd::Settled, now));
                        Verdict::Done
                    }
                    Some((ModelState::Settled | ModelState::ResolvedAsRun, _)) => Verdict::Done,
                    _ => Verdict::Lost,
                };
                (command, expected)
            }
            Action::Release(back) => {
                let command = Transition::Release(fencing_token(back));
                let last = claims.last_mut().filter(|_| *back == 0);
                let expected = match last.map(|claim| (claim.state(now), claim)) {
                    Some((ModelState::InFlight(_) | ModelState::Unknown, claim)) => {
                        let end = if claim.in_doubt { ModelEnd::UnknownAgain } else { ModelEnd::Freed };
                        claim.ended = Some((end, now));
                        Verdict::Done
                    }
                    _ => Verdict::Lost,
                };
                (command, expected)
            }
            Action::Resolve(back, ran) => {
                let command = Transition::Resolve(fencing_token(back), *ran);
                let last = claims.last_mut().filter(|_| *back == 0);
                let expected = match last.map(|claim| (claim.state(now), claim)) {
                    Some((ModelState::Unknown, claim)) => {
                        let until = claim.unknown_until();
                        claim.ended = Some(if *ran {
                            (ModelEnd::ResolvedAsRun, until)
                        } else {
                            (ModelEnd::Freed, now)
                        });
                        Verdict::Done
                    }
                    _ => Verdict::Lost,
                };
                (command, expected)
            }
        };
        let (next, verdict) = transition(record.clone(), &command, Timestamp(now));
        assert_eq!(verdict, expected, "{action:?} at {now} of {history:?}");
        // A free key has no record.
        let is_free = claims.last().is_none_or(|claim| claim.state(now) == ModelState::Free);
        assert_eq!(next.is_none(), is_free, "{action:?} at {now} of {history:?}");
        record = next;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_model(history in actions()) {
        compare(&history);
    }
}

/// Only one claimant may run the request, unless the verdict says that it may have run before.
#[test]
fn never_runs_twice_without_a_warning() {
    let claim = |fencing_token: &str, again| {
        let spans = Spans { lease: Duration::from_secs(10), retention: Duration::from_secs(40) };
        Transition::Claim(ClaimRequest::new(fencing_token, "f".into(), spans, again))
    };
    let at = |record, command, now| transition(record, &command, Timestamp(now));
    let (record, verdict) = at(None, claim("a", false), 0);
    assert_eq!(verdict, Verdict::Granted { may_have_run: false });
    let (record, _) = at(record, Transition::Begin("a".into()), 1);
    assert_eq!(at(record.clone(), claim("b", true), 9).1, Verdict::InFlight(1));
    assert_eq!(at(record.clone(), claim("b", false), 10).1, Verdict::Unknown);
    let (record, verdict) = at(record, claim("b", true), 10);
    assert_eq!(verdict, Verdict::Granted { may_have_run: true });
    // The first claimant settles too late: another claim was granted.
    assert_eq!(at(record.clone(), Transition::Settle("a".into(), outcome()), 11).1, Verdict::Lost);
    // The second did not run the request. It is still unknown whether the first did.
    let (record, _) = at(record, Transition::Release("b".into()), 12);
    assert_eq!(at(record.clone(), claim("c", false), 13).1, Verdict::Unknown);
    let (record, verdict) = at(record, claim("c", true), 13);
    assert_eq!(verdict, Verdict::Granted { may_have_run: true });
    // It stays unknown after a third claimant that never began.
    assert_eq!(at(record, claim("d", false), 30).1, Verdict::Unknown);
}

/// A record of an earlier version is replayed only if it is certainly of the same request. It never runs again.
#[test]
fn compares_fingerprints_of_an_earlier_version() {
    let spans = Spans { lease: Duration::from_secs(10), retention: Duration::from_secs(40) };
    let claim = |fingerprint: &str, again| ClaimRequest::new("a", fingerprint.into(), spans, again);
    let (record, _) = transition(None, &Transition::Claim(claim("old", false)), Timestamp(0));
    let (record, _) = transition(record, &Transition::Begin("a".into()), Timestamp(1));
    let in_flight = record.clone();
    let (settled, _) = transition(record, &Transition::Settle("a".into(), outcome()), Timestamp(2));
    for (known, fingerprint, is_same, want) in [
        (&settled, "old", true, Verdict::Ran(outcome())),
        (&settled, "old", false, Verdict::Unknown),
        (&settled, "other", true, Verdict::Reused),
        (&settled, "other", false, Verdict::Reused),
        (&in_flight, "old", true, Verdict::InFlight(7)),
        (&in_flight, "old", false, Verdict::Unknown),
    ] {
        for again in [false, true] {
            let earlier = Earlier { fingerprint: fingerprint.into(), is_same };
            let command = Transition::Claim(claim("2:new", again).with_earlier(earlier));
            let (after, verdict) = transition(known.clone(), &command, Timestamp(3));
            assert_eq!(verdict, want, "{fingerprint} {is_same}");
            assert_eq!(after, *known, "{fingerprint} {is_same}");
        }
    }
}
