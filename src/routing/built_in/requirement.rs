//! What built-in routes need to exist.

/// What a built-in route needs to exist. Without it, its path belongs to upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The route always exists.
    Nothing,
    /// The session registry.
    Registry,
    /// The registry, the ledger, and a rule with `idempotency` or a webhook.
    Ledger,
    /// The registry, the inbox, and a webhook that uses it.
    Inbox,
    /// Checkouts.
    Checkouts,
    /// Accounts.
    Accounts,
    /// The pages of Vestibule.
    Pages,
    /// Accounts and a kind of token.
    Tokens,
    /// Accounts, and a rule that requires an approval.
    Approvals,
    /// The registry, KV, and a rule with a feature.
    Flags,
    /// The registry and the audit trail.
    Audit,
    /// The registry and the object of the numbers.
    Metrics,
    /// The registry and the secret that upstream signs with.
    LogoutTokens,
}

impl Requirement {
    /// Returns the name by which the pages know the feature.
    #[must_use]
    pub fn feature(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Registry => Some("sessions"),
            Self::Ledger => Some("idempotency"),
            Self::Inbox => Some("webhooks"),
            Self::Checkouts => Some("checkouts"),
            Self::Accounts => Some("accounts"),
            Self::Pages => Some("pages"),
            Self::Tokens => Some("tokens"),
            Self::Approvals => Some("approvals"),
            Self::Flags => Some("features"),
            Self::Audit => Some("audit"),
            Self::Metrics => Some("metrics"),
            Self::LogoutTokens => Some("backchannel_logout"),
        }
    }
}
