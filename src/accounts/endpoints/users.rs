//! `/api/auth/setup`, `/api/auth/login` and `/api/users/{id}`.
//!
//! Attempts are counted before any secret is compared: by client address, and for sign-ins also by account. Neither the
//! response nor the time that it takes shows whether an account exists.

use serde::Serialize;

use super::{
    Call, listing, passwords,
    second_step::{self, SignedUp},
};
use crate::{
    accounts::{
        self, Account, Accounts, AccountsMemory, Command, NewUser, User, UserQuery, Write,
        login::{self, AuthenticatedUser, LoginContext, Opening},
        logins::{self, tell::Source},
        mailer::Mail,
        pages::ACCOUNT,
        passwords::Recipient,
    },
    base::outline::outlined,
    crypto::password::{self, NotVerified},
    guards::limiter::{self, Limiter},
    http::{
        form::Form,
        problem::{Fault, ForbiddenBy, RateLimit, Rejection},
        reply::{EarlyResponse, Reply},
    },
    identity::{
        call::{EndpointResponse, json},
        principal::Role,
    },
    platform::effects::{ClientPlace, Effects},
    sessions::{
        cache::SessionCache,
        device,
        registry::{self, Sessions, UserStatus},
    },
};

/// Answers whether the first account can be made.
pub(super) async fn set_up_state<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    Ok(json(200, &SetUpState { open: is_set_up_open(call, effects).await? }).into())
}

/// Returns whether the first account can be made: a setup token is configured, and no account exists yet.
///
/// Accounts never become empty again, so this isolate does not ask again once it has seen an account.
pub(super) async fn is_set_up_open<E: Effects>(call: Call<'_>, effects: &E) -> Result<bool, Fault> {
    let is_set_up = effects.memory().of::<AccountsMemory>();
    let is_set_up = &is_set_up.is_set_up;
    let mut open = call.cx.accounts.setup_token.is_some() && !is_set_up.get();
    if open {
        let command = Command::Users(UserQuery::all(None, 1));
        let accounts::Reply::Users(page) = effects.call_object::<Accounts>(accounts::NAME, &command).await?
        else {
            return Err(Fault::Internal);
        };
        open = page.users.is_empty();
        is_set_up.set(!open);
    }
    Ok(open)
}

/// Makes the first account, for a client that has the setup token.
pub(super) async fn set_up<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    limiter::check(effects, SETUP, &call.request.client_group()).await?;
    let form = call.form(&["setupToken", "email", "password", "name"])?;
    let Some(token) = &call.cx.accounts.setup_token else { return Err(Rejection::NotFound.into()) };
    let (email, password) =
        (form.email("email")?, call.cx.accounts.passwords.new_password(&form, "password")?);
    let name = form.name("name")?.map(str::to_owned);
    token.compare(form.text("setupToken")?).map_err(|_| Rejection::InvalidCredentials)?;
    let new = new_user(call, effects, email, name, password)?;
    let (id, stored_password) = (new.id.clone(), new.password.clone());
    let command = Command::SetUp(new);
    match effects.call_object::<Accounts>(accounts::NAME, &command).await? {
        accounts::Reply::UserStatus(user_status) => {
            second_step::after_sign_up(call, effects, SignedUp { id, stored_password, user_status }).await
        }
        accounts::Reply::AlreadySetUp => Err(Rejection::AlreadySetUp.into()),
        _ => Err(Fault::Internal.into()),
    }
}

/// Signs a user in.
pub(super) async fn log_in<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    count_by_address(call, effects).await?;
    let form = call.form(&["email", "password"])?;
    let email = form.email("email")?;
    let password = form.text("password")?;
    count_by_account(call, effects, &email).await?;
    for source in [Source::Copy, Source::Truth] {
        let found = logins::tell::find(effects, call.cx.accounts.has_shards, &email, source).await?;
        let version = found.version;
        let account = compare(call, effects, &email, password, found.account).await?;
        let account = passwords::rehashed_at_present_cost(call, effects, account, password).await?;
        let response = outlined(second_step::after_password(call, effects, account, version)).await?;
        if let Some(response) = response {
            return Ok(response);
        }
        // The copy was behind.
    }
    Err(Rejection::InvalidCredentials.into())
}

/// Counts an attempt to sign in by the client's address.
pub(super) async fn count_by_address<E: Effects>(call: Call<'_>, effects: &E) -> Result<(), EarlyResponse> {
    limiter::check(effects, LOGIN_BY_ADDRESS, &call.request.client_group()).await
}

/// Counts an attempt by the account, and then compares the password. Returns the account if the password is right and
/// its user is active.
pub(super) async fn check_password<E: Effects>(
    call: Call<'_>,
    effects: &E,
    email: String,
    password: &str,
) -> Result<Account, EarlyResponse> {
    count_by_account(call, effects, &email).await?;
    let accounts::Reply::Account(account) =
        effects.call_object::<Accounts>(accounts::NAME, &Command::Find(email.clone())).await?
    else {
        return Err(Fault::Internal.into());
    };
    compare(call, effects, &email, password, account).await
}

