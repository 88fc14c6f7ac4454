//! The ledger against a naive model: a list of everything that ever happened under a key.

#![expect(clippy::arithmetic_side_effects, reason = "a test may fail")]

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Act {
    Claim { print: usize, again: bool },
    Begin(usize),
    Settle(usize),
    Release(usize),
    Resolve(usize, bool),
    Wait(i64),
}

const LEASE: i64 = 10;
const RETENTION: i64 = 40;

/// What a claimant has done, as the model sees it.
#[derive(Clone, Debug)]
struct Tale {
    fence: String,
    print: usize,
    claimed: i64,
    begun: bool,
    /// What it has said since, and when.
    said: Option<(End, i64)>,
    in_doubt: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Settled,
    ByWord,
    Freed,
    BackInDoubt,
}

/// Says what becomes of the last claim, by going over its tale each time.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    Free,
    InFlight(i64),
    Settled,
    ByWord,
    Unknown,
}

impl Tale {
    fn standing(&self, now: i64) -> Standing {
        let lease_end = self.claimed + LEASE;
        match self.said {
            Some((End::Settled, at)) if now < at + RETENTION => Standing::Settled,
            Some((End::BackInDoubt, at)) if now < at + RETENTION => Standing::Unknown,
            // A word given about what was unknown is kept as long as that would have been.
            Some((End::ByWord, until)) if now < until => Standing::ByWord,
            // What was freed is free, and so is what is over.
            None if now < lease_end => Standing::InFlight(lease_end - now),
            None if (self.begun || self.in_doubt) && now < lease_end + RETENTION => Standing::Unknown,
            Some(_) | None => Standing::Free,
        }
    }

    fn unknown_until(&self) -> i64 {
        match self.said {
            Some((End::BackInDoubt, at)) => at + RETENTION,
            _ => self.claimed + LEASE + RETENTION,
        }
    }
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (0..4_usize, any::<bool>()).prop_map(|(print, again)| Act::Claim { print: print / 3, again }),
        4 => (0..3_usize).prop_map(Act::Begin),
        3 => (0..3_usize).prop_map(Act::Settle),
        2 => (0..3_usize).prop_map(Act::Release),
        1 => (0..2_usize, any::<bool>()).prop_map(|(who, ran)| Act::Resolve(who, ran)),
        4 => (1..LEASE + 2).prop_map(Act::Wait),
        1 => (RETENTION - 1..RETENTION + 12).prop_map(Act::Wait),
    ];
    prop::collection::vec(act, 1..24)
}

fn outcome() -> Outcome {
    Outcome { status: 201, kept: Kept::Here }
}

