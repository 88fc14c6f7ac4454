//! Ending a user's sessions, by the user or by an admin.
//!
//! Of one's own, the author is judged here, in the transaction that ends them: the session that asks is live, or
//! the user of the token that asks may come in. An admin's standing is not kept here: see [`Author::check_age`].

use serde::{Deserialize, Serialize};

use super::{Reply, Seen, check, done, standing};
use crate::{
    author::{Author, Credential},
    store::{Store, StoreError},
    time::Timestamp,
};

/// Which sessions of a user are to be ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct End {
    /// Who asks.
    pub author: Author,
    /// The user whose sessions these are.
    pub of: String,
    /// Which.
    pub which: Which,
}

/// Which sessions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Which {
    /// The one with this id.
    One(String),
    /// All.
    All,
    /// All but the one that asks.
    Others,
}

pub(super) fn end(store: &impl Store, asked: &End, now: Timestamp) -> Result<Reply, StoreError> {
    let End { author, of, which } = asked;
    author.check_age(now)?;
    let is_own = author.user.as_deref() == Some(of);
    let (may, kept) = match &author.credential {
        Credential::Session(id) if is_own => (check(store, id, now, Seen::Not)? != Reply::Gone, id.as_str()),
        Credential::Token(_) if is_own => (standing(store)?.is_some_and(|standing| standing.active), ""),
        // The gateway has checked that the author is an admin.
        Credential::Session(_) | Credential::Token(_) => (true, ""),
    };
    if !may {
        return Ok(Reply::Refused(author.is_gone()));
    }
    let ended = match which {
        Which::One(id) => store.run("DELETE FROM sessions WHERE id = ? RETURNING 1", &[id.into()])?,
        Which::All => store.run("DELETE FROM sessions RETURNING 1", &[])?,
        Which::Others => store.run("DELETE FROM sessions WHERE id <> ? RETURNING 1", &[kept.into()])?,
    };
    Ok(done(&ended))
}
