//! A platform in memory: an upstream that records what it receives, and real objects over `SQLite`.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sha2::{Digest, Sha256};
use vestibule::{
    base::time::Timestamp,
    crypto::derive::DerivedKey,
    guards::policy::WithHooks,
    http::{problem::Fault, request::HeaderLines},
    platform::{
        effects::{
            AssetRequest, BodyError, BodyWasRead, Buffered, BufferedResponse, DryRun, DryRuns, ExternalCalls,
            ExternalRequest, ExternalResponse, ExternalUnavailable, HashedBody, Isolate, Kv, ObjectCalls,
            OpenedText, PlatformLimit, ReadBody, RequestBody, SealedAnswers, SealedTexts, Sealing,
            StoredAnswer, UpstreamCalls, UpstreamRequest, UpstreamResponse,
        },
        memory::Memory,
        store::Object,
    },
};

use super::common;

/// The time at which a test begins, in Unix seconds.
pub(crate) const NOW: i64 = 1_700_000_000;

/// A platform in memory: an upstream that records its requests, and the objects.
pub(crate) struct Upstream {
    pub(crate) answer: Result<Scripted, Fault>,
    pub(crate) received: RefCell<Vec<Received>>,
    pub(crate) objects: common::sqlite::Objects,
    pub(crate) memory: Memory,
    /// Requests to the assets binding, and the status and content type of its responses.
    pub(crate) assets: RefCell<Vec<String>>,
    pub(crate) asset_answer: Cell<(u16, &'static str)>,
    /// Number of calls to objects. `None`: stores are unavailable.
    pub(crate) store_calls: Cell<Option<u32>>,
    /// The number of the one call to an object that fails.
    pub(crate) fails_at: Cell<Option<u32>>,
    /// Classes of objects that do not answer, and `KV`.
    pub(crate) failing: RefCell<BTreeSet<&'static str>>,
    /// The clock of the objects.
    pub(crate) now: Cell<i64>,
    /// The values in KV.
    pub(crate) kv: RefCell<BTreeMap<String, String>>,
    /// The response to ownership lookups, and how many there were. `None`: they get `answer` like other requests.
    pub(crate) owner_answer: RefCell<Option<Result<Scripted, Fault>>>,
    pub(crate) owner_lookups: Cell<u32>,
    /// Answers external services. Without it, `external_responses` has their responses.
    pub(crate) external_service: RefCell<Option<ExternalService>>,
    /// The field of the body in which a bot check finds its token.
    pub(crate) bot_field: RefCell<Option<String>>,
    /// Bodies of requests to external services, and their responses, the last one first.
    pub(crate) external_requests: RefCell<Vec<String>>,
    pub(crate) external_responses: RefCell<Vec<ExternalResponse>>,
    /// Milliseconds since the request arrived.
    pub(crate) elapsed: Cell<u64>,
    /// Runs once, when a body is read.
    pub(crate) on_body_read: RefCell<Option<OnBodyRead>>,
    /// The body of the request.
    pub(crate) body: RefCell<Option<Vec<u8>>>,
    /// Log lines, without the request lines.
    pub(crate) logged: RefCell<Vec<String>>,
    /// Set in a dry run.
    pub(crate) dry_run: Option<DryRun>,
}

/// A function that runs while the gateway waits for a body.
pub(crate) type OnBodyRead = Box<dyn Fn(&Upstream)>;

/// A function that answers requests to external services.
pub(crate) type ExternalService =
    Box<dyn Fn(&ExternalRequest<'_>) -> Result<ExternalResponse, ExternalUnavailable>>;

/// A status and headers.
pub(crate) type Scripted = (u16, Vec<(&'static str, &'static str)>);

/// The target, the headers that were set, the names that were removed, and whether the cache was bypassed.
pub(crate) type Received = (String, Vec<(&'static str, String)>, Vec<String>, bool);

impl WithHooks for Upstream {}

impl UpstreamCalls for Upstream {
    type Response = ();

    async fn upstream(&self, request: UpstreamRequest<'_>) -> Result<UpstreamResponse<()>, Fault> {
        let removed = request.edits.remove.iter().map(ToString::to_string).collect();
        self.received.borrow_mut().push((
            request.target.to_owned(),
            request.edits.set.into_iter().map(|(name, value)| (name, value.into_owned())).collect(),
            removed,
            request.personal,
        ));
        let (status, headers) = self.answer.clone()?;
        Ok(respond(status, headers))
    }

    async fn asset(&self, asset: AssetRequest<'_>) -> Result<UpstreamResponse<()>, Fault> {
        self.assets.borrow_mut().push(format!("{} {} {:?}", asset.method, asset.path, asset.if_none_match));
        let (status, content_type) = self.asset_answer.get();
        let header_lines = HeaderLines(format!("content-type\n{content_type}\netag\n\"1\""));
        Ok(UpstreamResponse { status, elapsed_ms: 1, header_lines, response: () })
    }

    async fn head(&self, request: UpstreamRequest<'_>) -> Result<UpstreamResponse<()>, Fault> {
        let Some(scripted) = self.owner_answer.borrow().clone() else { return self.upstream(request).await };
        self.owner_lookups.set(self.owner_lookups.get() + 1);
        scripted.map(|(status, headers)| respond(status, headers))
    }

    async fn post(&self, request: UpstreamRequest<'_>, _body: &str) -> Result<UpstreamResponse<()>, Fault> {
        self.upstream(request).await
    }

    async fn buffered_body(&self, _: Buffered) -> Result<Vec<u8>, Fault> {
        Ok(b"{}".to_vec())
    }

    async fn buffer_response(&self, _limit: usize, _timeout: Duration) -> Result<BufferedResponse, Fault> {
        Ok(BufferedResponse::Whole(Buffered { length: 0 }))
    }
}

impl ObjectCalls for Upstream {
    type Attachment = Vec<u8>;

    async fn call_for_attachment<O: Object>(
        &self,
        name: &str,
        command: &O::Command,
    ) -> Result<(O::Reply, Option<Vec<u8>>), Fault> {
        Ok((self.call_object::<O>(name, command).await?, self.objects.attached()))
    }

    async fn call_object<O: Object>(&self, name: &str, command: &O::Command) -> Result<O::Reply, Fault> {
        self.store_calls.set(Some(self.store_calls.get().ok_or(Fault::StoreUnavailable)? + 1));
        if self.fails_at.get() == self.store_calls.get() && self.fails_at.get().is_some() {
            return Err(Fault::StoreUnavailable);
        }
        if self.failing.borrow().contains(O::CLASS.name) {
            return Err(Fault::StoreUnavailable);
        }
        assert!(self.dry_run.is_none() || O::is_read_only(command), "a dry run writes");
        Ok(self.objects.call::<O>(name, command, Timestamp(self.now.get())).expect("a reply"))
    }

    fn call_after_response<O: Object>(&self, name: &str, command: &O::Command) {
        if !self.failing.borrow().contains(O::CLASS.name) {
            self.objects.call::<O>(name, command, Timestamp(self.now.get())).expect("a reply");
        }
    }

    async fn call_with_body<O: Object>(
        &self,
        name: &str,
        command: &O::Command,
        _: BodyWasRead,
    ) -> Result<O::Reply, Fault> {
        self.call_object::<O>(name, command).await
    }
}

impl RequestBody for Upstream {
    async fn body(&self, _limit: usize) -> Result<String, BodyError> {
        Err(BodyError::BrokenOff)
    }

    async fn bytes(&self, _limit: usize) -> Result<ReadBody, BodyError> {
        self.wait();
        self.body.borrow().clone().map(ReadBody::new).ok_or(BodyError::BrokenOff)
    }

    async fn hash_body(&self, _limit: usize) -> Result<String, BodyError> {
        self.wait();
        Ok(sha256(&self.body.borrow().clone().unwrap_or_default()))
    }

    async fn hash_body_with_prefix(&self, _limit: usize, first: usize) -> Result<HashedBody, BodyError> {
        self.wait();
        let body = self.body.borrow().clone().unwrap_or_default();
        let first = body.get(..first.min(body.len())).unwrap_or_default().to_vec();
        Ok(HashedBody { sha256: sha256(&body), length: body.len(), first })
    }

    async fn field(&self, _name: &str, _limit: usize) -> Result<Option<String>, BodyError> {
        self.wait();
        Ok(self.bot_field.borrow().clone())
    }
}

impl SealedAnswers for Upstream {
    async fn seal_and_store<O: Object>(
        &self,
        name: &str,
        command: &O::Command,
        sealing: Sealing<'_>,
    ) -> Result<O::Reply, Fault> {
        self.objects.attach::<O>(name, format!("{} {}", sealing.key, sealing.head).into_bytes());
        self.call_object::<O>(name, command).await
    }

    async fn load_sealed(
        &self,
        keys: &[String],
        stored: StoredAnswer<'_, Vec<u8>>,
    ) -> Result<Option<UpstreamResponse<()>>, Fault> {
        let StoredAnswer::Attached(sealed) = stored else { panic!("no answer is in KV") };
        let sealed = String::from_utf8(sealed).expect("text");
        let (key, head) = sealed.split_once(' ').expect("a key and a head");
        assert!(keys.iter().any(|known| known == key), "sealed under another key");
        let (status, fields) = head.split_once('\n').unwrap_or((head, ""));
        let status = status.parse().expect("a status");
        Ok(Some(UpstreamResponse {
            status,
            elapsed_ms: 0,
            header_lines: HeaderLines(fields.to_owned()),
            response: (),
        }))
    }
}

impl SealedTexts for Upstream {
    async fn seal_text(&self, _: &DerivedKey, _: &str) -> Result<String, Fault> {
        Err(Fault::Internal)
    }

    async fn open_text(&self, _: &[DerivedKey], _: &str) -> Result<Option<OpenedText>, Fault> {
        Err(Fault::Internal)
    }
}

impl ExternalCalls for Upstream {
    async fn call_external(
        &self,
        request: ExternalRequest<'_>,
    ) -> Result<ExternalResponse, ExternalUnavailable> {
        self.external_requests.borrow_mut().push(request.body.to_owned());
        if self.failing.borrow().contains("external") {
            return Err(ExternalUnavailable);
        }
        if let Some(service) = &*self.external_service.borrow() {
            return service(&request);
        }
        self.external_responses.borrow_mut().pop().ok_or(ExternalUnavailable)
    }

    async fn platform_rate_limit(
        &self,
        _binding: &str,
        _key: &str,
    ) -> Result<PlatformLimit, ExternalUnavailable> {
        Err(ExternalUnavailable)
    }
}

impl Kv for Upstream {
    async fn kv_get(&self, name: &str) -> Result<Option<String>, Fault> {
        if self.failing.borrow().contains("KV") {
            return Err(Fault::StoreUnavailable);
        }
        Ok(self.kv.borrow().get(name).cloned())
    }

    async fn kv_put(&self, _name: &str, _value: &str) -> Result<(), Fault> {
        Err(Fault::StoreUnavailable)
    }
}

impl Isolate for Upstream {
    fn log(&self, line: &str) {
        self.logged.borrow_mut().push(line.to_owned());
    }

    fn random(&self) -> [u8; 32] {
        let count = self.store_calls.get().unwrap_or_default();
        Sha256::digest(count.to_le_bytes()).into()
    }

    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn elapsed(&self) -> u64 {
        self.elapsed.get()
    }
}

impl DryRuns for Upstream {
    fn dry_run(&self) -> Self {
        unreachable!("no dry run in these tests")
    }

    fn as_dry_run(&self) -> Option<&DryRun> {
        self.dry_run.as_ref()
    }
}

impl Upstream {
    fn wait(&self) {
        if let Some(on_body_read) = self.on_body_read.take() {
            on_body_read(self);
        }
    }
}

fn respond(status: u16, headers: Vec<(&'static str, &'static str)>) -> UpstreamResponse<()> {
    let fields: Vec<String> = headers.into_iter().map(|(name, value)| format!("{name}\n{value}")).collect();
    let header_lines = HeaderLines(fields.join("\n"));
    UpstreamResponse { status, elapsed_ms: 5, header_lines, response: () }
}

/// Returns the SHA-256 of bytes, in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    vestibule::base::encoding::hex(&Sha256::digest(bytes))
}

pub(crate) fn upstream_with(answer: Result<Scripted, Fault>) -> Upstream {
    Upstream {
        answer,
        received: RefCell::default(),
        objects: common::sqlite::Objects::default(),
        memory: Memory::default(),
        assets: RefCell::default(),
        asset_answer: Cell::new((200, "application/octet-stream")),
        store_calls: Cell::new(Some(0)),
        fails_at: Cell::default(),
        failing: RefCell::default(),
        now: Cell::new(NOW),
        kv: RefCell::default(),
        owner_answer: RefCell::default(),
        owner_lookups: Cell::default(),
        external_service: RefCell::default(),
        bot_field: RefCell::new(Some("token".to_owned())),
        external_requests: RefCell::default(),
        external_responses: RefCell::default(),
        elapsed: Cell::new(7),
        on_body_read: RefCell::default(),
        body: RefCell::default(),
        logged: RefCell::default(),
        dry_run: None,
    }
}

pub(crate) fn upstream(status: u16, headers: &[(&'static str, &'static str)]) -> Upstream {
    upstream_with(Ok((status, headers.to_vec())))
}
