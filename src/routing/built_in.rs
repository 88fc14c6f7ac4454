//! The built-in routes: one entry for each.
//!
//! To add a route, add an entry to [`ROUTES`], a variant to [`Endpoint`], and an arm to two matches:
//! `gateway/endpoints.rs` and, for accounts, sessions and tokens, `accounts/endpoints/mod.rs`. One of them calls the
//! endpoint. Then describe the route in `docs/openapi.yaml`.

mod requirement;

use std::sync::LazyLock;

pub use self::requirement::Requirement;

use super::rule::Access;
use crate::http::form;

/// A built-in route.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one for each property")]
pub struct BuiltInRoute {
    /// The endpoint that answers.
    pub endpoint: Endpoint,
    /// The method. `GET` includes `HEAD`.
    pub method: &'static str,
    /// The path, with the default prefix `/api` or `/_vestibule`.
    pub path: &'static str,
    /// The access.
    pub access: Access,
    /// The operation name.
    pub operation: &'static str,
    /// What the route needs to exist.
    pub requires: Requirement,
    /// Whether it accepts a body.
    pub takes_body: bool,
    /// Whether it changes state, or gives out what must not go unnoticed. The audit trail records such requests.
    pub changes_state: bool,
    /// Whether a repeated request would create another thing. It accepts an idempotency key.
    pub creates: bool,
    /// Whether a token may use it whatever its scope is. Only for what anybody may read.
    pub for_any_scope: bool,
    /// Whether it acts with a person's authority although its access is not `admin`.
    pub decides: bool,
    /// How browsers use it.
    pub browser_use: BrowserUse,
}

/// How browsers use a built-in route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrowserUse {
    /// Scripts call it.
    Script,
    /// People see it as a page. A return path may lead to it.
    Page,
    /// People reach it by a button on a page.
    Button,
}

/// An endpoint of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `GET /api/auth/me`
    Me,
    /// `POST /api/auth/logout`
    Logout,
    /// `GET /api/auth/settings`: what the pages of accounts have to know
    ReadSettings,
    /// `GET /_vestibule/settings`: the same, at a path that the pages know
    ReadPageSettings,
    /// `GET /api/auth/setup`
    SetUpState,
    /// `POST /api/auth/setup`
    SetUp,
    /// `POST /api/auth/login`
    LogIn,
    /// `POST /api/auth/reauthenticate`
    Reauthenticate,
    /// `POST /api/auth/factor`: the second step of a sign-in
    FinishLogIn,
    /// `GET /api/auth/factors`
    ReadFactors,
    /// `POST /api/auth/factors/totp`
    BeginTotp,
    /// `DELETE /api/auth/factors/totp`
    RemoveTotp,
    /// `POST /api/auth/factors/totp/confirm`
    ConfirmTotp,
    /// `DELETE /api/auth/factors/passkeys/{id}`
    RemovePasskey,
    /// `POST /api/auth/passkeys/options`: begins the enrollment of a passkey
    BeginPasskey,
    /// `POST /api/auth/passkeys`: finishes the enrollment of a passkey
    AddPasskey,
    /// `POST /api/auth/passkeys/login-options`: begins the use of a passkey
    PasskeyLogInOptions,
    /// `POST /api/auth/passkeys/login`: signs in with a passkey alone
    PasskeyLogIn,
    /// `POST /api/auth/factors/recovery-codes`
    RenewRecoveryCodes,
    /// `DELETE /api/users/{id}/factors`
    RemoveFactors,
    /// `POST /api/auth/backchannel-logout`
    BackchannelLogout,
    /// `POST /api/auth/password`
    ChangePassword,
    /// `POST /api/auth/reset`: asks for a reset link by mail
    RequestResetLink,
    /// `POST /api/auth/reset/redeem`
    UseResetLink,
    /// `POST /api/auth/recover`
    Recover,
    /// `POST /api/users/{id}/reset`
    MakeResetLink,
    /// `GET /api/users`
    ListUsers,
    /// `GET /api/users/names`
    ReadNames,
    /// `GET /api/users/export`
    ExportUsers,
    /// `POST /api/users/import`
    ImportUsers,
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
    EndOtherSessions,
    /// `DELETE /api/sessions/{id}`
    EndSession,
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
    /// `GET /api/features`
    ListFeatures,
    /// `GET /api/features/{name}`
    ReadFeature,
    /// `PUT /api/features/{name}`
    WriteFeature,
    /// `GET /api/audit`
    ListAudit,
    /// `GET /api/audit/verify`
    VerifyAudit,
    /// `GET /api/metrics`
    ReadMetrics,
    /// `GET /api/metrics/tail`
    TailDecisions,
    /// `POST /api/explain`
    Explain,
    /// `GET /api/routes`
    ListRoutes,
    /// `GET /api/config`
    ReadConfiguration,
    /// `GET /.well-known/agent-operations`
    Catalogue,
    /// `GET /.well-known/agent-operations/openapi.json`
    CatalogueAsOpenApi,
    /// `GET /.well-known/vestibule`
    ReadHealth,
}

