//! Assertions: signed statements about a request that only the gateway can make.
//!
//! `X-Vestibule-Assertion` is an HS256 JWT, signed with `UPSTREAM_SECRET`, that expires after [`LIFETIME`]
//! seconds. It names the principal, if there is one. It is bound to one method, one path with its query and
//! one request id, so that upstream can tell requests that passed the gateway from requests that did not.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    base::{encoding, time::Timestamp},
    crypto::jwt::{TypedKey, claims},
    identity::principal::{Actor, Principal, Role},
};

/// The `typ` of an assertion's header. A token with this `typ` is never a session.
pub const TYPE: &str = "vestibule-assertion+jwt";

/// Seconds until an assertion expires.
pub const LIFETIME: i64 = 60;

/// The longest path with its query, in bytes, that an assertion carries as `path`. For a longer one it carries
/// `pathHash`: the SHA-256, in hex.
pub const LONGEST_PATH: usize = 2_048;

/// The contents of an assertion.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The principal, if there is one.
    pub principal: Option<&'a Principal>,
    /// The user's name, if `USER_HEADERS` lists it.
    pub name: Option<&'a str>,
    /// The user's e-mail address, if `USER_HEADERS` lists it.
    pub email: Option<&'a str>,
    /// The method, as the client sent it.
    pub method: &'a str,
    /// The path with its query, as forwarded.
    pub path: &'a str,
    /// The request id.
    pub request_id: &'a str,
}

/// Returns a signed assertion that is issued at `now`.
#[must_use]
pub fn sign(key: &TypedKey, subject: Subject<'_>, now: Timestamp) -> String {
    let user_id = subject.principal.and_then(Principal::user_id);
    let session_id = subject.principal.and_then(Principal::session_id);
    let token = match subject.principal.map(|principal| &principal.actor) {
        Some(Actor::Token { id, source, agent, task, .. }) => {
            (Some(id.as_str()), source.name(), agent.as_deref(), task.as_deref())
        }
        Some(Actor::Session { .. }) | None => (None, None, None, None),
    };
    let (token_id, actor_source, agent_id, task_id) = token;
    let is_long = subject.path.len() > LONGEST_PATH;
    let assertion = Claims {
        iss: claims::ASSERTION_ISSUER,
        aud: claims::ASSERTION_AUDIENCE,
        iat: now.0,
        exp: now.0.saturating_add(LIFETIME),
        sub: subject.principal.map(Principal::id),
        kind: subject.principal.map(Principal::kind),
        user_id,
        name: subject.name,
        email: subject.email,
        role: subject.principal.and_then(|principal| principal.role).map(Role::name),
        session_id,
        actor_source,
        agent_id,
        task_id,
        token_id,
        method: subject.method,
        path: (!is_long).then_some(subject.path),
        path_hash: is_long.then(|| encoding::hex(&Sha256::digest(subject.path))),
        request_id: subject.request_id,
    };
    let mut payload = Vec::with_capacity(512);
    // Serializing a struct of strings and integers never fails.
    if serde_json::to_writer(&mut payload, &assertion).is_err() {
        payload.clear();
    }
    key.sign(&payload)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Claims<'a> {
    iss: &'static str,
    aud: &'static str,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<&'a str>,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hash: Option<String>,
    request_id: &'a str,
}
