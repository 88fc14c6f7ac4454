//! What an isolate counts between two flushes, and when it flushes them.
//!
//! 1. A request is counted after its answer is decided. Counting a series that the isolate knows allocates nothing.
//! 2. The isolate flushes its counts after an answer: at once, or ten seconds after the last time. While somebody
//!    watches the decisions ([`super::tail`]), after one second.
//! 3. A batch has the id of the isolate and a number. If its flush fails, the same batch is sent again under the same
//!    number, because the object may have it: the object counts each number once. What is counted in the meantime waits
//!    for the next batch.
//! 4. A run of flushes goes on until nothing is left or its time is over: the platform ends what a request leaves
//!    behind after half a minute. A run that has not ended by then counts as lost, and the next request starts another.
//! 5. An isolate that is killed loses what it has not flushed: at most ten seconds, unless the object is away.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    series::{Key, SeriesSet, Tally},
    tail::{Lines, Watch},
};
use crate::{base::time::Timestamp, platform::event::Event};

/// Number of series that an isolate tells apart.
pub const MAX_SERIES: usize = 256;

/// Time between two flushes of an isolate.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// The same while somebody watches.
pub const WATCHED_INTERVAL: Duration = Duration::from_secs(1);

/// Time after which a run flushes what is left, and ends.
pub const RUN_TIME: Duration = Duration::from_secs(20);

/// Time after which a run that has not ended counts as lost.
pub const RUN_LOST: Duration = Duration::from_secs(40);

/// Time after which a batch is given up. It is shorter than the time for which the object remembers an isolate.
pub const GIVE_UP: Duration = Duration::from_mins(30);

/// Counts that an isolate flushes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The id of the isolate.
    pub isolate: String,
    /// The number of the batch, from 1.
    pub number: u64,
    /// The time at which the batch was closed.
    pub at: Timestamp,
    /// The counts.
    pub counts: SeriesSet,
    /// The decisions for those who watch.
    pub lines: Lines,
}

/// What a run of flushes does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It waits.
    Wait(Duration),
    /// It sends this batch, and reports its success to [`Counts::confirmed`].
    Send(Batch),
    /// It ends.
    End,
}

/// The counts of an isolate.
#[derive(Debug, Default)]
pub struct Counts {
    series: RefCell<SeriesSet>,
    lines: RefCell<Lines>,
    watch: RefCell<Watch>,
    flush: RefCell<FlushState>,
    has_counted: Cell<bool>,
}

/// The state of the flushes. Times are in milliseconds since 1970.
#[derive(Debug, Default)]
struct FlushState {
    /// The id of the isolate.
    isolate: Option<String>,
    /// The number of the last batch.
    number: u64,
    /// The batch that the object has not confirmed.
    unconfirmed: Option<Unconfirmed>,
    /// The time of the last attempt.
    last: Option<u64>,
    /// The beginning of the run in progress.
    run: Option<u64>,
}

#[derive(Debug)]
struct Unconfirmed {
    batch: Batch,
    /// The time of its first attempt.
    since: u64,
}

impl Counts {
    /// Counts a request.
    pub fn count(&self, event: &Event<'_>, is_webhook: bool) {
        self.series.borrow_mut().add(Key::of(event, is_webhook), &Tally::of(event), MAX_SERIES);
        self.has_counted.set(true);
        let watch = self.watch.borrow();
        if watch.matches(event) {
            self.lines.borrow_mut().push(event);
        }
    }

    /// Begins a run of flushes. Returns `false` if there is nothing to flush, or a run goes on. `new_id` makes the
    /// id of the isolate.
    #[must_use]
    pub fn begin_run(&self, now: u64, new_id: impl FnOnce() -> String) -> bool {
        let mut state = self.flush.borrow_mut();
        let goes_on = state.run.is_some_and(|begun| now.saturating_sub(begun) < milliseconds(RUN_LOST));
        if goes_on || !(self.has_counted.get() || state.unconfirmed.is_some()) {
            return false;
        }
        state.isolate.get_or_insert_with(new_id);
        state.run = Some(now);
        true
    }

    /// Returns what the run does next. `at` is the time for the counts.
    #[must_use]
    pub fn next(&self, now: u64, at: Timestamp) -> Next {
        let mut state = self.flush.borrow_mut();
        let state = &mut *state;
        state.unconfirmed.take_if(|batch| now.saturating_sub(batch.since) > milliseconds(GIVE_UP));
        let begun = state.run.unwrap_or(now);
        let is_last = now.saturating_sub(begun) >= milliseconds(RUN_TIME);
        // The last attempt of a run may come early. Only one attempt follows the end of its time.
        let had_last = state.last.is_some_and(|last| last.saturating_sub(begun) >= milliseconds(RUN_TIME));
        if had_last || !(self.has_counted.get() || state.unconfirmed.is_some()) {
            state.run = None;
            return Next::End;
        }
        let interval = if self.watch.borrow().is_active() { WATCHED_INTERVAL } else { INTERVAL };
        let due = state.last.map_or(now, |last| last.saturating_add(milliseconds(interval)));
        if due > now && !is_last {
            let end = begun.saturating_add(milliseconds(RUN_TIME));
            return Next::Wait(Duration::from_millis(due.min(end).saturating_sub(now)));
        }
        state.last = Some(now);
        let unconfirmed = state.unconfirmed.get_or_insert_with(|| {
            state.number = state.number.saturating_add(1);
            self.has_counted.set(false);
            let counts = self.series.borrow_mut().take_counts(MAX_SERIES / 2);
            let lines = self.lines.take();
            let isolate = state.isolate.clone().unwrap_or_default();
            let batch = Batch { isolate, number: state.number, at, counts, lines };
            Unconfirmed { batch, since: now }
        });
        Next::Send(unconfirmed.batch.clone())
    }

    /// Notes that the object has the batch of this number.
    pub fn confirmed(&self, number: u64, watch: Watch) {
        self.flush.borrow_mut().unconfirmed.take_if(|sent| sent.batch.number == number);
        *self.watch.borrow_mut() = watch;
    }
}

fn milliseconds(span: Duration) -> u64 {
    crate::base::time::whole_milliseconds(span)
}

#[cfg(test)]
mod tests;
