//! The only way out of the core, and what goes through it.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    time::Duration,
};

use crate::{
    cache::Cache,
    context::Headers,
    encoding,
    feature::Flag,
    policy::{Decision, Hooks, NoHooks},
    principal::Role,
    problem::{Fault, Rejection},
    registry::{self, Profile, Standing},
    sampling::PlainPasses,
    step::Step,
    store::Object,
    time::Timestamp,
    tokens::Token,
};

/// What the core cannot do itself. The edge does it against the platform, tests do it in memory.
#[expect(async_fn_in_trait, reason = "one thread: a Worker's futures need not be Send")]
pub trait Effects {
    /// A response of upstream's, body and all, that the core hands on without looking inside.
    type Response;

    /// Sends the request that is being answered on to upstream, with these changes.
    ///
    /// # Errors
    /// [`Fault::UpstreamFailed`] or [`Fault::UpstreamTimeout`].
    async fn upstream(
        &self,
        outbound: UpstreamRequest<'_>,
    ) -> Result<UpstreamResponse<Self::Response>, Fault>;

    /// Asks upstream for the headers of something, by a `HEAD` that has these headers and no others.
    ///
    /// # Errors
    /// [`Fault::UpstreamFailed`] or [`Fault::UpstreamTimeout`].
    async fn head(&self, outbound: UpstreamRequest<'_>) -> Result<UpstreamResponse<()>, Fault>;

    /// Tells upstream something, by a `POST` of JSON that has these headers and no others.
    ///
    /// # Errors
    /// [`Fault::UpstreamFailed`] or [`Fault::UpstreamTimeout`].
    async fn post(&self, outbound: UpstreamRequest<'_>, body: &str) -> Result<UpstreamResponse<()>, Fault>;

    /// Has the object of this class and name do something.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`]: whether it was done is not known.
    async fn call_object<O: Object>(&self, name: &str, command: &O::Command) -> Result<O::Reply, Fault>;

    /// Has an object do something after the answer; whether it did, nobody learns.
    fn call_after_response<O: Object>(&self, name: &str, command: &O::Command);

    /// Reads the request's body as text.
    ///
    /// # Errors
    /// [`BodyError`].
    async fn body(&self, limit: usize) -> Result<String, BodyError>;

    /// Reads the request's body, which goes to upstream all the same.
    ///
    /// # Errors
    /// [`BodyError`]; never [`BodyError::NotText`].
    async fn bytes(&self, limit: usize) -> Result<Vec<u8>, BodyError>;

    /// Reads the request's body, which goes to upstream all the same; its SHA-256 in hex.
    ///
    /// # Errors
    /// [`BodyError`]; never [`BodyError::NotText`].
    async fn hash_body(&self, limit: usize) -> Result<String, BodyError>;

    /// Reads the request's body, which goes to upstream all the same, for its hash and its first bytes.
    ///
    /// # Errors
    /// [`BodyError`]; never [`BodyError::NotText`].
    async fn hash_body_with_prefix(&self, limit: usize, first: usize) -> Result<HashedBody, BodyError>;

    /// Hands the request's body, once [`Effects::bytes`] has read it, to an object with a command.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`]: whether it was done is not known.
    async fn call_with_body<O: Object>(&self, name: &str, command: &O::Command) -> Result<O::Reply, Fault>;

    /// Reads the body of upstream's response, of which nothing is lost by that.
    ///
    /// # Errors
    /// [`Fault::UpstreamFailed`], [`Fault::UpstreamTimeout`]: it breaks off, or takes longer.
    async fn buffer_response(&self, limit: usize, timeout: Duration) -> Result<BufferedResponse, Fault>;

    /// Gives the body that was collected.
    ///
    /// # Errors
    /// [`Fault::Internal`]: none was.
    async fn buffered_body(&self) -> Result<Vec<u8>, Fault>;

    /// Seals an answer and hands it to an object with a command.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`]: whether it was done is not known.
    async fn seal_and_store<O: Object>(
        &self,
        name: &str,
        command: &O::Command,
        sealing: Sealing<'_>,
    ) -> Result<O::Reply, Fault>;

    /// Opens the sealed answer that came with an object's last reply, or that is kept in KV under a name;
    /// `None` where no key opens it.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`]: it is not there, or not there yet.
    async fn load_sealed(
        &self,
        keys: &[String],
        elsewhere: Option<&str>,
    ) -> Result<Option<UpstreamResponse<Self::Response>>, Fault>;

    /// Reads a field of the request's body, which goes to upstream all the same: of a form, or of a JSON object.
    ///
    /// # Errors
    /// [`BodyError`]; never [`BodyError::NotText`].
    async fn field(&self, name: &str, limit: usize) -> Result<Option<String>, BodyError>;

    /// Asks somebody outside, by a `POST`.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`]: there is no answer, or none in time, or it is longer than was asked for.
    async fn call_external(&self, question: ExternalRequest<'_>) -> Result<ExternalResponse, Fault>;

    /// Asks the platform's own counter of this binding for one more.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`]: it does not say.
    async fn platform_rate_limit(&self, binding: &str, key: &str) -> Result<Gate, Fault>;

    /// Reads a value of KV.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`].
    async fn kv_get(&self, name: &str) -> Result<Option<String>, Fault>;

    /// Writes a value of KV.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`]: whether it was written is not known.
    async fn kv_put(&self, name: &str, value: &str) -> Result<(), Fault>;

    /// Writes a line of JSON to the log, beside the request's own.
    fn log(&self, _line: &str) {}

    /// Has what comes of this request be seen to although the client goes away.
    fn survive_disconnect(&self) {}

    /// Gives what the Worker's own code decides by.
    fn hooks(&self) -> &dyn Hooks {
        &NoHooks
    }

    /// Gives the same with its hands tied: objects are asked, and KV, but nothing is done and nobody outside is asked.
    /// It has a [`DryRun`].
    #[must_use]
    fn dry_run(&self) -> Self
    where
        Self: Sized;

    /// Returns the dry run, if this is one.
    fn as_dry_run(&self) -> Option<&DryRun>;

    /// Gives 32 random bytes that nobody can guess.
    fn random(&self) -> [u8; 32];

    /// Makes an id, or a token, that nobody can guess: a prefix and 160 random bits.
    fn new_id(&self, prefix: &str) -> String {
        format!("{prefix}{}", encoding::base64url(self.random().get(..20).unwrap_or_default()))
    }

    /// Gives what this isolate remembers.
    fn memory(&self) -> &Memory;

    /// Tells the milliseconds since the request came in. For logs; nothing is decided by it.
    fn elapsed(&self) -> u64;
}

/// What an isolate remembers of what stores have said.
#[derive(Debug)]
pub struct Memory {
    /// Live sessions, by user and session: the user's role, and when the session ends.
    pub sessions: Cache<(Role, Timestamp)>,
    /// Tokens, by their hash.
    pub tokens: Cache<Token>,
    /// Whether there was an account. The last admin cannot be deleted, so there is one from then on.
    pub is_set_up: Cell<bool>,
    /// Whether the tokens that the configuration names were listed.
    pub seeded: Cell<bool>,
    /// How users stand that tokens act for.
    pub standings: Cache<Standing>,
    /// Names and e-mail addresses of users, for upstream.
    pub profiles: Cache<Profile>,
    /// Plain passes, most of which are not logged.
    pub plain_passes: PlainPasses,
    /// Features, by their names.
    pub features: Cache<Flag>,
    /// What the external policy has decided, by the hash of what it was asked, and until when in milliseconds since 1970.
    pub decisions: Cache<(Decision, u64)>,
    /// Hosts that no public origin has and that were logged, [`MOST_HOSTS`] at most.
    unlisted_hosts: RefCell<Vec<String>>,
    /// Log lines that are not repeated.
    pub said: Cache<()>,
}

impl Memory {
    /// Forgets all about a user: their sessions, and how they stand.
    pub fn forget_user(&self, user: &str) {
        self.sessions.forget_all(&registry::remembered_as(user, ""));
        self.standings.forget(user);
        self.profiles.forget(user);
    }

    /// Notes a line of the log that is written once in an isolate. Tells whether it is new.
    #[must_use]
    pub fn is_new_line(&self, line: String, milliseconds: u64) -> bool {
        let is_new = self.said.find(&line, milliseconds, u64::MAX).is_none();
        if is_new {
            self.said.put(line, (), milliseconds);
        }
        is_new
    }

    /// Notes a host that no public origin has. Tells whether the log is to be told of it: the first time, and of the
    /// first hosts only.
    #[must_use]
    pub fn is_new_unlisted_host(&self, host: &str) -> bool {
        let mut known = self.unlisted_hosts.borrow_mut();
        let is_new =
            host.len() <= LONGEST_HOST && known.len() < MOST_HOSTS && !known.iter().any(|one| one == host);
        if is_new {
            known.push(host.to_owned());
        }
        is_new
    }
}

impl Default for Memory {
    fn default() -> Self {
        // A few hundred bytes each, in an isolate of 128 MB.
        Self {
            is_set_up: Cell::default(),
            sessions: Cache::new(10_000),
            tokens: Cache::new(5_000),
            seeded: Cell::default(),
            standings: Cache::new(5_000),
            plain_passes: PlainPasses::default(),
            profiles: Cache::new(5_000),
            features: Cache::new(500),
            decisions: Cache::new(5_000),
            unlisted_hosts: RefCell::default(),
            said: Cache::new(1_000),
        }
    }
}

/// Hosts that an isolate warns of.
const MOST_HOSTS: usize = 32;

/// Bytes of the longest host that it warns of: a name of 253 with a port (RFC 1035 §2.3.4).
const LONGEST_HOST: usize = 259;

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is longer than asked for.
    TooLarge,
    /// It is not UTF-8.
    NotText,
    /// The client did not send the rest of it.
    BrokenOff,
    /// The bodies that are being read use all the memory for bodies.
    Overloaded,
}

impl From<BodyError> for Rejection {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::BodyTooLarge,
            BodyError::NotText => Self::InvalidBody("(body)", "expected UTF-8"),
            BodyError::BrokenOff => Self::InvalidBody("(body)", "expected the whole of it"),
            BodyError::Overloaded => Self::Overloaded,
        }
    }
}