/// Counts an attempt by the account.
async fn count_by_account<E: Effects>(call: Call<'_>, effects: &E, email: &str) -> Result<(), EarlyResponse> {
    // A strict limit for this account from this client address, a loose one for this account from anywhere. So a client
    // that only knows the email address cannot easily lock the user out.
    limiter::check(effects, LOGIN_BY_ACCOUNT, &account_and_address(call, email)).await?;
    limiter::check(effects, LOGIN_ANYWHERE, email).await
}

fn account_and_address(call: Call<'_>, email: &str) -> String {
    format!("{email} {}", call.request.client_group())
}

/// Compares the password. Without an account, it takes as long and fails.
async fn compare<E: Effects>(
    call: Call<'_>,
    effects: &E,
    email: &str,
    password: &str,
    account: Option<Account>,
) -> Result<Account, EarlyResponse> {
    let stored = account.as_ref().map(|account| account.password.as_str());
    match (password::verify(password, stored, call.cx.accounts.passwords.cost), account) {
        (Ok(_), Some(account)) if account.status.active => {
            // A client that knows the password is not guessing: its failed attempts no longer count.
            let (group, cleared) = limiter::clear(LOGIN_BY_ACCOUNT, &account_and_address(call, email));
            effects.call_object::<Limiter>(&group, &cleared).await?;
            Ok(account)
        }
        // A right password may not be called wrong because the isolate is short of memory.
        (Err(NotVerified::OutOfMemory), _) => Err(Rejection::Overloaded.into()),
        _ => Err(Rejection::InvalidCredentials.into()),
    }
}

pub(super) async fn read<E: Effects>(call: Call<'_>, effects: &E) -> Result<EndpointResponse, EarlyResponse> {
    let id = call.last_segment().ok_or(Rejection::NotFound)?;
    let user = find(effects, id).await?.ok_or(Rejection::NotFound)?;
    Ok(json(200, &UserView::of(&user)).into())
}

/// Returns a user by id, if there is one.
pub(super) async fn find<E: Effects>(effects: &E, id: String) -> Result<Option<User>, Fault> {
    match effects.call_object::<Accounts>(accounts::NAME, &Command::User(id)).await? {
        accounts::Reply::User(user) => Ok(user),
        _ => Err(Fault::Internal),
    }
}

pub(super) async fn change<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let id = call.last_segment().ok_or(Rejection::NotFound)?;
    let form = call.form(&["role", "status"])?;
    let role = role(&form)?;
    let active = form.word("status", "expected \"active\" or \"disabled\"", listing::parse_status)?;
    if role.is_none() && active.is_none() {
        return Err(Rejection::InvalidBody("role", "expected role, status or both").into());
    }
    let required = call.cx.accounts.required_factor;
    let command = Write::ChangeUser { id: id.clone(), role, active, required };
    apply_status(call.cx.login, effects, &id, write(call, effects, command).await?).await?;
    let user = find(effects, id).await?.ok_or(Rejection::NotFound)?;
    let set = [role.map(Role::name), active.map(|active| if active { "active" } else { "disabled" })];
    let detail = set.into_iter().flatten().collect::<Vec<_>>().join(" ");
    Ok(EndpointResponse::from(json(200, &UserView::of(&user))).with_detail(detail))
}

pub(super) async fn delete<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let id = call.last_segment().ok_or(Rejection::NotFound)?;
    let reply = write(call, effects, Write::DeleteUser(id.clone())).await?;
    apply_status(call.cx.login, effects, &id, reply).await?;
    Ok(Reply { status: 204, ..Reply::default() }.into())
}

/// Sends a change to `Accounts` on behalf of the principal. `Accounts` checks the principal again. If the change
/// concerns what a sign-in reads, it is told before this returns.
pub(super) async fn write<E: Effects>(
    call: Call<'_>,
    effects: &E,
    write: Write,
) -> Result<accounts::Reply, EarlyResponse> {
    let author = call.author()?;
    let concerned = write.concerns(&author).filter(|_| call.cx.accounts.has_shards).map(str::to_owned);
    let command = Command::Write(author, write);
    match effects.call_object::<Accounts>(accounts::NAME, &command).await? {
        accounts::Reply::Refused(refusal) => {
            // The data that this isolate remembers about the principal is out of date.
            effects.memory().of::<SessionCache>().forget_user(call.principal()?.id());
            Err(Rejection::from(refusal).into())
        }
        reply => {
            if let Some(user) = concerned {
                logins::tell::tell(effects, &user).await?;
            }
            Ok(reply)
        }
    }
}

