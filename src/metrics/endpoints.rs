//! `GET /api/metrics`: what was counted, for admins. `GET /api/metrics/tail`: decisions as they are made.
//!
//! - As JSON: `?step=minute` (the last hour, by default) or `?step=hour` (the last seven days), `?from=`, `?to=` in RFC
//!   3339, `?rule=` with the pattern of one rule. Buckets without requests are left out.
//! - With `Accept: application/openmetrics-text`: the sum of everything that was counted, for Prometheus.

use std::ops::RangeInclusive;

use serde::{Serialize, Serializer};

use super::{
    histogram::{BOUNDS_MS, BUCKETS, Histogram},
    object::{Command, Metrics, NAME, Query, Reply, Step},
    open_metrics,
    summary::{Bucket, Count},
    tables::{HOUR, MAX_BUCKETS, MINUTE, start_of},
    tail::Feed,
};
use crate::{
    base::time::Timestamp,
    http::{
        problem::{Fault, Rejection},
        reply::{self, EarlyResponse},
        request::Headers,
    },
    identity::call::{Call, EndpointResponse, json},
    platform::effects::Effects,
};

/// The members of the query that [`read`] knows.
const PARAMETERS: &[&str] = &["from", "to", "step", "rule"];

/// A step, its length in seconds, and the lengths of a query in steps: by default, and at most.
struct Scale {
    step: Step,
    seconds: i64,
    steps: RangeInclusive<i64>,
}

/// Answers `GET /api/metrics`.
///
/// # Errors
/// [`EarlyResponse`].
pub(crate) async fn read<E: Effects>(call: Call<'_>, effects: &E) -> Result<EndpointResponse, EarlyResponse> {
    call.reject_unknown_parameters(PARAMETERS)?;
    if wants_open_metrics(&call.request.headers) {
        let Reply::Totals(totals) = effects.call_object::<Metrics>(NAME, &Command::Totals).await? else {
            return Err(Fault::Internal.into());
        };
        let headers = vec![("content-type", open_metrics::CONTENT_TYPE.to_owned())];
        let body = Some(open_metrics::text(totals.all()));
        return Ok(reply::Reply { status: 200, headers, body }.into());
    }
    let scale = scale(call)?;
    let length = |steps: i64| scale.seconds.saturating_mul(steps);
    // By default, the bucket in progress is the last one.
    let to = time_parameter(call, "to")?.map_or(call.meta.now.0.saturating_add(1), |to| to.0);
    let from = match time_parameter(call, "from")? {
        Some(from) => from.0,
        None => to.saturating_sub(length(*scale.steps.start())),
    };
    let from = start_of(from, scale.seconds);
    if to.saturating_sub(from) > length(*scale.steps.end()) {
        return Err(
            Rejection::InvalidBody("from", "expected at most a day of minutes, or 90 days of hours").into()
        );
    }
    let rule = call.request.parameter("rule");
    let mut buckets = Vec::new();
    let mut next = from;
    while next < to {
        let end = next.saturating_add(length(MAX_BUCKETS)).min(to);
        let query = Query { step: scale.step, from: Timestamp(next), to: Timestamp(end), rule: rule.clone() };
        let Reply::Buckets(found) = effects.call_object::<Metrics>(NAME, &Command::Read(query)).await? else {
            return Err(Fault::Internal.into());
        };
        buckets.extend(found);
        next = end;
    }
    let found = Found {
        from: Timestamp(from).to_string(),
        to: Timestamp(to).to_string(),
        step: if scale.step == Step::Hour { "hour" } else { "minute" },
        bounds: &BOUNDS_MS,
        buckets: buckets.iter().map(Shown::of).collect(),
    };
    Ok(json(200, &found).into())
}

/// Answers `GET /api/metrics/tail`. The caller sends the events after this response.
///
/// # Errors
/// [`EarlyResponse`]: a parameter is invalid, or too many people watch.
pub(crate) async fn tail<E: Effects>(call: Call<'_>, effects: &E) -> Result<EndpointResponse, EarlyResponse> {
    call.reject_unknown_parameters(&["rule", "decision", "status", "principal"])?;
    let feed = Feed::of(call.request)?;
    match effects.call_object::<Metrics>(NAME, &feed.command(call.meta.request_id)).await? {
        Reply::Lines(_) => {}
        Reply::TooManyWatch => return Err(Rejection::Overloaded.into()),
        _ => return Err(Fault::Internal.into()),
    }
    let headers = vec![("content-type", "text/event-stream".to_owned())];
    let reply = reply::Reply { status: 200, headers, body: None };
    Ok(EndpointResponse { opens_feed: call.request.method == "GET", ..reply.into() })
}

/// Checks whether the client prefers the text for Prometheus. Prometheus lists several types, this one first.
fn wants_open_metrics(headers: &Headers<'_>) -> bool {
    headers.value("accept").is_some_and(|accept| accept.contains(open_metrics::MEDIA_TYPE))
}

fn scale(call: Call<'_>) -> Result<Scale, Rejection> {
    match call.request.parameter("step").as_deref() {
        None | Some("minute") => Ok(Scale { step: Step::Minute, seconds: MINUTE, steps: 60..=1_441 }),
        Some("hour") => Ok(Scale { step: Step::Hour, seconds: HOUR, steps: 168..=2_161 }),
        Some(_) => Err(Rejection::InvalidBody("step", "expected minute or hour")),
    }
}

fn time_parameter(call: Call<'_>, name: &'static str) -> Result<Option<Timestamp>, Rejection> {
    let invalid = Rejection::InvalidBody(name, "expected an RFC 3339 time, such as 2026-11-26T12:00:00Z");
    call.request.parameter(name).map(|text| Timestamp::parse(&text).ok_or(invalid)).transpose()
}

#[derive(Serialize)]
struct Found<'a> {
    from: String,
    to: String,
    step: &'static str,
    bounds: &'static [u64],
    buckets: Vec<Shown<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    start: String,
    requests: u64,
    by_decision: Named<'a>,
    by_reason: Named<'a>,
    by_status: Named<'a>,
    by_principal: Named<'a>,
    by_rule: Named<'a>,
    heals: u64,
    replays: u64,
    duplicates: u64,
    upstream: Upstream,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Upstream {
    count: u64,
    sum_ms: u64,
    buckets: [u64; BUCKETS],
}

/// Counts as one object: `{"allow": 5}`.
struct Named<'a>(&'a [Count]);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|count| (&count.name, count.requests)))
    }
}

impl<'a> Shown<'a> {
    fn of(bucket: &'a Bucket) -> Self {
        let Histogram { sum_ms, buckets } = bucket.upstream;
        Self {
            start: bucket.start.to_string(),
            requests: bucket.requests,
            by_decision: Named(&bucket.by_decision),
            by_reason: Named(&bucket.by_reason),
            by_status: Named(&bucket.by_status),
            by_principal: Named(&bucket.by_principal),
            by_rule: Named(&bucket.by_rule),
            heals: bucket.heals,
            replays: bucket.replays,
            duplicates: bucket.duplicates,
            upstream: Upstream { count: bucket.upstream.count(), sum_ms, buckets },
        }
    }
}
