//! Decisions that are made outside the gateway: by an external policy, and by hooks of a Worker that is built on this
//! crate.
//!
//! **External policy.** The gateway sends the [`Act`] as JSON in a `POST`. The policy answers 200 and one of
//!
//! - `{"decision": "allow"}`
//! - `{"decision": "forbid"}`
//! - `{"decision": "fail", "status": 402, "body": …}`: a whole response (400–599), which the client gets unchanged
//!
//! The first two may have a `ttl`: the number of seconds for which the decision may be reused, at most [`LONGEST_TTL`].
//! Any other answer, an unreadable one or a late one forbids the request.
//!
//! **Hooks.** [`Hooks::judge`] gets every request that all earlier checks have admitted, before the external policy
//! does.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, value::RawValue};

use crate::{
    base::cache::Cache,
    http::{
        form::answer_of,
        problem::{ForbiddenBy, Rejection},
    },
    identity::principal::{Actor, Principal},
};

/// The maximum time for which a decision may be reused, in seconds.
pub const LONGEST_TTL: u64 = 300;

/// The request to decide about.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Act<'a> {
    /// The policy that the rule names.
    pub policy: Option<&'a str>,
    /// The rule's operation.
    pub operation: Option<&'a str>,
    /// The method, unchanged.
    pub method: &'a str,
    /// The canonical path, in the client's own spelling: case, `;parameters` and runs of slashes are unchanged. If
    /// upstream reads paths laxly, compare [`fold`](crate::http::path::fold)ed paths, or decide by the operation.
    pub path: &'a str,
    /// The query with its `?`, or an empty text.
    pub query: &'a str,
    /// The principal, if there is one.
    pub principal: Option<Asking<'a>>,
}

/// The principal, and the actor that sends the request for it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Asking<'a> {
    /// `user` or `agent`.
    pub kind: &'static str,
    /// The user's or agent's id.
    pub id: &'a str,
    /// The same id if the principal is a user, under the name that the assertion uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<&'a str>,
    /// `user` or `admin`, if the deployment has roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// The id of the session, if the actor is a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<&'a str>,
    /// The kind of machine credential, if the actor is a machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_source: Option<&'a str>,
    /// The agent that the token was created for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<&'a str>,
    /// The task that the token was created for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<&'a str>,
    /// The token's id (not the token itself).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_id: Option<&'a str>,
}

/// A decision about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The request is allowed.
    Allow,
    /// The request is forbidden.
    Forbid,
    /// The request is forbidden, and the client gets this response.
    Fail {
        /// The status: 200–599; from the external policy, 400–599.
        status: u16,
        /// JSON, or empty. It must be empty for 204, 205 and 304.
        body: String,
    },
}

/// Decisions of a custom Worker, in Rust. The gateway calls the hooks once per request, after all other checks have
/// admitted it and before the external policy. A dry run calls them as well, so they must have no side effects. They
/// cannot be asynchronous.
pub trait Hooks {
    /// Decides about a request.
    fn judge(&self, act: &Act<'_>) -> Decision {
        let _ = act;
        Decision::Allow
    }

    /// Returns whether there are hooks. If so, the gateway rejects a path that servers may read as two different
    /// operations.
    fn decide(&self) -> bool {
        true
    }
}

/// The hooks of a Worker without hooks: they allow every request.
#[derive(Clone, Copy, Debug)]
pub struct NoHooks;

impl Hooks for NoHooks {
    fn decide(&self) -> bool {
        false
    }
}

/// Effects that know the hooks of the Worker's own code.
pub trait WithHooks {
    /// Returns the hooks.
    fn hooks(&self) -> &dyn Hooks {
        &NoHooks
    }
}

impl<'a> Asking<'a> {
    /// Describes a principal.
    #[must_use]
    pub fn of(principal: &'a Principal) -> Self {
        let (actor_source, agent_id, task_id, token_id) = match &principal.actor {
            Actor::Session { .. } => (None, None, None, None),
            Actor::Token { id, source, agent, task, .. } => {
                (source.name(), agent.as_deref(), task.as_deref(), Some(id.as_str()))
            }
        };
        Self {
            kind: principal.kind(),
            id: principal.id(),
            user_id: principal.user_id(),
            role: principal.role.map(crate::identity::principal::Role::name),
            session_id: principal.session_id(),
            actor_source,
            agent_id,
            task_id,
            token_id,
        }
    }
}