impl BuiltInRoute {
    /// Checks whether people use the route in a browser without scripts: a page and its buttons.
    #[must_use]
    pub fn serves_people(&self) -> bool {
        self.browser_use != BrowserUse::Script
    }

    /// Returns the maximum length of its body, in bytes.
    #[must_use]
    pub fn longest_body(&self) -> usize {
        match self.endpoint {
            Endpoint::ImportUsers => 256 * 1_024,
            _ => form::LONGEST,
        }
    }

    /// Checks whether `SESSION.recent_admin` applies: to routes for admins, and to those that decide for a person.
    #[must_use]
    pub fn is_sensitive(&self) -> bool {
        self.decides || matches!(self.access, Access::Admin | Access::AdminInPerson)
    }

    const fn deciding(mut self) -> Self {
        self.decides = true;
        self
    }

    const fn with_body(mut self) -> Self {
        self.takes_body = true;
        self
    }

    const fn changing_state(mut self) -> Self {
        self.changes_state = true;
        self
    }

    const fn creating(mut self) -> Self {
        self.creates = true;
        self
    }

    const fn for_any_scope(mut self) -> Self {
        self.for_any_scope = true;
        self
    }

    const fn page(mut self) -> Self {
        self.browser_use = BrowserUse::Page;
        self
    }

    const fn button(mut self) -> Self {
        self.browser_use = BrowserUse::Button;
        self
    }
}

/// Returns the value of `Allow` for a path of [`ROUTES`].
#[must_use]
pub fn allowed_methods(path: &str) -> &'static str {
    let found = ALLOWED.iter().find(|(known, _)| *known == path);
    found.map_or("", |(_, methods)| methods)
}

#[cfg(test)]
pub(crate) fn route_of(endpoint: Endpoint) -> &'static BuiltInRoute {
    ROUTES.iter().find(|route| route.endpoint == endpoint).expect("a route")
}

/// The methods of each path, as `Allow` lists them (RFC 9110 §10.2.1).
static ALLOWED: LazyLock<Vec<(&str, String)>> = LazyLock::new(|| {
    let mut allowed: Vec<(&str, String)> = Vec::new();
    for route in ROUTES {
        let method = if route.method == "GET" { "GET, HEAD" } else { route.method };
        match allowed.last_mut() {
            Some((path, methods)) if *path == route.path => {
                methods.push_str(", ");
                methods.push_str(method);
            }
            _ => allowed.push((route.path, method.to_owned())),
        }
    }
    allowed
});

const fn route(
    endpoint: Endpoint,
    method: &'static str,
    path: &'static str,
    access: Access,
    operation: &'static str,
    requires: Requirement,
) -> BuiltInRoute {
    BuiltInRoute {
        endpoint,
        method,
        path,
        access,
        operation,
        requires,
        takes_body: false,
        changes_state: false,
        creates: false,
        for_any_scope: false,
        decides: false,
        browser_use: BrowserUse::Script,
    }
}

