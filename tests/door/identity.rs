//! Who sends a request: `docs/sessions.md` and `docs/agents.md`.

use super::{
    decision::{Refusal, View},
    request::{Authorization, Cookie, Request},
    rules::Rule,
    state::{SessionRow, Token, machine},
};

/// A user or an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) user: Option<&'static str>,
    /// An agent that acts for itself.
    pub(crate) agent: Option<&'static str>,
    /// Known only with the registry.
    pub(crate) is_admin: Option<bool>,
    pub(crate) session: Option<SessionRow>,
    pub(crate) token: Option<Token>,
}

impl Principal {
    pub(crate) fn id(&self) -> &'static str {
        self.user.or(self.agent).expect("a principal has an id")
    }

    pub(crate) fn kind(&self) -> &'static str {
        if self.user.is_some() { "user" } else { "agent" }
    }

    pub(crate) fn machine(&self) -> Option<&'static str> {
        self.token.as_ref().and_then(Token::machine)
    }

    /// Returns the headers by which upstream knows the principal.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        let machine = self.token.as_ref().filter(|token| token.machine().is_some());
        let own_token = self.token.as_ref().filter(|_| self.agent.is_some());
        let role = self.is_admin.map(|is_admin| if is_admin { "admin" } else { "user" });
        let all = [
            ("x-user-id", self.user),
            ("x-user-role", self.user.and(role)),
            ("x-session-id", self.session.as_ref().map(|session| session.id)),
            ("x-agent-id", machine.and_then(|token| token.agent)),
            ("x-task-id", machine.and_then(|token| token.task)),
            ("x-agent-token-id", own_token.map(|token| token.id)),
            ("x-actor-source", self.machine()),
            ("x-author-id", Some(self.id())),
            ("x-author-type", Some(self.kind())),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?.to_owned()))).collect()
    }
}

/// What is known about the sender of a request.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The principal, or the reason why there is none.
    pub(crate) principal: Result<Principal, &'static str>,
    /// The session of which upstream may get the cookie.
    pub(crate) session: Option<usize>,
    /// Whether a machine's credential is in the request.
    pub(crate) has_machine: bool,
}

/// What a token of the session cookie is worth, before the registry is asked.
fn worth(view: &View, cookie: Cookie, now: i64) -> Result<usize, &'static str> {
    match cookie {
        Cookie::Malformed => Err("session_malformed"),
        Cookie::Forged(_) => Err("session_bad_signature"),
        Cookie::Expired(_) => Err("session_expired"),
        Cookie::Of(at) if view.state.sessions[at].expires <= now => Err("session_expired"),
        Cookie::Of(at) => Ok(at),
    }
}

/// Identifies the sender. `asks`: whether the rule needs to know if a session or token still holds.
pub(crate) fn identify(view: &View, request: &Request, asks: bool, now: i64) -> Result<Identity, Refusal> {
    let state = &view.state;
    let read: Vec<_> = request.cookies.iter().take(8).map(|cookie| worth(view, *cookie, now)).collect();
    let mut sessions: Vec<usize> = read.iter().filter_map(|read| read.ok()).collect();
    let users: Vec<_> = sessions.iter().map(|at| state.sessions[*at].user).collect();
    let mut reason = ["session_expired", "session_bad_signature", "session_malformed"]
        .into_iter()
        .find(|reason| read.contains(&Err(*reason)))
        .unwrap_or("no_credential");
    if users.iter().any(|user| *user != users[0]) {
        sessions.clear();
        reason = "session_ambiguous";
    }
    // The one that was issued last counts; of those, the first in the request.
    let mut left = sessions;
    left.dedup();
    let mut session = None;
    while session.is_none() && !left.is_empty() {
        let latest = left.iter().map(|at| state.sessions[*at].issued).max();
        let position = left.iter().position(|at| Some(state.sessions[*at].issued) == latest).expect("one");
        let at = left.remove(position);
        if !asks || !view.has_registry {
            session = Some(at);
            break;
        }
        if view.state.failing.contains("Sessions") {
            return Err(Refusal::STORE);
        }
        let is_active = state.user(state.sessions[at].user).is_some_and(|user| user.is_active);
        if state.sessions[at].is_live && is_active {
            session = Some(at);
        } else {
            reason = "session_revoked";
        }
    }
    let principal = session.map(|at| {
        let session = state.sessions[at].clone();
        let is_admin = view.has_registry.then(|| state.user(session.user).is_some_and(|user| user.is_admin));
        Principal { user: Some(session.user), agent: None, is_admin, session: Some(session), token: None }
    });
    let bearer = request.bearer(state);
    let has_kinds = view.has_tokens;
    let is_machine = has_kinds && bearer.as_deref().is_some_and(|token| machine(token).is_some());
    let has_several = matches!(request.authorization, Some(Authorization::Several(_)));
    let identity = |principal| Ok(Identity { principal, session, has_machine: is_machine || has_several });
    if !asks || bearer.is_none() {
        return identity(principal.ok_or(reason));
    }
    // A valid session takes precedence over a token, and a token over an invalid cookie. Nobody is chosen of two users.
    if let Some(principal) = principal {
        return identity(Ok(principal));
    }
    let is_known_kind = has_kinds && !matches!(request.authorization, Some(Authorization::Foreign));
    if reason == "session_ambiguous" || !is_known_kind && reason != "no_credential" {
        return identity(Err(reason));
    }
    identity(if is_known_kind { by_token(view, request, now)? } else { Err("token_unknown") })
}

fn by_token(view: &View, request: &Request, now: i64) -> Result<Result<Principal, &'static str>, Refusal> {
    let state = &view.state;
    if state.failing.contains("Tokens") {
        return Err(Refusal::STORE);
    }
    let Some(Authorization::Token(at)) = request.authorization else { return Ok(Err("token_unknown")) };
    let token = view.tokens[at].clone();
    if token.is_revoked {
        return Ok(Err("token_revoked"));
    }
    if token.expires.is_some_and(|expires| expires <= now) {
        return Ok(Err("token_expired"));
    }
    if state.failing.contains("Sessions") {
        return Err(Refusal::STORE);
    }
    let owner = view.owners.iter().find(|user| user.id == token.owner).expect("an owner");
    let is_own = token.is_of("mk_");
    if !owner.is_active || is_own && !owner.is_admin {
        return Ok(Err("token_revoked"));
    }
    let agent = is_own.then(|| token.agent.unwrap_or(token.id));
    let user = (!is_own).then_some(token.owner);
    let is_admin = user.map(|_| owner.is_admin);
    Ok(Ok(Principal { user, agent, is_admin, session: None, token: Some(token) }))
}

/// Returns the part of a token's scope that does not cover a request.
pub(crate) fn outside_scope(principal: &Principal, request: &Request, rule: &Rule) -> Option<&'static str> {
    let token = principal.token.as_ref()?;
    let covers = |pattern: &&str| match (pattern.strip_suffix('*'), rule.operation) {
        (_, None) => false,
        (Some(start), Some(operation)) => operation.starts_with(start),
        (None, Some(operation)) => operation == *pattern,
    };
    let is_allowed = |methods: &Vec<&str>| {
        methods.contains(&request.method) || request.method == "HEAD" && methods.contains(&"GET")
    };
    match () {
        () if token.operations.as_ref().is_some_and(|list| !list.iter().any(covers)) => Some("operation"),
        () if token.methods.as_ref().is_some_and(|list| !is_allowed(list)) => Some("method"),
        () if token.addresses.as_ref().is_some_and(|list| !list.contains(&request.address)) => {
            Some("address")
        }
        () => None,
    }
}
