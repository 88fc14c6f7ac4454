//! Checks that imports point inward and that only `src/edge` uses the platform.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folders below `src` in the order of the map in `src/lib.rs`, without the edge.
fn rooms() -> Vec<String> {
    let map = fs::read_to_string("src/lib.rs").expect("a file");
    let rooms: Vec<String> = map
        .lines()
        .filter_map(|line| line.strip_prefix("//! | [`")?.split_once("`]"))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert!(rooms.len() > 10, "the map is not where this test looks");
    rooms
}

/// A folder imports only from folders above it in the map. There are no exceptions.
#[test]
fn imports_point_inward() {
    let rooms = rooms();
    let order = |room: &str| rooms.iter().position(|known| known == room);
    let mut wrong = Vec::new();
    for file in sources() {
        let room = module_of(&file);
        if matches!(room.as_str(), "lib" | "bin" | "edge") {
            continue;
        }
        let own = order(&room).unwrap_or_else(|| panic!("{room} is not in the map of src/lib.rs"));
        for imported in imports(&code_of(&file)) {
            let target =
                order(&imported).unwrap_or_else(|| panic!("{imported} is not in the map of src/lib.rs"));
            if target > own {
                wrong.push(format!("{} imports {imported}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn there_are_at_most_22_rooms_and_the_edge() {
    let folders = fs::read_dir("src").expect("a folder").flatten().filter(|entry| entry.path().is_dir());
    let mut found: Vec<String> =
        folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    found.retain(|name| !matches!(name.as_str(), "bin" | "edge"));
    found.sort();
    let mut wanted = rooms();
    wanted.sort();
    assert_eq!(found, wanted, "the map of src/lib.rs names each folder");
    assert!(found.len() <= 22, "{found:?}");
}

#[test]
fn only_the_edge_uses_the_platform() {
    for file in sources().iter().filter(|file| module_of(file) != "edge") {
        let code = code_of(file);
        for name in ["worker::", "js_sys", "wasm_bindgen", "web_sys", "SystemTime::now", "Instant::now"] {
            assert!(!code.contains(name), "{} uses {name}", file.display());
        }
    }
}

/// JavaScript is limited to what cannot be Rust: the entry, headers as one text, and relays of streams. A message of a
/// relayed WebSocket costs no call into the module, and a relay ends its stream after the module has stopped.
#[test]
fn the_edge_has_little_javascript() {
    let mut found: Vec<(String, usize)> = fs::read_dir("src/edge")
        .expect("a folder")
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "js"))
        .map(|entry| {
            let lines = fs::read_to_string(entry.path()).expect("a file").lines().count();
            (entry.file_name().to_string_lossy().into_owned(), lines)
        })
        .collect();
    found.sort();
    let limits = [("entry.js", 80), ("headers.js", 60), ("streams.js", 140)];
    assert_eq!(found.len(), limits.len(), "{found:?}");
    for ((name, lines), (wanted, most)) in found.iter().zip(limits) {
        assert!(name == wanted && *lines <= most, "{found:?}");
    }
}

/// Reading a body waits for the client. Bodies for upstream are read in one module, and the client is checked again
/// after that. A body for an endpoint is read before the client is checked. A webhook has no principal.
#[test]
fn bodies_are_read_only_where_the_client_is_checked_again() {
    let readers = [".body(", ".bytes(", ".hash_body(", ".hash_body_with_prefix(", ".field("];
    for file in sources() {
        let allowed: &[&str] = match file.to_str().expect("a path") {
            "src/gateway/intake.rs" => &[".bytes(", ".hash_body(", ".hash_body_with_prefix(", ".field("],
            "src/gateway/endpoints.rs" => &[".body("],
            "src/webhooks/event_claim.rs" => &[".bytes("],
            _ => &[],
        };
        let code = code_of(&file);
        for reader in readers.iter().filter(|reader| !allowed.contains(reader)) {
            let calls = format!("effects{reader}");
            assert!(!code.contains(&calls), "{} reads a body by {calls}", file.display());
        }
    }
}

/// A reader finds a file by the table of its folder's `mod.rs`.
#[test]
fn each_folder_names_its_files() {
    for folder in sources().iter().filter(|file| file.ends_with("mod.rs")) {
        let docs = fs::read_to_string(folder).expect("a file");
        let docs: Vec<&str> = docs.lines().take_while(|line| line.starts_with("//!")).collect();
        let names: Vec<String> = fs::read_dir(folder.parent().expect("a folder"))
            .expect("a folder")
            .flatten()
            .filter_map(|entry| entry.path().file_stem().map(|stem| stem.to_string_lossy().into_owned()))
            .filter(|name| !["mod", "tests"].contains(&name.as_str()))
            .collect();
        for name in names.iter().filter(|_| names.len() > 2) {
            let is_named = docs.iter().any(|line| line.contains(name.as_str()));
            assert!(is_named, "{} does not say what {name} is for", folder.display());
        }
    }
}

#[test]
fn the_gateway_flow_fits_one_page() {
    let lines = fs::read_to_string("src/gateway/mod.rs").expect("a file").lines().count();
    assert!(lines <= 215, "src/gateway/mod.rs has {lines} lines");
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 20, "too few sources found: check the path of src");
    found
}

/// Returns the top-level module of a file.
fn module_of(file: &Path) -> String {
    let inside = file.strip_prefix("src").expect("below src");
    let first = inside.components().next().expect("a name");
    Path::new(first.as_os_str()).file_stem().expect("a name").to_string_lossy().into_owned()
}

/// Returns the code of a file without unit tests and comments.
fn code_of(file: &Path) -> String {
    code_in(&fs::read_to_string(file).expect("a file"))
}

/// Removes comments and each item after `#[cfg(test)]`. rustfmt ends an item with a line of `}` or with `;`, at the
/// indentation of the item's first line.
fn code_in(text: &str) -> String {
    let mut code = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let unindented = line.trim_start();
        if unindented == "#[cfg(test)]" {
            let indent = line.strip_suffix(unindented).unwrap_or_default();
            let is_end = |line: &str| {
                let rest = line.strip_prefix(indent).unwrap_or_default();
                rest == "}" || !rest.starts_with(' ') && rest.ends_with([';', ','])
            };
            lines.by_ref().find(|line| is_end(line));
        } else if !unindented.starts_with("//") {
            code.push(line);
        }
    }
    code.join("\n")
}

#[test]
fn keeps_code_after_a_test_item() {
    let text = "use a;\n#[cfg(test)]\nmod tests;\nuse b;\n\n#[cfg(test)]\n#[path = \"x\"]\nmod more {\n    use c;\n}\n\n\
        impl D {\n    #[cfg(test)]\n    fn e() {\n        f();\n    }\n    // g\n    fn h() {}\n}";
    assert_eq!(code_in(text), "use a;\nuse b;\n\n\nimpl D {\n    fn h() {}\n}");
}

/// Returns the modules of this crate that a piece of code names by `crate::`.
fn imports(code: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for after in code.split("crate::").skip(1) {
        if let Some(group) = after.strip_prefix('{') {
            // Reads one level of a group: the words directly after `{` or `,` at depth one.
            let mut depth = 1;
            let mut word = String::new();
            let mut at_start = true;
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => at_start = true,
                    c if is_name(c) && depth == 1 && at_start => {
                        word.push(c);
                        continue;
                    }
                    c if c.is_whitespace() && word.is_empty() => continue,
                    _ => {}
                }
                if !word.is_empty() {
                    found.push(std::mem::take(&mut word));
                    at_start = c == ',' && depth == 1;
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            found.push(after.chars().take_while(|c| is_name(*c)).collect());
        }
    }
    found.retain(|name| name.chars().next().is_some_and(|c| c.is_ascii_lowercase()));
    found
}
