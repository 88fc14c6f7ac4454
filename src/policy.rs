//! What somebody else decides: an external policy that is asked, and hooks of whoever builds their own Worker on
//! this crate.
//!
//! **External.** A `POST` of the [`Act`] as JSON; it answers 200 and
//!
//! - `{"decision": "allow"}`
//! - `{"decision": "forbid"}`
//! - `{"decision": "fail", "status": 402, "body": …}`: a whole answer (400–599), which is passed on as it is
//!
//! with a `ttl` in seconds for which the first two may be gone by, at most [`LONGEST_TTL`]. Anything else, late or
//! unreadable, forbids.
//!
//! **Hooks.** [`Hooks::judge`] sees every request that got as far as that, before the external policy.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, value::RawValue};

use crate::{
    form::answer_of,
    principal::{Actor, Principal},
    problem::{ForbiddenBy, Rejection},
};

/// Seconds for which a decision may be gone by.
pub const LONGEST_TTL: u64 = 300;

/// Bytes of the longest answer.
pub const LONGEST: usize = 64 * 1_024;

/// What is to be decided.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Act<'a> {
    /// The policy that the rule names.
    pub policy: Option<&'a str>,
    /// The rule's operation.
    pub operation: Option<&'a str>,
    /// The method, raw.
    pub method: &'a str,
    /// The canonical path, in the client's own spelling: case, `;parameters` and runs of slashes are as they came. Who decides by it and
    /// stands before a server that reads paths laxly compares [`fold`](crate::path::fold)ed ones, or goes by the operation.
    pub path: &'a str,
    /// The query with its `?`, or nothing.
    pub query: &'a str,
    /// Who asks, where they are known.
    pub principal: Option<Asking<'a>>,
}

/// Who asks.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Asking<'a> {
    /// `user` or `agent`.
    pub kind: &'static str,
    /// The user's or agent's id.
    pub id: &'a str,
    /// The same where it is a user, as the assertion has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<&'a str>,
    /// `user` or `admin`, where somebody keeps roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// The session that acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<&'a str>,
    /// What acts, where that is a machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_source: Option<&'a str>,
    /// The agent that a token was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<&'a str>,
    /// The task that it was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<&'a str>,
    /// The token's id, which is not the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_id: Option<&'a str>,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may go on.
    Allow,
    /// It may not.
    Forbid,
    /// It may not, and this is the answer.
    Fail {
        /// 200–599; the external policy may say 400–599.
        status: u16,
        /// JSON, or empty. A 204, 205 or 304 has none.
        body: String,
    },
}

/// What a Worker of one's own decides, in Rust. Called once a request, when all else has admitted it and only the
/// external policy is left to ask; and once more for whoever has a request explained, so it must do nothing but
/// decide. There is nothing to wait for.
pub trait Hooks {
    /// Judges what is about to be done.
    fn judge(&self, act: &Act<'_>) -> Decision {
        let _ = act;
        Decision::Allow
    }

    /// Tells whether there is anything to judge. Where there is, a path that servers may read as two different operations
    /// is refused.
    fn decide(&self) -> bool {
        true
    }
}

/// The hooks of who has none.
#[derive(Clone, Copy, Debug)]
pub struct NoHooks;

impl Hooks for NoHooks {
    fn decide(&self) -> bool {
        false
    }
}

impl<'a> Asking<'a> {
    /// Tells of a principal.
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
            role: principal.role.map(crate::principal::Role::name),
            session_id: principal.session_id(),
            actor_source,
            agent_id,
            task_id,
            token_id,
        }
    }
}

impl Act<'_> {
    /// Writes it as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Decision {
    /// Reads an answer: the decision, and for how many seconds it may be gone by.
    ///
    /// # Errors
    /// [`Rejection::ForbiddenPolicy`]: it decides nothing.
    pub fn read(status: u16, body: &str) -> Result<(Self, u64), Rejection> {
        let nothing = Rejection::ForbiddenPolicy(ForbiddenBy::Unavailable);
        let Some(answer) = answer_of::<Answer>(body) else { return Err(nothing) };
        if status != 200 {
            return Err(nothing);
        }
        // What is no whole number of seconds is none.
        let ttl = answer.ttl.and_then(|ttl| ttl.as_u64()).unwrap_or_default().min(LONGEST_TTL);
        match (answer.decision.as_str(), answer.status) {
            ("allow", _) => Ok((Self::Allow, ttl)),
            ("forbid", _) => Ok((Self::Forbid, ttl)),
            ("fail", Some(status @ 400..=599)) => {
                let body = answer.body.map(|body| body.get().to_owned()).unwrap_or_default();
                Ok((Self::Fail { status, body }, 0))
            }
            _ => Err(nothing),
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
    // As it was written; a null is one, too.
    #[serde(default, deserialize_with = "as_written")]
    body: Option<Box<RawValue>>,
    ttl: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::{ActorSource, Who};

    #[test]
    fn what_an_answer_says() {
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
    fn what_it_is_told() {
        let principal = Principal {
            who: Who::User { id: "usr_a".to_owned() },
            role: Some(crate::principal::Role::User),
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
