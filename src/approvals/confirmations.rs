//! Approvals: people's decisions about acts of machines. One object for each person, and one for all agents.
//!
//! 1. An [`ApprovalRequest`] is a request of one credential that runs once: this host, method, path, query, body and
//!    headers. If the credential asks for it again while it is open, it gets the same act.
//! 2. An act is open for [`OPEN`] seconds, while it is pending or approved. Then it expires.
//! 3. A person approves or rejects it. The same decision again changes nothing; a different one is refused.
//! 4. An approved act is used once, by the same request. An act that was used with an idempotency key may be used
//!    again with that key: the ledger ensures that the request runs once. [`OPEN`] seconds after the act was created,
//!    the request may only be replayed.
//! 5. A request that was changed does not use up the act.
//! 6. The details that a person sees are deleted [`OPEN`] seconds after the act expires.
//!
//! | state | the request with the act's id | approve | reject |
//! |---|---|---|---|
//! | pending | waits: pending | approved | rejected |
//! | approved | runs; the act becomes used | approved | refused: approved |
//! | rejected | refused: rejected | refused: rejected | rejected |
//! | used | refused: used; with the same key it runs or is replayed | refused: used | refused: used |
//! | expired, or unknown | refused: expired, or unknown | the same | the same |
//! | any but expired, other request | refused: changed | | |

mod object;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    base::{encoding, time::Timestamp},
    http::problem::ApprovalError,
    identity::{author::Author, ended},
};

/// The `Confirmations` object of one person, or of all agents.
#[derive(Debug)]
pub struct Confirmations;

/// The prefix of ids.
pub const PREFIX: &str = "cnf_";

/// Later than the time of any act. The platform rounds integers beyond 2^53, so this is not `i64::MAX`.
pub const MAX_TIME: i64 = i64::MAX >> 11;

/// How long an act is open, in seconds.
pub const OPEN: i64 = 600;

/// Maximum number of open acts of one credential.
pub const MAX_OPEN: i64 = 20;

/// Maximum number of bytes in the preview of a body.
pub const LONGEST_PREVIEW: usize = 4_096;

/// The scope of the object that holds the acts of all agents, for [`object_of`].
pub const AGENTS: &str = "agents";

/// A request that a machine wants to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRequest {
    /// The id: `cnf_…`.
    pub id: String,
    /// The credential that asks, unique among all: its principal, and its id.
    pub requester: String,
    /// The fingerprint, which distinguishes the request from all others.
    pub fingerprint: String,
    /// The details that a person sees.
    pub shown: ApprovalDetails,
    /// When the act was created.
    pub created_at: Timestamp,
}

/// The details of an act that a person sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalDetails {
    /// The name of the rule's operation, if it has one.
    pub operation: Option<String>,
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The principal for whom the machine asks.
    pub principal: PrincipalRef,
    /// The actor: the token that sends the request.
    pub actor: ActorRef,
    /// The body's content type, as the client sent it.
    pub content_type: Option<String>,
    /// Other headers that may change the meaning of the request: names and values.
    pub headers: Vec<(String, String)>,
    /// The body's first bytes, if they are text.
    pub preview: Option<String>,
    /// Whether the body is longer than the preview.
    pub preview_cut: bool,
    /// The body's SHA-256, in hex.
    pub body_sha256: String,
}

/// A principal, as a person sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrincipalRef {
    /// `user` or `agent`.
    pub kind: String,
    /// The principal's id.
    pub id: String,
}

/// An actor, as a person sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActorRef {
    /// The token's source: `task_token`, `agent_token`, …
    pub source: Option<String>,
    /// The token's id.
    pub token_id: Option<String>,
    /// The token's name.
    pub token_name: Option<String>,
    /// The agent for which the token was created.
    pub agent_id: Option<String>,
    /// The task for which the token was created.
    pub task_id: Option<String>,
}

/// An act and its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The act.
    pub act: ApprovalRequest,
    /// The state, as of now.
    pub state: State,
    /// When the act expires.
    pub expires_at: Timestamp,
    /// The id of the user who decided.
    pub decided_by: Option<String>,
}

