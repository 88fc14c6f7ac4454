//! `/api/auth/password`, `/api/auth/reset`, `/api/auth/reset/redeem`, `/api/auth/recover` and `/api/users/{id}/reset`:
//! new passwords.
//!
//! Attempts are counted before anything is compared: by the client's address, and by the account, which a link's
//! selector stands for. A new password ends all sessions of its user. Who has changed it in a session gets a new one.

use serde::Serialize;

use super::{
    Call,
    users::{self, write},
};
use crate::{
    accounts::{
        self, Account, Accounts, Command, Write, login, logins,
        mailer::Mail,
        passwords::{
            LIFETIME, LinkProof, NewLink, NewPassword, PREFIX, PasswordChanged, PasswordCommand,
            PasswordReply, PasswordWrite, Recipient, Rehash,
        },
        rotation::rotate,
    },
    crypto::password::{self, NotHashed},
    guards::limiter,
    http::{
        form::Form,
        origin::Origin,
        problem::{Fault, ForbiddenBy, RateLimit, Rejection},
        reply::{EarlyResponse, Reply},
    },
    identity::{
        author::Author,
        call::{EndpointResponse, json},
    },
    platform::effects::Effects,
    sessions::registry::{self, Sessions},
    tokens::{self, Hash, TokenCache, Tokens},
};

/// Changes the password of the caller, who gives the current one. The caller stays signed in, in a new session.
pub(super) async fn change<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let principal = call.principal()?;
    let (Some(user), Some(_)) = (principal.user_id(), principal.session_id()) else {
        return Err(Rejection::ForbiddenHumanOnly.into());
    };
    users::count_by_address(call, effects).await?;
    let form = call.form(&["currentPassword", "newPassword", "revokeTokens"])?;
    let current = form.text("currentPassword")?;
    let offered = Offered::read(call, &form)?;
    let found = users::find(effects, user.to_owned()).await?.ok_or(Rejection::InvalidCredentials)?;
    let account = users::check_password(call, effects, found.email, current).await?;
    if account.id != user {
        return Err(Rejection::InvalidCredentials.into());
    }
    let new = offered.hashed(call, effects)?;
    effects.survive_disconnect();
    let change = Write::Password(PasswordWrite::Change { compared: account.password, new });
    match write(call, effects, change).await? {
        accounts::Reply::Password(PasswordReply::Changed(changed)) => {
            let response = propagate(call, effects, changed).await?;
            // `Accounts` has just checked the author. That may be seconds after the gateway did.
            let author = Author { checked_at: call.meta.after(effects.elapsed()).now, ..call.author()? };
            let cookies = rotate(call.cx.login, effects, call.cx.browser, author, call.meta).await?;
            Ok(EndpointResponse { cookies: Some(cookies), ..response })
        }
        // It was changed after it was compared.
        accounts::Reply::Password(PasswordReply::Wrong) => Err(Rejection::InvalidCredentials.into()),
        _ => Err(Fault::Internal.into()),
    }
}

/// Makes a link with which a user chooses a new password, for an admin who hands it over.
pub(super) async fn make_link<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    // A token must not give the access to an account that outlives it.
    call.principal()?.session_id().ok_or(Rejection::ForbiddenHumanOnly)?;
    let user = call.segment_before("reset").ok_or(Rejection::NotFound)?;
    let (token, link) = new_link(call, effects)?;
    let expires_at = link.expires_at;
    match write(call, effects, Write::Password(PasswordWrite::MakeLink(user.clone(), link))).await? {
        accounts::Reply::Password(PasswordReply::Made) => {
            let url = url(call, &token);
            let made = json(201, &MadeLink { token: &token, url, expires_at: expires_at.to_string() });
            Ok(EndpointResponse::from(made).with_detail(user))
        }
        accounts::Reply::Password(PasswordReply::NotFound) => Err(Rejection::NotFound.into()),
        accounts::Reply::Password(PasswordReply::Disabled) => {
            Err(Rejection::ForbiddenPolicy(ForbiddenBy::UserDisabled).into())
        }
        _ => Err(Fault::Internal.into()),
    }
}

