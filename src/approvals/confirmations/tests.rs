#![allow(clippy::arithmetic_side_effects, reason = "a test may fail")]

use super::*;
use crate::{
    identity::author::Credential,
    platform::store::{Object, Store, sqlite::Sqlite},
};

const NOW: i64 = 1_700_000_000;

fn act(id: &str, requester: &str, fingerprint: &str) -> ApprovalRequest {
    ApprovalRequest {
        id: id.to_owned(),
        requester: requester.to_owned(),
        fingerprint: fingerprint.to_owned(),
        shown: ApprovalDetails {
            operation: None,
            method: "POST".to_owned(),
            path: "/pay".to_owned(),
            principal: PrincipalRef { kind: "user".to_owned(), id: "usr_a".to_owned() },
            actor: ActorRef::default(),
            content_type: None,
            headers: Vec::new(),
            preview: None,
            preview_cut: false,
            body_sha256: String::new(),
        },
        created_at: Timestamp(0),
    }
}

fn using(requester: &str, fingerprint: &str, key: Option<&str>) -> Command {
    let key = key.map(|key| (key.to_owned(), 86_400));
    let (requester, fingerprint) = (requester.to_owned(), fingerprint.to_owned());
    Command::Use(Use { id: "i".to_owned(), requester, fingerprint, key })
}

fn deciding(approves: bool) -> Command {
    // The author counts as checked just now, at any time of the test.
    decide_by(Credential::Session("ses_1".to_owned()), i64::MAX, approves)
}

fn decide_by(credential: Credential, checked_at: i64, approves: bool) -> Command {
    let author = Author { user: Some("usr_a".to_owned()), credential, checked_at: Timestamp(checked_at) };
    Command::Decide { id: "i".to_owned(), author, approves }
}

/// Names the outcome of a reply.
fn outcome(reply: &Reply) -> &'static str {
    match reply {
        Reply::Asked(approval) => approval.state.name(),
        Reply::Approved(_, false) => "runs",
        Reply::Approved(_, true) => "answered",
        Reply::Refused(why) => why.code(),
        Reply::Full(_) => "full",
        Reply::Found(found) => found.as_ref().map_or("none", |found| found.state.name()),
        Reply::All(_) => "all",
        Reply::SessionEnded => "session ended",
        Reply::Done => "done",
    }
}

