//! What the reference knows, and what it says about a request.

use super::{
    identity::Principal,
    rules::Setup,
    state::{State, Token, User},
};

/// What the stores say at some time. With `check_ttl`, parts of it may be older than others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    /// The sessions and their users.
    pub(crate) state: State,
    pub(crate) tokens: Vec<Token>,
    /// The users as the owners of tokens.
    pub(crate) owners: Vec<User>,
    pub(crate) has_registry: bool,
    pub(crate) has_tokens: bool,
}

/// A refusal or a redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) reason: Option<&'static str>,
    /// The start of `Location`.
    pub(crate) location: Option<String>,
}

impl Refusal {
    pub(crate) const STORE: Self = Self::of(503, "store_unavailable", None);

    pub(crate) const fn of(status: u16, code: &'static str, reason: Option<&'static str>) -> Self {
        Self { status, code, reason, location: None }
    }
}

/// What the response does to the session cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Healing {
    Nothing,
    /// Sets it, and expires it in other scopes if there were several.
    Sets {
        others: bool,
    },
    Expires {
        others: bool,
    },
    /// The documentation leaves it open.
    Any,
}

/// The session cookie that upstream gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Forwarded {
    Unchanged,
    None,
    Only(usize),
    Any,
}

/// What changes by a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Counts { limit: &'static str, subject: String },
    Runs { owner: String, key: &'static str, fingerprint: String, status: u16 },
    AsksForApproval { token: &'static str, fingerprint: String },
    Uses { approval: usize, key: Option<&'static str> },
    Withdraws { approval: usize },
    SignsOut(usize),
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// The status of the answer, and the code, reason and location of a refusal.
    pub(crate) answer: Refusal,
    /// In report mode, the first refusal.
    pub(crate) would_refuse: Option<Refusal>,
    /// The principal of the request that upstream gets, and who approved it. `None`: upstream gets nothing.
    pub(crate) upstream: Option<ToUpstream>,
    pub(crate) is_replayed: bool,
    pub(crate) healing: Healing,
    pub(crate) owner_lookups: u32,
    /// The number of requests to the external policy and to Turnstile.
    pub(crate) external: usize,
    pub(crate) reads_body: bool,
    pub(crate) effects: Vec<Effect>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToUpstream {
    pub(crate) principal: Option<Principal>,
    pub(crate) operation: Option<&'static str>,
    pub(crate) confirmed_by: Option<&'static str>,
    pub(crate) cookie: Forwarded,
}

/// An approval that a machine needs, and what a person decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Approval {
    pub(crate) id: String,
    pub(crate) token: &'static str,
    pub(crate) fingerprint: String,
    pub(crate) created: i64,
    pub(crate) state: ApprovalState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ApprovalState {
    Pending,
    Approved,
    Rejected,
    Used(Option<&'static str>),
}

/// A request that a limit has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) limit: &'static str,
    /// The address or the principal.
    pub(crate) subject: String,
    pub(crate) at: i64,
}

/// How the session cookies were read: at which view, whether the registry was asked, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CookieCheck {
    pub(crate) view: usize,
    pub(crate) asks_registry: bool,
    pub(crate) now: i64,
}

/// A request that ran under an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) owner: String,
    pub(crate) key: &'static str,
    pub(crate) fingerprint: String,
    pub(crate) status: u16,
}

/// The configuration, and what the gateway remembers.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) setup: Setup,
    pub(crate) counts: Vec<Count>,
    pub(crate) runs: Vec<Run>,
    pub(crate) approvals: Vec<Approval>,
}
