//! An in-memory `SQLite` database that stands in for an object's storage.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
};

use rusqlite::{Connection, StatementStatus, types::ValueRef};

use super::{Object, SqlRow, Store, StoreError, Timestamp, Value, decode, encode, migrate};

/// The database of one object, the bytes attached to its next command or last reply, the work done so far, and the
/// time at which statements fail.
pub(crate) struct Sqlite(
    Connection,
    pub(crate) RefCell<Option<Vec<u8>>>,
    Cell<Work>,
    Cell<Option<Countdown>>,
);

/// When statements fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Countdown {
    /// After this many.
    Left(u32),
    /// Now: one has failed.
    Over,
}

/// What statements have cost, as `SQLite` counts it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Work {
    /// Instructions of `SQLite`'s virtual machine. They grow with the rows that a statement reads and writes.
    pub(crate) instructions: i64,
    /// Rows that were stepped over because no index led to the next one.
    pub(crate) scanned: i64,
    /// Rows that were returned.
    pub(crate) returned: i64,
}

impl Sqlite {
    /// Creates the database of a new object, with all migrations.
    pub(crate) fn of<O: Object>() -> Self {
        Self::opened::<O>(Connection::open_in_memory().expect("a database"))
    }

    /// Creates an empty database, without migrations.
    pub(crate) fn empty() -> Self {
        Self::new(Connection::open_in_memory().expect("a database"))
    }

    fn new(database: Connection) -> Self {
        database.set_prepared_statement_cache_capacity(256);
        Self(database, RefCell::default(), Cell::default(), Cell::default())
    }

    /// Creates a database from these statements, without migrations.
    pub(crate) fn from_statements(statements: &str) -> Self {
        let store = Self::empty();
        store.0.execute_batch(statements).expect("statements");
        store
    }

    /// Creates a database from statements of an earlier version, and migrates it.
    pub(crate) fn of_earlier<O: Object>(statements: &[&str]) -> Self {
        let database = Connection::open_in_memory().expect("a database");
        for statement in statements {
            database.execute_batch(statement).expect(statement);
        }
        Self::opened::<O>(database)
    }

    /// Restarts the object on the same database.
    pub(crate) fn restarted<O: Object>(self) -> Self {
        Self::opened::<O>(self.0)
    }

    /// Migrates the database, as every start of an object does.
    fn opened<O: Object>(database: Connection) -> Self {
        let store = Self::new(database);
        migrate(&store, O::CLASS.migrations).expect("a migration");
        store
    }

    /// Returns what statements have cost since the last call.
    pub(crate) fn take_work(&self) -> Work {
        self.2.take()
    }

    /// Executes a command: encoded, and in a transaction, as on the platform.
    pub(crate) fn handle<O: Object>(
        &self,
        command: &O::Command,
        now: Timestamp,
    ) -> Result<O::Reply, StoreError> {
        let command = decode(&encode(command).expect("bytes")).expect("a command");
        let reply = self.atomically(|| O::handle(self, command, now));
        decode(&encode(&reply?).expect("bytes"))
    }

    /// Runs a step in a transaction, as the platform does for commands and alarms.
    pub(crate) fn atomically<T>(
        &self,
        step: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.0.execute_batch("BEGIN").expect("a transaction");
        let result = step();
        let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
        self.0.execute_batch(end).expect("end of the transaction");
        result
    }

    /// Lets all statements fail after this many; `None` lets none fail.
    pub(crate) fn fail_after(&self, statements: Option<u32>) {
        self.3.set(statements.map(Countdown::Left));
    }

    /// Returns whether a statement has failed since the last call of [`Self::fail_after`].
    pub(crate) fn has_failed(&self) -> bool {
        self.3.get() == Some(Countdown::Over)
    }

    /// Restarts the object on the same database.
    pub(crate) fn reopen<O: Object>(&self) {
        migrate(self, O::CLASS.migrations).expect("a migration");
    }

