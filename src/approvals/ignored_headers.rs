//! Headers that do not count when a request is compared with the approved one.

/// Headers that do not change what a request does, or that differ from one attempt to the next. `Content-Type` is here
/// because it is compared separately.
pub const IGNORED_HEADERS: &[&str] = &[
    "authorization",
    "b3",
    "baggage",
    "cache-control",
    "cdn-loop",
    "confirmation-id",
    "connection",
    "content-length",
    "content-type",
    "date",
    "dnt",
    "expect",
    "host",
    "idempotency-key",
    "invocation-id",
    "keep-alive",
    "newrelic",
    "origin",
    "pragma",
    "priority",
    "referer",
    "sentry-trace",
    "te",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "uber-trace-id",
    "upgrade-insecure-requests",
    "user-agent",
    "via",
];

/// Prefixes of more such headers.
pub(super) const MEANINGLESS_PREFIXES: &[&str] =
    &["accept", "cf-", "sec-", "x-amzn-trace-", "x-b3-", "x-datadog-", "x-stainless-"];
