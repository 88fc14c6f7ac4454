//! Runs each fuzz target over its seeds (`fuzz/seeds`) and over random edits of them. `npm run fuzz` runs the same
//! targets for as long as wanted, guided by coverage.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail"
)]

use std::{fs, path::PathBuf};

use proptest::{prelude::*, sample};

/// Declares a test for each target.
macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        $(mod $name;)*

        mod runs {
            $(
                #[test]
                fn $name() {
                    super::check(stringify!($name), super::$name::run);
                }
            )*
        }

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

targets![
    token,
    cookie_header,
    return_path,
    path,
    headers,
    origin,
    idempotency_key,
    webhook,
    configuration,
    form,
    page,
    passkey,
    ledger,
];

/// The number of inputs for each target.
const CASES: u32 = 3_000;

/// A change of an input.
#[derive(Clone, Debug)]
enum Edit {
    Replace(sample::Index, Vec<u8>),
    Insert(sample::Index, Vec<u8>),
    Remove(sample::Index, usize),
    Repeat(sample::Index, usize),
}

fn check(name: &str, run: fn(&[u8])) {
    let seeds = seeds(name);
    for seed in &seeds {
        run(seed);
    }
    let edited = (sample::select(seeds), prop::collection::vec(edit(), 0..8));
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |((seed, edits) in edited)| run(&apply(seed, edits)));
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
    let mut seeds: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    seeds.sort();
    seeds
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<sample::Index>;
    let piece = || {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 1..4),
            sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        ]
    };
    prop_oneof![
        (at(), piece()).prop_map(|(at, piece)| Edit::Replace(at, piece)),
        (at(), piece()).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        (at(), 1..20_usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        (at(), 1..50_usize).prop_map(|(at, length)| Edit::Repeat(at, length)),
    ]
}

fn apply(mut input: Vec<u8>, edits: Vec<Edit>) -> Vec<u8> {
    for edit in edits {
        let at = |at: sample::Index| at.index(input.len() + 1);
        match edit {
            Edit::Replace(index, piece) => {
                let start = at(index);
                let end = (start + piece.len()).min(input.len());
                input.splice(start..end, piece);
            }
            Edit::Insert(index, piece) => {
                let start = at(index);
                input.splice(start..start, piece);
            }
            Edit::Remove(index, length) => {
                let start = at(index);
                input.drain(start..(start + length).min(input.len()));
            }
            Edit::Repeat(index, length) => {
                let start = at(index);
                let part = input[start..(start + length).min(input.len())].to_vec();
                input.splice(start..start, part);
            }
        }
    }
    input
}

/// Texts that mean something to some parser.
const PIECES: &[&str] = &[
    "/",
    "//",
    "/../",
    "/./",
    "%2F",
    "%2f",
    "%252F",
    "%5C",
    "\\",
    "%00",
    "%C0%AE",
    "%",
    ";",
    "?",
    "#",
    "@",
    ":",
    "*",
    "{id}",
    "{*rest}",
    "{+rest}",
    "=",
    "&",
    ",",
    " ",
    "\t",
    "\n",
    "\n\n",
    "\"",
    "\\\"",
    "\\u0000",
    "{",
    "}",
    "[",
    "]",
    "null",
    "true",
    "-1",
    "1e999",
    "18446744073709551616",
    "session",
    "x-user-id",
    "X_User_Id",
    "connection",
    "http://",
    "https:",
    "xn--",
    "[::1]",
    "é",
    "\u{202e}",
    "\u{0}",
    "HS256",
    "none",
    "kid",
    "crit",
    "sha256=",
    "t=1700000000,v1=",
    "email",
    "ROUTES",
    "access",
    "admin",
    "mode",
];

/// Each target has a program for the fuzzer, and the other way round.
#[test]
fn every_target_has_a_program() {
    let manifest =
        fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml")).unwrap();
    let programs: Vec<_> = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""))
        .collect();
    assert_eq!(programs, NAMES);
}
