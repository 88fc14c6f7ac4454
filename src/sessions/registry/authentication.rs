//! The time at which the user of a session last authenticated, for rules with `recent`.
//!
//! The gateway has checked a password or a factor. This object checks the author in the transaction that writes: a
//! session that has ended in the meantime stays ended.

use super::{LastSeen, Reply, check};
use crate::{
    base::time::Timestamp,
    identity::author::{Author, Credential, Refusal},
    platform::store::{Store, StoreError},
    sessions::lifetime::Limits,
};

/// Sets the time of authentication of the author's session to now, also if a wrong clock had set a later one. Returns
/// the session.
pub(super) fn renew(store: &impl Store, author: &Author, now: Timestamp) -> Result<Reply, StoreError> {
    author.check_age(now)?;
    let Credential::Session(id) = &author.credential else { return Ok(Reply::Refused(Refusal::Kind)) };
    if check(store, id, Limits::default(), now, LastSeen::Keep)? == Reply::Gone {
        return Ok(Reply::Refused(author.refusal()));
    }
    store.run("UPDATE sessions SET authenticated_at = ? WHERE id = ?", &[now.into(), id.into()])?;
    check(store, id, Limits::default(), now, LastSeen::Keep)
}
