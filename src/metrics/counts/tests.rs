#![allow(clippy::arithmetic_side_effects, reason = "a test may fail")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    metrics::{
        object::{Command, Metrics, Query, Reply, Step},
        tables,
        tail::Filter,
    },
    platform::store::sqlite::Sqlite,
};

const NOW: i64 = 1_700_000_000;

fn event(decision: &'static str) -> Event<'static> {
    let mut event = Event::new("req_1", "GET");
    (event.decision, event.status, event.rule, event.upstream_ms) = (decision, 200, Some("/a"), Some(3));
    event
}

fn of_rule(rule: &str) -> Event<'_> {
    let mut event = event("allow");
    event.rule = Some(rule);
    event
}

/// An isolate with its clock, in milliseconds since `NOW`.
#[derive(Default)]
struct Isolate {
    counts: Counts,
    id: String,
}

impl Isolate {
    fn new(id: &str) -> Self {
        Self { counts: Counts::default(), id: id.to_owned() }
    }

    fn begin(&self, now: u64) -> bool {
        self.counts.begin_run(now, || self.id.clone())
    }

    fn next(&self, now: u64) -> Next {
        self.counts.next(now, Timestamp(NOW + i64::try_from(now / 1_000).expect("a time")))
    }

    fn batch(&self, now: u64) -> Batch {
        match self.next(now) {
            Next::Send(batch) => batch,
            other => panic!("{other:?}"),
        }
    }
}

fn requests(batch: &Batch) -> u64 {
    batch.counts.all().iter().map(|series| series.tally.requests).sum()
}

/// Returns the number of requests that the object has counted for a rule.
fn stored(store: &Sqlite, rule: &str) -> u64 {
    let rule = Some(rule.to_owned());
    let query = Query { step: Step::Minute, from: Timestamp(0), to: Timestamp(NOW * 2), rule };
    let Reply::Buckets(buckets) =
        store.handle::<Metrics>(&Command::Read(query), Timestamp(NOW)).expect("a reply")
    else {
        panic!("buckets")
    };
    buckets.iter().map(|bucket| bucket.requests).sum()
}

#[test]
fn hands_over_at_once_and_then_every_ten_seconds() {
    let isolate = Isolate::new("iso_1");
    assert!(!isolate.begin(0), "nothing was counted");
    isolate.counts.count(&event("allow"), false);
    assert!(isolate.begin(0));
    assert!(!isolate.begin(0), "a run goes on");
    let batch = isolate.batch(0);
    assert_eq!((batch.number, requests(&batch), &*batch.isolate), (1, 1, "iso_1"));
    isolate.counts.confirmed(1, Watch::default());
    assert_eq!(isolate.next(5), Next::End);
    isolate.counts.count(&event("allow"), false);
    isolate.counts.count(&event("allow"), false);
    assert!(isolate.begin(3_000));
    assert_eq!(isolate.next(3_000), Next::Wait(Duration::from_secs(7)));
    let batch = isolate.batch(10_000);
    assert_eq!((batch.number, requests(&batch)), (2, 2));
}

#[test]
fn hands_over_every_second_while_somebody_watches() {
    let isolate = Isolate::new("iso_1");
    isolate.counts.count(&event("allow"), false);
    assert!(isolate.begin(0));
    assert!(isolate.batch(0).lines.is_empty(), "nobody watches");
    let refusals = Filter { decision: Some("forbidden_role".to_owned()), ..Filter::default() };
    isolate.counts.confirmed(1, Watch(vec![refusals]));
    for decision in ["allow", "forbidden_role"] {
        isolate.counts.count(&event(decision), false);
    }
    assert_eq!(isolate.next(0), Next::Wait(Duration::from_secs(1)));
    let batch = isolate.batch(1_000);
    assert_eq!((requests(&batch), batch.lines.lines.len()), (2, 1));
    assert!(batch.lines.lines[0].contains("forbidden_role"));
}

#[test]
fn a_run_leaves_nothing_behind_when_its_time_is_over() {
    let isolate = Isolate::new("iso_1");
    isolate.counts.count(&event("allow"), false);
    assert!(isolate.begin(0));
    for now in [0, 10_000] {
        let batch = isolate.batch(now);
        isolate.counts.confirmed(batch.number, Watch::default());
        isolate.counts.count(&event("allow"), false);
    }
    assert_eq!(isolate.next(10_001), Next::Wait(Duration::from_millis(9_999)));
    let last = isolate.batch(20_000);
    assert_eq!(requests(&last), 1);
    assert_eq!(isolate.next(20_001), Next::End, "the object did not reply");
    assert!(isolate.begin(20_002), "the batch is sent again by the next request");
    assert_eq!(isolate.next(20_002), Next::Wait(Duration::from_millis(9_998)));
    assert_eq!(isolate.batch(30_000), last);
}

