//! Numbers about requests, kept by the edge itself.
//!
//! | file | contents |
//! |---|---|
//! | `mod.rs` | what the gateway calls: counts a request |
//! | `series.rs`, `histogram.rs` | what is counted together; durations |
//! | `counts.rs` | what an isolate counts, and when it flushes them |
//! | `object.rs`, `tables.rs`, `summary.rs` | the `Metrics` object; its minutes, hours and totals; sums over series |
//! | `tail.rs`, `lines.rs` | decisions for those who watch; the ring in which the object keeps them |
//! | `endpoints.rs`, `open_metrics.rs` | `GET /api/metrics`: JSON, and text for Prometheus |
//! | `analytics.rs` | a data point for Workers Analytics Engine |
//!
//! Without the binding `METRICS`, nothing is counted; without `ANALYTICS`, no data point is written.

pub mod analytics;
pub mod counts;
pub(crate) mod endpoints;
pub mod histogram;
pub mod lines;
pub mod object;
pub mod open_metrics;
pub mod series;
pub mod summary;
pub mod tables;
pub mod tail;

use crate::platform::{effects::Isolate, event::Event};

pub use self::object::Metrics;

/// The configuration of the numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Whether there is the binding of [`Metrics`].
    pub has_store: bool,
    /// Whether there is the binding [`analytics::BINDING`].
    pub has_analytics: bool,
}

/// Counts a request whose answer is decided.
pub fn count<E: Isolate>(settings: &Settings, effects: &E, event: &Event<'_>, is_webhook: bool) {
    if settings.has_store {
        effects.memory().of::<counts::Counts>().count(event, is_webhook);
    }
    if settings.has_analytics {
        analytics::write(effects, event, is_webhook);
    }
}
