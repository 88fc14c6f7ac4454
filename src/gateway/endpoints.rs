//! Calls the feature that answers a built-in route. Its requests pass the same checks as requests for upstream.

use serde::Serialize;

mod configuration;
pub(super) mod pages;

use crate::{
    accounts::endpoints::{self as accounts, AccountsContext},
    approvals, audit,
    base::outline::outlined,
    checkouts,
    config::Config,
    guards,
    http::{
        problem::{Fault, Rejection},
        reply::{EarlyResponse, Reply},
    },
    idempotency,
    identity::call::{self, EndpointResponse, json},
    metrics,
    platform::effects::{BodyError, Effects},
    routing::{
        built_in::Endpoint,
        rule::{Destination, Rule},
    },
    sessions::cookies::Browser,
    tokens::{
        self,
        catalogue::{Catalogue, Document},
        endpoints::Audience,
    },
    webhooks,
};

/// All that an endpoint may need. `Call::with` narrows it to what one feature needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallContext<'a> {
    pub(super) config: &'a Config,
    pub(super) browser: Browser<'a>,
}

impl<'a> CallContext<'a> {
    fn accounts(self) -> AccountsContext<'a> {
        let Self { config, browser } = self;
        AccountsContext {
            login: config.login_context(),
            accounts: &config.accounts,
            tokens: &config.tokens,
            browser,
        }
    }
}

pub(super) type Call<'a> = call::Call<'a, CallContext<'a>>;

/// Reads the request body, up to the length that the endpoint takes. Returns `None` if the request is not for an
/// endpoint that takes a body.
pub(super) async fn body<E: Effects>(rule: &Rule, effects: &E) -> Option<Result<String, BodyError>> {
    match rule.destination {
        Destination::Endpoint(endpoint) if endpoint.takes_body => {
            Some(outlined(effects.body(endpoint.longest_body())).await)
        }
        _ => None,
    }
}

/// Makes the checks that only the endpoint can make, before the idempotency key
/// is claimed. So a request that is rejected here does not use its key up.
///
/// # Errors
/// [`Rejection`]: a check failed.
pub(super) fn check_before_claim(endpoint: Endpoint, call: Call<'_>) -> Result<(), Rejection> {
    accounts::check_before_claim(endpoint, call.with(call.cx.accounts()))
}

/// Checks, for a dry run, whether the endpoint rejects every request.
///
/// # Errors
/// [`Rejection`]: the endpoint does not exist for clients, or does not allow the method.
pub(super) fn check_in_dry_run(rule: &Rule) -> Result<(), Rejection> {
    match rule.destination {
        Destination::InternalOnly => Err(Rejection::NotFound),
        Destination::WrongMethod(allowed) => Err(Rejection::MethodNotAllowed(allowed)),
        Destination::Endpoint(_) | Destination::Pages | Destination::Upstream => Ok(()),
    }
}

