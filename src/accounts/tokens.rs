//! The list of tokens and their owners, and the limit of tokens per user. A token's own record is in
//! [`Tokens`](crate::tokens::Tokens).
//!
//! 1. A user has at most [`MOST_TOKENS`] live tokens. Expired ones do not count, and are deleted.
//! 2. A token that is made by a token belongs to the same user, expires no later, has no wider scope, and is revoked
//!    with it.
//! 3. The row of a revoked token of the configuration is kept, so that it stays revoked. Its name becomes free.

use super::{MOST_TOKENS, Reply, writes::Authorized};
use crate::{
    base::time::Timestamp,
    identity::token_scope,
    platform::store::{SqlRow, Store, StoreError},
    tokens::{self, CONFIG_OWNER, Token},
};

/// Seconds for which an expired token is still listed.
const EXPIRED_LISTED: i64 = 86_400;

/// Index for finding the tokens of an owner.
pub(super) const INDEX_OWNER: &str =
    "CREATE INDEX IF NOT EXISTS tokens_by_owner ON tokens (owner, expires_at)";

/// Adds a token. Returns `Done(false)` if its owner has reached the limit, and `NotFound` if the token that makes it is
/// not valid, has another owner, expires earlier or has a narrower scope. Also deletes some of the tokens that expired
/// a day ago.
pub(super) fn put(
    store: &impl Store,
    _proof: &Authorized<'_>,
    hash: &str,
    token: &Token,
    now: Timestamp,
) -> Result<Reply, StoreError> {
    tokens::sweep(store, Timestamp(now.0.saturating_sub(EXPIRED_LISTED)))?;
    if let Some(parent) = &token.made_by_token {
        let select = format!("SELECT {}, hash FROM tokens WHERE hash = ?", tokens::COLUMNS);
        let rows = store.run(&select, &[parent.into()])?;
        let parent = rows.first().map(read_token).transpose()?.map(|(_, parent)| parent);
        let outlives = |parent: &Token| match (parent.expires_at, token.expires_at) {
            (Some(parent_end), Some(child_end)) => child_end > parent_end,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let may_be_parent = |parent: &Token| {
            parent.owner == token.owner
                && parent.is_live(now)
                && !outlives(parent)
                && token_scope::allows_child(parent.scope.as_ref(), token.scope.as_ref())
        };
        if !parent.is_some_and(|parent| may_be_parent(&parent)) {
            return Ok(Reply::NotFound);
        }
    }
    let has_room = has_room(store, &token.owner, now)?;
    if has_room {
        tokens::put(store, hash, token)?;
    }
    Ok(Reply::Done(has_room))
}

/// Returns whether a user has fewer live tokens than the limit.
pub(super) fn has_room(store: &impl Store, owner: &str, now: Timestamp) -> Result<bool, StoreError> {
    let live = store.run(
        "SELECT 1 FROM tokens WHERE owner = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)
         LIMIT ?",
        &[owner.into(), now.into(), MOST_TOKENS.into()],
    )?;
    Ok(i64::try_from(live.len()).is_ok_and(|count| count < MOST_TOKENS))
}

/// Adds a token of the configuration. Returns the stored token if the hash is known, even if it is revoked. Returns
/// `NameTaken` if another token of the configuration has the name and is not revoked.
pub(super) fn seed(store: &impl Store, hash: &str, new: Token) -> Result<Reply, StoreError> {
    let columns = tokens::COLUMNS;
    let select = format!(
        "SELECT {columns}, hash FROM tokens WHERE owner = ? AND (hash = ? OR name = ? AND revoked_at IS NULL)
         ORDER BY hash = ? DESC LIMIT 1"
    );
    let values = [CONFIG_OWNER.into(), hash.into(), (&new.name).into(), hash.into()];
    let rows = store.run(&select, &values)?;
    Ok(match rows.first().map(read_token).transpose()? {
        Some((known, token)) if known == hash => Reply::Token(token),
        Some(_) => Reply::NameTaken,
        None => {
            tokens::put(store, hash, &new)?;
            Reply::Token(new)
        }
    })
}

/// Revokes a token, and deletes the tokens that it made: they are valid only while their parent is valid.
pub(super) fn revoke(store: &impl Store, id: &str, now: Timestamp) -> Result<(), StoreError> {
    store.run(
        "DELETE FROM tokens WHERE made_by_token = (SELECT hash FROM tokens WHERE id = ?)",
        &[id.into()],
    )?;
    store.run(
        "UPDATE tokens SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?",
        &[now.into(), id.into()],
    )?;
    record_untold(store, id)
}

/// Deletes a revoked token, once its own object has recorded the revocation. A token of the configuration is kept, as
/// revoked.
pub(super) fn delete_revoked(store: &impl Store, id: &str) -> Result<(), StoreError> {
    store.run(
        "DELETE FROM tokens WHERE id = ? AND revoked_at IS NOT NULL AND owner <> ?",
        &[id.into(), CONFIG_OWNER.into()],
    )?;
    store.run("DELETE FROM untold_tokens WHERE id = ?", &[id.into()])?;
    Ok(())
}

/// Records a revocation or a takeover until the token's own object has it.
pub(super) fn record_untold(store: &impl Store, id: &str) -> Result<(), StoreError> {
    store.run("INSERT OR IGNORE INTO untold_tokens (id) VALUES (?)", &[id.into()]).map(drop)
}

/// Returns tokens whose own objects may not have their revocation or takeover, with their hashes: at most 50.
pub(super) fn untold(store: &impl Store) -> Result<Vec<(String, Token)>, StoreError> {
    // A revoked token may be deleted before it is told: when it expires, or when the token that made it is revoked. It
    // is valid no longer then, so nothing is left to tell.
    store.run("DELETE FROM untold_tokens WHERE id NOT IN (SELECT id FROM tokens)", &[])?;
    let select = format!(
        "SELECT {}, hash FROM tokens WHERE id IN (SELECT id FROM untold_tokens) ORDER BY id LIMIT 50",
        tokens::COLUMNS
    );
    store.run(&select, &[])?.iter().map(read_token).collect()
}

/// Records that a token's own object has its owner. A revocation, or a later takeover, is still to be told.
pub(super) fn takeover_delivered(store: &impl Store, id: &str, takeovers: i64) -> Result<(), StoreError> {
    store.run(
        "DELETE FROM untold_tokens WHERE id = ?1
         AND EXISTS (SELECT 1 FROM tokens WHERE id = ?1 AND revoked_at IS NULL AND takeovers <= ?2)",
        &[id.into(), takeovers.into()],
    )?;
    Ok(())
}

/// Reads a row: the columns of a token, then its hash.
pub(super) fn read_token(row: &SqlRow) -> Result<(String, Token), StoreError> {
    Ok((row.text(13)?, tokens::token(row)?))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::needless_pass_by_value, reason = "a test may fail")]
mod tests;
