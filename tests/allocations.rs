//! Number of memory allocations for a forwarded GET.
//!
//! Allocations are a large part of the core's time, so the tests limit their number. Raise a limit only for a good
//! reason.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

use std::{cell::Cell, time::Duration};

use serde_json::json;
use vestibule::{
    base::time::Timestamp,
    config::{Bindings, Config},
    crypto::derive::DerivedKey,
    gateway,
    guards::policy::WithHooks,
    http::{
        problem::Fault,
        request::{HeaderLines, Request},
    },
    platform::{
        effects::{
            AssetRequest, BodyError, BodyWasRead, Buffered, BufferedResponse, DryRun, DryRuns, ExternalCalls,
            ExternalRequest, ExternalResponse, ExternalUnavailable, HashedBody, Isolate, Kv, ObjectCalls,
            OpenedText, PlatformLimit, ReadBody, RequestBody, SealedAnswers, SealedTexts, Sealing,
            StoredAnswer, UpstreamCalls, UpstreamRequest, UpstreamResponse,
        },
        event::RequestMeta,
        memory::Memory,
        store::Object,
    },
};

const NOW: i64 = 1_700_000_000;

/// The effects that a forwarded GET needs. All others are unreachable.
struct Platform {
    memory: Memory,
    fields: Cell<String>,
}

impl WithHooks for Platform {}

impl UpstreamCalls for Platform {
    type Response = ();

    async fn upstream(&self, _o: UpstreamRequest<'_>) -> Result<UpstreamResponse<()>, Fault> {
        // The test creates the fields before it measures: in production, the edge allocates them.
        let fields = self.fields.take();
        Ok(UpstreamResponse { status: 200, elapsed_ms: 3, header_lines: HeaderLines(fields), response: () })
    }

    async fn asset(&self, _: AssetRequest<'_>) -> Result<UpstreamResponse<()>, Fault> {
        unreachable!("not on this path")
    }

    async fn head(&self, _: UpstreamRequest<'_>) -> Result<UpstreamResponse<()>, Fault> {
        unreachable!("not on this path")
    }

    async fn post(&self, _: UpstreamRequest<'_>, _: &str) -> Result<UpstreamResponse<()>, Fault> {
        unreachable!("not on this path")
    }

    async fn buffer_response(&self, _: usize, _: Duration) -> Result<BufferedResponse, Fault> {
        unreachable!("not on this path")
    }

    async fn buffered_body(&self, _: Buffered) -> Result<Vec<u8>, Fault> {
        unreachable!("not on this path")
    }
}

impl ObjectCalls for Platform {
    type Attachment = ();

    async fn call_for_attachment<O: Object>(
        &self,
        name: &str,
        command: &O::Command,
    ) -> Result<(O::Reply, Option<()>), Fault> {
        Ok((self.call_object::<O>(name, command).await?, None))
    }

    async fn call_object<O: Object>(&self, _: &str, _: &O::Command) -> Result<O::Reply, Fault> {
        unreachable!("not on this path")
    }

    fn call_after_response<O: Object>(&self, _: &str, _: &O::Command) {
        unreachable!("not on this path")
    }

    async fn call_with_body<O: Object>(
        &self,
        _: &str,
        _: &O::Command,
        _: BodyWasRead,
    ) -> Result<O::Reply, Fault> {
        unreachable!("not on this path")
    }
}

impl RequestBody for Platform {
    async fn body(&self, _: usize) -> Result<String, BodyError> {
        unreachable!("not on this path")
    }

    async fn bytes(&self, _: usize) -> Result<ReadBody, BodyError> {
        unreachable!("not on this path")
    }

    async fn hash_body(&self, _: usize) -> Result<String, BodyError> {
        unreachable!("not on this path")
    }

    async fn hash_body_with_prefix(&self, _: usize, _: usize) -> Result<HashedBody, BodyError> {
        unreachable!("not on this path")
    }

    async fn field(&self, _: &str, _: usize) -> Result<Option<String>, BodyError> {
        unreachable!("not on this path")
    }
}

impl SealedAnswers for Platform {
    async fn seal_and_store<O: Object>(
        &self,
        _: &str,
        _: &O::Command,
        _: Sealing<'_>,
    ) -> Result<O::Reply, Fault> {
        unreachable!("not on this path")
    }

    async fn load_sealed(
        &self,
        _: &[String],
        _: StoredAnswer<'_, ()>,
    ) -> Result<Option<UpstreamResponse<()>>, Fault> {
        unreachable!("not on this path")
    }
}