/// The built-in routes. Those of one path follow one another.
#[rustfmt::skip]
pub static ROUTES: &[BuiltInRoute] = &[
    route(Endpoint::Me, "GET", "/api/auth/me", Access::Authenticated, "vestibule.me", Requirement::Nothing),
    route(Endpoint::Logout, "POST", "/api/auth/logout", Access::Public, "vestibule.logout", Requirement::Nothing).changing_state(),
    route(Endpoint::Catalogue, "GET", "/.well-known/agent-operations", Access::Optional, "vestibule.catalogue", Requirement::Nothing).for_any_scope(),
    route(Endpoint::CatalogueAsOpenApi, "GET", "/.well-known/agent-operations/openapi.json", Access::Optional, "vestibule.catalogue.openapi", Requirement::Nothing).for_any_scope(),
    route(Endpoint::ReadHealth, "GET", "/.well-known/vestibule", Access::Public, "vestibule.well_known", Requirement::Nothing),
    route(Endpoint::ListSessions, "GET", "/api/sessions", Access::Human, "vestibule.sessions.list", Requirement::Registry),
    route(Endpoint::EndOtherSessions, "DELETE", "/api/sessions", Access::Human, "vestibule.sessions.revoke_others", Requirement::Registry).changing_state(),
    route(Endpoint::EndSession, "DELETE", "/api/sessions/{id}", Access::Human, "vestibule.sessions.revoke", Requirement::Registry).changing_state(),
    route(Endpoint::ListUnresolved, "GET", "/api/idempotency", Access::Admin, "vestibule.idempotency.list", Requirement::Ledger),
    route(Endpoint::Resolve, "POST", "/api/idempotency/{id}/resolve", Access::Admin, "vestibule.idempotency.resolve", Requirement::Ledger).with_body().changing_state(),
    route(Endpoint::ListEvents, "GET", "/api/webhooks", Access::Admin, "vestibule.webhooks.list", Requirement::Inbox),
    route(Endpoint::Redeliver, "POST", "/api/webhooks/{id}/redeliver", Access::Admin, "vestibule.webhooks.redeliver", Requirement::Inbox).changing_state(),
    route(Endpoint::ReadCheckout, "GET", "/api/checkouts/{ref}", Access::Optional, "vestibule.checkouts.read", Requirement::Checkouts),
    route(Endpoint::CancelCheckout, "POST", "/api/checkouts/{ref}/cancel", Access::Optional, "vestibule.checkouts.cancel", Requirement::Checkouts).changing_state(),
    route(Endpoint::ReadSettings, "GET", "/api/auth/settings", Access::Public, "vestibule.settings.read", Requirement::Accounts),
    route(Endpoint::ReadPageSettings, "GET", "/_vestibule/settings", Access::Public, "vestibule.pages.settings", Requirement::Pages),
    route(Endpoint::SetUpState, "GET", "/api/auth/setup", Access::Public, "vestibule.setup.read", Requirement::Accounts),
    route(Endpoint::SetUp, "POST", "/api/auth/setup", Access::Public, "vestibule.setup", Requirement::Accounts).with_body().changing_state(),
    route(Endpoint::LogIn, "POST", "/api/auth/login", Access::Public, "vestibule.login", Requirement::Accounts).with_body().changing_state(),
    route(Endpoint::Reauthenticate, "POST", "/api/auth/reauthenticate", Access::UserInPerson, "vestibule.reauthenticate", Requirement::Accounts).with_body().changing_state(),
    route(Endpoint::FinishLogIn, "POST", "/api/auth/factor", Access::Public, "vestibule.login.factor", Requirement::Accounts).with_body().changing_state(),
    route(Endpoint::ReadFactors, "GET", "/api/auth/factors", Access::UserInPerson, "vestibule.factors.read", Requirement::Accounts),
    route(Endpoint::BeginTotp, "POST", "/api/auth/factors/totp", Access::Optional, "vestibule.factors.totp.begin", Requirement::Accounts).with_body().changing_state(),
    route(Endpoint::RemoveTotp, "DELETE", "/api/auth/factors/totp", Access::UserInPerson, "vestibule.factors.totp.remove", Requirement::Accounts).changing_state(),
    route(Endpoint::ConfirmTotp, "POST", "/api/auth/factors/totp/confirm", Access::Optional, "vestibule.factors.totp.confirm", Requirement::Accounts).with_body().changing_state(),
    route(Endpoint::RemovePasskey, "DELETE", "/api/auth/factors/passkeys/{id}", Access::UserInPerson, "vestibule.factors.passkeys.remove", Requirement::Accounts).changing_state(),
    route(Endpoint::BeginPasskey, "POST", "/api/auth/passkeys/options", Access::Optional, "vestibule.passkeys.begin", Requirement::Accounts).with_body(),
    route(Endpoint::AddPasskey, "POST", "/api/auth/passkeys", Access::Optional, "vestibule.passkeys.add", Requirement::Accounts).with_body().changing_state(),
    route(Endpoint::PasskeyLogInOptions, "POST", "/api/auth/passkeys/login-options", Access::Optional, "vestibule.login.passkey.begin", Requirement::Accounts).with_body(),
    route(Endpoint::PasskeyLogIn, "POST", "/api/auth/passkeys/login", Access::Public, "vestibule.login.passkey", Requirement::Accounts).with_body().changing_state(),
    route(Endpoint::RenewRecoveryCodes, "POST", "/api/auth/factors/recovery-codes", Access::UserInPerson, "vestibule.factors.recovery_codes", Requirement::Accounts).changing_state(),
    route(Endpoint::ChangePassword, "POST", "/api/auth/password", Access::UserInPerson, "vestibule.password.change", Requirement::Accounts).with_body().changing_state(),
    route(Endpoint::RequestResetLink, "POST", "/api/auth/reset", Access::Public, "vestibule.reset", Requirement::Accounts).with_body().changing_state(),
    route(Endpoint::UseResetLink, "POST", "/api/auth/reset/redeem", Access::Public, "vestibule.reset.redeem", Requirement::Accounts).with_body().changing_state(),
    route(Endpoint::Recover, "POST", "/api/auth/recover", Access::Public, "vestibule.recover", Requirement::Accounts).with_body().changing_state(),
    route(Endpoint::BackchannelLogout, "POST", "/api/auth/backchannel-logout", Access::Public, "vestibule.backchannel_logout", Requirement::LogoutTokens).with_body().changing_state(),
    route(Endpoint::ListUsers, "GET", "/api/users", Access::AdminInPerson, "vestibule.users.list", Requirement::Accounts),
    route(Endpoint::ReadNames, "GET", "/api/users/names", Access::Authenticated, "vestibule.users.names", Requirement::Accounts),
    route(Endpoint::ExportUsers, "GET", "/api/users/export", Access::AdminInPerson, "vestibule.users.export", Requirement::Accounts).changing_state(),
    route(Endpoint::ImportUsers, "POST", "/api/users/import", Access::AdminInPerson, "vestibule.users.import", Requirement::Accounts).with_body().changing_state(),
    route(Endpoint::ReadUser, "GET", "/api/users/{id}", Access::AdminInPerson, "vestibule.users.read", Requirement::Accounts),
    route(Endpoint::ChangeUser, "PATCH", "/api/users/{id}", Access::AdminInPerson, "vestibule.users.change", Requirement::Accounts).with_body().changing_state(),
    route(Endpoint::DeleteUser, "DELETE", "/api/users/{id}", Access::AdminInPerson, "vestibule.users.delete", Requirement::Accounts).changing_state(),
    route(Endpoint::RemoveFactors, "DELETE", "/api/users/{id}/factors", Access::AdminInPerson, "vestibule.users.factors.remove", Requirement::Accounts).changing_state(),
    route(Endpoint::MakeResetLink, "POST", "/api/users/{id}/reset", Access::AdminInPerson, "vestibule.users.reset", Requirement::Accounts).changing_state(),
    route(Endpoint::ListInvites, "GET", "/api/invites", Access::AdminInPerson, "vestibule.invites.list", Requirement::Accounts),
    route(Endpoint::CreateInvite, "POST", "/api/invites", Access::AdminInPerson, "vestibule.invites.create", Requirement::Accounts).with_body().changing_state().creating(),
    route(Endpoint::ChangeInvite, "PATCH", "/api/invites/{id}", Access::AdminInPerson, "vestibule.invites.change", Requirement::Accounts).with_body().changing_state(),
    route(Endpoint::DeleteInvite, "DELETE", "/api/invites/{id}", Access::AdminInPerson, "vestibule.invites.delete", Requirement::Accounts).changing_state(),
    route(Endpoint::RedeemInvite, "POST", "/api/invites/{token}/redeem", Access::Public, "vestibule.invites.redeem", Requirement::Accounts).with_body().changing_state(),
    route(Endpoint::ListTokens, "GET", "/api/agent-tokens", Access::UserInPerson, "vestibule.tokens.list", Requirement::Tokens),
    route(Endpoint::CreateToken, "POST", "/api/agent-tokens", Access::UserInPerson, "vestibule.tokens.create", Requirement::Tokens).with_body().changing_state().creating(),
    route(Endpoint::DeleteToken, "DELETE", "/api/agent-tokens/{id}", Access::UserInPerson, "vestibule.tokens.revoke", Requirement::Tokens).changing_state(),
    route(Endpoint::TakeOverToken, "POST", "/api/agent-tokens/{id}/take-over", Access::AdminInPerson, "vestibule.tokens.take_over", Requirement::Tokens).changing_state(),
    route(Endpoint::ListConfirmations, "GET", "/api/confirmations", Access::Human, "vestibule.confirmations.list", Requirement::Approvals),
    route(Endpoint::ReadConfirmation, "GET", "/api/confirmations/{id}", Access::Human, "vestibule.confirmations.read", Requirement::Approvals).page(),
    route(Endpoint::Approve, "POST", "/api/confirmations/{id}/approve", Access::Human, "vestibule.confirmations.approve", Requirement::Approvals).changing_state().deciding().button(),
    route(Endpoint::Reject, "POST", "/api/confirmations/{id}/reject", Access::Human, "vestibule.confirmations.reject", Requirement::Approvals).changing_state().deciding().button(),
    route(Endpoint::ListFeatures, "GET", "/api/features", Access::Admin, "vestibule.features.list", Requirement::Flags),
    route(Endpoint::ReadFeature, "GET", "/api/features/{name}", Access::Admin, "vestibule.features.read", Requirement::Flags),
    route(Endpoint::WriteFeature, "PUT", "/api/features/{name}", Access::Admin, "vestibule.features.write", Requirement::Flags).with_body().changing_state(),
    route(Endpoint::ListAudit, "GET", "/api/audit", Access::Admin, "vestibule.audit.list", Requirement::Audit),
    route(Endpoint::VerifyAudit, "GET", "/api/audit/verify", Access::Admin, "vestibule.audit.verify", Requirement::Audit),
    route(Endpoint::ReadMetrics, "GET", "/api/metrics", Access::Admin, "vestibule.metrics.read", Requirement::Metrics),
    route(Endpoint::TailDecisions, "GET", "/api/metrics/tail", Access::Admin, "vestibule.metrics.tail", Requirement::Metrics),
    route(Endpoint::Explain, "POST", "/api/explain", Access::Admin, "vestibule.explain", Requirement::Registry).with_body(),
    route(Endpoint::ListRoutes, "GET", "/api/routes", Access::Admin, "vestibule.routes.list", Requirement::Registry),
    route(Endpoint::ReadConfiguration, "GET", "/api/config", Access::Admin, "vestibule.config.read", Requirement::Registry),
];

#[cfg(test)]
mod tests;
