//! The words by which a user is found: an index over the beginnings of the e-mail address, its parts and the name.
//!
//! 1. [`words`] is the only definition. The words of a user are added with the user, and deleted with the user.
//! 2. A search reads the words that begin with a text, in order. It never reads all users.
//! 3. Databases from before this index get it by the alarm, [`BATCH`] users at a time. Until then, a search misses
//!    users.

use crate::platform::store::{Store, StoreError, run_all};

/// The most words of one kind: pieces of an address, or words of a name.
const MOST_PIECES: usize = 4;

/// The number of users whose words one alarm adds.
const BATCH: i64 = 1_000;

/// Returns the words by which a user is found, in order, in lower case: the address, its domain and the pieces of its
/// local part; the name and its words.
pub(super) fn words(email: &str, name: Option<&str>) -> Vec<String> {
    let email = email.to_lowercase();
    let (local, domain) = email.split_once('@').unwrap_or((&email, ""));
    let pieces = local.split(|byte: char| !byte.is_alphanumeric()).skip(1).take(MOST_PIECES);
    let name = normalized(name.unwrap_or_default());
    let names = name.split(' ').skip(1).take(MOST_PIECES);
    let all = [email.as_str(), domain, &name].into_iter().chain(pieces).chain(names);
    let mut all: Vec<String> = all.filter(|word| !word.is_empty()).map(str::to_owned).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Returns a text in lower case, with single spaces between its words.
pub(super) fn normalized(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Returns the first of a user's words that begins with a text. A search returns a user there, and only there.
pub(super) fn first_match<'a>(words: &'a [String], text: &str) -> Option<&'a String> {
    words.iter().find(|word| word.starts_with(text))
}

/// Adds the words of a user.
pub(super) fn add(
    store: &(impl Store + ?Sized),
    id: &str,
    email: &str,
    name: Option<&str>,
) -> Result<(), StoreError> {
    for word in words(email, name) {
        store
            .run("INSERT OR IGNORE INTO user_words (word, id) VALUES (?, ?)", &[(&word).into(), id.into()])?;
    }
    Ok(())
}

/// Deletes the words of a user who still exists.
pub(super) fn remove(store: &impl Store, id: &str) -> Result<(), StoreError> {
    let rows = store.run("SELECT email, name FROM users WHERE id = ?", &[id.into()])?;
    let Some(row) = rows.first() else { return Ok(()) };
    for word in words(&row.text(0)?, row.optional_text(1)?.as_deref()) {
        store.run("DELETE FROM user_words WHERE word = ? AND id = ?", &[(&word).into(), id.into()])?;
    }
    Ok(())
}

/// Returns whether users from before the index still lack their words.
pub(super) fn is_incomplete(store: &impl Store) -> Result<bool, StoreError> {
    Ok(!store.run("SELECT 1 FROM words_missing_after", &[])?.is_empty())
}

/// Adds the words of some users from before the index.
pub(super) fn complete_some(store: &impl Store) -> Result<(), StoreError> {
    let rows = store.run("SELECT id FROM words_missing_after", &[])?;
    let Some(after) = rows.first().map(|row| row.text(0)).transpose()? else { return Ok(()) };
    let select = "SELECT id, email, name FROM users WHERE id > ? ORDER BY id LIMIT ?";
    let rows = store.run(select, &[(&after).into(), BATCH.into()])?;
    for row in &rows {
        add(store, &row.text(0)?, &row.text(1)?, row.optional_text(2)?.as_deref())?;
    }
    match rows.last() {
        Some(last) => store.run("UPDATE words_missing_after SET id = ?", &[(&last.text(0)?).into()])?,
        None => store.run("DELETE FROM words_missing_after", &[])?,
    };
    Ok(())
}

/// Adds the tables of this index.
pub(super) fn add_tables(store: &dyn Store) -> Result<(), StoreError> {
    run_all(
        store,
        &[
            "CREATE TABLE IF NOT EXISTS user_words (
                word TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (word, id)) STRICT, WITHOUT ROWID",
            // Has a row while users after this id lack their words.
            "CREATE TABLE IF NOT EXISTS words_missing_after (
                one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL) STRICT",
            "INSERT INTO words_missing_after SELECT 1, '' WHERE EXISTS (SELECT 1 FROM users)",
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_user_by_address_domain_pieces_and_names() {
        for (email, name, want) in [
            (
                "ada.lovelace+x@mail.example",
                Some("Ada  King Lovelace"),
                &[
                    "ada king lovelace",
                    "ada.lovelace+x@mail.example",
                    "king",
                    "lovelace",
                    "mail.example",
                    "x",
                ][..],
            ),
            ("a@b", None, &["a@b", "b"]),
            ("zoe@z.example", Some("ZOË"), &["z.example", "zoe@z.example", "zoë"]),
        ] {
            assert_eq!(words(email, name), want);
        }
        let many = "a.b.c.d.e.f.g.h@x";
        assert!(words(many, Some(&"n ".repeat(50))).len() <= 3 + 2 * MOST_PIECES);
    }

    #[test]
    fn a_user_is_returned_at_one_word_only() {
        let words = words("lovelace@ada.example", Some("Ada Lovelace"));
        assert_eq!(first_match(&words, "love").map(String::as_str), Some("lovelace"));
        assert_eq!(first_match(&words, "ada").map(String::as_str), Some("ada lovelace"));
        assert_eq!(first_match(&words, "eve"), None);
    }
}
