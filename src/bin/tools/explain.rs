//! Explains how the gateway would decide a request, and why: `npm run explain -- METHOD URL [-H "Name: value"]…`.
//!
//! Reads the same JSON as `check-config` from standard input, with these members in addition: `{"method": …, "url": …,
//! "headers": [[name, value]…], "as": "nobody" | "user" | "admin" | "agent" | a token's prefix, "json": true | false,
//! "now": seconds}`. The decisions use the same code as the Worker. There are no stores here: the program assumes that
//! sessions and tokens are live, that no limit is reached, and that features are on.

use std::process::ExitCode;

use serde_json::{Value, json};
use vestibule::{
    base::time::Timestamp,
    config::Config,
    crypto::jwt::claims::SessionIds,
    gateway::{
        dry_run::{self, Outcome, Trace},
        explain::serialize_request,
    },
    http::request::Request,
    identity::principal::Role,
    platform::{effects::DryRuns, event::RequestMeta},
    sessions::cookies::{self, SessionTimes},
};

use super::{
    input::{self, Given},
    offline::OfflineEffects,
};

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
    let input: Value = serde_json::from_str(input).map_err(|error| vec![error.to_string()])?;
    let Explainer { config, now, secrets_are_known } = Explainer::new(&input)?;
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
    let fields = input.get("headers").and_then(Value::as_array).into_iter().flatten();
    let mut headers: Vec<Header> = fields
        .filter_map(|pair| Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1)?.as_str()?.to_owned())))
        .collect();
    let (credential, role) = credential_for(&config, text("as"), now)?;
    headers.extend(credential);
    let pairs: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let given = GivenRequest { method: text("method"), url: text("url"), headers: &pairs };
    let effects = OfflineEffects::new(role, now);
    let trace = trace(&config, &effects, given, now).map_err(|mistake| vec![mistake])?;
    if input.get("json").and_then(Value::as_bool).unwrap_or_default() {
        return serde_json::to_string_pretty(&trace).map_err(|error| vec![error.to_string()]);
    }
    let note = if secrets_are_known {
        ""
    } else {
        "\n(secrets are known only to the platform: placeholders were used)"
    };
    let hint = navigation_hint(&config, &effects, given, now, &trace);
    let entry_errors = trace.entry_errors.iter().fold(String::new(), |all, error| all + "\n" + error);
    Ok(format_trace(&trace, given, &format!("{hint}{note}{entry_errors}")))
}

/// A configuration, and the time at which its decisions are explained.
pub(super) struct Explainer {
    pub(super) config: Config,
    pub(super) now: Timestamp,
    pub(super) secrets_are_known: bool,
}

impl Explainer {
    /// Parses the configuration and `now`.
    pub(super) fn new(input: &Value) -> Result<Self, Vec<String>> {
        let Given { all, bindings, secrets_are_known } = input::given(input).map_err(|error| vec![error])?;
        let config = Config::parse(&all, &bindings)
            .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let now = config.site.fixed_now.or_else(|| input.get("now").and_then(Value::as_i64).map(Timestamp));
        let now = now.ok_or_else(|| vec!["now: expected Unix seconds".to_owned()])?;
        Ok(Self { config, now, secrets_are_known })
    }
}

/// Decides about a request.
pub(super) fn trace(
    config: &Config,
    effects: &OfflineEffects,
    given: GivenRequest<'_>,
    now: Timestamp,
) -> Result<Trace, String> {
    let GivenRequest { method, url, headers } = given;
    let serialized = serialize_request(method, url, headers)
        .map_err(|(field, expected)| format!("{field}: {expected}"))?;
    let request = Request::read(&serialized).ok_or("url: expected an http or https URL")?;
    let meta = RequestMeta {
        now,
        milliseconds: now.0.unsigned_abs().saturating_mul(1_000),
        request_id: "req_explained",
    };
    Ok(block_on(dry_run::run(config, &effects.dry_run(), &request, meta)))
}

/// Returns a note if a browser that navigates to the URL gets another answer. Empty otherwise.
fn navigation_hint(
    config: &Config,
    effects: &OfflineEffects,
    given: GivenRequest<'_>,
    now: Timestamp,
    answer: &Trace,
) -> String {
    let GivenRequest { method, url, headers } = given;
    let has_header = |name: &str| headers.iter().any(|(found, _)| found.eq_ignore_ascii_case(name));
    if answer.status != Some(401) || has_header("sec-fetch-mode") || has_header("accept") {
        return String::new();
    }
    let mut headers = headers.to_vec();
    headers.push(("sec-fetch-mode", "navigate"));
    let given = GivenRequest { method, url, headers: &headers };
    let Ok(navigation) = trace(config, effects, given, now) else { return String::new() };
    match navigation.status {
        Some(status) if Some(status) != answer.status => format!(
            "\n(a browser that navigates there gets {status} {}: add --navigate)",
            navigation.decision
        ),
        _ => String::new(),
    }
}

/// The request to explain.
#[derive(Clone, Copy)]
pub(super) struct GivenRequest<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a str,
    /// Names and values.
    pub(super) headers: &'a [(&'a str, &'a str)],
}

/// A name and a value.
pub(super) type Header = (String, String);

/// Returns the header that authenticates the client of `--as`, if any, and the role that the registry would return.
pub(super) fn credential_for(
    config: &Config,
    client: &str,
    now: Timestamp,
) -> Result<(Option<Header>, Role), Vec<String>> {
    let cookie = || {
        let ids = SessionIds { user: "usr_explained", session: "ses_explained" };
        let token =
            cookies::mint(&config.sessions.policy, &config.sessions.keys, ids, SessionTimes::of_sign_in(now));
        token
            .map(|token| ("cookie".to_owned(), format!("{}={token}", config.sessions.policy.cookie.as_str())))
    };
    let bearer = |prefix: &str| Some(("authorization".to_owned(), format!("Bearer {prefix}explained")));
    match client {
        "" | "nobody" => Ok((None, Role::User)),
        "user" => Ok((cookie(), Role::User)),
        "admin" => Ok((cookie(), Role::Admin)),
        // An agent's token is valid while the user who made it is an admin.
        "agent" => match config.tokens.kinds.iter().find(|kind| kind.is_agent) {
            Some(kind) => Ok((bearer(&kind.prefix), Role::Admin)),
            None => Err(vec!["--as agent: expected a credential of kind \"agent\", found none".to_owned()]),
        },
        prefix if let Some(kind) = config.tokens.kinds.iter().find(|kind| kind.prefix == prefix) => {
            Ok((bearer(prefix), if kind.is_agent { Role::Admin } else { Role::User }))
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
    let refusal = trace.would_refuse.map(|refusal| {
        let step = word(json!(refusal.step));
        format!(": {} {} at {step}. Report mode lets the request through", refusal.status, refusal.code)
    });
    let refusal = refusal.unwrap_or_default();
    lines.push(format!("{status}{}{reason}{refusal}{condition}{note}", trace.decision));
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