/// Mails a reset link to the user with an e-mail address. The response and the work before it are the same for every
/// address: one row is stored and one message is signed. Only for a user, the message is sent, after the response.
pub(super) async fn request_link<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let group = call.request.client_group();
    limiter::check(effects, MAIL_BY_ADDRESS, &group).await?;
    let form = call.form(&["email"])?;
    let mailer = call.cx.accounts.mailer.as_ref().ok_or(Rejection::NotFound)?;
    let email = form.email("email")?;
    limiter::check(effects, MAIL_BY_ACCOUNT, &format!("{email} {group}")).await?;
    limiter::check(effects, MAIL_ANYWHERE, &email).await?;
    let (token, link) = new_link(call, effects)?;
    let expires_at = link.expires_at.to_string();
    let mail = Mail::PasswordReset { url: url(call, &token), expires_at: expires_at.clone() };
    let nobody = Recipient { user: String::new(), email: email.clone(), name: None };
    let PasswordReply::Requested(found) =
        call_passwords(effects, PasswordCommand::RequestLink(email, link)).await?
    else {
        return Err(Fault::Internal.into());
    };
    let message =
        mailer.message(effects, &call.cx.mail_context(call.meta), found.as_ref().unwrap_or(&nobody), &mail);
    let response = EndpointResponse::from(json(202, &Requested { expires_at }));
    // Nobody has proved to be the user. So the audit trail gets the user as a detail, and no principal.
    let Some(recipient) = found else { return Ok(response) };
    message.send(effects);
    Ok(response.with_detail(recipient.user))
}

/// Replaces a password with a reset link. The user signs in afterwards, with the second factor if there is one.
pub(super) async fn use_link<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    limiter::check(effects, LINK_BY_ADDRESS, &call.request.client_group()).await?;
    let form = call.form(&["token", "newPassword", "revokeTokens"])?;
    let proof = LinkProof::of(form.text("token")?).ok_or(Rejection::ResetUnusable)?;
    let offered = Offered::read(call, &form)?;
    limiter::check(effects, LINK_BY_ACCOUNT, &proof.selector).await?;
    // A client without a usable link does not make the Worker hash a password.
    let check = PasswordCommand::CheckLink(proof.clone());
    if call_passwords(effects, check).await? != PasswordReply::Usable {
        return Err(Rejection::ResetUnusable.into());
    }
    let new = offered.hashed(call, effects)?;
    effects.survive_disconnect();
    match call_passwords(effects, PasswordCommand::UseLink(proof, new)).await? {
        PasswordReply::Changed(changed) => propagate(call, effects, changed).await,
        PasswordReply::Unusable => Err(Rejection::ResetUnusable.into()),
        _ => Err(Fault::Internal.into()),
    }
}

/// Replaces the password of an admin, for a client with the setup token. Also removes the admin's second factors.
pub(super) async fn recover<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    limiter::check(effects, RECOVER, &call.request.client_group()).await?;
    let form = call.form(&["setupToken", "email", "newPassword", "revokeTokens"])?;
    let Some(token) = &call.cx.accounts.setup_token else { return Err(Rejection::NotFound.into()) };
    let email = form.email("email")?;
    let offered = Offered::read(call, &form)?;
    token.compare(form.text("setupToken")?).map_err(|_| Rejection::InvalidCredentials)?;
    let new = offered.hashed(call, effects)?;
    effects.survive_disconnect();
    match call_passwords(effects, PasswordCommand::Recover(email, new)).await? {
        PasswordReply::Changed(changed) => propagate(call, effects, changed).await,
        // The client has the operator's secret, so it may know.
        PasswordReply::NotFound => {
            Err(Rejection::InvalidBody("email", "expected the address of an active admin").into())
        }
        _ => Err(Fault::Internal.into()),
    }
}

/// Hashes a password, with the present cost. Nothing was written or used up before.
pub(super) fn hash<E: Effects>(call: Call<'_>, effects: &E, password: &str) -> Result<String, EarlyResponse> {
    let cost = call.cx.accounts.passwords.cost;
    password::hash(password, &effects.random(), cost).map_err(|not_hashed| match not_hashed {
        NotHashed::OutOfMemory => Rejection::Overloaded.into(),
        NotHashed::InvalidInput => Fault::Internal.into(),
    })
}

/// Hashes the right password of an account again, if its stored hash costs less than a new one does, and there is enough
/// memory.
pub(super) async fn rehashed_at_present_cost<E: Effects>(
    call: Call<'_>,
    effects: &E,
    account: Account,
    password: &str,
) -> Result<Account, EarlyResponse> {
    if !password::is_cheaper(&account.password, call.cx.accounts.passwords.cost) {
        return Ok(account);
    }
    // The password is right. The next sign-in tries again.
    let Ok(stored) = hash(call, effects, password) else { return Ok(account) };
    let rehash = Rehash {
        user: account.id.clone(),
        compared: account.password,
        version: account.status.version,
        stored,
    };
    match call_passwords(effects, PasswordCommand::Rehash(rehash)).await? {
        PasswordReply::Stored(Some(password)) => Ok(Account { password, ..account }),
        // The user has changed since the password was compared.
        PasswordReply::Stored(None) => Err(Rejection::InvalidCredentials.into()),
        _ => Err(Fault::Internal.into()),
    }
}

/// A new password that a client offers, and whether the user's tokens are to be revoked.
struct Offered<'a> {
    password: &'a str,
    revoke_tokens: bool,
}

