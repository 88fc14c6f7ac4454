//! What `stamps` does, by the `worker` crate as its templates use it: `#[event(fetch)]`, a call for each header, and
//! the futures of `js_sys`.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use worker::{Context, Delay, Env, Request, Response, Result, console_log, event};

/// As in `targets/stamps.mjs`: names, and values of the same length.
const STAMPS: [(&str, &str); 8] = [
    ("x-forwarded-host", "app.example"),
    ("x-forwarded-proto", "https"),
    ("x-request-id", "req_0123456789abcdef0123456789abcdef"),
    ("x-operation", "api.orders.id"),
    ("x-user-id", "usr_01J8ZK4T6Q2MV5XAC9"),
    ("x-session-id", "ses_01J8ZK4X9B7RWE3NP5HD01GSY"),
    ("x-author-id", "usr_01J8ZK4T6Q2MV5XAC9"),
    ("x-author-type", "user"),
];

const LINE: &str = r#"{"event":"request","requestId":"req_0123456789abcdef0123456789abcdef","method":"GET","rule":"/api/orders/{id}","operation":"api.orders.id","decision":"allow","principal":"user","status":200,"cookiesChanged":0,"upstreamMs":0,"durationMs":0}"#;

static PASSES: AtomicUsize = AtomicUsize::new(0);

/// Reads every header, as a gateway has to, forwards the request with those above, and gives up after half a minute.
#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    let read: usize = request.headers().entries().map(|(name, value)| name.len() + value.len()).sum();
    let mut forwarded = request.clone_mut()?;
    let headers = forwarded.headers_mut()?;
    for (name, value) in STAMPS {
        headers.set(name, value)?;
    }
    headers.set("x-vestibule-assertion", &format!("{}.{}.{}", "h".repeat(36), "p".repeat(370), "s".repeat(43)))?;
    let upstream = env.service("UPSTREAM")?;
    let sent = std::pin::pin!(upstream.fetch_request(forwarded));
    let late = std::pin::pin!(Delay::from(Duration::from_secs(30)));
    let response = match futures_util::future::select(sent, late).await {
        futures_util::future::Either::Left((response, _)) => response?,
        futures_util::future::Either::Right(_) => return Response::error("late", 504),
    };
    let told: usize = response.headers().entries().map(|(name, value)| name.len() + value.len()).sum();
    if (PASSES.fetch_add(1, Ordering::Relaxed) + read + told) % 100 == 0 {
        console_log!("{LINE}");
    }
    Ok(response)
}
