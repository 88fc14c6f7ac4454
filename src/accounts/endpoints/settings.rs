//! `GET /api/auth/settings`: the settings that pages need to sign users in and to show them their accounts. The pages
//! of Vestibule read the same response at `GET /_vestibule/settings`, because they do not know the prefix of the
//! endpoints.
//!
//! Everybody can read the response, so it contains no secret and nothing about a user.

use serde::Serialize;

use super::{Call, users::is_set_up_open};
use crate::{
    accounts::{factors::passkeys::RelyingParty, settings::RequiredFactor},
    http::reply::EarlyResponse,
    identity::call::{EndpointResponse, json},
    platform::effects::Effects,
    tokens::settings::TokenMakers,
};

pub(super) async fn read<E: Effects>(call: Call<'_>, effects: &E) -> Result<EndpointResponse, EarlyResponse> {
    let set_up_open = is_set_up_open(call, effects).await?;
    let (site, accounts, tokens) = (call.cx.login.site, call.cx.accounts, call.cx.tokens);
    let kinds = tokens.kinds.iter().map(|kind| TokenKind {
        prefix: &kind.prefix,
        kind: if kind.is_agent { "agent" } else { "user" },
        source: kind.source.name(),
        machine: kind.source.name().is_some(),
    });
    let settings = Settings {
        set_up_open,
        endpoints: site.endpoints,
        home: &site.return_path.home,
        sign_in: &site.return_path.login,
        pages: accounts.pages.map(|pages| PagesView { prefix: pages.prefix }),
        branding: BrandingView {
            name: accounts.branding.name.as_deref(),
            logo: accounts.branding.logo.as_deref(),
            accent: accounts.branding.accent.as_deref(),
        },
        approvals: accounts.has_approvals,
        features: &accounts.features,
        tokens: TokensView {
            makers: match tokens.makers {
                TokenMakers::Users => "users",
                TokenMakers::Admins => "admins",
            },
            kinds: kinds.collect(),
        },
        mailer: accounts.mailer.is_some(),
        passkeys: RelyingParty::of(site).is_some(),
        passwords: true,
        password_min_length: accounts.passwords.min_length,
        second_factor: match accounts.required_factor {
            RequiredFactor::Nobody => "nobody",
            RequiredFactor::Admins => "admins",
            RequiredFactor::Everybody => "everybody",
        },
    };
    Ok(json(200, &settings).into())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "one for each feature")]
struct Settings<'a> {
    /// Whether the first account can be made.
    #[serde(rename = "setupOpen")]
    set_up_open: bool,
    /// The prefix of the endpoints.
    endpoints: &'a str,
    /// The home page.
    home: &'a str,
    /// The page on which users sign in.
    sign_in: &'a str,
    /// The pages of Vestibule; `null` if they are not served.
    pages: Option<PagesView>,
    branding: BrandingView<'a>,
    /// Whether machines may have to ask people for approvals.
    approvals: bool,
    /// The names of the features whose endpoints exist. Everybody can find out the same by calling an endpoint.
    features: &'a [&'static str],
    tokens: TokensView<'a>,
    /// Whether Vestibule can send mail.
    mailer: bool,
    /// Whether users can sign in with passkeys.
    passkeys: bool,
    /// Whether passwords can be changed and reset.
    passwords: bool,
    /// The minimum length of a new password, in characters.
    password_min_length: usize,
    /// Who must have a second factor: `nobody`, `admins` or `everybody`.
    second_factor: &'static str,
}

#[derive(Serialize)]
struct PagesView {
    prefix: &'static str,
}

#[derive(Serialize)]
struct BrandingView<'a> {
    name: Option<&'a str>,
    logo: Option<&'a str>,
    accent: Option<&'a str>,
}

#[derive(Serialize)]
struct TokensView<'a> {
    /// Who may create tokens: `users` or `admins`.
    makers: &'static str,
    kinds: Vec<TokenKind<'a>>,
}

#[derive(Serialize)]
struct TokenKind<'a> {
    prefix: &'a str,
    /// The kind of principal for whom the tokens act: `user` or `agent`.
    kind: &'static str,
    source: Option<&'a str>,
    /// Whether a machine uses the tokens. Then some of its requests may need an approval.
    machine: bool,
}
