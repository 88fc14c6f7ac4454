//! Rate limits. No window has more requests than the limit, and a key is not limited for longer than two slices after
//! its window.
//!
//! The clock of the object may lag more and more: that lets no additional requests pass. When the clock is corrected, a
//! count may end early (`docs/failures.md`), so the reference starts again.

use std::collections::BTreeMap;

use vestibule::{
    guards::limiter::{Limiter, Verdict, clear, hit, peek},
    http::problem::RateLimit,
    platform::store::Store,
};

use crate::{Sent, Simulation, simulate, sqlite::Sqlite};

const LIMITS: [RateLimit; 3] = [
    RateLimit { name: "short", limit: 3, period: 7 },
    RateLimit { name: "minute", limit: 4, period: 60 },
    RateLimit { name: "odd", limit: 2, period: 101 },
];

const SUBJECTS: [&str; 3] = ["a", "b", "c"];

/// When requests passed, by limit and subject, on the right clock.
type Passed = BTreeMap<(&'static str, &'static str), Vec<i64>>;

#[test]
fn no_window_has_more_than_the_limit() {
    simulate("limiter", 25, run);
}

fn run(simulation: &mut Simulation) {
    let store = Sqlite::of::<Limiter>();
    let mut passed = Passed::new();
    // The right time, and how far the object's clock is behind.
    let (mut time, mut lag) = (simulation.now, 0);
    for _ in 0..150 {
        time += simulation.random.within(0, 3) * simulation.random.within(0, 12);
        match simulation.random.below(40) {
            0 => lag += simulation.random.within(1, 90),
            1 if lag > 0 => {
                lag = 0;
                passed.clear();
                // Whatever was counted under the wrong clock ends.
                time += 300;
            }
            _ => {}
        }
        simulation.now = time - lag;
        let (limit, subject) = (*simulation.random.pick(&LIMITS), *simulation.random.pick(&SUBJECTS));
        let all = passed.entry((limit.name, subject)).or_default();
        let (period, most) = (i64::from(limit.period), usize::try_from(limit.limit).unwrap());
        all.retain(|at| time - at < 3 * period + 2 * lag);
        let recent = all.iter().filter(|at| time - **at < period).count();
        match simulation.random.weighted(&[8, 3, 1]) {
            0 => {
                let sent = simulation.send::<Limiter>(&store, &hit(limit, subject).1);
                // Two slices longer than the window, and as long as the clock was behind.
                let slice = (period + 9) / 10;
                let counted = all.iter().filter(|at| time - **at < period + 2 * slice + lag).count();
                if let Some(verdict) = sent.reply() {
                    check(verdict, recent, counted, most);
                    if let Some(left) = verdict.remaining {
                        assert!(usize::try_from(left).unwrap() < most - recent);
                        all.push(time);
                    }
                }
            }
            1 => {
                let sent = simulation.send::<Limiter>(&store, &peek(limit, subject).1);
                if let Sent::Answered(verdict) = sent {
                    assert!(verdict.remaining.is_none() || recent < most, "{verdict:?}");
                }
            }
            _ => {
                let sent = simulation.send::<Limiter>(&store, &clear(limit, subject).1);
                if sent.reply().is_some() {
                    all.clear();
                }
            }
        }
        // A key has a row for each slice of its period, and each hit deletes the expired rows of all.
        let rows = store.run("SELECT count(*) FROM hits", &[]).unwrap()[0].integer(0).unwrap();
        assert!(rows <= 9 * 14 * (1 + lag.min(1)), "{rows} rows");
    }
}

fn check(verdict: Verdict, recent: usize, counted: usize, most: usize) {
    match verdict.remaining {
        Some(_) => assert!(recent < most, "{recent} requests have passed in this window"),
        None => assert!(counted >= most, "refused, although only {counted} requests may count"),
    }
}
