//! The endpoints of accounts, sessions and tokens.
//!
//! | file | contents |
//! |---|---|
//! | `me.rs` | `/api/auth/me`, `/api/auth/logout` |
//! | `users.rs` | `/api/auth/setup`, `/api/auth/login`, `/api/users/{id}` |
//! | `second_step.rs` | `/api/auth/factor`, and whether a sign-in needs it |
//! | `factors.rs` | `/api/auth/factors`, `/api/users/{id}/factors` |
//! | `listing.rs` | `GET /api/users` |
//! | `passwords.rs` | `/api/auth/password`, `/api/auth/reset`, `/api/auth/reset/redeem`, `/api/auth/recover`, `/api/users/{id}/reset` |
//! | `passkeys.rs` | `/api/auth/passkeys`: enrolling passkeys, and signing in with one |
//! | `names.rs` | `/api/users/names` |
//! | `reauthentication.rs` | `/api/auth/reauthenticate`: a signed-in user proves again that they are present |
//! | `invites.rs` | `/api/invites` |
//! | `sessions.rs` | `/api/sessions` |
//! | `settings.rs` | `/api/auth/settings`: settings for pages that sign users in |
//! | `tokens.rs` | `/api/agent-tokens` |
//! | `transfer.rs` | `/api/users/export`, `/api/users/import` |
//! | `backchannel_logout.rs` | `/api/auth/backchannel-logout`: upstream ends a user's sessions |
//! | `delegation.rs` | checks that a token may create another token, and limits the new one |

mod backchannel_logout;
mod delegation;
mod factors;
mod invites;
mod listing;
mod me;
mod names;
mod passkeys;
mod passwords;
mod reauthentication;
mod second_step;
mod sessions;
mod settings;
mod tokens;
mod transfer;
mod users;

use super::{login::LoginContext, mailer::MailContext, settings::Settings};
use crate::{
    base::outline::outlined,
    http::{
        problem::{Fault, Rejection},
        reply::EarlyResponse,
    },
    identity::call::{self, EndpointResponse},
    platform::{effects::Effects, event::RequestMeta},
    routing::built_in::Endpoint,
    sessions::cookies::Browser,
    tokens::settings::Settings as TokenSettings,
};

/// The parts of the configuration that these endpoints need, and the browser that calls them.
#[derive(Clone, Copy, Debug)]
pub struct AccountsContext<'a> {
    /// The settings for opening and ending sessions.
    pub login: LoginContext<'a>,
    /// The settings of accounts.
    pub accounts: &'a Settings,
    /// The settings of tokens.
    pub tokens: &'a TokenSettings,
    /// The browser.
    pub browser: Browser<'a>,
}

