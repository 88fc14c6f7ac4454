//! Tokens that are made by a token: a person's, for a task of theirs.
//!
//! 1. The token that makes one is of a kind with `delegate = true`, and nothing else came along.
//! 2. What it makes acts for the same user, as a machine, and names its task.
//! 3. It ends no later than the one that made it, and otherwise after [`LIFETIME`] unless something else is asked for.
//! 4. It is good only while the one that made it is (see [`crate::tokens`]).

use std::time::Duration;

use super::Call;
use crate::{
    effects::Effects,
    form::Form,
    problem::{Reason, Rejection},
    refusal::Turned,
    time::Timestamp,
    tokens::{Command, Hash, Kind, Token, Tokens},
};

/// How long a token for a task lives where nothing else is asked for.
const LIFETIME: Duration = Duration::from_hours(24);

/// Judges a request for a token that comes by a token.
pub(super) fn judge(call: Call<'_>) -> Result<(), Rejection> {
    let may_make = presented(call).is_some_and(|kind| kind.delegate && !kind.source.is_machine());
    if may_make { Ok(()) } else { Err(Rejection::ForbiddenHumanOnly) }
}

/// Judges what is asked for by a token.
pub(super) fn judge_kind(kind: &Kind, form: &Form) -> Result<(), Rejection> {
    if kind.is_agent || !kind.source.is_machine() {
        return Err(Rejection::ForbiddenHumanOnly);
    }
    let wanted = "expected the task that it is for: a token makes tokens for tasks";
    form.optional("taskId")?.map(drop).ok_or(Rejection::InvalidBody("taskId", wanted))
}

/// Finds the token that asks for one, as it is now.
pub(super) async fn maker<E: Effects>(call: Call<'_>, effects: &E) -> Result<(Hash, Token), Turned> {
    let hash = Hash::of(call.request.bearer().ok_or(Rejection::ForbiddenHumanOnly)?);
    let found = effects.ask::<Tokens>(hash.object(), &Command::Find(hash.0.clone())).await?;
    let maker = found.filter(|token| token.is_live(call.moment.now)).ok_or(GONE)?;
    Ok((hash, maker))
}

/// Tells when a token ends that another one makes.
pub(super) fn ends(asked: Option<Timestamp>, maker: &Token, now: Timestamp) -> Timestamp {
    let asked = asked.unwrap_or_else(|| now.plus(LIFETIME));
    maker.expires_at.map_or(asked, |end| end.min(asked))
}

/// What is said where the token that asks for one was revoked meanwhile.
pub(super) const GONE: Rejection = Rejection::Unauthorized(Reason::TokenRevoked);

/// Finds the kind of the token that the request came by.
fn presented(call: Call<'_>) -> Option<&Kind> {
    let value = call.request.bearer()?;
    call.config.credentials.iter().find(|kind| value.starts_with(&kind.prefix))
}