/// Handles an admitted request for an endpoint.
///
/// # Errors
/// [`EarlyResponse`]: the request is rejected, or a store does not respond.
pub(super) async fn answer<E: Effects>(
    endpoint: Endpoint,
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let config = call.cx.config;
    match endpoint {
        Endpoint::ReadCheckout => checkouts::endpoints::read(call.with(()), effects).await,
        Endpoint::CancelCheckout => checkouts::endpoints::cancel(call.with(()), effects).await,
        Endpoint::ListEvents => webhooks::endpoints::list(call.with(&config.webhooks), effects).await,
        Endpoint::Redeliver => webhooks::endpoints::redeliver(call.with(&config.webhooks), effects).await,
        Endpoint::ListUnresolved => idempotency::endpoints::list(call.with(()), effects).await,
        Endpoint::Resolve => idempotency::endpoints::resolve(call.with(()), effects).await,
        Endpoint::ListConfirmations => approvals::endpoints::list(call.with(&config.site), effects).await,
        Endpoint::ReadConfirmation => approvals::endpoints::read(call.with(&config.site), effects).await,
        Endpoint::Approve => approvals::endpoints::decide(call.with(&config.site), effects, true).await,
        Endpoint::Reject => approvals::endpoints::decide(call.with(&config.site), effects, false).await,
        Endpoint::ListFeatures => guards::endpoints::list(call.with(config.rules.rules()), effects).await,
        Endpoint::ReadFeature => guards::endpoints::read(call.with(()), effects).await,
        Endpoint::WriteFeature => guards::endpoints::write(call.with(()), effects).await,
        Endpoint::ListAudit => audit::endpoints::list(call.with(&config.audit), effects).await,
        Endpoint::VerifyAudit => audit::endpoints::verify(call.with(&config.audit), effects).await,
        Endpoint::ReadMetrics => metrics::endpoints::read(call.with(()), effects).await,
        Endpoint::TailDecisions => metrics::endpoints::tail(call.with(()), effects).await,
        // Never called: `dispatch` sends it to `dry_run::explain`.
        Endpoint::Explain => Err(Fault::Internal.into()),
        Endpoint::ListRoutes => Ok(configuration::routes(config).into()),
        Endpoint::ReadConfiguration => Ok(configuration::settings(config, VERSION).into()),
        Endpoint::Catalogue => Ok(catalogue(call, |catalogue| &catalogue.own).into()),
        Endpoint::CatalogueAsOpenApi => Ok(catalogue(call, |catalogue| &catalogue.openapi).into()),
        Endpoint::ReadHealth => Ok(json(200, &Health { version: VERSION, status: "ok" }).into()),
        Endpoint::Me
        | Endpoint::Logout
        | Endpoint::ReadSettings
        | Endpoint::ReadPageSettings
        | Endpoint::SetUpState
        | Endpoint::SetUp
        | Endpoint::LogIn
        | Endpoint::Reauthenticate
        | Endpoint::BackchannelLogout
        | Endpoint::ChangePassword
        | Endpoint::RequestResetLink
        | Endpoint::UseResetLink
        | Endpoint::Recover
        | Endpoint::MakeResetLink
        | Endpoint::FinishLogIn
        | Endpoint::ReadFactors
        | Endpoint::BeginTotp
        | Endpoint::RemoveTotp
        | Endpoint::ConfirmTotp
        | Endpoint::RemovePasskey
        | Endpoint::BeginPasskey
        | Endpoint::AddPasskey
        | Endpoint::PasskeyLogInOptions
        | Endpoint::PasskeyLogIn
        | Endpoint::RenewRecoveryCodes
        | Endpoint::RemoveFactors
        | Endpoint::ListUsers
        | Endpoint::ReadNames
        | Endpoint::ExportUsers
        | Endpoint::ImportUsers
        | Endpoint::ReadUser
        | Endpoint::ChangeUser
        | Endpoint::DeleteUser
        | Endpoint::CreateInvite
        | Endpoint::ListInvites
        | Endpoint::ChangeInvite
        | Endpoint::DeleteInvite
        | Endpoint::RedeemInvite
        | Endpoint::CreateToken
        | Endpoint::ListTokens
        | Endpoint::DeleteToken
        | Endpoint::TakeOverToken
        | Endpoint::ListSessions
        | Endpoint::EndOtherSessions
        | Endpoint::EndSession => accounts::answer(endpoint, call.with(call.cx.accounts()), effects).await,
    }
}

/// Answers with a document of the catalogue. A token's catalogue is built for its request.
fn catalogue(call: Call<'_>, document: fn(&Catalogue) -> &Document) -> Reply {
    let config = call.cx.config;
    let Some(principal) = call.admission.principal().filter(|found| found.session_id().is_none()) else {
        return tokens::endpoints::answer(call.with(()), document(&config.catalogue), Audience::Everybody);
    };
    let own = config.catalogue_for(principal, call.admission.scope());
    tokens::endpoints::answer(call.with(()), document(&own), Audience::TokenHolder)
}

#[derive(Serialize)]
struct Health {
    version: &'static str,
    status: &'static str,
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
