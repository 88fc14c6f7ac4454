//! Responses of the gateway: its own replies, edits of upstream's response, and the reasons to answer a request early.

use std::{borrow::Cow, time::Duration};

use super::problem::{Fault, Rejection};
use crate::base::time::Timestamp;

/// Changes to the headers of a message, applied in this order: remove, set, append.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits<'a> {
    /// Names of headers to remove.
    pub remove: Vec<Cow<'a, str>>,
    /// Headers to set to one value, which replaces other values.
    pub set: Vec<(&'static str, Cow<'a, str>)>,
    /// Headers to add to values that may already exist.
    pub append: Vec<(&'static str, String)>,
}

/// The response to the client.
#[derive(Debug)]
pub enum Answer<R> {
    /// Upstream's response with changes to its headers. Without changes, it is passed on as it is.
    Relayed(R, HeaderEdits<'static>),
    /// The same for an open stream: its client is checked again while it is open.
    Watched(R, HeaderEdits<'static>, OpenStream),
    /// A response of the gateway's own.
    Own(Reply),
    /// The head of a stream of events of the gateway's own: its client is checked again while it is open.
    Feed(Reply, OpenStream),
}

/// A WebSocket or a response of events, and the client that opened it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenStream {
    /// The time between two checks of the client.
    pub every: Duration,
    /// The principal and its credential, as one text.
    pub opened_by: String,
    /// Whether the principal was an admin.
    pub is_admin: bool,
}

/// A response of the gateway's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The status, 200–599.
    pub status: u16,
    /// Header names and values; a name can occur more than once.
    pub headers: Vec<(&'static str, String)>,
    /// The body; `None` for a response without a body.
    pub body: Option<String>,
}

impl<R> Answer<R> {
    /// Returns upstream's response, and the stream that it opens if that is watched.
    #[must_use]
    pub fn relayed(response: R, edits: HeaderEdits<'static>, stream: Option<OpenStream>) -> Self {
        match stream {
            Some(stream) => Self::Watched(response, edits, stream),
            None => Self::Relayed(response, edits),
        }
    }
}

impl HeaderEdits<'_> {
    /// Checks whether there are no changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.append.is_empty()
    }
}

/// The reason why a request is answered early, and not by the destination of its rule.
#[derive(Debug)]
pub enum EarlyResponse {
    /// A rejection, caused by the client.
    Rejected(Rejection),
    /// A fault of the gateway, of a store or of upstream.
    Failed(Fault),
    /// A machine's request that a person must approve first.
    ApprovalRequired(PendingApproval),
    /// A sign-in whose password was right, and that needs a second factor.
    SecondFactor(PendingSignIn),
    /// A complete response from the external policy or from a hook.
    PolicyResponse(Reply),
    /// The user is at the login page with a live session: a redirect to this return path.
    SignedIn(String),
}

/// An approval that a person has not decided yet.
#[derive(Clone, Debug)]
pub struct PendingApproval {
    /// The approval's id.
    pub id: String,
    /// The URL at which the person decides.
    pub approve_url: String,
    /// The time at which the approval expires.
    pub expires_at: Timestamp,
}

/// A sign-in whose password was right.
#[derive(Clone, Debug)]
pub struct PendingSignIn {
    /// The ticket for the next step.
    pub ticket: String,
    /// What the user can sign in with; `None` if the user has to enroll a factor first.
    pub methods: Option<Vec<&'static str>>,
    /// The time at which the ticket ends.
    pub expires_at: Timestamp,
}

impl EarlyResponse {
    /// Checks whether this refuses the request. A redirect away from the login page is not a refusal.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Rejected(_)
            | Self::Failed(_)
            | Self::ApprovalRequired(_)
            | Self::SecondFactor(_)
            | Self::PolicyResponse(_) => true,
            Self::SignedIn(_) => false,
        }
    }
}

impl From<Rejection> for EarlyResponse {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<Fault> for EarlyResponse {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}