/// A question to somebody outside.
#[derive(Clone, Copy, Debug)]
pub struct ExternalRequest<'a> {
    /// By what way.
    pub way: ExternalTarget<'a>,
    /// The body's type.
    pub content_type: &'static str,
    /// The body.
    pub body: &'a str,
    /// How long they may take.
    pub timeout: Duration,
}

/// How somebody outside is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExternalTarget<'a> {
    /// Across the network, at this URL.
    Url(&'a str),
    /// By the service binding of this name.
    Binding(&'a str),
}

/// What somebody outside has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalResponse {
    /// The status.
    pub status: u16,
    /// The body, of at most [`LONGEST_TOLD`] bytes.
    pub body: String,
}

/// Bytes of the longest answer of somebody outside.
pub const LONGEST_TOLD: usize = crate::policy::LONGEST;

/// What the platform's own counter says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// There is room for one more.
    Open,
    /// There is none.
    Shut,
}

/// What is noted in a dry run: what somebody outside would have been asked, and was taken to
/// let it pass.
#[derive(Debug, Default)]
pub struct DryRun(RefCell<Vec<Step>>);

impl DryRun {
    /// Notes that a step was taken to pass.
    pub fn assume(&self, step: Step) {
        self.0.borrow_mut().push(step);
    }

