//! Effects without a platform: every credential is live, no limit is reached, features are on, and nothing has side
//! effects.

use std::{any::Any, time::Duration};

use vestibule::{
    base::time::Timestamp,
    crypto::derive::DerivedKey,
    guards::{
        limiter::{self, Verdict},
        policy::WithHooks,
    },
    http::problem::Fault,
    identity::principal::Role,
    platform::{
        effects::{
            AssetRequest, BodyError, BodyWasRead, Buffered, BufferedResponse, DryRun, DryRuns, ExternalCalls,
            ExternalRequest, ExternalResponse, ExternalUnavailable, HashedBody, Isolate, Kv, ObjectCalls,
            OpenedText, PlatformLimit, ReadBody, RequestBody, SealedAnswers, SealedTexts, Sealing,
            StoredAnswer, UpstreamCalls, UpstreamRequest, UpstreamResponse,
        },
        memory::Memory,
        step::Step,
        store::Object,
    },
    sessions::registry::{self, LiveSession, UserStatus},
    tokens,
};

/// Effects without a platform: every credential is live, and nothing has side effects.
pub(super) struct OfflineEffects {
    memory: Memory,
    role: Role,
    now: Timestamp,
    dry_run: DryRun,
}

impl OfflineEffects {
    /// `role` is the role of every user. Every session began `now`.
    pub(super) fn new(role: Role, now: Timestamp) -> Self {
        Self { memory: Memory::default(), role, now, dry_run: DryRun::default() }
    }
}

impl OfflineEffects {
    /// Replies as the `Sessions` object of a user whose session is live.
    fn reply_of_sessions(&self, command: &registry::Command) -> Result<registry::Reply, Fault> {
        match command {
            registry::Command::CheckReadOnly(..) => Ok(registry::Reply::Live(LiveSession {
                role: self.role,
                expires_at: Timestamp(i64::MAX),
                created_at: self.now,
                authenticated_at: self.now,
            })),
            registry::Command::ReadUserStatus => Ok(registry::Reply::UserStatus(Some(UserStatus {
                role: self.role,
                active: true,
                version: 0,
            }))),
            registry::Command::WithProfile(command) => {
                let reply = Box::new(self.reply_of_sessions(command)?);
                Ok(registry::Reply::WithProfile(reply, None))
            }
            _ => Err(Fault::Internal),
        }
    }
}

/// Returns a valid token.
fn token() -> tokens::Token {
    tokens::Token {
        id: "tok_explained".to_owned(),
        name: "explained".to_owned(),
        prefix: String::new(),
        owner: "usr_explained".to_owned(),
        agent: None,
        task: None,
        created_at: Timestamp(0),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
        made_by_token: None,
        takeovers: 0,
        scope: None,
    }
}

impl WithHooks for OfflineEffects {}

impl UpstreamCalls for OfflineEffects {
    type Response = ();

    async fn upstream(&self, _: UpstreamRequest<'_>) -> Result<UpstreamResponse<()>, Fault> {
        Err(Fault::Internal)
    }

    async fn asset(&self, _: AssetRequest<'_>) -> Result<UpstreamResponse<()>, Fault> {
        Err(Fault::Internal)
    }

    async fn head(&self, _: UpstreamRequest<'_>) -> Result<UpstreamResponse<()>, Fault> {
        Err(Fault::Internal)
    }

    async fn post(&self, _: UpstreamRequest<'_>, _: &str) -> Result<UpstreamResponse<()>, Fault> {
        Err(Fault::Internal)
    }

    async fn buffer_response(&self, _: usize, _: Duration) -> Result<BufferedResponse, Fault> {
        Err(Fault::Internal)
    }

    async fn buffered_body(&self, _: Buffered) -> Result<Vec<u8>, Fault> {
        Err(Fault::Internal)
    }
}

impl ObjectCalls for OfflineEffects {
    type Attachment = ();