fn call(store: &Sqlite, command: &Command, at: i64) -> &'static str {
    outcome(&store.handle::<Confirmations>(command, Timestamp(at)).expect("a reply"))
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn follows_the_transition_table() {
    let approve = || deciding(true);
    let reject = || deciding(false);
    let unkeyed = || using("r", "f", None);
    let keyed = |key| using("r", "f", Some(key));
    let ask = || Command::Ask(Box::new(act("i", "r", "f")));
    // Commands, each with the seconds since the beginning and the expected outcome.
    let cases: Vec<Vec<(Command, i64, &str)>> = vec![
        vec![(unkeyed(), 0, "unknown"), (approve(), 0, "none"), (reject(), 0, "none")],
        vec![
            (ask(), 0, "pending"),
            (unkeyed(), 1, "pending"),
            (approve(), 2, "approved"),
            (unkeyed(), 3, "runs"),
        ],
        vec![
            (ask(), 0, "pending"),
            (approve(), 1, "approved"),
            (approve(), 2, "approved"),
            (reject(), 3, "approved"),
        ],
        vec![
            (ask(), 0, "pending"),
            (reject(), 1, "rejected"),
            (reject(), 2, "rejected"),
            (approve(), 3, "rejected"),
        ],
        vec![
            (ask(), 0, "pending"),
            (reject(), 1, "rejected"),
            (unkeyed(), 2, "rejected"),
            (ask(), 3, "pending"),
        ],
        vec![
            (ask(), 0, "pending"),
            (approve(), 1, "approved"),
            (unkeyed(), 2, "runs"),
            (unkeyed(), 3, "used"),
        ],
        vec![
            (ask(), 0, "pending"),
            (approve(), 1, "approved"),
            (unkeyed(), 2, "runs"),
            (approve(), 3, "used"),
            (reject(), 4, "used"),
        ],
        vec![
            (ask(), 0, "pending"),
            (approve(), 1, "approved"),
            (keyed("k"), 2, "runs"),
            (keyed("k"), 5_000, "answered"),
            (keyed("l"), 5_001, "used"),
            (unkeyed(), 5_002, "used"),
        ],
        vec![
            (ask(), 0, "pending"),
            (approve(), 1, "approved"),
            (unkeyed(), 2, "runs"),
            (keyed("k"), 3, "used"),
        ],
        vec![
            (ask(), 0, "pending"),
            (approve(), 1, "approved"),
            (using("r", "g", None), 2, "changed"),
            (unkeyed(), 3, "runs"),
        ],
        vec![
            (ask(), 0, "pending"),
            (using("r", "g", None), 1, "changed"),
            (using("s", "f", None), 2, "unknown"),
        ],
        vec![
            (ask(), 0, "pending"),
            (approve(), 1, "approved"),
            (using("s", "f", None), 2, "unknown"),
            (unkeyed(), 3, "runs"),
        ],
        vec![
            (ask(), 0, "pending"),
            (unkeyed(), OPEN, "expired"),
            (approve(), OPEN, "expired"),
            (reject(), OPEN, "expired"),
        ],
        vec![(ask(), 0, "pending"), (approve(), 1, "approved"), (unkeyed(), OPEN - 1, "runs")],
        vec![(ask(), 0, "pending"), (approve(), 1, "approved"), (unkeyed(), OPEN, "expired")],
        vec![
            (ask(), 0, "pending"),
            (ask(), 1, "pending"),
            (approve(), 2, "approved"),
            (ask(), 3, "approved"),
        ],
        vec![
            (ask(), 0, "pending"),
            (approve(), 1, "approved"),
            (keyed("k"), 2, "runs"),
            (using("r", "g", Some("k")), 3, "changed"),
        ],
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let store = Sqlite::of::<Confirmations>();
        for (step, (mut command, at, want)) in case.into_iter().enumerate() {
            if let (Command::Ask(act), true) = (&mut command, step > 0) {
                act.id = format!("later{step}");
            }
            assert_eq!(call(&store, &command, NOW + at), want, "case {number}, step {step}");
        }
    }
}

#[test]
fn returns_the_open_act_when_asked_again() {
    let store = Sqlite::of::<Confirmations>();
    let ask = |id: &str, requester: &str, fingerprint: &str, at| {
        let command = Command::Ask(Box::new(act(id, requester, fingerprint)));
        match store.handle::<Confirmations>(&command, Timestamp(NOW + at)).expect("a reply") {
            Reply::Asked(approval) => approval.act.id,
            other => outcome(&other).to_owned(),
        }
    };
    assert_eq!(ask("a", "r", "f", 0), "a");
    assert_eq!(ask("b", "r", "f", 1), "a");
    assert_eq!(ask("c", "s", "f", 1), "c", "the credential is another one");
    assert_eq!(ask("d", "r", "g", 1), "d", "the request is another one");
    assert_eq!(ask("e", "r", "f", OPEN), "e", "the first one has expired");
}

