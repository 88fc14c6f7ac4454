//! `/api/auth/setup`, `/api/auth/login` and `/api/users`.
//!
//! Limits are counted before any secret is compared, by address and by what is tried. Whether an account
//! exists makes no difference to the answer or to how long it takes.

use serde::Serialize;

use super::{Answered, Call, Page, json, within};
use crate::{
    accounts::{self, Account, Accounts, Command, NewUser, User, Write},
    config::Config,
    effects::{Effects, Reply},
    form::Form,
    limiter::{self, Limiter},
    login::{self, AuthenticatedUser},
    password,
    principal::Role,
    problem::{Fault, ForbiddenBy, RateLimit, Rejection},
    refusal::EarlyResponse,
    registry::{self, Sessions, Standing},
};

/// Tells whether the first account can be made: there is a setup token, and no account yet.
///
/// Once there is an account, there always is one: this isolate then does not ask again.
pub(super) async fn set_up_state<E: Effects>(call: Call<'_>, effects: &E) -> Result<Answered, EarlyResponse> {
    let is_set_up = &effects.memory().is_set_up;
    let mut open = call.config.setup_token.is_some() && !is_set_up.get();
    if open {
        let asked = Command::Users(None, 1);
        let accounts::Reply::Users(users) = effects.call_object::<Accounts>(accounts::NAME, &asked).await?
        else {
            return Err(Fault::Internal.into());
        };
        open = users.is_empty();
        is_set_up.set(!open);
    }
    Ok(json(200, &SetUpState { open }).into())
}

/// The first account, for whoever has the setup token.
pub(super) async fn set_up<E: Effects>(call: Call<'_>, effects: &E) -> Result<Answered, EarlyResponse> {
    within(effects, SETUP, &call.request.client_group()).await?;
    let form = call.form(&["setupToken", "email", "password", "name"])?;
    let Some(token) = &call.config.setup_token else { return Err(Rejection::NotFound.into()) };
    let (email, password) = (form.email("email")?, form.password("password")?);
    let name = form.name("name")?.map(str::to_owned);
    token.compare(form.text("setupToken")?).map_err(|_| Rejection::InvalidCredentials)?;
    let new = new_user(effects, email, name, password)?;
    let (id, asked) = (new.id.clone(), Command::SetUp(new));
    match effects.call_object::<Accounts>(accounts::NAME, &asked).await? {
        accounts::Reply::Standing(standing) => signed_in(call, effects, (id, standing), 201).await,
        accounts::Reply::AlreadySetUp => Err(Rejection::AlreadySetUp.into()),
        _ => Err(Fault::Internal.into()),
    }
}

/// Signs a user in.
pub(super) async fn log_in<E: Effects>(call: Call<'_>, effects: &E) -> Result<Answered, EarlyResponse> {
    within(effects, LOGIN_BY_ADDRESS, &call.request.client_group()).await?;
    let form = call.form(&["email", "password"])?;
    let email = form.email("email")?;
    let password = form.text("password")?;
    // Tightly where it is tried from, loosely wherever it is: who only knows an address keeps nobody out.
    let here = format!("{email} {}", call.request.client_group());
    within(effects, LOGIN_BY_ACCOUNT, &here).await?;
    within(effects, LOGIN_ANYWHERE, &email).await?;
    let accounts::Reply::Account(account) =
        effects.call_object::<Accounts>(accounts::NAME, &Command::Find(email.clone())).await?
    else {
        return Err(Fault::Internal.into());
    };
    let stored = account.as_ref().map(|account| account.password.as_str());
    match (password::verify(password, stored), account) {
        (Some(_), Some(Account { id, standing, .. })) if standing.active => {
            // Who gets in is not guessing.
            let (group, cleared) = limiter::clear(LOGIN_BY_ACCOUNT, &here);
            effects.call_object::<Limiter>(&group, &cleared).await?;
            signed_in(call, effects, (id, standing), 200).await
        }
        _ => Err(Rejection::InvalidCredentials.into()),
    }
}

pub(super) async fn list<E: Effects>(call: Call<'_>, effects: &E) -> Result<Answered, EarlyResponse> {
    let limit = call.limit()?;
    let asked = Command::Users(call.request.parameter("cursor"), limit.saturating_add(1));
    let accounts::Reply::Users(users) = effects.call_object::<Accounts>(accounts::NAME, &asked).await? else {
        return Err(Fault::Internal.into());
    };
    Ok(json(200, &Page::new(&users, limit, |user| &user.id, Shown::of)).into())
}

pub(super) async fn read<E: Effects>(call: Call<'_>, effects: &E) -> Result<Answered, EarlyResponse> {
    let id = call.last_segment().ok_or(Rejection::NotFound)?;
    let user = find(effects, id).await?.ok_or(Rejection::NotFound)?;
    Ok(json(200, &Shown::of(&user)).into())
}

