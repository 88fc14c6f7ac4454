//! Runs a request against the gateway, and says what became of it in the words of the reference.

use serde_json::Value;
use vestibule::{
    base::time::Timestamp,
    config::Config,
    gateway,
    http::{problem::Fault, reply::Answer, request::Request as HttpRequest},
    platform::{effects::ExternalResponse, event::RequestMeta},
};

use super::{
    decision::{Decision, Forwarded, Healing, Refusal},
    identity::Principal,
    platform::{Received, Upstream},
    request::{HOST, Request},
    rules::UPSTREAM_SECRET,
    state::{State, cookie_of, verified},
};

/// What the gateway did.
#[derive(Debug)]
pub(crate) struct Actual {
    pub(crate) answer: Refusal,
    pub(crate) would_refuse: Option<Refusal>,
    pub(crate) received: Vec<Received>,
    pub(crate) is_replayed: bool,
    cookies: Vec<String>,
    owner_lookups: u32,
    external: usize,
    reads_body: bool,
    pub(crate) confirmation_id: Option<String>,
    own_headers: Option<Vec<(&'static str, String)>>,
    pub(crate) event: Value,
}

/// The headers by which upstream knows whom it serves.
pub(crate) const IDENTITY: [&str; 11] = [
    "x-user-id",
    "x-user-role",
    "x-session-id",
    "x-agent-id",
    "x-task-id",
    "x-agent-token-id",
    "x-actor-source",
    "x-author-id",
    "x-author-type",
    "x-operation",
    "x-confirmed-by",
];

/// Answers as Turnstile and as the external policy.
pub(crate) fn answer_external(body: &str) -> ExternalResponse {
    let body = if let Ok(asked) = serde_json::from_str::<Value>(body) {
        let is_admin = asked["principal"]["role"] == "admin";
        match asked["policy"].as_str() {
            Some("yes") => r#"{"decision":"allow"}"#.to_owned(),
            Some("admins") if is_admin => r#"{"decision":"allow"}"#.to_owned(),
            Some("fail") => r#"{"decision":"fail","status":402,"body":{}}"#.to_owned(),
            _ => r#"{"decision":"forbid"}"#.to_owned(),
        }
    } else {
        let token = body.split('&').find_map(|pair| pair.strip_prefix("response=")).unwrap_or_default();
        match token.strip_prefix("good-") {
            Some(action) => format!(r#"{{"success":true,"action":"{action}","hostname":"{HOST}"}}"#),
            None if token == "spent" => {
                r#"{"success":false,"error-codes":["timeout-or-duplicate"]}"#.to_owned()
            }
            None => r#"{"success":false,"error-codes":["invalid-input-response"]}"#.to_owned(),
        }
    };
    ExternalResponse { status: 200, body }
}

/// Sends a request to the gateway.
pub(crate) fn send(
    config: &Config,
    platform: &mut Upstream,
    serialized: &str,
    request: &Request,
    id: &str,
) -> Actual {
    platform.answer = Ok((request.upstream, Vec::new()));
    platform.owner_answer.replace(Some(match request.owner {
        Ok(owner) => Ok((200, vec![("x-created-by", owner), ("x-created-by-type", "user")])),
        Err(500) => Err(Fault::UpstreamFailed),
        Err(status) => Ok((status, Vec::new())),
    }));
    platform.owner_lookups.set(0);
    platform.received.take();
    platform.external_requests.take();
    platform.body.replace(Some(request.body().into_bytes()));
    platform.bot_field.replace(request.bot_field.map(str::to_owned));
    platform.elapsed.set(0);
    let now = platform.now.get();
    let milliseconds = 1_000 * now.unsigned_abs();
    let read = HttpRequest::read(serialized).expect("a request");
    let meta = RequestMeta { now: Timestamp(now), milliseconds, request_id: id };
    let (answer, mut event) = pollster::block_on(gateway::handle(config, platform, &read, meta));
    event.is_counted_only = false;
    let event: Value = serde_json::from_str(&event.line().expect("a line")).expect("JSON");
    let (headers, body, own_headers) = match answer {
        Answer::Own(reply) | Answer::Feed(reply, _) => {
            (reply.headers.clone(), reply.body.clone(), Some(reply.headers))
        }
        Answer::Relayed((), edits) | Answer::Watched((), edits, _) => (edits.append, None, None),
    };
    let header = |name| headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value.clone());
    let document: Value =
        body.as_deref().and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
    let refusal = |event: &Value, code: &str| Refusal {
        status: u16::try_from(event["status"].as_u64().expect("a status")).expect("small"),
        code: String::leak(event[code].as_str().expect("a code").to_owned()),
        reason: event["reason"].as_str().map(|reason| &*String::leak(reason.to_owned())),
        location: header("location"),
    };
    let cookies = headers.iter().filter(|(name, _)| *name == "set-cookie").map(|(_, line)| line.clone());
    Actual {
        would_refuse: event.get("wouldRefuse").map(|would| refusal(would, "code")),
        received: platform.received.take(),
        is_replayed: event["idempotency"] == "replayed",
        cookies: cookies.filter(|line| line.starts_with("mk_session=")).collect(),
        owner_lookups: platform.owner_lookups.get(),
        external: platform.external_requests.borrow().len(),
        reads_body: platform.on_body_read.take().is_none(),
        confirmation_id: document["confirmationId"].as_str().map(str::to_owned),
        answer: refusal(&event, "decision"),
        own_headers,
        event,
    }
}

fn same(want: &Refusal, found: &Refusal, has_location: bool) -> bool {
    let location = match (&want.location, &found.location) {
        _ if !has_location => true,
        (Some(start), Some(found)) => found.starts_with(start),
        (want, found) => want.is_none() && found.is_none(),
    };
    (want.status, want.code, want.reason) == (found.status, found.code, found.reason) && location
}

impl Actual {
    /// Returns how this differs from what the reference says.
    pub(crate) fn differs(
        &self,
        want: &Decision,
        state: &State,
        request: &Request,
        target: &str,
        id: &str,
    ) -> Option<String> {
        let is_own = self.own_headers.is_some();
        // A response of upstream may have a location of its own.
        if !same(&want.answer, &self.answer, is_own && self.answer.code != "allow") {
            return Some(format!("answer: {:?}", want.answer));
        }
        match (&want.would_refuse, &self.would_refuse) {
            (None, None) => {}
            (Some(want), Some(found)) if same(want, found, false) => {}
            (want, _) => return Some(format!("would refuse: {want:?}")),
        }
        let counts = (want.is_replayed, want.owner_lookups, want.external, want.reads_body);
        let found = (self.is_replayed, self.owner_lookups, self.external, self.reads_body);
        if counts != found {
            return Some(format!("replayed, lookups, external, reads body: {counts:?}, not {found:?}"));
        }
        self.differs_upstream(want, state, request, target, id)
            .or_else(|| self.differs_in_cookies(want.healing))
            .or_else(|| self.differs_in_headers())
    }

