//! Explains how the gateway would decide a request, and why: `npm run explain -- METHOD URL [-H "Name: value"]…`.
//!
//! Reads the same JSON as `check-config` from standard input, with these members in addition: `{"method": …, "url": …,
//! "headers": [[name, value]…], "as": "nobody" | "user" | "admin" | "agent" | a token's prefix, "json": true | false,
//! "now": seconds}`. The decisions use the same code as the Worker. There are no stores here: the program assumes that
//! sessions and tokens are live, that no limit is reached, and that features are on.

use std::{process::ExitCode, time::Duration};

use serde_json::{Value, json};
use vestibule::{
    base::time::Timestamp,
    config::Config,
    crypto::{derive::DerivedKey, jwt::claims::SessionIds},
    gateway::{
        dry_run::{self, Outcome, Trace},
        explain::serialize_request,
    },
    guards::policy::WithHooks,
    http::{problem::Fault, request::Request},
    platform::{
        effects::{
            AssetRequest, BodyError, BodyWasRead, Buffered, BufferedResponse, DryRun, DryRuns, ExternalCalls,
            ExternalRequest, ExternalResponse, ExternalUnavailable, HashedBody, Isolate, Kv, ObjectCalls,
            OpenedText, PlatformLimit, ReadBody, RequestBody, SealedAnswers, SealedTexts, Sealing,
            StoredAnswer, UpstreamCalls, UpstreamRequest, UpstreamResponse,
        },
        event::RequestMeta,
        memory::Memory,
        step::Step,
        store::Object,
    },
    sessions::cookies,
};

use super::input::{self, Given};

/// Runs the program on this input.
pub(super) fn main(input: &str) -> ExitCode {
    match explain(input) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(mistakes) => {
            for mistake in mistakes {
                eprintln!("{mistake}");
            }
            ExitCode::FAILURE
        }
    }
}

fn explain(input: &str) -> Result<String, Vec<String>> {
    let failed = |error: &dyn ToString| vec![error.to_string()];
    let input: Value = serde_json::from_str(input).map_err(|error| failed(&error))?;
    let Given { all, bindings, secrets_are_known } = input::given(&input).map_err(|error| vec![error])?;
    let config = Config::parse(&all, &bindings)
        .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
    let now = config.site.fixed_now.or_else(|| input.get("now").and_then(Value::as_i64).map(Timestamp));
    let now = now.ok_or_else(|| vec!["now: expected Unix seconds".to_owned()])?;
    let fields = input.get("headers").and_then(Value::as_array).into_iter().flatten();
    let mut headers: Vec<Header> = fields
        .filter_map(|pair| Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1)?.as_str()?.to_owned())))
        .collect();
    let (credential, role) = credential_for(&config, text("as"), now)?;
    headers.extend(credential);
    let pairs: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let serialized = serialize_request(text("method"), text("url"), &pairs)
        .map_err(|(field, expected)| vec![format!("{field}: {expected}")])?;
    let request =
        Request::read(&serialized).ok_or_else(|| vec!["url: expected an http or https URL".to_owned()])?;
    let meta = RequestMeta {
        now,
        milliseconds: now.0.unsigned_abs().saturating_mul(1_000),
        request_id: "req_explained",
    };
    let effects = OfflineEffects { memory: Memory::default(), role, dry_run: DryRun::default() };
    let trace = block_on(dry_run::run(&config, &effects, &request, meta));
    if input.get("json").and_then(Value::as_bool).unwrap_or_default() {
        return serde_json::to_string_pretty(&trace).map_err(|error| failed(&error));
    }
    let note = if secrets_are_known {
        ""
    } else {
        "\n(secrets are known only to the platform: placeholders were used)"
    };
    let given = GivenRequest { method: text("method"), url: text("url"), headers: &pairs };
    let hint = navigation_hint(&config, &effects, given, meta, &trace);
    let entry_errors = trace.entry_errors.iter().fold(String::new(), |all, error| all + "\n" + error);
    Ok(format_trace(&trace, given, &format!("{hint}{note}{entry_errors}")))
}

/// Returns a note if a browser that navigates to the URL gets another answer. Empty otherwise.
fn navigation_hint(
    config: &Config,
    effects: &OfflineEffects,
    given: GivenRequest<'_>,
    meta: RequestMeta<'_>,
    trace: &Trace,
) -> String {
    let GivenRequest { method, url, headers } = given;
    let has_header = |name: &str| headers.iter().any(|(found, _)| found.eq_ignore_ascii_case(name));
    if trace.status != Some(401) || has_header("sec-fetch-mode") || has_header("accept") {
        return String::new();
    }
    let mut headers = headers.to_vec();
    headers.push(("sec-fetch-mode", "navigate"));
    let Ok(serialized) = serialize_request(method, url, &headers) else { return String::new() };
    let Some(request) = Request::read(&serialized) else { return String::new() };
    let navigation = block_on(dry_run::run(config, &effects.dry_run(), &request, meta));
    match navigation.status {
        Some(status) if Some(status) != trace.status => format!(
            "\n(a browser that navigates there gets {status} {}: add --navigate)",
            navigation.decision
        ),
        _ => String::new(),
    }
}

