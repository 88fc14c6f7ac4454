//! Public test vectors, read from `VECTORS_DIR` and never copied into the repository. If a file is missing, its tests
//! print that and pass. With `CI` set, they fail.

use std::{env, fs, path::PathBuf};

use serde_json::Value;

/// Checks every row and prints how many passed. Fails unless all of them pass.
#[track_caller]
pub(crate) fn tally(name: &str, rows: &[Value], check: impl Fn(&Value) -> bool) {
    assert!(!rows.is_empty(), "{name}: no rows");
    let failed: Vec<String> = rows
        .iter()
        .filter(|row| !check(row))
        .map(|row| row.to_string().chars().take(300).collect())
        .collect();
    println!("{name}: {}/{}", rows.len() - failed.len(), rows.len());
    assert!(failed.is_empty(), "{name}: {failed:#?}");
}

pub(crate) fn vectors(file: &str) -> Option<Value> {
    let folder = env::var_os("VECTORS_DIR").map_or_else(|| PathBuf::from("../shared/vectors"), PathBuf::from);
    let Ok(json) = fs::read_to_string(folder.join(file)) else {
        assert!(env::var_os("CI").is_none(), "VECTORS_DIR has no {file}");
        println!("skipped: VECTORS_DIR has no {file}");
        return None;
    };
    Some(serde_json::from_str(&json).expect("JSON"))
}

pub(crate) fn rows<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().expect("a list")
}

pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is not a text in {value}"))
}
