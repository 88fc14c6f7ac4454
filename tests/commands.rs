//! Checks the format of commands and replies against the list of their types in `tests/commands.txt`.
//!
//! During a deployment, a Worker and an object of different versions can exchange messages. `store::FORMAT` prevents
//! them from misreading each other, so it must change whenever the types change.

#![allow(clippy::expect_used, reason = "a test may fail")]

use std::{fmt::Write as _, fs};

use serde::de::DeserializeOwned;
use serde_reflection::{Samples, Tracer, TracerConfig};
use vestibule::{
    accounts::{
        self, Accounts, Write,
        factors::{Enrollment, FactorCommand, FactorReply, FactorWrite, Proof, TotpState, ticket::Purpose},
        logins::Logins,
        passwords::{PasswordCommand, PasswordReply, PasswordWrite},
        settings::RequiredFactor,
        transfer::{Outcome, RefusedRecord},
    },
    approvals::confirmations::{self, Confirmations},
    audit::{Audit, Broken},
    checkouts::{self, BeginOutcome, Checkouts},
    guards::limiter::Limiter,
    http::problem::ApprovalError,
    idempotency::ledger::{self, AnswerLocation, Ledger, Verdict},
    identity::{
        author::{Credential, Refusal},
        principal::Role,
    },
    metrics::{Metrics, object::Step},
    platform::store::{FORMAT, Object},
    sessions::registry::{Sessions, Which},
    tokens::Tokens,
    webhooks::inbox::{self, Inbox},
};

const LIST: &str = "tests/commands.txt";

#[test]
fn the_format_changes_with_the_types() {
    let mut list = format!("format {FORMAT}\n");
    describe::<Accounts>(
        &mut list,
        &[
            trace::<Write>,
            trace::<Credential>,
            trace::<Role>,
            trace::<Refusal>,
            trace::<accounts::Status>,
            trace::<FactorCommand>,
            trace::<FactorReply>,
            trace::<FactorWrite>,
            trace::<Enrollment>,
            trace::<Proof>,
            trace::<Purpose>,
            trace::<RequiredFactor>,
            trace::<TotpState>,
            trace::<Outcome>,
            trace::<RefusedRecord>,
            trace::<PasswordCommand>,
            trace::<PasswordReply>,
            trace::<PasswordWrite>,
        ],
    );
    describe::<Logins>(&mut list, &[trace::<Role>]);
    describe::<Audit>(&mut list, &[trace::<Broken>]);
    describe::<Checkouts>(
        &mut list,
        &[trace::<Credential>, trace::<checkouts::Status>, trace::<BeginOutcome>],
    );
    describe::<Confirmations>(
        &mut list,
        &[trace::<Credential>, trace::<ApprovalError>, trace::<confirmations::State>],
    );
    describe::<Inbox>(&mut list, &[trace::<Credential>, trace::<inbox::State>]);
    describe::<Ledger>(
        &mut list,
        &[trace::<Credential>, trace::<ledger::Transition>, trace::<AnswerLocation>, trace::<Verdict>],
    );
    describe::<Limiter>(&mut list, &[]);
    describe::<Metrics>(&mut list, &[trace::<Step>]);
    describe::<Sessions>(&mut list, &[trace::<Credential>, trace::<Role>, trace::<Refusal>, trace::<Which>]);
    describe::<Tokens>(&mut list, &[trace::<Role>]);
    let known = fs::read_to_string(LIST).unwrap_or_default();
    if list == known {
        return;
    }
    let is_new_format = known.lines().next() != list.lines().next();
    assert!(
        is_new_format,
        "the types of commands or replies have changed: increase store::FORMAT and run this test again"
    );
    fs::write(LIST, list).expect("a file");
    panic!("{LIST} now has the types of format {FORMAT}: commit it, and note the new format in CHANGELOG.md");
}

type Trace = fn(&mut Tracer);

/// Appends the types of an object's commands and replies to the list.
fn describe<O: Object>(list: &mut String, inner: &[Trace]) {
    for (kind, types) in [("command", types::<O::Command>(inner)), ("reply", types::<O::Reply>(inner))] {
        writeln!(list, "\n{} {kind}\n{types}", O::CLASS.name).expect("a text");
    }
}

fn types<T: DeserializeOwned>(inner: &[Trace]) -> String {
    let mut tracer = Tracer::new(TracerConfig::default());
    let (format, _) = tracer.trace_type::<T>(&Samples::new()).expect("self-describing types");
    // The tracer finds only the variants of the outermost enum by itself.
    for trace in inner {
        trace(&mut tracer);
    }
    let mut types = format!("{format:?}\n");
    for (name, layout) in tracer.registry().expect("all variants") {
        writeln!(types, "{name}: {layout:?}").expect("a text");
    }
    types
}

fn trace<T: DeserializeOwned>(tracer: &mut Tracer) {
    tracer.trace_type::<T>(&Samples::new()).expect("self-describing types");
}
