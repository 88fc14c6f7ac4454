//! An audit trail: its rows are those that were appended, in order and without a gap, and its chain verifies from every
//! row that was verified before.
//!
//! A client whose reply was lost appends its row again: the trail then has both.

use vestibule::{
    audit::{Audit, ChainPosition, Command, Entry, FoundRow, Query, Reply, RowPosition, Verification},
    base::time::Timestamp,
    crypto::secret::Opaque,
    platform::store::Object,
};

use crate::{Sent, Simulation, simulate, sqlite::Sqlite};

const NAME: &str = "2026-11-30.0";
const KEPT: i64 = 5_000;

#[test]
fn the_trail_has_every_appended_row_in_order() {
    simulate("audit", 25, run);
}

/// A row, as it was appended.
struct Row {
    at: i64,
    principal: Option<String>,
    operation: String,
    text: String,
}

fn key() -> Opaque {
    Opaque::parse(&"ab".repeat(32)).expect("a key")
}

fn run(simulation: &mut Simulation) {
    let store = Sqlite::of::<Audit>();
    let mut rows: Vec<Row> = Vec::new();
    let mut heads = vec![ChainPosition::default()];
    for _ in 0..80 {
        simulation.now += simulation.random.within(-2, 20);
        match simulation.random.weighted(&[8, 3, 3, 1]) {
            0 => append(simulation, &store, &mut rows),
            1 => {
                let after = simulation.random.pick(&heads).clone();
                verify(simulation, &store, &rows, after, &mut heads);
            }
            2 => find(simulation, &store, &rows),
            _ => {
                let until = rows.iter().map(|row| row.at + KEPT).max().unwrap_or(i64::MAX);
                if simulation.random.one_in(6) {
                    simulation.now += KEPT;
                }
                let due = Audit::next_alarm(&store, simulation.time()).expect("a time").expect("an alarm");
                if !rows.is_empty() {
                    assert_eq!(due, Timestamp(until));
                }
                simulation.alarm::<Audit>(&store);
                if until <= simulation.now {
                    rows.clear();
                    heads = vec![ChainPosition::default()];
                }
                let is_deletable = Audit::is_deletable(&store).expect("an answer");
                assert_eq!(is_deletable, rows.is_empty());
            }
        }
    }
    verify(simulation, &store, &rows, ChainPosition::default(), &mut heads);
}

fn append(simulation: &mut Simulation, store: &Sqlite, rows: &mut Vec<Row>) {
    let text = simulation.name("row ");
    let principal = simulation.random.pick(&[None, Some("usr_a"), Some("usr_b")]).map(str::to_owned);
    let operation = (*simulation.random.pick(&["orders.pay", "users.change"])).to_owned();
    // Rows arrive nearly in order.
    let at = simulation.now - simulation.random.within(0, 3);
    for _ in 0..3 {
        let entry = Entry {
            name: NAME.to_owned(),
            key: key(),
            at: Timestamp(at),
            principal: principal.clone(),
            operation: operation.clone(),
            row: text.clone(),
            kept: KEPT,
        };
        let sent = simulation.send::<Audit>(store, &Command::Append(entry));
        let is_answered = sent.is_answered();
        if let Some(reply) = sent.reply() {
            let row =
                Row { at, principal: principal.clone(), operation: operation.clone(), text: text.clone() };
            rows.push(row);
            assert_eq!(reply, Reply::Appended(i64::try_from(rows.len()).unwrap()));
        }
        if is_answered || simulation.random.one_in(2) {
            return;
        }
    }
}

/// Verifies from a row that was verified before, in pages.
fn verify(
    simulation: &mut Simulation,
    store: &Sqlite,
    rows: &[Row],
    mut after: ChainPosition,
    heads: &mut Vec<ChainPosition>,
) {
    for _ in 0..200 {
        let limit = simulation.random.within(1, 7);
        let (name, keys) = (NAME.to_owned(), vec![key()]);
        let request = Verification { name, keys, after: after.clone(), limit };
        match simulation.send::<Audit>(store, &Command::Verify(request)) {
            Sent::Answered(Reply::Holds { head, is_end }) => {
                let left = i64::try_from(rows.len()).unwrap() - after.seq;
                assert_eq!(head.seq, after.seq + left.min(limit));
                assert_eq!(is_end, left < limit);
                heads.push(head.clone());
                if is_end {
                    return;
                }
                after = head;
            }
            Sent::Killed | Sent::Lost(_) => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("the trail does not end");
}

fn find(simulation: &mut Simulation, store: &Sqlite, rows: &[Row]) {
    let principal = simulation.random.pick(&[None, Some("usr_a")]).map(str::to_owned);
    let operation = simulation.random.pick(&[None, Some("orders.pay")]).map(str::to_owned);
    let since = simulation.now - simulation.random.within(0, 200);
    let before = RowPosition { at: Timestamp(simulation.now - simulation.random.within(0, 50)), seq: 5 };
    let limit = simulation.random.within(1, 9);
    let mut wanted: Vec<(i64, i64, &Row)> =
        rows.iter().zip(1..).map(|(row, seq)| (row.at, seq, row)).collect();
    wanted.retain(|(at, seq, row)| {
        *at >= since
            && (*at, *seq) < (before.at.0, before.seq)
            && (principal.is_none() || row.principal == principal)
            && operation.as_ref().is_none_or(|operation| row.operation == *operation)
    });
    wanted.sort_by_key(|(at, seq, _)| std::cmp::Reverse((*at, *seq)));
    wanted.truncate(usize::try_from(limit).unwrap());
    let query = Query { since: Timestamp(since), before, principal, operation, limit };
    if let Some(reply) = simulation.send::<Audit>(store, &Command::Find(query)).reply() {
        let wanted = wanted.into_iter().map(|(at, seq, row)| FoundRow {
            position: RowPosition { at: Timestamp(at), seq },
            row: row.text.clone(),
        });
        assert_eq!(reply, Reply::Rows(wanted.collect()));
    }
}