    async fn call_for_attachment<O: Object>(
        &self,
        name: &str,
        command: &O::Command,
    ) -> Result<(O::Reply, Option<()>), Fault> {
        Ok((self.call_object::<O>(name, command).await?, None))
    }

    async fn call_object<O: Object>(&self, _: &str, command: &O::Command) -> Result<O::Reply, Fault> {
        let command: &dyn Any = command;
        let reply: Box<dyn Any> = if let Some(command) = command.downcast_ref::<registry::Command>() {
            Box::new(self.reply_of_sessions(command)?)
        } else if command.is::<tokens::Command>() {
            Box::new(Some(token()))
        } else if command.is::<limiter::Command>() {
            Box::new(Verdict { remaining: Some(1), reset: 0 })
        } else {
            return Err(Fault::Internal);
        };
        reply.downcast().map(|reply| *reply).map_err(|_| Fault::Internal)
    }

    fn call_after_response<O: Object>(&self, _: &str, _: &O::Command) {}

    async fn call_with_body<O: Object>(
        &self,
        _: &str,
        _: &O::Command,
        _: BodyWasRead,
    ) -> Result<O::Reply, Fault> {
        Err(Fault::Internal)
    }
}

impl RequestBody for OfflineEffects {
    async fn body(&self, _: usize) -> Result<String, BodyError> {
        Err(BodyError::BrokenOff)
    }

    async fn bytes(&self, _: usize) -> Result<ReadBody, BodyError> {
        Err(BodyError::BrokenOff)
    }

    async fn hash_body(&self, _: usize) -> Result<String, BodyError> {
        Err(BodyError::BrokenOff)
    }

    async fn hash_body_with_prefix(&self, _: usize, _: usize) -> Result<HashedBody, BodyError> {
        Err(BodyError::BrokenOff)
    }

    async fn field(&self, _: &str, _: usize) -> Result<Option<String>, BodyError> {
        Err(BodyError::BrokenOff)
    }
}

impl SealedAnswers for OfflineEffects {
    async fn seal_and_store<O: Object>(
        &self,
        _: &str,
        _: &O::Command,
        _: Sealing<'_>,
    ) -> Result<O::Reply, Fault> {
        Err(Fault::Internal)
    }

    async fn load_sealed(
        &self,
        _: &[String],
        _: StoredAnswer<'_, ()>,
    ) -> Result<Option<UpstreamResponse<()>>, Fault> {
        Err(Fault::Internal)
    }
}

impl SealedTexts for OfflineEffects {
    async fn seal_text(&self, _: &DerivedKey, _: &str) -> Result<String, Fault> {
        Err(Fault::Internal)
    }

    async fn open_text(&self, _: &[DerivedKey], _: &str) -> Result<Option<OpenedText>, Fault> {
        Err(Fault::Internal)
    }
}

impl ExternalCalls for OfflineEffects {
    async fn call_external(&self, _: ExternalRequest<'_>) -> Result<ExternalResponse, ExternalUnavailable> {
        Err(ExternalUnavailable)
    }

    async fn platform_rate_limit(&self, _: &str, _: &str) -> Result<PlatformLimit, ExternalUnavailable> {
        Err(ExternalUnavailable)
    }
}

impl Kv for OfflineEffects {
    async fn kv_get(&self, _: &str) -> Result<Option<String>, Fault> {
        self.dry_run.assume(Step::Feature);
        Ok(Some(r#"{"state":"on"}"#.to_owned()))
    }

    async fn kv_put(&self, _: &str, _: &str) -> Result<(), Fault> {
        Err(Fault::Internal)
    }
}

impl Isolate for OfflineEffects {
    fn random(&self) -> [u8; 32] {
        [0; 32]
    }

    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn elapsed(&self) -> u64 {
        0
    }
}

impl DryRuns for OfflineEffects {
    fn dry_run(&self) -> Self {
        Self::new(self.role, self.now)
    }

    fn as_dry_run(&self) -> Option<&DryRun> {
        Some(&self.dry_run)
    }
}