#[test]
fn limits_open_acts_and_deletes_old_ones() {
    let store = Sqlite::of::<Confirmations>();
    let ask = |at: i64, number: i64| {
        let command = Command::Ask(Box::new(act(&format!("i{number}"), "r", &format!("f{number}"))));
        store.handle::<Confirmations>(&command, Timestamp(NOW + at)).expect("a reply")
    };
    for number in 0..MAX_OPEN {
        assert_eq!(outcome(&ask(number, number)), "pending");
    }
    assert_eq!(ask(30, 100), Reply::Full(570));
    assert_eq!(outcome(&ask(OPEN, 101)), "pending", "the first one has expired");
    let alarm_at = Confirmations::next_alarm(&store, Timestamp(NOW)).expect("a time");
    assert_eq!(alarm_at, Some(Timestamp(NOW + 2 * OPEN)));
    Confirmations::alarm(&store, Timestamp(NOW + 2 * OPEN + 5)).expect("done");
    let list = |after, limit| {
        let command = Command::List(after, limit);
        match store.handle::<Confirmations>(&command, Timestamp(NOW + OPEN)).expect("a reply") {
            Reply::All(all) => all,
            other => panic!("{other:?}"),
        }
    };
    let all = list(None, 100);
    let first = &all[0].act;
    let rest = list(Some((first.created_at, first.id.clone())), 3);
    assert_eq!(rest, all[1..4]);
    assert_eq!(all.len(), usize::try_from(MAX_OPEN - 5).expect("a few"));
    assert_eq!(all[0].act.id, "i101", "the latest act is first");
}

#[test]
fn previews_a_body() {
    for (first, length, text, is_cut) in [
        (&b"{\"a\":1}"[..], 7, Some("{\"a\":1}"), false),
        (b"", 0, None, false),
        (b"\xff\xfe", 2, None, false),
        ("aü".as_bytes(), 9, Some("aü"), true),
        (b"a\xc3", 9, Some("a"), true),
        (b"a\xc3", 2, None, false),
        (b"\xffa", 9, None, true),
    ] {
        assert_eq!(preview(first, length), (text.map(str::to_owned), is_cut));
    }
    assert_eq!((cut("üü", 2), cut("üüü", 2)), ("üü".to_owned(), "üü… (cut)".to_owned()));
}

#[test]
fn finds_the_object_in_an_id() {
    let object = object_of("user:usr_a");
    assert_ne!(object, object_of(AGENTS));
    let id = format!("{PREFIX}{object}.{}", "r".repeat(27));
    assert_eq!(object_of_id(&id), Some(object.as_str()));
    for id in [
        "",
        "cnf_",
        "cnf_x.y",
        "cnf_0123456789abcdef",
        "cnf_0123456789abcdef.",
        "cnf_0123456789ABCDEF.rrrrrrrrrrrrrrrrrrrr",
    ] {
        assert_eq!(object_of_id(id), None, "{id}");
    }
}

#[test]
fn rejects_decisions_that_are_late_or_made_with_a_token() {
    let session = || Credential::Session("ses_1".to_owned());
    for (command, at) in [
        (decide_by(session(), NOW, true), NOW + 6),
        (decide_by(Credential::Token("tok_1".to_owned()), NOW, true), NOW),
    ] {
        let store = Sqlite::of::<Confirmations>();
        call(&store, &Command::Ask(Box::new(act("i", "r", "f"))), NOW);
        assert!(store.handle::<Confirmations>(&command, Timestamp(at)).is_err());
        assert_eq!(call(&store, &using("r", "f", None), at), "pending");
        assert_eq!(call(&store, &decide_by(session(), at - 5, true), at), "approved");
    }
}

#[test]
fn rejects_decisions_of_ended_sessions() {
    for approves in [true, false] {
        let store = Sqlite::of::<Confirmations>();
        // The database of an earlier version.
        for table in ["ended_sessions", "schema_version"] {
            store.run(&format!("DROP TABLE {table}"), &[]).expect("done");
        }
        let store = store.restarted::<Confirmations>();
        call(&store, &Command::Ask(Box::new(act("i", "r", "f"))), NOW);
        let ended = Command::EndedSessions(r#"["ses_0","ses_1"]"#.to_owned());
        assert_eq!(call(&store, &ended, NOW), "done");
        let decide = |session: &str| decide_by(Credential::Session(session.to_owned()), NOW, approves);
        assert_eq!(call(&store, &decide("ses_1"), NOW), "session ended");
        assert_eq!(call(&store, &Command::Find("i".to_owned()), NOW), "pending");
        let want = if approves { "approved" } else { "rejected" };
        assert_eq!(call(&store, &decide("ses_2"), NOW), want, "a new session counts at once");
    }
}
