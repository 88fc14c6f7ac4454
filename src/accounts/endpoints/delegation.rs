//! Tokens for tasks that are made with a person's token (delegation).
//!
//! 1. The requesting token's kind has `delegate = true`, and the request has no other credential.
//! 2. The new token acts for the same user, as a machine, and names its task.
//! 3. It expires no later than the token that made it. By default it expires after [`LIFETIME`].
//! 4. Its scope is at most that of the token that made it. Without a scope, it gets that one.
//! 5. It is valid only while the token that made it is valid (see [`crate::tokens`]).

use std::time::Duration;

use super::Call;
use crate::{
    base::time::Timestamp,
    http::{
        form::Form,
        problem::{Reason, Rejection},
        reply::EarlyResponse,
    },
    identity::token_scope::TokenScope,
    platform::effects::Effects,
    tokens::{Command, Hash, Kind, Token, Tokens, settings::MaxExpiry},
};

/// Default lifetime of a token for a task.
const LIFETIME: Duration = Duration::from_hours(24);

/// Checks that the requesting token may make tokens.
pub(super) fn check_parent(call: Call<'_>) -> Result<(), Rejection> {
    let may_delegate = requesting_kind(call).is_some_and(|kind| kind.delegate && !kind.source.is_machine());
    if may_delegate { Ok(()) } else { Err(Rejection::ForbiddenHumanOnly) }
}

/// Checks the kind and the task of the token to be made.
pub(super) fn check_kind(kind: &Kind, form: &Form) -> Result<(), Rejection> {
    if kind.is_agent || !kind.source.is_machine() {
        return Err(Rejection::ForbiddenHumanOnly);
    }
    let expected = "expected a task id: a token can create only tokens for tasks";
    form.optional("taskId")?.map(drop).ok_or(Rejection::InvalidBody("taskId", expected))
}

/// Returns the hash and the current record of the requesting token. Rejects a token that is no longer live.
pub(super) async fn parent<E: Effects>(call: Call<'_>, effects: &E) -> Result<(Hash, Token), EarlyResponse> {
    let hash = Hash::of(call.request.bearer().ok_or(Rejection::ForbiddenHumanOnly)?);
    let found = effects.call_object::<Tokens>(hash.object(), &Command::Find(hash.0.clone())).await?;
    let parent = found.filter(|token| token.is_live(call.meta.now)).ok_or(PARENT_REVOKED)?;
    Ok((hash, parent))
}

/// Returns the default expiry of a token that is made by a token, which the operator may limit.
pub(super) fn default_expiry(max_expiry: Option<MaxExpiry>, now: Timestamp) -> Timestamp {
    now.plus(max_expiry.map_or(LIFETIME, |max| max.lifetime.min(LIFETIME)))
}

/// Returns the expiry of a token that is made by a token: the requested expiry, but not after the parent's.
pub(super) fn capped_expiry(requested: Timestamp, parent: &Token) -> Timestamp {
    parent.expires_at.map_or(requested, |end| end.min(requested))
}

/// Returns the scope of a token that is made by a token: the requested scope, within the parent's.
///
/// # Errors
/// [`Rejection::ForbiddenScope`]: the requested scope has more than the parent's.
pub(super) fn capped_scope(
    requested: Option<TokenScope>,
    parent: &Token,
) -> Result<Option<TokenScope>, Rejection> {
    match &parent.scope {
        None => Ok(requested),
        Some(scope) => {
            requested.unwrap_or_default().narrowed_to(scope).map(Some).map_err(Rejection::ForbiddenScope)
        }
    }
}

/// The rejection if the requesting token was revoked in the meantime.
pub(super) const PARENT_REVOKED: Rejection = Rejection::Unauthorized(Reason::TokenRevoked);

/// Returns the kind of the request's bearer token.
fn requesting_kind(call: Call<'_>) -> Option<&Kind> {
    let value = call.request.bearer()?;
    call.cx.tokens.kinds.iter().find(|kind| value.starts_with(&kind.prefix))
}
