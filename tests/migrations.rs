//! Databases that earlier versions stored, under `tests/stored`. Each one is migrated to the tables of a new database.
//! `tests/e2e/stored.test.mjs` checks that their content still counts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use vestibule::{
    config::CLASSES,
    platform::store::{Class, Store},
};

mod common {
    pub(crate) use vestibule::{
        base::time::Timestamp,
        platform::store::{Object, SqlRow, Store, StoreError, Value, decode, encode, migrate},
    };

    #[allow(dead_code, reason = "the crate's own tests use the rest")]
    pub(crate) mod sqlite;
}

use common::{migrate, sqlite::Sqlite};

#[test]
fn a_migrated_database_has_the_tables_of_a_new_one() {
    for class in CLASSES.iter().copied() {
        let new = Sqlite::empty();
        migrate(&new, class.migrations).expect("a new database");
        let files: Vec<PathBuf> = generations().iter().flat_map(|folder| files_of(folder, class)).collect();
        assert!(!files.is_empty(), "{}: stored databases", class.name);
        for file in files {
            let stored = Sqlite::from_statements(&fs::read_to_string(&file).expect("a file"));
            let before = rows(&stored, class);
            for _ in 0..2 {
                migrate(&stored, class.migrations)
                    .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                assert_eq!(tables(&stored), tables(&new), "{}", file.display());
            }
            assert_eq!(rows(&stored, class), before, "{}", file.display());
        }
    }
}

/// Folders of stored databases, one for each stored version: `1`, `2` and so on.
fn generations() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stored");
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.is_dir()).collect()
}

fn files_of(generation: &Path, class: Class) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(generation.join(class.name)) else { return Vec::new() };
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

/// Returns each table's columns and each index, as `SQLite` parsed them.
fn tables(store: &Sqlite) -> BTreeSet<String> {
    let select = "SELECT s.type || ' ' || s.name || ' ' || c.name || ' ' || c.type || ' ' || c.\"notnull\" || ' ' || c.pk
        FROM sqlite_schema AS s JOIN pragma_table_info(s.name) AS c WHERE s.type = 'table'
        UNION ALL SELECT s.type || ' ' || s.name || ' ' || s.tbl_name || ' ' || group_concat(coalesce(c.name, ''))
        FROM sqlite_schema AS s JOIN pragma_index_info(s.name) AS c WHERE s.type = 'index' GROUP BY s.name";
    let found = store.run(select, &[]).expect("rows");
    found.iter().map(|row| row.text(0).expect("a text")).collect()
}

/// Returns the number of rows that a class has stored, without those that a migration adds. No migration so far deletes
/// rows.
fn rows(store: &Sqlite, class: Class) -> i64 {
    let select = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('schema_version', 'words_missing_after')";
    let found = store.run(select, &[]).unwrap_or_else(|error| panic!("{}: {error}", class.name));
    let count = |table: &str| {
        let rows = store.run(&format!("SELECT count(*) FROM {table}"), &[]).expect("a count");
        rows.first().expect("a row").integer(0).expect("a number")
    };
    found.iter().map(|row| count(&row.text(0).expect("a name"))).sum()
}
