#![allow(clippy::arithmetic_side_effects, reason = "a test may fail")]

use proptest::prelude::*;

use super::*;
use crate::{
    metrics::{
        lines::Numbered,
        series::{Key, OVERFLOW_SERIES, Tally},
        summary::Count,
        tail::Lines,
    },
    platform::store::sqlite::Sqlite,
};

/// The beginning of an hour.
const NOW: i64 = 1_699_999_200;
const DAY: i64 = 86_400;

fn counts(rule: &str, requests: u64) -> SeriesSet {
    let key = Key { rule, decision: "allow", reason: "", status: 2, principal: "user" };
    let mut counts = SeriesSet::default();
    let mut tally = Tally { requests, ..Tally::default() };
    tally.upstream.record(5);
    counts.add(key, &tally, usize::MAX);
    counts
}

fn take_at(store: &Sqlite, number: u64, at: i64, now: i64, counts: SeriesSet) {
    let isolate = "iso_1".to_owned();
    let batch = Batch { isolate, number, at: Timestamp(at), counts, lines: Lines::default() };
    let reply = store.handle::<Metrics>(&Command::Take(batch), Timestamp(now)).expect("a reply");
    assert_eq!(reply, Reply::Taken(Watch::default()));
}

fn buckets(store: &Sqlite, step: Step, rule: Option<&str>) -> Vec<(i64, u64)> {
    let (from, to) = (Timestamp(0), Timestamp(NOW * 2));
    let query = Query { step, from, to, rule: rule.map(str::to_owned) };
    match store.handle::<Metrics>(&Command::Read(query), Timestamp(NOW)).expect("a reply") {
        Reply::Buckets(buckets) => {
            buckets.iter().map(|found| (found.start.0 - NOW, found.requests)).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn total(store: &Sqlite) -> u64 {
    match store.handle::<Metrics>(&Command::Totals, Timestamp(NOW)).expect("a reply") {
        Reply::Totals(counts) => counts.all().iter().map(|series| series.tally.requests).sum(),
        other => panic!("{other:?}"),
    }
}

fn rows(store: &Sqlite, table: &str) -> i64 {
    let found = store.run(&format!("SELECT count(*) FROM {table}"), &[]).expect("rows");
    found[0].integer(0).expect("a number")
}

#[test]
fn counts_a_batch_in_its_minute_and_once() {
    let store = Sqlite::of::<Metrics>();
    for (number, at, requests) in
        [(1, NOW + 5, 2), (2, NOW + 59, 3), (2, NOW + 59, 3), (3, NOW + 60, 4), (1, NOW, 9)]
    {
        take_at(&store, number, at, NOW + 61, counts("/a", requests));
    }
    assert_eq!(buckets(&store, Step::Minute, None), [(0, 5), (60, 4)]);
    assert_eq!(buckets(&store, Step::Hour, None), [(0, 9)], "open minutes are part of their hour");
    assert_eq!(total(&store), 9);
}

#[test]
fn no_batch_is_counted_in_the_future_or_in_a_closed_minute() {
    let store = Sqlite::of::<Metrics>();
    take_at(&store, 1, NOW + DAY, NOW, counts("/a", 1));
    assert_eq!(buckets(&store, Step::Minute, None), [(0, 1)]);
    Metrics::alarm(&store, Timestamp(NOW + 3_600)).expect("done");
    take_at(&store, 2, NOW, NOW + 3_600, counts("/a", 2));
    assert_eq!(buckets(&store, Step::Minute, None), [(0, 1), (3_000, 2)], "the first open minute");
    Metrics::alarm(&store, Timestamp(NOW + 7_200)).expect("done");
    assert_eq!((buckets(&store, Step::Hour, None), total(&store)), (vec![(0, 3)], 3));
}

#[test]
fn sums_each_member_of_the_series() {
    let store = Sqlite::of::<Metrics>();
    let mut both = counts("/a", 2);
    let refused = Key {
        rule: "/b",
        decision: "unauthorized",
        reason: "token_expired",
        status: 4,
        principal: "anonymous",
    };
    both.add(refused, &Tally { requests: 1, heals: 1, replays: 2, duplicates: 3, ..Tally::default() }, 9);
    take_at(&store, 1, NOW, NOW, both);
    let query = Query { step: Step::Minute, from: Timestamp(NOW), to: Timestamp(NOW + 1), rule: None };
    let Reply::Buckets(found) =
        store.handle::<Metrics>(&Command::Read(query), Timestamp(NOW)).expect("a reply")
    else {
        panic!("buckets")
    };
    let named = |counts: &[Count]| {
        counts.iter().map(|count| (count.name.clone(), count.requests)).collect::<Vec<_>>()
    };
    let pair = |one: &str, other: &str| vec![(one.to_owned(), 2), (other.to_owned(), 1)];
    let [bucket] = &found[..] else { panic!("{found:?}") };
    assert_eq!(named(&bucket.by_rule), pair("/a", "/b"));
    assert_eq!(named(&bucket.by_decision), pair("allow", "unauthorized"));
    assert_eq!(named(&bucket.by_reason), [("token_expired".to_owned(), 1)]);
    assert_eq!(named(&bucket.by_status), pair("2xx", "4xx"));
    assert_eq!(named(&bucket.by_principal), pair("user", "anonymous"));
    assert_eq!((bucket.requests, bucket.heals, bucket.replays, bucket.duplicates), (3, 1, 2, 3));
    assert_eq!((bucket.upstream.count(), bucket.upstream.sum_ms), (1, 5));
    assert_eq!(buckets(&store, Step::Minute, Some("/b")), [(0, 1)]);
    assert_eq!(buckets(&store, Step::Minute, Some("/c")), []);
}

#[test]
fn deletes_minutes_after_a_day_and_hours_after_ninety() {
    let store = Sqlite::of::<Metrics>();
    take_at(&store, 1, NOW, NOW, counts("/a", 1));
    let mut now = NOW;
    let mut left = Vec::new();
    while let Some(at) = Metrics::next_alarm(&store, Timestamp(now)).expect("a time") {
        assert!(at.0 > now, "an alarm that is due has done its work");
        now = at.0;
        Metrics::alarm(&store, at).expect("done");
        left.push((now - NOW, rows(&store, "minutes"), rows(&store, "hours")));
    }
    assert_eq!(left, [(661, 1, 1), (DAY + 1, 0, 1), (90 * DAY + 1, 0, 0)]);
    assert!(Metrics::is_deletable(&store).expect("a reply"));
    assert_eq!(total(&store), 1, "totals do not shrink");
}

#[test]
fn rows_and_series_are_bounded_whatever_the_traffic() {
    let store = Sqlite::of::<Metrics>();
    let mut now = NOW;
    for number in 0..40_u64 {
        let mut many = SeriesSet::default();
        for rule in 0..100 {
            let rule = format!("/{number}/{rule}");
            many.add_all(&counts(&rule, 1), usize::MAX);
        }
        take_at(&store, number + 1, now, now, many);
        now += 1;
    }
    assert_eq!(rows(&store, "minutes"), 1);
    Metrics::alarm(&store, Timestamp(now + 3_600)).expect("done");
    let stored = store.run("SELECT counts FROM hours", &[]).expect("rows")[0].text(0).expect("a text");
    let series: SeriesSet = tables::from_json(&stored).expect("series");
    assert!(series.all().len() <= tables::MAX_SERIES + OVERFLOW_SERIES + 1);
    assert_eq!((buckets(&store, Step::Hour, None), total(&store)), (vec![(0, 4_000)], 4_000));
    for isolate in 0..50 {
        let batch = Batch {
            isolate: format!("iso_{isolate}"),
            number: 1,
            at: Timestamp(now),
            counts: SeriesSet::default(),
            lines: Lines::default(),
        };
        store.handle::<Metrics>(&Command::Take(batch), Timestamp(now)).expect("a reply");
    }
    store.run("UPDATE isolates SET seen = seen - 7200 WHERE id LIKE 'iso_1%'", &[]).expect("done");
    Metrics::alarm(&store, Timestamp(now)).expect("done");
    assert_eq!(rows(&store, "isolates"), 39, "11 were not seen for two hours");
}

fn watch(store: &Sqlite, id: &str, after: Option<i64>, now: i64) -> Reply {
    let watching = Watching { id: id.to_owned(), filter: Filter::default(), after };
    store.handle::<Metrics>(&Command::Watch(watching), Timestamp(now)).expect("a reply")
}

fn put_lines(store: &Sqlite, number: u64, lines: usize, dropped: u64) {
    let mut found = Lines::default();
    found.lines = (0..lines).map(|line| format!("{number}.{line}")).collect();
    found.dropped = dropped;
    let (isolate, counts) = ("iso_1".to_owned(), SeriesSet::default());
    let batch = Batch { isolate, number, at: Timestamp(NOW), counts, lines: found };
    store.handle::<Metrics>(&Command::Take(batch), Timestamp(NOW)).expect("a reply");
}

fn new_lines(store: &Sqlite, after: i64) -> (Vec<(i64, String)>, u64, i64) {
    match watch(store, "req_1", Some(after), NOW) {
        Reply::Lines(NewLines { lines, dropped, last }) => {
            (lines.into_iter().map(|Numbered { number, line }| (number, line)).collect(), dropped, last)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn whoever_watches_gets_each_line_once() {
    let store = Sqlite::of::<Metrics>();
    assert_eq!(watch(&store, "req_1", None, NOW), Reply::Lines(NewLines::default()));
    put_lines(&store, 1, 2, 0);
    put_lines(&store, 2, 0, 7);
    let line = |number, text: &str| (number, text.to_owned());
    assert_eq!(new_lines(&store, 0), (vec![line(1, "1.0"), line(2, "1.1")], 7, 3));
    assert_eq!(new_lines(&store, 1), (vec![line(2, "1.1")], 7, 3));
    assert_eq!(new_lines(&store, 3), (vec![], 0, 3));
    assert_eq!(new_lines(&store, 99), (vec![], 0, 3), "the number of another object");
    Metrics::alarm(&store, Timestamp(NOW + 61)).expect("done");
    assert_eq!(rows(&store, "lines"), 0);
    put_lines(&store, 3, 1, 0);
    assert_eq!(new_lines(&store, 3), (vec![line(4, "3.0")], 0, 4), "the numbers go on");
}

#[test]
fn the_ring_says_how_many_lines_it_overwrote() {
    let store = Sqlite::of::<Metrics>();
    for number in 1..=20 {
        put_lines(&store, number, 50, 0);
    }
    let (lines, dropped, last) = new_lines(&store, 100);
    assert_eq!((lines.len(), dropped, last), (500, 400, 1_000));
    assert_eq!(lines[0].0, 501);
}

#[test]
fn ten_people_can_watch() {
    let store = Sqlite::of::<Metrics>();
    for person in 0..10 {
        assert!(matches!(watch(&store, &format!("req_{person}"), None, NOW), Reply::Lines(_)));
    }
    assert_eq!(watch(&store, "req_10", None, NOW), Reply::TooManyWatch);
    assert!(matches!(watch(&store, "req_9", None, NOW + 15), Reply::Lines(_)), "renewed");
    assert!(matches!(watch(&store, "req_10", None, NOW + 21), Reply::Lines(_)), "the others have left");
    assert_eq!(tables::watching(&store, Timestamp(NOW + 21)).expect("filters").0.len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// However batches and alarms follow one another, minutes, hours and totals agree, and nothing is lost.
    #[test]
    fn rolling_up_loses_nothing(steps in prop::collection::vec((0..1_500_i64, 0..3_000_i64, 0..4_u8), 1..40)) {
        let store = Sqlite::of::<Metrics>();
        let (mut now, mut counted) = (NOW, 0);
        for (number, (passed, late, step)) in (1_u64..).zip(steps) {
            now += passed;
            if step == 0 {
                Metrics::alarm(&store, Timestamp(now)).expect("done");
            } else {
                take_at(&store, number, now - late, now, counts("/a", number));
                counted += number;
            }
            let sum = |step| buckets(&store, step, None).iter().map(|(_, requests)| requests).sum::<u64>();
            prop_assert_eq!(total(&store), counted);
            prop_assert_eq!(sum(Step::Hour), counted);
            // Later, the first minutes are deleted.
            if now - NOW < DAY - 3_600 {
                prop_assert_eq!(sum(Step::Minute), counted);
            }
        }
    }
}
