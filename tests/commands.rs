//! The format of commands and replies: a list of their types, kept in `tests/commands.txt`.
//!
//! A Worker and an object of two deployed versions can meet. `store::FORMAT` keeps them from misunderstanding each other, so it must
//! change with the types.

#![allow(clippy::expect_used, reason = "a test may fail")]

use std::{fmt::Write as _, fs};

use serde::de::DeserializeOwned;
use serde_reflection::{Samples, Tracer, TracerConfig};
use vestibule::{
    accounts::Accounts,
    audit::Audit,
    checkouts::Checkouts,
    confirmations::Confirmations,
    inbox::Inbox,
    ledger::Ledger,
    limiter::Limiter,
    registry::Sessions,
    store::{FORMAT, Object},
    tokens::Tokens,
};

const LIST: &str = "tests/commands.txt";

#[test]
fn the_format_changes_with_the_types() {
    let mut list = format!("format {FORMAT}\n");
    describe::<Accounts>(&mut list);
    describe::<Audit>(&mut list);
    describe::<Checkouts>(&mut list);
    describe::<Confirmations>(&mut list);
    describe::<Inbox>(&mut list);
    describe::<Ledger>(&mut list);
    describe::<Limiter>(&mut list);
    describe::<Sessions>(&mut list);
    describe::<Tokens>(&mut list);
    let known = fs::read_to_string(LIST).unwrap_or_default();
    if list == known {
        return;
    }
    let is_raised = known.lines().next() != list.lines().next();
    assert!(
        is_raised,
        "the types of commands or replies have changed: raise store::FORMAT, and run this test again"
    );
    fs::write(LIST, list).expect("a file");
    panic!(
        "{LIST} now has the types of format {FORMAT}: commit it, and say in CHANGELOG.md that the format has changed"
    );
}

/// Appends the types of an object's commands and replies.
fn describe<O: Object>(list: &mut String) {
    for (what, types) in [("command", types::<O::Command>()), ("reply", types::<O::Reply>())] {
        writeln!(list, "\n{} {what}\n{types}", O::CLASS.name).expect("a text");
    }
}

fn types<T: DeserializeOwned>() -> String {
    let mut tracer = Tracer::new(TracerConfig::default());
    let (format, _) = tracer.trace_type::<T>(&Samples::new()).expect("types that say what they are");
    let mut types = format!("{format:?}\n");
    for (name, of) in tracer.registry().expect("all variants") {
        writeln!(types, "{name}: {of:?}").expect("a text");
    }
    types
}
