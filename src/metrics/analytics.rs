//! One data point for each request, for Workers Analytics Engine. Queries find members by their place, so places never
//! change: a new member comes last. `docs/metrics.md` has the same list.
//!
//! | | |
//! |---|---|
//! | `index1` | rule |
//! | `blob1` … `blob8` | rule, decision, reason, kind of principal, method, operation, step of the refusal, request id |
//! | `double1` … `double6` | status, milliseconds until the answer, milliseconds of upstream (−1: not asked), 1 for a heal, a replay, a duplicate |

use super::series::{Key, Tally};
use crate::platform::{
    effects::{DataPoint, Isolate},
    event::Event,
};

/// The name of the binding.
pub const BINDING: &str = "ANALYTICS";

/// The platform's limit for an index, in bytes.
const MAX_INDEX: usize = 96;

/// Writes the data point of a request.
pub fn write<E: Isolate>(effects: &E, event: &Event<'_>, is_webhook: bool) {
    let Key { rule, decision, reason, principal, .. } = Key::of(event, is_webhook);
    let Tally { heals, replays, duplicates, .. } = Tally::of(event);
    let step = event.step.map_or("", |step| step.name());
    let end = (0..=MAX_INDEX.min(rule.len())).rev().find(|end| rule.is_char_boundary(*end));
    effects.write_data_point(DataPoint {
        binding: BINDING,
        index: rule.get(..end.unwrap_or_default()).unwrap_or_default(),
        blobs: &[
            rule,
            decision,
            reason,
            principal,
            event.method,
            event.operation.unwrap_or_default(),
            step,
            event.request_id,
        ],
        doubles: &[
            f64::from(event.status),
            number(event.duration_ms),
            event.upstream_ms.map_or(-1.0, number),
            number(heals),
            number(replays),
            number(duplicates),
        ],
    });
}

#[expect(clippy::cast_precision_loss, reason = "durations are far from 2^53 milliseconds")]
fn number(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::platform::{memory::Memory, step::Step};

    /// A data point as text.
    #[derive(Default)]
    struct Written {
        memory: Memory,
        point: RefCell<String>,
    }

    impl Isolate for Written {
        fn write_data_point(&self, DataPoint { binding, index, blobs, doubles }: DataPoint<'_>) {
            *self.point.borrow_mut() = format!("{binding} {index} {blobs:?} {doubles:?}");
        }

        fn random(&self) -> [u8; 32] {
            [7; 32]
        }

        fn memory(&self) -> &Memory {
            &self.memory
        }

        fn elapsed(&self) -> u64 {
            1
        }
    }

    #[test]
    fn members_have_their_documented_places() {
        let effects = Written::default();
        let mut event = Event::new("req_1", "GET");
        (event.rule, event.decision, event.reason) = (Some("/a"), "unauthorized", Some("token_expired"));
        (event.operation, event.step, event.principal) = (Some("a.read"), Some(Step::Access), Some("user"));
        (event.status, event.duration_ms, event.healed) = (401, 7, true);
        write(&effects, &event, false);
        let blobs = r#"["/a", "unauthorized", "token_expired", "user", "GET", "a.read", "access", "req_1"]"#;
        assert_eq!(
            *effects.point.borrow(),
            format!("ANALYTICS /a {blobs} [401.0, 7.0, -1.0, 1.0, 0.0, 0.0]")
        );
    }

    #[test]
    fn a_long_index_is_cut_between_characters() {
        let effects = Written::default();
        let rule = format!("/{}", "ä".repeat(60));
        let mut event = Event::new("req_1", "GET");
        event.rule = Some(&rule);
        write(&effects, &event, false);
        let index = format!("ANALYTICS /{} [", "ä".repeat(47));
        assert!(effects.point.borrow().starts_with(&index), "{}", effects.point.borrow());
    }
}
