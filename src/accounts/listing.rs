//! Lists of users, invites and tokens. Every statement reads through an index, so that a page costs the same with many
//! users as with few.
//!
//! 1. Without a search, a list is in the order of ids, which never change, and its cursor is the last id. So while
//!    others write, no item is listed twice, and none that exists throughout is missing.
//! 2. A search is in the order of the words that it finds (see [`search`]), then of ids. It reads at most
//!    [`MOST_LOOKED_AT`] entries for a page. So a page can have fewer users than the limit, even none, and yet a
//!    cursor.

use serde::{Deserialize, Serialize};

use super::{
    INVITE, Reply, User, read_invite, search,
    tokens::read_token,
    users::{USER, read_user},
};
use crate::{
    base::{encoding, time::Timestamp},
    identity::principal::Role,
    platform::store::{SqlRow, Store, StoreError, run_all},
    tokens::COLUMNS,
};

/// The most entries of the index that one page of a search reads.
const MOST_LOOKED_AT: usize = 1_000;

/// The users to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserQuery {
    /// The beginning of a word of the users.
    pub text: Option<String>,
    /// Their role; `None` for any.
    pub role: Option<Role>,
    /// Whether they are active; `None` for both.
    pub active: Option<bool>,
    /// Where to continue.
    pub after: Option<Cursor>,
    /// The most users of a page.
    pub limit: i64,
}

/// A place in a list of users, after which a page continues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The word, in a search.
    pub word: Option<String>,
    /// The user's id.
    pub id: String,
}

/// A page of users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserPage {
    /// The users.
    pub users: Vec<User>,
    /// Where the next page begins, if there may be one.
    pub next: Option<Cursor>,
}

impl UserQuery {
    /// Returns a query for users by id.
    #[must_use]
    pub fn all(after: Option<String>, limit: i64) -> Self {
        Self { after: after.map(|id| Cursor { word: None, id }), limit, ..Self::default() }
    }
}

impl Cursor {
    /// Returns the text for clients: the id, or in a search the word and the id, encoded.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.word {
            None => self.id.clone(),
            // An id has no space.
            Some(word) => encoding::base64url(format!("{word} {}", self.id).as_bytes()),
        }
    }

    /// Parses a text of [`Cursor::text`].
    #[must_use]
    pub fn parse(text: String, is_search: bool) -> Option<Self> {
        if !is_search {
            return Some(Self { word: None, id: text });
        }
        let decoded = String::from_utf8(encoding::from_base64url(&text)?).ok()?;
        let (word, id) = decoded.rsplit_once(' ')?;
        Some(Self { word: Some(word.to_owned()), id: id.to_owned() })
    }
}

/// Lists users.
pub(super) fn users(store: &impl Store, query: &UserQuery) -> Result<Reply, StoreError> {
    let text = query.text.as_deref().map(search::normalized).filter(|text| !text.is_empty());
    let page = match text {
        Some(text) => find(store, query, &text)?,
        None => by_id(store, query)?,
    };
    Ok(Reply::Users(page))
}

fn by_id(store: &impl Store, query: &UserQuery) -> Result<UserPage, StoreError> {
    let after = query.after.as_ref().map_or("", |cursor| &cursor.id);
    // One more than the page, to know whether there is a next one.
    let most = query.limit.saturating_add(1);
    let mut found = Vec::new();
    if (query.role, query.active) == (None, None) {
        let select = format!("SELECT {USER} FROM users WHERE id > ? ORDER BY id LIMIT ?");
        found = store.run(&select, &[after.into(), most.into()])?;
    } else {
        // Each pair of role and status is a range of the index, in the order of ids.
        let select = format!(
            "SELECT {USER} FROM users INDEXED BY users_by_status
             WHERE role = ? AND active = ? AND id > ? ORDER BY id LIMIT ?"
        );
        for role in
            [Role::Admin, Role::User].into_iter().filter(|role| query.role.is_none_or(|of| of == *role))
        {
            for active in [true, false].into_iter().filter(|is| query.active.is_none_or(|of| of == *is)) {
                let values = [role.name().into(), i64::from(active).into(), after.into(), most.into()];
                found.extend(store.run(&select, &values)?);
            }
        }
    }
    let mut users = found.iter().map(read_user).collect::<Result<Vec<_>, _>>()?;
    users.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    let limit = usize::try_from(query.limit).unwrap_or_default();
    let has_more = users.len() > limit;
    users.truncate(limit);
    let last = users.last().filter(|_| has_more);
    let next = last.map(|user| Cursor { word: None, id: user.id.clone() });
    Ok(UserPage { users, next })
}