impl<'a> Offered<'a> {
    fn read(call: Call<'_>, form: &'a Form) -> Result<Self, Rejection> {
        let revoke_tokens = form.flag("revokeTokens")?.unwrap_or(false);
        let password = call.cx.accounts.passwords.new_password(form, "newPassword")?;
        Ok(Self { password, revoke_tokens })
    }

    fn hashed<E: Effects>(&self, call: Call<'_>, effects: &E) -> Result<NewPassword, EarlyResponse> {
        Ok(NewPassword { stored: hash(call, effects, self.password)?, revoke_tokens: self.revoke_tokens })
    }
}

/// Propagates a new password: ends sessions, revokes tokens, updates the copies for signing in, and mails the user. If
/// this is interrupted, an alarm of `Accounts` repeats all but the mail.
async fn propagate<E: Effects>(
    call: Call<'_>,
    effects: &E,
    changed: PasswordChanged,
) -> Result<EndpointResponse, EarlyResponse> {
    let PasswordChanged { user, email, name, change, tokens } = changed;
    let version = change.version;
    let command = registry::Command::PasswordChanged(change);
    let registry::Reply::Done(ended) = effects.call_object::<Sessions>(&user, &command).await? else {
        return Err(Fault::Internal.into());
    };
    login::notify_ended_sessions(call.cx.login, effects, &user).await?;
    if call.cx.accounts.has_shards {
        logins::tell::tell(effects, &user).await?;
    }
    let revoked = tokens.len();
    for (hash, token) in tokens {
        let hash = Hash(hash);
        let revoke = tokens::Command::Revoke(hash.0.clone(), token);
        effects.call_object::<Tokens>(hash.object(), &revoke).await?;
        effects.memory().of::<TokenCache>().0.forget(&hash.0);
    }
    call_passwords(effects, PasswordCommand::Delivered(user.clone(), version)).await?;
    if let Some(mailer) = &call.cx.accounts.mailer {
        let mail = Mail::PasswordChanged { url: page(call, "reset"), at: call.meta.now.to_string() };
        let recipient = Recipient { user: user.clone(), email, name };
        mailer.message(effects, &call.cx.mail_context(call.meta), &recipient, &mail).send(effects);
    }
    let detail = format!("{user} sessions={ended} tokens={revoked}");
    let reply = Reply { status: 204, ..Reply::default() };
    Ok(EndpointResponse::from(reply).with_user(user).with_detail(detail))
}

/// Returns the token of a new link, and what is stored of it.
fn new_link<E: Effects>(call: Call<'_>, effects: &E) -> Result<(String, NewLink), Fault> {
    let token = effects.new_id(PREFIX);
    let proof = LinkProof::of(&token).ok_or(Fault::Internal)?;
    Ok((token, NewLink { proof, expires_at: call.meta.now.plus(LIFETIME) }))
}

/// Returns the URL of a link. The token is in the fragment, which browsers do not send.
fn url(call: Call<'_>, token: &str) -> String {
    format!("{}#reset={token}", page(call, "reset"))
}

/// Returns the URL of a page of Vestibule; without these pages, of the application's login page.
pub(super) fn page(call: Call<'_>, name: &str) -> String {
    let site = call.cx.login.site;
    let origin = site.canonical_origin().map_or("", Origin::as_str);
    match call.cx.accounts.pages {
        Some(pages) => format!("{origin}{}", pages.path(name)),
        None => format!("{origin}{}", site.return_path.login),
    }
}

/// Sends a command about passwords.
async fn call_passwords<E: Effects>(effects: &E, command: PasswordCommand) -> Result<PasswordReply, Fault> {
    match effects.call_object::<Accounts>(accounts::NAME, &Command::Password(command)).await? {
        accounts::Reply::Password(reply) => Ok(reply),
        _ => Err(Fault::Internal),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Requested {
    /// When the link ends, if there is one.
    expires_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MadeLink<'a> {
    token: &'a str,
    url: String,
    expires_at: String,
}

const LINK_BY_ADDRESS: RateLimit = RateLimit { name: "reset-address", limit: 50, period: 300 };
const LINK_BY_ACCOUNT: RateLimit = RateLimit { name: "reset-account", limit: 20, period: 900 };
const MAIL_BY_ADDRESS: RateLimit = RateLimit { name: "reset-mail-address", limit: 20, period: 900 };
const MAIL_BY_ACCOUNT: RateLimit = RateLimit { name: "reset-mail-account", limit: 5, period: 3_600 };
const MAIL_ANYWHERE: RateLimit = RateLimit { name: "reset-mail-anywhere", limit: 20, period: 3_600 };
const RECOVER: RateLimit = RateLimit { name: "recover", limit: 10, period: 900 };