/// Finds a user.
pub(super) async fn find<E: Effects>(effects: &E, id: String) -> Result<Option<User>, Fault> {
    match effects.call_object::<Accounts>(accounts::NAME, &Command::User(id)).await? {
        accounts::Reply::User(user) => Ok(user),
        _ => Err(Fault::Internal),
    }
}

pub(super) async fn change<E: Effects>(call: Call<'_>, effects: &E) -> Result<Answered, EarlyResponse> {
    let id = call.last_segment().ok_or(Rejection::NotFound)?;
    let form = call.form(&["role", "status"])?;
    let role = role(&form)?;
    let active = form.word("status", "expected \"active\" or \"disabled\"", |text| match text {
        "active" => Some(true),
        "disabled" => Some(false),
        _ => None,
    })?;
    if role.is_none() && active.is_none() {
        return Err(Rejection::InvalidBody("role", "expected role, status or both").into());
    }
    let asked = Write::ChangeUser { id: id.clone(), role, active };
    settle(call.config, effects, &id, write(call, effects, asked).await?).await?;
    let user = find(effects, id).await?.ok_or(Rejection::NotFound)?;
    let set = [role.map(Role::name), active.map(|active| if active { "active" } else { "disabled" })];
    let detail = set.into_iter().flatten().collect::<Vec<_>>().join(" ");
    Ok(Answered::from(json(200, &Shown::of(&user))).telling(detail))
}

pub(super) async fn delete<E: Effects>(call: Call<'_>, effects: &E) -> Result<Answered, EarlyResponse> {
    let id = call.last_segment().ok_or(Rejection::NotFound)?;
    let reply = write(call, effects, Write::DeleteUser(id.clone())).await?;
    settle(call.config, effects, &id, reply).await?;
    Ok(Reply { status: 204, ..Reply::default() }.into())
}

/// Sends a change to the accounts on behalf of the principal, who is judged again there.
pub(super) async fn write<E: Effects>(
    call: Call<'_>,
    effects: &E,
    write: Write,
) -> Result<accounts::Reply, EarlyResponse> {
    let asked = Command::Write(call.author()?, write);
    match effects.call_object::<Accounts>(accounts::NAME, &asked).await? {
        accounts::Reply::Refused(refusal) => {
            // What this isolate knows of them is out of date.
            effects.memory().forget_user(call.principal()?.id());
            Err(Rejection::from(refusal).into())
        }
        reply => Ok(reply),
    }
}

/// Tells the registry how a user stands from now on. If this breaks off, `Accounts` does it on its own.
async fn settle<E: Effects>(
    config: &Config,
    effects: &E,
    id: &str,
    reply: accounts::Reply,
) -> Result<(), EarlyResponse> {
    let standing = match reply {
        accounts::Reply::Standing(standing) => standing,
        accounts::Reply::NotFound => return Err(Rejection::NotFound.into()),
        accounts::Reply::LastAdmin => return Err(Rejection::ForbiddenPolicy(ForbiddenBy::LastAdmin).into()),
        _ => return Err(Fault::Internal.into()),
    };
    let (version, is_out) = (standing.version, !standing.active);
    effects.call_object::<Sessions>(id, &registry::Command::Apply(standing)).await?;
    effects.memory().forget_user(id);
    if is_out {
        login::tell_ended(config, effects, id).await?;
    }
    effects.call_object::<Accounts>(accounts::NAME, &Command::Told(id.to_owned(), version)).await?;
    Ok(())
}

/// Begins the session of somebody who has just proved who they are, and tells them.
pub(super) async fn signed_in<E: Effects>(
    call: Call<'_>,
    effects: &E,
    (id, standing): (String, Standing),
    status: u16,
) -> Result<Answered, EarlyResponse> {
    let role = standing.role.name();
    let proven = AuthenticatedUser { user_id: id.clone(), standing };
    let browser = (call.presented, call.ending);
    let opened = login::open(call.config, effects, call.request, browser, (proven, call.meta)).await?;
    let Some(opened) = opened else { return Err(Rejection::InvalidCredentials.into()) };
    let reply = json(status, &SignedIn { user_id: &id, role, session_id: &opened.session_id });
    let answered = Answered { reply, cookies: Some(opened.cookies), proved: Some(id), detail: None };
    Ok(answered.telling(opened.session_id))
}

/// Prepares a user who is to be; the password is hashed here, in the Worker.
pub(super) fn new_user<E: Effects>(
    effects: &E,
    email: String,
    name: Option<String>,
    password: &str,
) -> Result<NewUser, Fault> {
    let password = password::hash(password, &effects.random()).ok_or(Fault::Internal)?;
    Ok(NewUser { id: effects.new_id("usr_"), email, name, password })
}

/// Reads a role.
pub(super) fn role(form: &Form) -> Result<Option<Role>, Rejection> {
    form.word("role", "expected \"user\" or \"admin\"", Role::parse)
}

/// A user, as an admin sees them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    id: &'a str,
    email: &'a str,
    name: Option<&'a str>,
    role: &'static str,
    status: &'static str,
    created_at: String,
}

impl<'a> Shown<'a> {
    fn of(user: &'a User) -> Self {
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