fn find(store: &impl Store, query: &UserQuery, text: &str) -> Result<UserPage, StoreError> {
    let limit = usize::try_from(query.limit).unwrap_or_default();
    let after = query.after.as_ref();
    let mut at = Cursor {
        word: Some(after.and_then(|cursor| cursor.word.as_deref()).unwrap_or(text).to_owned()),
        id: after.map_or_else(String::new, |cursor| cursor.id.clone()),
    };
    // The join order is fixed: first the range of words, then each user by id.
    let select = format!(
        "SELECT {USER}, word, found FROM (SELECT word, id AS found FROM user_words
             WHERE (word, id) > (?, ?) AND word < ? ORDER BY word, id LIMIT ?)
         LEFT JOIN users ON users.id = found ORDER BY word, found"
    );
    let end = format!("{text}{}", char::MAX);
    let chunk = query.limit.saturating_add(1);
    let (mut users, mut looked_at) = (Vec::new(), 0_usize);
    loop {
        let word = at.word.as_deref().unwrap_or(text);
        let rows = store.run(&select, &[word.into(), (&at.id).into(), (&end).into(), chunk.into()])?;
        for row in &rows {
            let (word, id) = (row.text(WORD)?, row.text(FOUND)?);
            if row.optional_text(0)?.is_none() {
                at = Cursor { word: Some(word), id };
                continue;
            }
            let user = read_user(row)?;
            let fits = query.role.is_none_or(|role| role == user.role)
                && query.active.is_none_or(|active| active == user.active)
                && search::first_match(&search::words(&user.email, user.name.as_deref()), text)
                    .is_some_and(|first| *first == word);
            if fits && users.len() == limit {
                return Ok(UserPage { users, next: Some(at) });
            }
            at = Cursor { word: Some(word), id };
            if fits {
                users.push(user);
            }
        }
        looked_at = looked_at.saturating_add(rows.len());
        if i64::try_from(rows.len()).is_ok_and(|found| found < chunk) {
            return Ok(UserPage { users, next: None });
        }
        if looked_at >= MOST_LOOKED_AT {
            return Ok(UserPage { users, next: Some(at) });
        }
    }
}

/// Lists invites by id.
pub(super) fn invites(
    store: &impl Store,
    after: Option<&str>,
    limit: i64,
    now: Timestamp,
) -> Result<Reply, StoreError> {
    let select = format!("SELECT {INVITE} FROM invites WHERE id > ? ORDER BY id LIMIT ?");
    let rows = store.run(&select, &[after.unwrap_or("").into(), limit.into()])?;
    rows.iter().map(|row| read_invite(row, now)).collect::<Result<_, _>>().map(Reply::Invites)
}

/// Lists tokens that are not revoked, by id: of one owner, or of all.
pub(super) fn tokens(
    store: &impl Store,
    owner: Option<&str>,
    after: Option<&str>,
    limit: i64,
) -> Result<Reply, StoreError> {
    let (by, of) = match owner {
        // An owner has few tokens, so they are sorted.
        Some(_) => ("INDEXED BY tokens_by_owner", "owner = ?1"),
        None => ("", "?1 IS NULL"),
    };
    let select = format!(
        "SELECT {COLUMNS}, hash FROM tokens {by}
         WHERE {of} AND id > ?2 AND revoked_at IS NULL ORDER BY id LIMIT ?3"
    );
    let rows = store.run(&select, &[owner.into(), after.unwrap_or("").into(), limit.into()])?;
    rows.iter().map(read_token).collect::<Result<_, _>>().map(Reply::Tokens)
}

/// Returns the token with this id, if it belongs to this owner; `None` allows any.
pub(super) fn token(store: &impl Store, owner: Option<&str>, id: &str) -> Result<Reply, StoreError> {
    let select = format!("SELECT {COLUMNS}, hash FROM tokens WHERE id = ? AND owner = coalesce(?, owner)");
    let rows: Vec<SqlRow> = store.run(&select, &[id.into(), owner.into()])?;
    rows.iter().map(read_token).collect::<Result<_, _>>().map(Reply::Tokens)
}

/// The columns after those of a user, in a search.
const WORD: usize = 6;
const FOUND: usize = 7;

/// Adds the indexes for lists, and for changes that concern many rows.
pub(super) fn add_indexes(store: &dyn Store) -> Result<(), StoreError> {
    run_all(
        store,
        &[
            "CREATE INDEX IF NOT EXISTS users_by_status ON users (role, active)",
            "CREATE INDEX IF NOT EXISTS invites_by_creator ON invites (created_by, status)",
            "CREATE INDEX IF NOT EXISTS tokens_by_maker ON tokens (made_by_token) WHERE made_by_token IS NOT NULL",
        ],
    )?;
    search::add_tables(store)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may fail")]
mod tests;
