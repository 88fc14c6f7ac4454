//! The totals as `OpenMetrics` text (version 1.0.0), for Prometheus. Durations are in seconds, as Prometheus wants them.

use std::fmt::Write as _;

use super::{
    histogram::{BOUNDS_MS, Histogram},
    series::{Series, Tally},
    summary::status_class,
};

/// The media type.
pub const MEDIA_TYPE: &str = "application/openmetrics-text";

/// The value of `Content-Type`.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A counter that has only the label `rule`.
struct Counter {
    name: &'static str,
    description: &'static str,
    read: fn(&Tally) -> u64,
}

const BY_RULE: [Counter; 3] = [
    Counter {
        name: "session_heals",
        description: "Answers that expired an invalid session cookie.",
        read: |tally| tally.heals,
    },
    Counter {
        name: "replays",
        description: "Stored answers that were replayed for an idempotency key.",
        read: |tally| tally.replays,
    },
    Counter {
        name: "webhook_duplicates",
        description: "Events of webhooks that were accepted before.",
        read: |tally| tally.duplicates,
    },
];

/// Writes the totals. The series are sorted by rule.
#[must_use]
pub fn text(series: &[Series]) -> String {
    let mut text = String::with_capacity(4_096);
    text.push_str(
        "# TYPE vestibule_requests counter\n\
         # HELP vestibule_requests Requests by rule, decision, reason, class of status and kind of principal.\n",
    );
    for one in series {
        let key = one.key();
        text.push_str("vestibule_requests_total");
        let labels = [
            ("rule", key.rule),
            ("decision", key.decision),
            ("reason", key.reason),
            ("status", status_class(key.status)),
            ("principal", key.principal),
        ];
        write_labels(&mut text, &labels);
        let _ = writeln!(text, " {}", one.tally.requests);
    }
    let rules = by_rule(series);
    for Counter { name, description, read } in BY_RULE {
        let _ = write!(text, "# TYPE vestibule_{name} counter\n# HELP vestibule_{name} {description}\n");
        for (rule, tally) in &rules {
            let _ = write!(text, "vestibule_{name}_total");
            write_labels(&mut text, &[("rule", rule)]);
            let _ = writeln!(text, " {}", read(tally));
        }
    }
    text.push_str(
        "# TYPE vestibule_upstream_duration_seconds histogram\n\
         # UNIT vestibule_upstream_duration_seconds seconds\n\
         # HELP vestibule_upstream_duration_seconds Time until upstream's response headers arrived.\n",
    );
    for (rule, tally) in rules.iter().filter(|(_, tally)| tally.upstream.count() > 0) {
        write_histogram(&mut text, rule, &tally.upstream);
    }
    text.push_str("# EOF\n");
    text
}

fn by_rule(series: &[Series]) -> Vec<(&str, Tally)> {
    let mut rules: Vec<(&str, Tally)> = Vec::new();
    for one in series {
        let rule = one.key().rule;
        match rules.last_mut() {
            Some((last, tally)) if *last == rule => tally.add(&one.tally),
            _ => rules.push((rule, one.tally)),
        }
    }
    rules
}

fn write_histogram(text: &mut String, rule: &str, histogram: &Histogram) {
    const NAME: &str = "vestibule_upstream_duration_seconds";
    let mut count: u64 = 0;
    for (index, more) in histogram.buckets.iter().enumerate() {
        count = count.saturating_add(*more);
        let bound = BOUNDS_MS.get(index).map_or_else(|| "+Inf".to_owned(), |bound| seconds(*bound));
        text.push_str(NAME);
        text.push_str("_bucket");
        write_labels(text, &[("rule", rule), ("le", &bound)]);
        let _ = writeln!(text, " {count}");
    }
    for (suffix, value) in [("_sum", seconds(histogram.sum_ms)), ("_count", count.to_string())] {
        text.push_str(NAME);
        text.push_str(suffix);
        write_labels(text, &[("rule", rule)]);
        let _ = writeln!(text, " {value}");
    }
}

/// Writes milliseconds as seconds with three digits, without a conversion to a float.
fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1_000, milliseconds % 1_000)
}

fn write_labels(text: &mut String, labels: &[(&str, &str)]) {
    let mut separator = '{';
    for (name, value) in labels {
        text.push(separator);
        text.push_str(name);
        text.push_str("=\"");
        for character in value.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
        separator = ',';
    }
    text.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::series::{Key, SeriesSet};

    #[test]
    fn writes_cumulative_buckets_and_escaped_labels() {
        let mut tally = Tally { requests: 3, replays: 1, ..Tally::default() };
        for milliseconds in [1, 5, 40_000] {
            tally.upstream.record(milliseconds);
        }
        let mut set = SeriesSet::default();
        let key = Key { rule: "/a\"\\", decision: "allow", reason: "", status: 2, principal: "user" };
        set.add(key, &tally, 9);
        set.add(Key { decision: "unauthorized", status: 4, ..key }, &tally, 9);
        let text = text(set.all());
        for line in [
            r#"vestibule_requests_total{rule="/a\"\\",decision="allow",reason="",status="2xx",principal="user"} 3"#,
            r#"vestibule_replays_total{rule="/a\"\\"} 2"#,
            r#"vestibule_upstream_duration_seconds_bucket{rule="/a\"\\",le="0.001"} 2"#,
            r#"vestibule_upstream_duration_seconds_bucket{rule="/a\"\\",le="0.008"} 4"#,
            r#"vestibule_upstream_duration_seconds_bucket{rule="/a\"\\",le="32.768"} 4"#,
            r#"vestibule_upstream_duration_seconds_bucket{rule="/a\"\\",le="+Inf"} 6"#,
            r#"vestibule_upstream_duration_seconds_sum{rule="/a\"\\"} 80.012"#,
            r#"vestibule_upstream_duration_seconds_count{rule="/a\"\\"} 6"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.ends_with("\n# EOF\n"));
    }
}
