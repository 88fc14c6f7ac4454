//! The gateway's own endpoints and their properties.

/// An endpoint of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `GET /api/auth/me`
    Me,
    /// `POST /api/auth/logout`
    Logout,
    /// `GET /api/auth/setup`
    SetUpState,
    /// `POST /api/auth/setup`
    SetUp,
    /// `POST /api/auth/login`
    LogIn,
    /// `GET /api/users`
    ListUsers,
    /// `GET /api/users/names`
    ReadNames,
    /// `GET /api/users/{id}`
    ReadUser,
    /// `PATCH /api/users/{id}`
    ChangeUser,
    /// `DELETE /api/users/{id}`
    DeleteUser,
    /// `POST /api/invites`
    CreateInvite,
    /// `GET /api/invites`
    ListInvites,
    /// `PATCH /api/invites/{id}`
    ChangeInvite,
    /// `DELETE /api/invites/{id}`
    DeleteInvite,
    /// `POST /api/invites/{token}/redeem`
    RedeemInvite,
    /// `POST /api/agent-tokens`
    CreateToken,
    /// `GET /api/agent-tokens`
    ListTokens,
    /// `DELETE /api/agent-tokens/{id}`
    DeleteToken,
    /// `POST /api/agent-tokens/{id}/take-over`
    TakeOverToken,
    /// `GET /api/sessions`
    ListSessions,
    /// `DELETE /api/sessions`: ends all sessions except the one of the request
    RevokeSessions,
    /// `DELETE /api/sessions/{id}`
    RevokeSession,
    /// `GET /api/checkouts/{ref}`
    ReadCheckout,
    /// `POST /api/checkouts/{ref}/cancel`
    CancelCheckout,
    /// `GET /api/webhooks`
    ListEvents,
    /// `POST /api/webhooks/{id}/redeliver`
    Redeliver,
    /// `GET /api/idempotency`
    ListUnresolved,
    /// `POST /api/idempotency/{id}/resolve`
    Resolve,
    /// `GET /api/confirmations`
    ListConfirmations,
    /// `GET /api/confirmations/{id}`: people get a page
    ReadConfirmation,
    /// `POST /api/confirmations/{id}/approve`
    Approve,
    /// `POST /api/confirmations/{id}/reject`
    Reject,
    /// `GET /api/features/{name}`
    ReadFeature,
    /// `PUT /api/features/{name}`
    WriteFeature,
    /// `GET /api/audit`
    ListAudit,
    /// `GET /api/audit/verify`
    VerifyAudit,
    /// `POST /api/explain`
    Explain,
    /// `GET /.well-known/agent-operations`
    Catalogue,
    /// `GET /.well-known/agent-operations/openapi.json`
    CatalogueAsOpenApi,
    /// `GET /.well-known/vestibule`
    WellKnown,
    /// A path of upstream that only the gateway calls. A client gets 404.
    InternalOnly,
    /// An endpoint above, requested with another method. Holds the methods for `Allow`.
    WrongMethod(&'static str),
}

impl Endpoint {
    /// Returns true if the endpoint accepts a body.
    #[must_use]
    pub fn takes_body(self) -> bool {
        match self {
            Self::SetUp
            | Self::LogIn
            | Self::ChangeUser
            | Self::CreateInvite
            | Self::ChangeInvite
            | Self::RedeemInvite
            | Self::CreateToken
            | Self::WriteFeature
            | Self::Explain
            | Self::Resolve => true,
            Self::Me
            | Self::Logout
            | Self::SetUpState
            | Self::ListUsers
            | Self::ReadNames
            | Self::ReadUser
            | Self::DeleteUser
            | Self::ListInvites
            | Self::DeleteInvite
            | Self::ListTokens
            | Self::DeleteToken
            | Self::TakeOverToken
            | Self::ListSessions
            | Self::RevokeSessions
            | Self::RevokeSession
            | Self::ReadCheckout
            | Self::CancelCheckout
            | Self::ListEvents
            | Self::Redeliver
            | Self::ListUnresolved
            | Self::ListConfirmations
            | Self::ReadConfirmation
            | Self::Approve
            | Self::Reject
            | Self::ReadFeature
            | Self::ListAudit
            | Self::VerifyAudit
            | Self::Catalogue
            | Self::CatalogueAsOpenApi
            | Self::WellKnown
            | Self::InternalOnly
            | Self::WrongMethod(_) => false,
        }
    }

    /// Returns true if the endpoint shows people a page. A return path may lead to it.
    #[must_use]
    pub fn is_page(self) -> bool {
        self == Self::ReadConfirmation
    }

    /// Returns true if people use the endpoint in a browser without scripts: a confirmation page and its buttons.
    #[must_use]
    pub fn serves_people(self) -> bool {
        self.is_page() || matches!(self, Self::Approve | Self::Reject)
    }

    /// Returns true if the endpoint changes state of the gateway. The audit trail records such requests.
    #[must_use]
    pub fn changes_state(self) -> bool {
        match self {
            Self::SetUp
            | Self::LogIn
            | Self::Logout
            | Self::ChangeUser
            | Self::DeleteUser
            | Self::CreateInvite
            | Self::ChangeInvite
            | Self::DeleteInvite
            | Self::RedeemInvite
            | Self::CreateToken
            | Self::DeleteToken
            | Self::TakeOverToken
            | Self::RevokeSessions
            | Self::RevokeSession
            | Self::CancelCheckout
            | Self::Redeliver
            | Self::Resolve
            | Self::Approve
            | Self::Reject
            | Self::WriteFeature => true,
            Self::Me
            | Self::SetUpState
            | Self::ListUsers
            | Self::ReadNames
            | Self::ReadUser
            | Self::ListInvites
            | Self::ListTokens
            | Self::ListSessions
            | Self::ReadCheckout
            | Self::ListEvents
            | Self::ListUnresolved
            | Self::ListConfirmations
            | Self::ReadConfirmation
            | Self::ReadFeature
            | Self::ListAudit
            | Self::VerifyAudit
            | Self::Explain
            | Self::Catalogue
            | Self::CatalogueAsOpenApi
            | Self::WellKnown
            | Self::InternalOnly
            | Self::WrongMethod(_) => false,
        }
    }
}
