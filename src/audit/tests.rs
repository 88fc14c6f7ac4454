#![allow(clippy::arithmetic_side_effects, reason = "a test may fail")]

use super::*;
use crate::platform::store::sqlite::Sqlite;

const NOW: i64 = 1_700_000_000;
/// The object of the day of `NOW`, and of shard 0.
const NAME: &str = "2023-11-14.0";
/// The retention of each row.
const RETENTION: i64 = 86_400;

/// Returns a key of 32 equal bytes, of which one is given in hex.
fn key(hex_byte: &str) -> Opaque {
    Opaque::parse(&hex_byte.repeat(32)).expect("a key")
}

/// Returns a store with rows from `NOW` on, two in each second. Every third row has no principal.
fn store_with(rows: i64) -> Sqlite {
    let store = Sqlite::of::<Audit>();
    for number in 0..rows {
        let entry = Entry {
            name: NAME.to_owned(),
            key: key("11"),
            at: Timestamp(NOW + number / 2),
            principal: (number % 3 > 0).then(|| format!("usr_{}", number % 3)),
            operation: format!("op.{}", number % 2),
            row: format!("{{\"n\":{number}}}"),
            kept: RETENTION,
        };
        let reply = store.handle::<Audit>(&Command::Append(entry), Timestamp(NOW)).expect("a reply");
        assert_eq!(reply, Reply::Appended(number + 1));
    }
    store
}

/// Verifies all rows, three in each command, with another key and the given one.
fn verify(store: &Sqlite, name: &str, hex_byte: &str) -> Reply {
    let keys = vec![key("22"), key(hex_byte)];
    let (mut after, name) = (ChainPosition::default(), name.to_owned());
    loop {
        let request = Verification { name: name.clone(), keys: keys.clone(), after: after.clone(), limit: 3 };
        match store.handle::<Audit>(&Command::Verify(request), Timestamp(NOW)).expect("a reply") {
            Reply::Holds { head, is_end: false } => after = head,
            other => return other,
        }
    }
}

#[test]
fn detects_tampered_rows() {
    for (statement, want) in [
        ("SELECT 1", None),
        ("UPDATE rows SET row = '{}' WHERE seq = 4", Some((4, Broken::Altered))),
        ("UPDATE rows SET at = at + 1 WHERE seq = 4", Some((4, Broken::Altered))),
        ("UPDATE rows SET principal = 'usr_9' WHERE seq = 2", Some((2, Broken::Altered))),
        ("UPDATE rows SET principal = NULL WHERE seq = 2", Some((2, Broken::Altered))),
        ("UPDATE rows SET principal = '' WHERE seq = 1", Some((1, Broken::Altered))),
        ("UPDATE rows SET operation = 'x' WHERE seq = 8", Some((8, Broken::Altered))),
        ("UPDATE rows SET hash = '00' WHERE seq = 4", Some((4, Broken::Altered))),
        ("DELETE FROM rows WHERE seq = 4", Some((4, Broken::Missing))),
        ("DELETE FROM rows WHERE seq = 1", Some((1, Broken::Missing))),
        ("DELETE FROM rows WHERE seq = 8", Some((8, Broken::CutOff))),
        ("DELETE FROM rows WHERE seq > 3", Some((4, Broken::CutOff))),
        ("DELETE FROM rows", Some((1, Broken::CutOff))),
        ("DELETE FROM chain", Some((9, Broken::CutOff))),
        (
            "INSERT INTO rows SELECT 9, at, principal, operation, row, hash FROM rows WHERE seq = 8",
            Some((9, Broken::Altered)),
        ),
        (
            "DELETE FROM rows WHERE seq = 4; UPDATE rows SET seq = seq - 1 WHERE seq > 4",
            Some((4, Broken::Altered)),
        ),
    ] {
        let store = store_with(8);
        for part in statement.split(';') {
            store.run(part, &[]).expect(statement);
        }
        let found = match verify(&store, NAME, "11") {
            Reply::Broken { seq, why } => Some((seq, why)),
            Reply::Holds { head: ChainPosition { seq: 8, .. }, is_end: true } => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(found, want, "{statement}");
    }
    let broken = Reply::Broken { seq: 1, why: Broken::Altered };
    assert_eq!(verify(&store_with(8), "2023-11-15.0", "11"), broken, "the name of another day");
    assert_eq!(verify(&store_with(8), NAME, "33"), broken, "an unknown key");
    let empty = Reply::Holds { head: ChainPosition::default(), is_end: true };
    assert_eq!(verify(&store_with(0), NAME, "11"), empty);
}

#[test]
fn filters_and_pages_rows() {
    let store = store_with(8);
    let find = |since, before, principal: Option<&str>, operation: Option<&str>, limit| {
        let query = Query {
            since: Timestamp(since),
            before: RowPosition { at: Timestamp(before), seq: 0 },
            principal: principal.map(str::to_owned),
            operation: operation.map(str::to_owned),
            limit,
        };
        match store.handle::<Audit>(&Command::Find(query), Timestamp(NOW)).expect("a reply") {
            Reply::Rows(rows) => rows.into_iter().map(|found| found.position.seq).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(find(0, NOW + 99, None, None, 100), [8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(find(0, NOW + 99, None, None, 3), [8, 7, 6]);
    assert_eq!(find(NOW + 2, NOW + 99, None, None, 100), [8, 7, 6, 5]);
    assert_eq!(find(0, NOW + 2, None, None, 100), [4, 3, 2, 1]);
    assert_eq!(find(0, NOW + 99, Some("usr_1"), None, 100), [8, 5, 2]);
    assert_eq!(find(0, NOW + 99, Some("usr_1"), Some("op.1"), 100), [8, 2]);
    assert!(find(0, NOW + 99, Some("usr_' OR 1"), None, 100).is_empty());
}

#[test]
fn keeps_rows_until_the_last_retention_ends() {
    let store = store_with(3);
    // The last row was written in the second after `NOW`.
    let end = NOW + 1 + RETENTION;
    let alarm = Audit::next_alarm(&store, Timestamp(NOW)).expect("a time");
    assert_eq!(alarm, Some(Timestamp(end)));
    Audit::alarm(&store, Timestamp(end - 1)).expect("done");
    assert_eq!(chain(&store).expect("a chain").count, 3);
    Audit::alarm(&store, Timestamp(end)).expect("done");
    assert_eq!(chain(&store).expect("a chain").count, 0);
    assert!(Audit::is_deletable(&store).expect("a reply"));
    assert_eq!(
        Audit::next_alarm(&store, Timestamp(NOW)).expect("a time"),
        Some(Timestamp(NOW + DELETED_AFTER))
    );
}

#[test]
fn names_objects_and_spreads_shards() {
    assert_eq!(object_of(&day_of(Timestamp(NOW)), 3), "2023-11-14.3");
    let mut seen = [0; SHARDS as usize];
    for number in 0..400 {
        seen[usize::from(shard_of(&format!("req_{number}")))] += 1;
    }
    assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
}