    /// Returns the rows of all tables, as text.
    pub(crate) fn contents(&self) -> Vec<String> {
        let text = |query: &str| {
            let mut statement = self.0.prepare(query).expect(query);
            let width = statement.column_count();
            let row = |row: &rusqlite::Row<'_>| {
                let columns = (0..width).map(|at| row.get::<_, rusqlite::types::Value>(at));
                Ok(format!("{:?}", columns.collect::<Result<Vec<_>, _>>()?))
            };
            let rows = statement.query_map([], row).expect(query);
            rows.collect::<Result<Vec<_>, _>>().expect(query)
        };
        let mut names = self.0.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").expect("names");
        let names = names.query_map([], |row| row.get::<_, String>(0)).expect("names");
        let names = names.map(|name| name.expect("a name"));
        names.flat_map(|name| text(&format!("SELECT '{name}', * FROM {name}"))).collect()
    }
}

impl Store for Sqlite {
    fn run(&self, statement: &str, parameters: &[Value<'_>]) -> Result<Vec<SqlRow>, StoreError> {
        match self.3.get() {
            Some(Countdown::Over | Countdown::Left(0)) => {
                self.3.set(Some(Countdown::Over));
                return Err(StoreError("the process was killed".to_owned()));
            }
            Some(Countdown::Left(left)) => self.3.set(Some(Countdown::Left(left.saturating_sub(1)))),
            None => {}
        }
        let failed = |error: rusqlite::Error| StoreError(error.to_string());
        let mut statement = self.0.prepare_cached(statement).map_err(failed)?;
        let values = parameters.iter().map(|value| match value {
            Value::Null => rusqlite::types::Value::Null,
            Value::Integer(number) => (*number).into(),
            Value::Text(text) => (*text).to_owned().into(),
            Value::Attached => self.1.borrow_mut().take().expect("attached bytes").into(),
        });
        let width = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(values)).map_err(failed)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let column = |at| match row.get_ref(at).expect("a column") {
                ValueRef::Null => serde_json::Value::Null,
                ValueRef::Integer(number) => number.into(),
                ValueRef::Text(text) => std::str::from_utf8(text).expect("UTF-8").into(),
                ValueRef::Blob(bytes) => {
                    self.1.replace(Some(bytes.to_vec()));
                    serde_json::Value::Null
                }
                other @ ValueRef::Real(_) => panic!("{other:?}"),
            };
            found.push(SqlRow::new((0..width).map(column).collect()));
        }
        drop(rows);
        let count = |status| i64::from(statement.reset_status(status));
        let Work { instructions, scanned, returned } = self.2.get();
        self.2.set(Work {
            instructions: instructions.saturating_add(count(StatementStatus::VmStep)),
            scanned: scanned.saturating_add(count(StatementStatus::FullscanStep)),
            returned: returned.saturating_add(i64::try_from(found.len()).expect("few rows")),
        });
        Ok(found)
    }
}

/// All objects of a deployment by class and name, and the bytes attached to the last reply.
#[derive(Default)]
pub(crate) struct Objects(RefCell<HashMap<(&'static str, String), Sqlite>>, RefCell<Option<Vec<u8>>>);

impl Objects {
    /// Sends a command to an object and returns its reply.
    pub(crate) fn call<O: Object>(
        &self,
        name: &str,
        command: &O::Command,
        now: Timestamp,
    ) -> Result<O::Reply, StoreError> {
        let mut objects = self.0.borrow_mut();
        let object = objects.entry((O::CLASS.name, name.to_owned())).or_insert_with(Sqlite::of::<O>);
        let reply = object.handle::<O>(command, now);
        self.1.replace(object.1.take());
        reply
    }

    /// Calls a function with the database of an object.
    pub(crate) fn with<O: Object, T>(&self, name: &str, then: impl FnOnce(&Sqlite) -> T) -> T {
        let mut objects = self.0.borrow_mut();
        then(objects.entry((O::CLASS.name, name.to_owned())).or_insert_with(Sqlite::of::<O>))
    }

    /// Attaches bytes to the next command for an object.
    pub(crate) fn attach<O: Object>(&self, name: &str, bytes: Vec<u8>) {
        let mut objects = self.0.borrow_mut();
        let object = objects.entry((O::CLASS.name, name.to_owned())).or_insert_with(Sqlite::of::<O>);
        object.1.replace(Some(bytes));
    }

    /// Returns the bytes attached to the last reply, and removes them.
    pub(crate) fn attached(&self) -> Option<Vec<u8>> {
        self.1.take()
    }
}