impl SealedTexts for Platform {
    async fn seal_text(&self, _: &DerivedKey, _: &str) -> Result<String, Fault> {
        unreachable!("not on this path")
    }

    async fn open_text(&self, _: &[DerivedKey], _: &str) -> Result<Option<OpenedText>, Fault> {
        unreachable!("not on this path")
    }
}

impl ExternalCalls for Platform {
    async fn call_external(&self, _: ExternalRequest<'_>) -> Result<ExternalResponse, ExternalUnavailable> {
        unreachable!("not on this path")
    }

    async fn platform_rate_limit(&self, _: &str, _: &str) -> Result<PlatformLimit, ExternalUnavailable> {
        unreachable!("not on this path")
    }
}

impl Kv for Platform {
    async fn kv_get(&self, _: &str) -> Result<Option<String>, Fault> {
        unreachable!("not on this path")
    }

    async fn kv_put(&self, _: &str, _: &str) -> Result<(), Fault> {
        unreachable!("not on this path")
    }
}

impl Isolate for Platform {
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

impl DryRuns for Platform {
    fn dry_run(&self) -> Self {
        unreachable!("not on this path")
    }

    fn as_dry_run(&self) -> Option<&DryRun> {
        None
    }
}

/// Headers of a browser, without the cookie.
const HEADERS: &str = "host\napp.example\naccept\n*/*\naccept-language\nen\naccept-encoding\ngzip, br\n\
    user-agent\nMozilla/5.0\nsec-fetch-mode\ncors\nsec-fetch-site\nsame-origin\nsec-fetch-dest\nempty\n\
    referer\nhttps://app.example/user\ncf-connecting-ip\n192.0.2.7\ncf-ray\n8f\nx-forwarded-proto\nhttps";

const ANSWER: &str = "content-type\ntext/html\ncache-control\nmax-age=60\netag\n\"1\"\ndate\n-\nserver\n-";

/// Returns the number of allocations for one request, once the isolate is warm, with these bindings.
fn allocations(path: &str, has_session: bool, bindings: &[&str]) -> u64 {
    let variables = json!({
        "PUBLIC_ORIGINS": ["https://app.example"],
        "UPSTREAM": "https://origin.example",
        "SESSION": { "check": "token" },
        "AUTH_SECRET": "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA",
        "UPSTREAM_SECRET": "u7Qm2Nf8Wc4Ry9Td1Kb6Vh3Xs5Jg0LpZe",
        "ROUTES": [
            { "path": "/public/{*rest}", "access": "public" },
            { "path": "/user/{id}", "access": "user", "operation": "user.view" },
        ],
    });
    let config = Config::parse(variables.as_object().unwrap(), &Bindings::named(bindings.iter().copied()))
        .expect("valid");
    let claims = json!({ "userId": "ada", "sessionId": "s1", "iat": NOW, "exp": NOW + 3_600 }).to_string();
    let session = config.sessions.keys.sign(claims.as_bytes());
    let cookie = if has_session { format!("\ncookie\na=1; mk_session={session}") } else { String::new() };
    let serialized = format!("GET\nhttps://app.example{path}\n{HEADERS}{cookie}");
    let platform = Platform { memory: Memory::default(), fields: Cell::default() };
    let run = || {
        let request = Request::read(&serialized).expect("a request");
        let meta = RequestMeta { now: Timestamp(NOW), milliseconds: 0, request_id: "req_1" };
        let (_answer, event) = pollster::block_on(gateway::handle(&config, &platform, &request, meta));
        assert_eq!((event.decision, event.status), ("allow", 200));
        event.line()
    };
    platform.fields.set(ANSWER.to_owned());
    assert!(run().is_some(), "the first request of an isolate is logged");
    platform.fields.set(ANSWER.to_owned());
    allocation_counter::measure(|| assert!(run().is_none())).count_total
}

#[test]
fn a_forwarded_get_stays_within_its_allocation_limit() {
    // Path, whether a session cookie is sent, and the maximum number of allocations.
    for (path, has_session, limit) in [("/user/7?tab=x", true, 20), ("/public/x.js", false, 10)] {
        let count = allocations(path, has_session, &["SESSIONS"]);
        assert!(count <= limit, "{path}: {count} allocations, limit {limit}");
        let counted = allocations(path, has_session, &["SESSIONS", "METRICS", "ANALYTICS"]);
        assert_eq!(counted, count, "{path}: counting a known series allocates nothing");
    }
}