/// The request to explain.
#[derive(Clone, Copy)]
struct GivenRequest<'a> {
    method: &'a str,
    url: &'a str,
    /// Names and values.
    headers: &'a [(&'a str, &'a str)],
}

/// A name and a value.
type Header = (String, String);

/// Returns the header that authenticates the client of `--as`, if any, and the role that the registry would return.
fn credential_for(
    config: &Config,
    client: &str,
    now: Timestamp,
) -> Result<(Option<Header>, &'static str), Vec<String>> {
    let cookie = || {
        let ids = SessionIds { user: "usr_explained", session: "ses_explained" };
        let token = cookies::mint(&config.sessions.policy, &config.sessions.keys, ids, now);
        token
            .map(|token| ("cookie".to_owned(), format!("{}={token}", config.sessions.policy.cookie.as_str())))
    };
    let bearer = |prefix: &str| Some(("authorization".to_owned(), format!("Bearer {prefix}explained")));
    match client {
        "" | "nobody" => Ok((None, "user")),
        "user" => Ok((cookie(), "user")),
        "admin" => Ok((cookie(), "admin")),
        "agent" => match config.tokens.kinds.iter().find(|kind| kind.is_agent) {
            Some(kind) => Ok((bearer(&kind.prefix), "user")),
            None => Err(vec!["--as agent: expected a credential of kind \"agent\", found none".to_owned()]),
        },
        prefix if config.tokens.kinds.iter().any(|kind| kind.prefix == prefix) => {
            Ok((bearer(prefix), "user"))
        }
        _ => {
            let prefixes: Vec<&str> = config.tokens.kinds.iter().map(|kind| kind.prefix.as_str()).collect();
            let known = ["nobody", "user", "admin", "agent"].into_iter().chain(prefixes);
            let known = known.collect::<Vec<_>>().join(", ");
            Err(vec![format!("--as: expected one of {known}, found {client:?}")])
        }
    }
}

/// Formats a trace for people.
fn format_trace(trace: &Trace, given: GivenRequest<'_>, note: &str) -> String {
    let word = |value: Value| value.as_str().unwrap_or_default().replace('_', " ");
    let mut lines = vec![format!("{} {}", given.method, given.url), String::new()];
    for step in &trace.steps {
        let (name, outcome) = (word(json!(step.step)), word(json!(step.outcome)));
        let detail = step.detail.as_deref().unwrap_or_default();
        lines.push(format!("  {name:<16} {outcome:<12} {detail}").trim_end().to_owned());
    }
    let status = trace.status.map(|status| format!("{status} ")).unwrap_or_default();
    let reason = trace.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    lines.push(String::new());
    let is_assumed =
        trace.status.is_none() && trace.steps.iter().any(|step| step.outcome == Outcome::Assumed);
    let condition = if is_assumed { ", if the assumptions hold" } else { "" };
    lines.push(format!("{status}{}{reason}{condition}{note}", trace.decision));
    lines.extend(trace.warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.join("\n")
}

/// Runs a future that never waits.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
    }
}

/// Effects without a platform: every credential is live, and nothing has side effects.
struct OfflineEffects {
    memory: Memory,
    role: &'static str,
    dry_run: DryRun,
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
        let command = json!(command);
        let owner = "usr_explained";
        let reply = match O::CLASS.name {
            "Sessions" if command.get("CheckReadOnly").is_some() => json!({ "Live": [self.role, i64::MAX] }),
            "Sessions" => json!({ "UserStatus": { "role": self.role, "active": true, "version": 0 } }),
            "Tokens" => json!({
                "id": "tok_explained", "name": "explained", "prefix": "", "owner": owner, "created_at": 0,
            }),
            "Limiter" => json!({ "remaining": command.pointer("/Peek/limit"), "reset": 0 }),
            _ => return Err(Fault::Internal),
        };
        serde_json::from_value(reply).map_err(|_| Fault::Internal)
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
        Self { memory: Memory::default(), role: self.role, dry_run: DryRun::default() }
    }

    fn as_dry_run(&self) -> Option<&DryRun> {
        Some(&self.dry_run)
    }
}
