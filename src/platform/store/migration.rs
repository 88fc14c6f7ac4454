//! Versions of an object's tables.
//!
//! Each class lists its migrations. The version of a database is the number of migrations that it has run. It is stored
//! in the database. When an object starts, it runs the missing migrations, in order and in one transaction. A released
//! migration never changes.
//!
//! To add a column:
//!
//! 1. At the end of the class's `migrations` (`impl Object for …`), add a function that calls [`add_column`].
//! 2. Read and write the column in the statements of the object.
//! 3. Check in `tests/migrations.rs` what the migration does.
//!
//! The first migration of each class also opens databases without a version: it creates missing tables and columns.

use super::{Store, StoreError};

/// A step from one version of an object's tables to the next.
pub type Migration = fn(&dyn Store) -> Result<(), StoreError>;

/// Runs the missing migrations of a database. The caller starts and commits the transaction.
///
/// # Errors
/// [`StoreError`] if a statement fails, or if a later version of Vestibule wrote the database: its tables are unknown.
pub fn migrate(store: &dyn Store, migrations: &[Migration]) -> Result<(), StoreError> {
    let version = version(store)?;
    let Some(missing) = migrations.get(version..) else {
        return Err(StoreError(format!(
            "the tables have version {version}, but this deployment supports only {}: a later version of Vestibule wrote them",
            migrations.len()
        )));
    };
    if missing.is_empty() {
        return Ok(());
    }
    for migration in missing {
        migration(store)?;
    }
    let version = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    store.run(CREATE_VERSION, &[])?;
    store.run(SET_VERSION, &[version.into()]).map(drop)
}

fn version(store: &dyn Store) -> Result<usize, StoreError> {
    if !has_column(store, "schema_version", "version")? {
        return Ok(0);
    }
    let rows = store.run("SELECT version FROM schema_version", &[])?;
    let version = rows.first().map_or(Ok(0), |row| row.integer(0))?;
    usize::try_from(version).map_err(|_| StoreError(format!("invalid version of the tables: {version}")))
}

const CREATE_VERSION: &str = "CREATE TABLE IF NOT EXISTS schema_version (
    one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT";

const SET_VERSION: &str = "INSERT INTO schema_version VALUES (1, ?)
    ON CONFLICT DO UPDATE SET version = excluded.version";

/// Runs statements without parameters, in order.
///
/// # Errors
/// [`StoreError`] of the first statement that fails.
pub fn run_all(store: &dyn Store, statements: &[&str]) -> Result<(), StoreError> {
    statements.iter().try_for_each(|statement| store.run(statement, &[]).map(drop))
}

/// Adds a column to a table, unless the table has it. `definition` is the column's type and constraints.
///
/// # Errors
/// [`StoreError`] if the statement fails.
pub fn add_column(store: &dyn Store, table: &str, column: &str, definition: &str) -> Result<(), StoreError> {
    if has_column(store, table, column)? {
        return Ok(());
    }
    store.run(&format!("ALTER TABLE {table} ADD COLUMN {column} {definition}"), &[]).map(drop)
}

/// Checks whether a table has a column. Returns `false` if the table does not exist.
///
/// # Errors
/// [`StoreError`] if the statement fails.
pub fn has_column(store: &dyn Store, table: &str, column: &str) -> Result<bool, StoreError> {
    let found =
        store.run("SELECT 1 FROM pragma_table_info(?) WHERE name = ?", &[table.into(), column.into()])?;
    Ok(!found.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::store::sqlite::Sqlite;

    const FIRST: Migration = |store| run_all(store, &["CREATE TABLE IF NOT EXISTS t (a INTEGER) STRICT"]);
    const SECOND: Migration = |store| run_all(store, &["ALTER TABLE t ADD COLUMN b INTEGER"]);

    fn has(store: &Sqlite, column: &str) -> bool {
        has_column(store, "t", column).expect("a table")
    }

    #[test]
    fn runs_each_migration_once_and_in_order() {
        let store = Sqlite::empty();
        for _ in 0..2 {
            migrate(&store, &[FIRST]).expect("migrated");
        }
        assert!(has(&store, "a") && !has(&store, "b"));
        // A second run of SECOND would fail, because its column exists.
        for _ in 0..2 {
            migrate(&store, &[FIRST, SECOND]).expect("migrated");
        }
        assert!(has(&store, "b"));
    }

    #[test]
    fn opens_a_database_without_a_version() {
        let store = Sqlite::empty();
        FIRST(&store).expect("a table");
        store.run("INSERT INTO t VALUES (7)", &[]).expect("a row");
        migrate(&store, &[FIRST, SECOND]).expect("migrated");
        assert_eq!(store.run("SELECT a FROM t WHERE b IS NULL", &[]).expect("rows").len(), 1);
    }

    #[test]
    fn rejects_a_database_of_a_later_version() {
        let store = Sqlite::empty();
        migrate(&store, &[FIRST, SECOND]).expect("migrated");
        let StoreError(message) = migrate(&store, &[FIRST]).expect_err("refused");
        assert!(message.contains("version 2"), "{message}");
    }
}