#[test]
fn a_run_that_the_platform_ended_is_replaced() {
    let isolate = Isolate::new("iso_1");
    isolate.counts.count(&event("allow"), false);
    assert!(isolate.begin(0));
    assert!(!isolate.begin(39_999));
    assert!(isolate.begin(40_000));
    assert_eq!(requests(&isolate.batch(40_000)), 1);
}

#[test]
fn a_late_reply_confirms_only_its_own_batch() {
    let isolate = Isolate::new("iso_1");
    isolate.counts.count(&event("allow"), false);
    assert!(isolate.begin(0));
    let first = isolate.batch(0);
    isolate.counts.confirmed(first.number, Watch::default());
    isolate.counts.count(&event("allow"), false);
    let second = isolate.batch(10_000);
    isolate.counts.confirmed(first.number, Watch::default());
    assert_eq!(isolate.batch(20_000), second, "not confirmed yet");
}

#[test]
fn gives_up_a_batch_before_the_object_forgets_the_isolate() {
    assert!(GIVE_UP < tables::KEEP_ISOLATES);
    let isolate = Isolate::new("iso_1");
    isolate.counts.count(&event("allow"), false);
    assert!(isolate.begin(0));
    assert_eq!(isolate.batch(0).number, 1);
    let later = milliseconds(GIVE_UP) + 1;
    assert!(isolate.begin(later));
    assert_eq!(isolate.next(later), Next::End);
}

/// An isolate of the model, and what is known of it.
struct Modelled {
    isolate: Isolate,
    /// The rule of all its requests.
    rule: String,
    counted: u64,
    /// The requests of each batch that the object got, by number.
    arrived: BTreeMap<u64, u64>,
}

impl Modelled {
    fn new(number: usize) -> Self {
        Self {
            isolate: Isolate::new(&format!("iso_{number}")),
            rule: format!("/{number}"),
            counted: 0,
            arrived: BTreeMap::new(),
        }
    }

    fn count(&mut self) {
        self.isolate.counts.count(&of_rule(&self.rule), false);
        self.counted += 1;
    }

    /// Tries to flush. The batch or the reply may get lost.
    fn flush(&mut self, store: &Sqlite, now: u64, arrives: bool, is_answered: bool) {
        // `false`: the run that got no reply goes on.
        let _ = self.isolate.begin(now);
        let Next::Send(batch) = self.isolate.next(now) else { return };
        if arrives {
            let at = Timestamp(NOW + i64::try_from(now / 1_000).expect("a time"));
            store.handle::<Metrics>(&Command::Take(batch.clone()), at).expect("a reply");
            let before = self.arrived.insert(batch.number, requests(&batch));
            assert!(before.is_none_or(|before| before == requests(&batch)), "a number means one batch");
        }
        if arrives && is_answered {
            self.isolate.counts.confirmed(batch.number, Watch::default());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Isolates count, flush and are killed; batches and replies get lost, in any order. The object has each batch
    /// that arrived exactly once, and in the end everything that living isolates have counted.
    #[test]
    fn counts_each_request_once(steps in prop::collection::vec((0..4_usize, 0..8_u8), 0..120)) {
        let store = Sqlite::of::<Metrics>();
        let mut living: Vec<Modelled> = (0..4).map(Modelled::new).collect();
        let mut killed = Vec::new();
        let mut now = 0;
        for (at, step) in steps {
            now += 10_000;
            match step {
                0..=3 => living[at].count(),
                4 => {
                    let next = Modelled::new(living.len() + killed.len());
                    killed.push(std::mem::replace(&mut living[at], next));
                }
                5 => living[at].flush(&store, now, false, false),
                6 => living[at].flush(&store, now, true, false),
                _ => living[at].flush(&store, now, true, true),
            }
        }
        for isolate in &mut living {
            for _ in 0..4 {
                now += 10_000;
                isolate.flush(&store, now, true, true);
            }
            prop_assert_eq!(stored(&store, &isolate.rule), isolate.counted);
        }
        for isolate in &killed {
            prop_assert_eq!(stored(&store, &isolate.rule), isolate.arrived.values().sum::<u64>());
        }
    }
}