/// The state of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No person has decided yet.
    Pending,
    /// A person has approved the act.
    Approved,
    /// A person has rejected the act.
    Rejected,
    /// A request has used the act.
    Used,
    /// The act has expired. This state is derived when the act is read, and not stored.
    Expired,
}

/// A command to the object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Asks a person to approve an act.
    Ask(Box<ApprovalRequest>),
    /// Uses an act for a request.
    Use(Use),
    /// Returns the act with this id.
    Find(String),
    /// Lists the acts that were created at most twice [`OPEN`] seconds ago, the latest first. Takes the last item of
    /// the previous page (its time and id), and the maximum number of acts.
    List(Option<(Timestamp, String)>, i64),
    /// Stores a person's decision.
    Decide {
        /// The act's id.
        id: String,
        /// The user who decides, with the credential of a session.
        author: Author,
        /// Whether the user approves the act.
        approves: bool,
    },
    /// Notes sessions as ended: decisions of authors with these sessions are refused.
    EndedSessions(ended::Ids),
}

/// A request that is sent with an act's id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Use {
    /// The act's id.
    pub id: String,
    /// The credential that sends the request.
    pub requester: String,
    /// The request's fingerprint.
    pub fingerprint: String,
    /// The hash of the idempotency key, and the seconds for which the ledger keeps the outcome.
    pub key: Option<(String, i64)>,
}

/// A reply of the object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The act that was asked for, now or before, and its state.
    Asked(Box<Approval>),
    /// The request may run: the id of the user who approved it. If the second value is true, the act has expired: the
    /// request may only be replayed.
    Approved(String, bool),
    /// The request may not run, or the decision is not possible.
    Refused(ApprovalError),
    /// The credential has [`MAX_OPEN`] open acts; seconds until the first one expires.
    Full(u32),
    /// The act and its state; `None` if there is no such act.
    Found(Option<Box<Approval>>),
    /// The acts that were listed, each with its state.
    All(Vec<Approval>),
    /// The session of the author has ended.
    SessionEnded,
    /// The sessions are noted.
    Done,
}

/// Returns the name of the object for a scope: `user:<id>` for the machines of one user, or [`AGENTS`].
#[must_use]
pub fn object_of(scope: &str) -> String {
    let digest = encoding::hex(&Sha256::digest(scope));
    digest.get(..16).unwrap_or_default().to_owned()
}

/// Returns the name of the object in an act's id; `None` if the id is malformed.
#[must_use]
pub fn object_of_id(id: &str) -> Option<&str> {
    let (object, random) = id.strip_prefix(PREFIX)?.split_once('.')?;
    let is_hex = object.len() == 16 && object.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (is_hex && (16..=64).contains(&random.len())).then_some(object)
}

/// Returns the preview of a body: its first bytes, if they are text, and whether the body is longer.
#[must_use]
pub fn preview(first: &[u8], length: usize) -> (Option<String>, bool) {
    let is_cut = length > first.len();
    let text = match std::str::from_utf8(first) {
        Ok(text) => Some(text),
        // The first bytes end within a character.
        Err(error) if is_cut && error.error_len().is_none() => {
            first.get(..error.valid_up_to()).and_then(|whole| std::str::from_utf8(whole).ok())
        }
        Err(_) => None,
    };
    (text.map(str::to_owned).filter(|_| length > 0), is_cut)
}

/// Returns a text of at most `most` characters, followed by a mark if it was cut.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most).chain("… (cut)".chars()).collect()
}

impl State {
    /// Returns the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Used => "used",
            Self::Expired => "expired",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Pending, Self::Approved, Self::Rejected, Self::Used]
            .into_iter()
            .find(|state| state.name() == name)
    }

    /// Returns the reason why an act in this state cannot be used, or cannot be decided differently.
    fn refusal(self) -> ApprovalError {
        match self {
            Self::Pending => ApprovalError::Pending,
            Self::Approved => ApprovalError::Approved,
            Self::Rejected => ApprovalError::Rejected,
            Self::Used => ApprovalError::Used,
            Self::Expired => ApprovalError::Expired,
        }
    }
}

#[cfg(test)]
mod tests;