    fn differs_upstream(
        &self,
        want: &Decision,
        state: &State,
        request: &Request,
        target: &str,
        id: &str,
    ) -> Option<String> {
        let (Some(want), [received]) = (&want.upstream, &self.received[..]) else {
            let calls = self.received.len();
            return (calls != usize::from(want.upstream.is_some()))
                .then(|| format!("{calls} calls of upstream"));
        };
        let (found_target, set, removed, _) = received;
        let header =
            |name: &str| set.iter().find(|(found, _)| *found == name).map(|(_, value)| value.clone());
        if found_target != target {
            return Some(format!("upstream should get {target}"));
        }
        let mut identity = want.principal.as_ref().map(Principal::headers).unwrap_or_default();
        identity.extend(want.operation.map(|name| ("x-operation", name.to_owned())));
        identity.extend(want.confirmed_by.map(|user| ("x-confirmed-by", user.to_owned())));
        for name in IDENTITY {
            let wanted = identity.iter().find(|(found, _)| *found == name).map(|(_, value)| value.clone());
            if header(name) != wanted {
                return Some(format!("{name}: {wanted:?}"));
            }
        }
        let forwarded = [
            ("x-forwarded-for", request.address),
            ("x-forwarded-host", HOST),
            ("x-forwarded-proto", "https"),
            ("x-request-id", id),
        ];
        if let Some((name, _)) =
            forwarded.into_iter().find(|(name, value)| header(name).as_deref() != Some(value))
        {
            return Some(name.to_owned());
        }
        // A header of the client passes only if it is neither removed nor replaced.
        let passes =
            |name: &&&str| !removed.iter().any(|removed| removed == **name) && header(name).is_none();
        if let Some(name) = request.forged.iter().find(passes) {
            return Some(format!("{name} passes"));
        }
        let cookie =
            header("cookie").or_else(|| removed.iter().any(|name| name == "cookie").then(String::new));
        let only = |at: usize| format!("a=1; mk_session={}", cookie_of(&state.sessions[at]));
        let is_right = match want.cookie {
            Forwarded::Unchanged => cookie.is_none(),
            Forwarded::None => cookie.as_deref() == Some("a=1"),
            Forwarded::Only(at) => cookie == Some(only(at)),
            Forwarded::Any => true,
        };
        if !is_right {
            return Some(format!("cookie: {:?}", want.cookie));
        }
        assertion_differs(
            want.principal.as_ref(),
            &header("x-vestibule-assertion")?,
            request.method,
            target,
            id,
        )
    }