    /// Tells whether it was.
    #[must_use]
    pub fn has_assumed(&self, step: Step) -> bool {
        self.0.borrow().contains(&step)
    }
}

/// What is seen of a body that is not taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashedBody {
    /// Its SHA-256, in hex.
    pub sha256: String,
    /// How many bytes it has.
    pub length: usize,
    /// The first of them.
    pub first: Vec<u8>,
}

/// What came of reading the body of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferedResponse {
    /// All of it; so many bytes.
    Whole(usize),
    /// It is a stream, or too long: it passes as it comes.
    Stream,
}

/// How an answer is kept.
#[derive(Clone, Copy, Debug)]
pub struct Sealing<'a> {
    /// 32 bytes in hex.
    pub key: &'a str,
    /// Status and headers.
    pub head: &'a str,
    /// The body of an answer of our own; else it is that which was collected.
    pub body: Option<&'a str>,
    /// The name under which it is kept in KV, and for how many seconds; else it is attached to the command.
    pub elsewhere: Option<(&'a str, i64)>,
}

/// What is different about a request when it goes on. Method and body stay as they are.
#[derive(Debug)]
pub struct UpstreamRequest<'a> {
    /// The canonical path with the query.
    pub target: &'a str,
    /// Changes of the headers.
    pub edits: HeaderEdits<'a>,
    /// Whether the answer may depend on who asks, so that no shared cache may hold it.
    pub personal: bool,
    /// How long to wait for the response's headers.
    pub timeout: Duration,
}

/// What upstream answered.
#[derive(Debug)]
pub struct UpstreamResponse<R> {
    /// The status.
    pub status: u16,
    /// Milliseconds until its headers were there.
    pub elapsed_ms: u64,
    /// Names in lower case and values, one a line; each `set-cookie` by itself.
    pub fields: String,
    /// The response.
    pub response: R,
}

impl<R> UpstreamResponse<R> {
    /// Tells whether it is a success, or leads on to one.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..400).contains(&self.status)
    }

    /// Gives the headers.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        Headers::read(&self.fields)
    }
}

/// Changes of a message's headers, made in this order: removed, set, appended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits<'a> {
    /// Names to remove.
    pub remove: Vec<Cow<'a, str>>,
    /// Names and their only value.
    pub set: Vec<(&'static str, Cow<'a, str>)>,
    /// Names and one value more.
    pub append: Vec<(&'static str, String)>,
}

/// What the client gets.
#[derive(Debug)]
pub enum Answer<R> {
    /// Upstream's response with changed headers; without changes, it is handed on as it is.
    Relayed(R, HeaderEdits<'static>),
    /// A response of our own.
    Own(Reply),
}

/// A response of our own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The status, 200–599.
    pub status: u16,
    /// Names and values; a name may come twice.
    pub headers: Vec<(&'static str, String)>,
    /// The body; `None` where there is to be none.
    pub body: Option<String>,
}

impl HeaderEdits<'_> {
    /// Tells whether anything changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.append.is_empty()
    }
}