impl<'a> AccountsContext<'a> {
    /// Returns what every mail says about the site.
    fn mail_context(&self, meta: RequestMeta<'a>) -> MailContext<'a> {
        MailContext { site: self.login.site, site_name: self.accounts.branding.name.as_deref(), meta }
    }
}

/// A call of one of these endpoints.
pub type Call<'a> = call::Call<'a, AccountsContext<'a>>;

/// Makes the checks that only the endpoint can make, before the idempotency key is claimed.
///
/// # Errors
/// [`Rejection`]: a check failed.
pub fn check_before_claim(endpoint: Endpoint, call: Call<'_>) -> Result<(), Rejection> {
    match endpoint {
        Endpoint::CreateToken => tokens::check_create(call),
        Endpoint::TakeOverToken => tokens::check_take_over(call),
        _ => Ok(()),
    }
}

/// Handles an admitted request for one of these endpoints.
///
/// # Errors
/// [`EarlyResponse`]: the request is rejected, or a store is not available.
pub async fn answer<E: Effects>(
    endpoint: Endpoint,
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    match endpoint {
        Endpoint::Me => Ok(me::read(call, effects).await?.into()),
        Endpoint::Logout => me::log_out(call, effects).await,
        Endpoint::ReadSettings | Endpoint::ReadPageSettings => settings::read(call, effects).await,
        Endpoint::SetUpState => users::set_up_state(call, effects).await,
        Endpoint::SetUp => users::set_up(call, effects).await,
        Endpoint::LogIn => users::log_in(call, effects).await,
        Endpoint::BackchannelLogout => backchannel_logout::end(call, effects).await,
        Endpoint::Reauthenticate => reauthentication::reauthenticate(call, effects).await,
        Endpoint::ChangePassword => outlined(passwords::change(call, effects)).await,
        Endpoint::RequestResetLink => outlined(passwords::request_link(call, effects)).await,
        Endpoint::UseResetLink => outlined(passwords::use_link(call, effects)).await,
        Endpoint::Recover => outlined(passwords::recover(call, effects)).await,
        Endpoint::MakeResetLink => outlined(passwords::make_link(call, effects)).await,
        Endpoint::FinishLogIn => outlined(second_step::finish_sign_in(call, effects)).await,
        Endpoint::ReadFactors => outlined(factors::read(call, effects)).await,
        Endpoint::BeginTotp => outlined(factors::begin_totp(call, effects)).await,
        Endpoint::ConfirmTotp => outlined(factors::confirm_totp(call, effects)).await,
        Endpoint::RemoveTotp => outlined(factors::remove_totp(call, effects)).await,
        Endpoint::RemovePasskey => outlined(factors::remove_passkey(call, effects)).await,
        Endpoint::BeginPasskey => outlined(passkeys::begin_enrollment(call, effects)).await,
        Endpoint::AddPasskey => outlined(passkeys::finish_enrollment(call, effects)).await,
        Endpoint::PasskeyLogInOptions => outlined(passkeys::begin_use(call, effects)).await,
        Endpoint::PasskeyLogIn => outlined(passkeys::log_in(call, effects)).await,
        Endpoint::RenewRecoveryCodes => outlined(factors::renew_recovery_codes(call, effects)).await,
        Endpoint::RemoveFactors => outlined(factors::remove_all(call, effects)).await,
        Endpoint::ListUsers => listing::list(call, effects).await,
        Endpoint::ReadNames => names::read(call, effects).await,
        Endpoint::ExportUsers => outlined(transfer::export(call, effects)).await,
        Endpoint::ImportUsers => outlined(transfer::import(call, effects)).await,
        Endpoint::ReadUser => users::read(call, effects).await,
        Endpoint::ChangeUser => users::change(call, effects).await,
        Endpoint::DeleteUser => users::delete(call, effects).await,
        Endpoint::CreateInvite => invites::create(call, effects).await,
        Endpoint::ListInvites => invites::list(call, effects).await,
        Endpoint::ChangeInvite => invites::change(call, effects).await,
        Endpoint::DeleteInvite => invites::delete(call, effects).await,
        Endpoint::RedeemInvite => invites::redeem(call, effects).await,
        Endpoint::CreateToken => tokens::create(call, effects).await,
        Endpoint::ListTokens => tokens::list(call, effects).await,
        Endpoint::DeleteToken => tokens::delete(call, effects).await,
        Endpoint::TakeOverToken => tokens::take_over(call, effects).await,
        Endpoint::ListSessions => sessions::list(call, effects).await,
        Endpoint::EndOtherSessions => sessions::end_others(call, effects).await,
        Endpoint::EndSession => sessions::end(call, effects).await,
        // The endpoints of other features.
        Endpoint::ReadCheckout
        | Endpoint::CancelCheckout
        | Endpoint::ListEvents
        | Endpoint::Redeliver
        | Endpoint::ListUnresolved
        | Endpoint::Resolve
        | Endpoint::ListConfirmations
        | Endpoint::ReadConfirmation
        | Endpoint::Approve
        | Endpoint::Reject
        | Endpoint::ReadFeature
        | Endpoint::WriteFeature
        | Endpoint::ListAudit
        | Endpoint::VerifyAudit
        | Endpoint::ReadMetrics
        | Endpoint::TailDecisions
        | Endpoint::Explain
        | Endpoint::Catalogue
        | Endpoint::CatalogueAsOpenApi
        | Endpoint::ListFeatures
        | Endpoint::ListRoutes
        | Endpoint::ReadConfiguration
        | Endpoint::ReadHealth => Err(Fault::Internal.into()),
    }
}