    fn differs_in_cookies(&self, want: Healing) -> Option<String> {
        let is_own = |line: &&String| line.contains("; Path=/;") && !line.contains("Domain");
        let own = self.cookies.iter().find(is_own);
        let others = self.cookies.len() > 1;
        let found = match own {
            None => Healing::Nothing,
            Some(line) if line.starts_with("mk_session=;") => Healing::Expires { others },
            Some(_) => Healing::Sets { others },
        };
        (want != Healing::Any && want != found).then(|| format!("session cookie: {want:?}"))
    }

    /// The headers of each response of Vestibule's own.
    fn differs_in_headers(&self) -> Option<String> {
        let headers = self.own_headers.as_ref()?;
        let header = |name| headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str());
        let is_private = header("cache-control").is_some_and(|value| value.contains("no-store"));
        match self.answer.status {
            _ if !is_private => Some("Cache-Control".to_owned()),
            401 => header("www-authenticate")
                .is_none_or(|value| !value.starts_with("Bearer"))
                .then(|| "WWW-Authenticate".to_owned()),
            429 | 503 => header("retry-after").is_none().then(|| "Retry-After".to_owned()),
            405 => header("allow").is_none().then(|| "Allow".to_owned()),
            _ => None,
        }
    }
}

/// Compares the claims of an assertion with the principal and the request.
fn assertion_differs(
    principal: Option<&Principal>,
    assertion: &str,
    method: &str,
    target: &str,
    id: &str,
) -> Option<String> {
    let Some(claims) = verified(UPSTREAM_SECRET, assertion) else {
        return Some("assertion: signature".to_owned());
    };
    let headers = principal.map(Principal::headers).unwrap_or_default();
    let header = |name| headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str());
    let token = principal.and_then(|principal| principal.token.as_ref()).map(|token| token.id);
    [
        ("sub", header("x-author-id")),
        ("kind", header("x-author-type")),
        ("userId", header("x-user-id")),
        ("role", header("x-user-role")),
        ("sessionId", header("x-session-id")),
        ("tokenId", token),
        ("actorSource", header("x-actor-source")),
        ("agentId", header("x-agent-id")),
        ("taskId", header("x-task-id")),
        ("method", Some(method)),
        ("path", Some(target)),
        ("requestId", Some(id)),
    ]
    .into_iter()
    .find(|(name, wanted)| claims[name].as_str() != *wanted)
    .map(|(name, wanted)| format!("assertion: {name}: {wanted:?}"))
}