/// Plays one history against both; `back` counts claimants from the latest.
#[expect(clippy::too_many_lines, reason = "one model")]
fn play(history: &[Act]) {
    let (mut now, mut record) = (1_000, None);
    let mut tales: Vec<Tale> = Vec::new();
    for act in history {
        let fence = |back: &usize| {
            tales.len().checked_sub(back + 1).map_or("nobody".to_owned(), |at| tales[at].fence.clone())
        };
        let (command, told) = match act {
            Act::Wait(seconds) => {
                now += seconds;
                continue;
            }
            Act::Claim { print, again, .. } => {
                let fence = format!("req_{}", tales.len());
                let command = Command::Claim(Claim {
                    fence: fence.clone(),
                    fingerprint: print.to_string(),
                    lease: LEASE,
                    retention: RETENTION,
                    again: *again,
                    earlier: None,
                });
                let new = |in_doubt| Tale {
                    fence,
                    print: *print,
                    claimed: now,
                    begun: false,
                    said: None,
                    in_doubt,
                };
                let last = tales.last().map(|tale| (tale.standing(now), tale.print));
                let told = match last {
                    None | Some((Standing::Free, _)) => {
                        tales.push(new(false));
                        Verdict::Granted { may_have_run: false }
                    }
                    Some((_, known)) if known != *print => Verdict::Reused,
                    Some((Standing::InFlight(left), _)) => Verdict::InFlight(left),
                    Some((Standing::Settled, _)) => Verdict::Ran(outcome()),
                    Some((Standing::ByWord, _)) => {
                        Verdict::Ran(Outcome { status: 0, kept: Kept::BySomebodysWord })
                    }
                    Some((Standing::Unknown, _)) if *again => {
                        tales.push(new(true));
                        Verdict::Granted { may_have_run: true }
                    }
                    Some((Standing::Unknown, _)) => Verdict::Unknown,
                };
                (command, told)
            }
            Act::Begin(back) => {
                let command = Command::Begin(fence(back));
                let ours = tales.last_mut().filter(|_| *back == 0);
                let told = match ours {
                    Some(tale) if matches!(tale.standing(now), Standing::InFlight(_)) => {
                        tale.begun = true;
                        Verdict::Done
                    }
                    _ => Verdict::Lost,
                };
                (command, told)
            }
            Act::Settle(back) => {
                let command = Command::Settle(fence(back), outcome());
                let ours = tales.last_mut().filter(|_| *back == 0);
                let told = match ours.map(|tale| (tale.standing(now), tale)) {
                    Some((Standing::InFlight(_), tale)) if tale.begun => {
                        tale.said = Some((End::Settled, now));
                        Verdict::Done
                    }
                    Some((Standing::Unknown, tale)) => {
                        tale.said = Some((End::Settled, now));
                        Verdict::Done
                    }
                    Some((Standing::Settled | Standing::ByWord, _)) => Verdict::Done,
                    _ => Verdict::Lost,
                };
                (command, told)
            }
            Act::Release(back) => {
                let command = Command::Release(fence(back));
                let ours = tales.last_mut().filter(|_| *back == 0);
                let told = match ours.map(|tale| (tale.standing(now), tale)) {
                    Some((Standing::InFlight(_) | Standing::Unknown, tale)) => {
                        let end = if tale.in_doubt { End::BackInDoubt } else { End::Freed };
                        tale.said = Some((end, now));
                        Verdict::Done
                    }
                    _ => Verdict::Lost,
                };
                (command, told)
            }
            Act::Resolve(back, ran) => {
                let command = Command::Resolve(fence(back), *ran);
                let ours = tales.last_mut().filter(|_| *back == 0);
                let told = match ours.map(|tale| (tale.standing(now), tale)) {
                    Some((Standing::Unknown, tale)) => {
                        let until = tale.unknown_until();
                        tale.said = Some(if *ran { (End::ByWord, until) } else { (End::Freed, now) });
                        Verdict::Done
                    }
                    _ => Verdict::Lost,
                };
                (command, told)
            }
        };
        let (next, verdict) = step(record.clone(), &command, Timestamp(now));
        assert_eq!(verdict, told, "{act:?} at {now} of {history:?}");
        // A step that changes nothing says so by changing nothing.
        let is_free = tales.last().is_none_or(|tale| tale.standing(now) == Standing::Free);
        assert_eq!(next.is_none(), is_free, "{act:?} at {now} of {history:?}");
        record = next;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn as_the_model_says(history in acts()) {
        play(&history);
    }
}

/// At most one claimant may run at any time, unless they were told that it may have run before.
#[test]
fn nobody_runs_twice_unknowingly() {
    let claim = |fence: &str, again| {
        Command::Claim(Claim::new(
            fence,
            "f".into(),
            (Duration::from_secs(10), Duration::from_secs(40)),
            again,
        ))
    };
    let at = |record, command, now| step(record, &command, Timestamp(now));
    let (record, verdict) = at(None, claim("a", false), 0);
    assert_eq!(verdict, Verdict::Granted { may_have_run: false });
    let (record, _) = at(record, Command::Begin("a".into()), 1);
    assert_eq!(at(record.clone(), claim("b", true), 9).1, Verdict::InFlight(1));
    assert_eq!(at(record.clone(), claim("b", false), 10).1, Verdict::Unknown);
    let (record, verdict) = at(record, claim("b", true), 10);
    assert_eq!(verdict, Verdict::Granted { may_have_run: true });
    // The first comes back late: what it says counts no more.
    assert_eq!(at(record.clone(), Command::Settle("a".into(), outcome()), 11).1, Verdict::Lost);
    // The second did not run: whether the first did is still not known.
    let (record, _) = at(record, Command::Release("b".into()), 12);
    assert_eq!(at(record.clone(), claim("c", false), 13).1, Verdict::Unknown);
    let (record, verdict) = at(record, claim("c", true), 13);
    assert_eq!(verdict, Verdict::Granted { may_have_run: true });
    // Nor is it after a third who never began.
    assert_eq!(at(record, claim("d", false), 30).1, Verdict::Unknown);
}

/// A record of an earlier version is answered where it surely is of the same request, and run again in neither case.
#[test]
fn fingerprints_of_an_earlier_version() {
    let spans = (Duration::from_secs(10), Duration::from_secs(40));
    let claim = |print: &str, again| Claim::new("a", print.into(), spans, again);
    let (record, _) = step(None, &Command::Claim(claim("old", false)), Timestamp(0));
    let (record, _) = step(record, &Command::Begin("a".into()), Timestamp(1));
    let in_flight = record.clone();
    let (settled, _) = step(record, &Command::Settle("a".into(), outcome()), Timestamp(2));
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
            let command = Command::Claim(claim("2:new", again).or_earlier(earlier));
            let (after, verdict) = step(known.clone(), &command, Timestamp(3));
            assert_eq!(verdict, want, "{fingerprint} {is_same}");
            assert_eq!(after, *known, "{fingerprint} {is_same}");
        }
    }
}