/// Sends a user's new status to the registry (`Sessions`). If this is interrupted, an alarm of `Accounts` repeats it.
async fn apply_status<E: Effects>(
    login: LoginContext<'_>,
    effects: &E,
    id: &str,
    reply: accounts::Reply,
) -> Result<(), EarlyResponse> {
    let user_status = match reply {
        accounts::Reply::UserStatus(user_status) => user_status,
        accounts::Reply::NotFound => return Err(Rejection::NotFound.into()),
        accounts::Reply::LastAdmin => return Err(Rejection::ForbiddenPolicy(ForbiddenBy::LastAdmin).into()),
        accounts::Reply::SecondFactorMissing => {
            return Err(Rejection::ForbiddenPolicy(ForbiddenBy::SecondFactorMissing).into());
        }
        _ => return Err(Fault::Internal.into()),
    };
    let (version, is_disabled) = (user_status.version, !user_status.active);
    effects.call_object::<Sessions>(id, &registry::Command::Apply(user_status)).await?;
    effects.memory().of::<SessionCache>().forget_user(id);
    if is_disabled {
        login::notify_ended_sessions(login, effects, id).await?;
    }
    effects
        .call_object::<Accounts>(accounts::NAME, &Command::StatusDelivered(id.to_owned(), version))
        .await?;
    Ok(())
}

/// Opens a session for a user who has just authenticated, and returns the response with the session cookie.
pub(super) async fn signed_in<E: Effects>(
    call: Call<'_>,
    effects: &E,
    id: String,
    user_status: UserStatus,
    status: u16,
) -> Result<EndpointResponse, EarlyResponse> {
    let response = signed_in_by_copy(call, effects, id, user_status, status, None).await?;
    response.ok_or_else(|| Rejection::InvalidCredentials.into())
}

/// Opens a session for a user whose credentials were read at this clock of `Accounts`. Returns `None` if they have
/// changed since.
pub(super) async fn signed_in_by_copy<E: Effects>(
    call: Call<'_>,
    effects: &E,
    id: String,
    user_status: UserStatus,
    status: u16,
    version: Option<i64>,
) -> Result<Option<EndpointResponse>, EarlyResponse> {
    let role = user_status.role.name();
    let authenticated = AuthenticatedUser { user_id: id.clone(), status: user_status };
    let browser = call.cx.browser;
    let (cx, request, meta) = (call.cx.login, call.request, call.meta);
    let opened =
        match login::open_by_copy(cx, effects, request, browser, authenticated, meta, version).await? {
            Opening::Opened(opened) => opened,
            Opening::Refused => return Err(Rejection::InvalidCredentials.into()),
            Opening::Stale => return Ok(None),
        };
    if opened.is_new_device {
        outlined(tell_new_sign_in(call, effects, &id)).await;
    }
    let reply = json(status, &SignedIn { user_id: &id, role, session_id: &opened.session_id });
    let response = EndpointResponse { cookies: Some(opened.cookies), ..reply.into() };
    Ok(Some(response.with_user(id).with_detail(opened.session_id)))
}

/// Mails a user that they have signed in with a new device. The sign-in counts, whatever becomes of the mail.
async fn tell_new_sign_in<E: Effects>(call: Call<'_>, effects: &E, id: &str) {
    let Some(mailer) = &call.cx.accounts.mailer else { return };
    let Ok(Some(user)) = find(effects, id.to_owned()).await else { return };
    let ClientPlace { city, country } = effects.client_place();
    let mail = Mail::NewSignIn {
        url: passwords::page(call, ACCOUNT),
        device: call.request.headers.value("user-agent").and_then(device::name),
        place: device::place(city.as_deref(), country.as_deref()),
        at: call.meta.now.to_string(),
    };
    let recipient = Recipient { user: user.id, email: user.email, name: user.name };
    mailer.message(effects, &call.cx.mail_context(call.meta), &recipient, &mail).send(effects);
}

/// Returns a new user, not yet stored. Hashes the password here, in the Worker.
pub(super) fn new_user<E: Effects>(
    call: Call<'_>,
    effects: &E,
    email: String,
    name: Option<String>,
    password: &str,
) -> Result<NewUser, EarlyResponse> {
    let password = passwords::hash(call, effects, password)?;
    Ok(NewUser { id: effects.new_id("usr_"), email, name, password })
}

/// Parses the form's `role`, if there is one.
pub(super) fn role(form: &Form) -> Result<Option<Role>, Rejection> {
    form.word("role", "expected \"user\" or \"admin\"", Role::parse)
}

/// A user, as an admin sees it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserView<'a> {
    id: &'a str,
    email: &'a str,
    name: Option<&'a str>,
    role: &'static str,
    status: &'static str,
    created_at: String,
}

impl<'a> UserView<'a> {
    pub(super) fn of(user: &'a User) -> Self {
        Self {
            id: &user.id,
            email: &user.email,
            name: user.name.as_deref(),
            role: user.role.name(),
            status: if user.active { "active" } else { "disabled" },
            created_at: user.created_at.to_string(),
        }
    }
}

#[derive(Serialize)]
struct SetUpState {
    open: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SignedIn<'a> {
    user_id: &'a str,
    role: &'static str,
    session_id: &'a str,
}

const SETUP: RateLimit = RateLimit { name: "setup", limit: 10, period: 900 };
const LOGIN_BY_ADDRESS: RateLimit = RateLimit { name: "login-address", limit: 50, period: 300 };
const LOGIN_BY_ACCOUNT: RateLimit = RateLimit { name: "login-account", limit: 10, period: 300 };
const LOGIN_ANYWHERE: RateLimit = RateLimit { name: "login-anywhere", limit: 50, period: 300 };
