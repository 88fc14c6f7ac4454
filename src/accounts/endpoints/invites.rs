//! `/api/invites`: makes, lists, changes, deletes and redeems invites. A token is returned only when it is made.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    Call,
    second_step::{self, SignedUp},
    users::{new_user, role, write},
};
use crate::{
    accounts::{self, Accounts, Command, Invite, Status, Write},
    base::encoding,
    guards::limiter,
    http::{
        problem::{Fault, RateLimit, Rejection},
        reply::{EarlyResponse, Reply},
    },
    identity::{
        call::{EndpointResponse, Page, json},
        principal::Role,
    },
    platform::effects::Effects,
};

pub(super) async fn create<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let form = call.form(&["email", "role", "expiresIn"])?;
    let missing = Rejection::InvalidBody("role", "expected \"user\" or \"admin\", found nothing");
    let new = Invite {
        id: effects.new_id("inv_"),
        email: form.optional_email("email")?,
        role: role(&form)?.ok_or(missing)?,
        status: Status::Unused,
        created_at: call.meta.now,
        created_by: call.principal()?.id().to_owned(),
        expires_at: form.until("expiresIn", call.meta.now)?,
        used_by: None,
        used_at: None,
    };
    let token = effects.new_id(PREFIX);
    let command = Write::MakeInvite { invite: new, token_hash: hash(&token) };
    match write(call, effects, command).await? {
        accounts::Reply::Invite(invite) => {
            let detail = format!("{} {}", invite.id, invite.role.name());
            let created = json(201, &CreatedInvite { token: &token, invite: InviteView::of(&invite) });
            Ok(EndpointResponse::from(created).with_detail(detail))
        }
        accounts::Reply::EmailTaken => Err(Rejection::EmailTaken.into()),
        _ => Err(Fault::Internal.into()),
    }
}

pub(super) async fn list<E: Effects>(call: Call<'_>, effects: &E) -> Result<EndpointResponse, EarlyResponse> {
    let limit = call.limit()?;
    let command = Command::Invites(call.request.parameter("cursor"), limit.saturating_add(1));
    let accounts::Reply::Invites(invites) = effects.call_object::<Accounts>(accounts::NAME, &command).await?
    else {
        return Err(Fault::Internal.into());
    };
    Ok(json(200, &Page::new(&invites, limit, |invite| &invite.id, InviteView::of)).into())
}

pub(super) async fn change<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let id = call.last_segment().ok_or(Rejection::NotFound)?;
    let form = call.form(&["role", "status"])?;
    let (role, expected) = (role(&form)?, "expected \"unused\", \"disabled\" or \"revoked\"");
    let status = form.word("status", expected, Status::parse_settable)?;
    if role.is_none() && status.is_none() {
        return Err(Rejection::InvalidBody("role", "expected role, status or both").into());
    }
    match write(call, effects, Write::ChangeInvite { id, role, status }).await? {
        accounts::Reply::Invite(invite) => {
            let view = InviteView::of(&invite);
            let detail = format!("{} {}", view.role, view.status);
            Ok(EndpointResponse::from(json(200, &view)).with_detail(detail))
        }
        accounts::Reply::NotFound => Err(Rejection::NotFound.into()),
        accounts::Reply::Unusable => Err(Rejection::InviteUnusable.into()),
        _ => Err(Fault::Internal.into()),
    }
}

pub(super) async fn delete<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let id = call.last_segment().ok_or(Rejection::NotFound)?;
    match write(call, effects, Write::DeleteInvite(id)).await? {
        accounts::Reply::Done(_) => Ok(Reply { status: 204, ..Reply::default() }.into()),
        accounts::Reply::NotFound => Err(Rejection::NotFound.into()),
        _ => Err(Fault::Internal.into()),
    }
}

/// Redeems an invite: makes an account and signs the user in. If the invite is usable, the password is hashed before
/// accounts are looked up, so the time does not show whether an account exists.
pub(super) async fn redeem<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    limiter::check(effects, BY_ADDRESS, &call.request.client_group()).await?;
    let token = token_of(call.request.path).ok_or(Rejection::InvalidToken)?;
    let form = call.form(&["email", "password", "name"])?;
    let (email, name) = (form.email("email")?, form.name("name")?.map(str::to_owned));
    let password = call.cx.accounts.passwords.new_password(&form, "password")?;
    let usable = effects.call_object::<Accounts>(accounts::NAME, &Command::Usable(hash(token))).await?;
    if usable == accounts::Reply::Unusable {
        return Err(Rejection::InviteUnusable.into());
    }
    // Counted only now, so that a client without an invite cannot lock out an email address.
    limiter::check(effects, BY_ACCOUNT, &email).await?;
    let new = new_user(call, effects, email, name, password)?;
    let (id, stored_password) = (new.id.clone(), new.password.clone());
    let command = Command::Redeem(hash(token), new);
    // If the store does not respond, it is unknown whether the invite was redeemed. This fault has its own code.
    match effects
        .call_object::<Accounts>(accounts::NAME, &command)
        .await
        .map_err(|_| Fault::InviteRedeemFailed)?
    {
        accounts::Reply::UserStatus(user_status) => {
            second_step::after_sign_up(call, effects, SignedUp { id, stored_password, user_status }).await
        }
        accounts::Reply::Unusable => Err(Rejection::InviteUnusable.into()),
        accounts::Reply::EmailMismatch => Err(Rejection::EmailMismatch.into()),
        _ => Err(Fault::Internal.into()),
    }
}

/// Returns the token in `/api/invites/{token}/redeem`, if it has the format of a token.
fn token_of(path: &str) -> Option<&str> {
    let token = path.strip_suffix("/redeem")?.rsplit('/').next()?;
    let random = token.strip_prefix(PREFIX)?;
    let is_random =
        random.len() == 27 && random.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    is_random.then_some(token)
}

fn hash(token: &str) -> String {
    encoding::hex(&Sha256::digest(token))
}

#[derive(Serialize)]
struct CreatedInvite<'a> {
    token: &'a str,
    #[serde(flatten)]
    invite: InviteView<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InviteView<'a> {
    id: &'a str,
    email: Option<&'a str>,
    role: &'static str,
    status: &'static str,
    created_at: String,
    created_by: &'a str,
    expires_at: Option<String>,
    used_by: Option<&'a str>,
    used_at: Option<String>,
}

impl<'a> InviteView<'a> {
    fn of(invite: &'a Invite) -> Self {
        Self {
            id: &invite.id,
            email: invite.email.as_deref(),
            role: Role::name(invite.role),
            status: invite.status.name(),
            created_at: invite.created_at.to_string(),
            created_by: &invite.created_by,
            expires_at: invite.expires_at.map(|end| end.to_string()),
            used_by: invite.used_by.as_deref(),
            used_at: invite.used_at.map(|point| point.to_string()),
        }
    }
}

const PREFIX: &str = "mki_";

const BY_ADDRESS: RateLimit = RateLimit { name: "redeem-address", limit: 50, period: 300 };
const BY_ACCOUNT: RateLimit = RateLimit { name: "redeem-account", limit: 10, period: 300 };
