//! Tokens that a person's token makes, each for a task.
//!
//! 1. The requesting token's kind has `delegate = true`, and the request has no other credential.
//! 2. The new token acts for the same user, as a machine, and names its task.
//! 3. It ends no later than the token that made it. By default it ends after [`LIFETIME`].
//! 4. It is valid only while the token that made it is (see [`crate::tokens`]).

use std::time::Duration;

use super::Call;
use crate::{
    effects::Effects,
    form::Form,
    problem::{Reason, Rejection},
    refusal::EarlyResponse,
    time::Timestamp,
    tokens::{Command, Hash, Kind, Token, Tokens},
};

/// Default lifetime of a token for a task.
const LIFETIME: Duration = Duration::from_hours(24);

/// Judges a request for a token that was sent with a token.
pub(super) fn judge(call: Call<'_>) -> Result<(), Rejection> {
    let may_make = presented(call).is_some_and(|kind| kind.delegate && !kind.source.is_machine());
    if may_make { Ok(()) } else { Err(Rejection::ForbiddenHumanOnly) }
}

/// Judges the kind and the task of the token to be made.
pub(super) fn judge_kind(kind: &Kind, form: &Form) -> Result<(), Rejection> {
    if kind.is_agent || !kind.source.is_machine() {
        return Err(Rejection::ForbiddenHumanOnly);
    }
    let wanted = "expected the id of a task: a token can only make tokens for tasks";
    form.optional("taskId")?.map(drop).ok_or(Rejection::InvalidBody("taskId", wanted))
}

/// Finds the requesting token in its present state.
pub(super) async fn maker<E: Effects>(call: Call<'_>, effects: &E) -> Result<(Hash, Token), EarlyResponse> {
    let hash = Hash::of(call.request.bearer().ok_or(Rejection::ForbiddenHumanOnly)?);
    let found = effects.call_object::<Tokens>(hash.object(), &Command::Find(hash.0.clone())).await?;
    let maker = found.filter(|token| token.is_live(call.meta.now)).ok_or(GONE)?;
    Ok((hash, maker))
}

/// Returns when a token ends that was made by a token.
pub(super) fn ends(asked: Option<Timestamp>, maker: &Token, now: Timestamp) -> Timestamp {
    let asked = asked.unwrap_or_else(|| now.plus(LIFETIME));
    maker.expires_at.map_or(asked, |end| end.min(asked))
}

/// The refusal if the requesting token was revoked in the meantime.
pub(super) const GONE: Rejection = Rejection::Unauthorized(Reason::TokenRevoked);

/// Finds the kind of the token that the request came by.
fn presented(call: Call<'_>) -> Option<&Kind> {
    let value = call.request.bearer()?;
    call.config.credentials.iter().find(|kind| value.starts_with(&kind.prefix))
}