impl Act<'_> {
    /// Serialises the request as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Decision {
    /// A decision that cannot be sent. The request is forbidden as `invalid_hook`.
    pub const INVALID: Self = Self::Fail { status: 0, body: String::new() };

    /// Parses an answer of the external policy. Returns the decision, and the seconds for which it may be reused.
    ///
    /// # Errors
    /// [`Rejection::ForbiddenPolicy`] if the answer is not a valid decision.
    pub fn read(status: u16, body: &str) -> Result<(Self, u64), Rejection> {
        let invalid = Rejection::ForbiddenPolicy(ForbiddenBy::Unavailable);
        let Some(answer) = answer_of::<Answer>(body) else { return Err(invalid) };
        if status != 200 {
            return Err(invalid);
        }
        // A `ttl` that is not a whole number of seconds counts as 0.
        let ttl = answer.ttl.and_then(|ttl| ttl.as_u64()).unwrap_or_default().min(LONGEST_TTL);
        match (answer.decision.as_str(), answer.status) {
            ("allow", _) => Ok((Self::Allow, ttl)),
            ("forbid", _) => Ok((Self::Forbid, ttl)),
            ("fail", Some(status @ 400..=599)) => {
                let body = answer.body.map(|body| body.get().to_owned()).unwrap_or_default();
                Ok((Self::Fail { status, body }, 0))
            }
            _ => Err(invalid),
        }
    }
}

fn as_written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
struct Answer {
    decision: String,
    status: Option<u16>,
    // As written; `null` is a body, too.
    #[serde(default, deserialize_with = "as_written")]
    body: Option<Box<RawValue>>,
    ttl: Option<Value>,
}

/// Decisions of the external policy with their expiry in milliseconds since 1970, by the hash of the request.
#[derive(Debug)]
pub struct DecisionCache(pub Cache<(Decision, u64)>);

impl Default for DecisionCache {
    fn default() -> Self {
        Self(Cache::new(5_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::principal::{ActorSource, Who};

    #[test]
    fn accepts_only_valid_decisions() {
        let fail = |status, body: &str| Decision::Fail { status, body: body.to_owned() };
        for (status, body, want) in [
            (200, r#"{"decision":"allow"}"#, Some((Decision::Allow, 0))),
            (200, r#"{"decision":"allow","ttl":60,"more":1}"#, Some((Decision::Allow, 60))),
            (200, r#"{"decision":"forbid","ttl":100000}"#, Some((Decision::Forbid, LONGEST_TTL))),
            (
                200,
                r#"{"decision":"fail","status":402,"body":{"a":1},"ttl":9}"#,
                Some((fail(402, r#"{"a":1}"#), 0)),
            ),
            (200, r#"{"decision":"fail","status":503}"#, Some((fail(503, ""), 0))),
            (200, r#"{"decision":"fail","status":503,"body":null}"#, Some((fail(503, "null"), 0))),
            (200, r#"{"decision":"fail","status":200,"body":{}}"#, None),
            (200, r#"{"decision":"fail"}"#, None),
            (200, r#"{"decision":"ALLOW"}"#, None),
            (200, r#"{"decision":true}"#, None),
            (200, r#"{"decision":"allow","ttl":-1}"#, Some((Decision::Allow, 0))),
            (200, r#"{"decision":"allow","ttl":1.5}"#, Some((Decision::Allow, 0))),
            (200, r#"["allow",null,null,60]"#, None),
            (
                200,
                r#"{"decision":"fail","status":402,"body":{"n":1.10,"n":1E2}}"#,
                Some((fail(402, r#"{"n":1.10,"n":1E2}"#), 0)),
            ),
            (200, r#"{"allow":true}"#, None),
            (200, "allow", None),
            (200, "", None),
            (204, r#"{"decision":"allow"}"#, None),
            (500, r#"{"decision":"allow"}"#, None),
        ] {
            assert_eq!(Decision::read(status, body).ok(), want, "{status} {body}");
        }
    }

    #[test]
    fn writes_the_request_as_json() {
        let principal = Principal {
            who: Who::User { id: "usr_a".to_owned() },
            role: Some(crate::identity::principal::Role::User),
            actor: Actor::Token {
                id: "tok_1".to_owned(),
                name: "robot".to_owned(),
                source: ActorSource::TaskToken,
                agent: Some("robot".to_owned()),
                task: None,
            },
        };
        let act = Act {
            policy: Some("payments"),
            operation: None,
            method: "POST",
            path: "/api/pay",
            query: "?a=1",
            principal: Some(Asking::of(&principal)),
        };
        assert_eq!(
            act.to_json(),
            concat!(
                r#"{"policy":"payments","operation":null,"method":"POST","path":"/api/pay","query":"?a=1","#,
                r#""principal":{"kind":"user","id":"usr_a","userId":"usr_a","role":"user","actorSource":"task_token","#,
                r#""agentId":"robot","tokenId":"tok_1"}}"#
            )
        );
        assert_eq!(NoHooks.judge(&act), Decision::Allow);
    }
}
