//! Imports point inward, and the platform stays outside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The rings, inmost first, as `lib.rs` lists them. A file imports from lower rings or its own module.
const RINGS: &[&[&str]] = &[
    &["encoding", "origin", "outline", "page", "problem", "sampling", "secret", "sorting", "step", "time"],
    &["body_budget", "cache", "cookie", "form", "json", "jwt", "password", "principal", "store"],
    &["author", "path", "context", "ended", "owner", "rule"],
    &[
        "accounts",
        "assertion",
        "audit",
        "body_field",
        "bot_check",
        "catalogue",
        "checkouts",
        "confirmations",
        "csrf",
        "feature",
        "hygiene",
        "idempotency",
        "inbox",
        "ledger",
        "limiter",
        "loop_breaker",
        "policy",
        "registry",
        "return_path",
        "session",
        "tokens",
        "webhook",
    ],
    &["config", "effects"],
    &[
        "access",
        "claim",
        "consent",
        "endpoint",
        "event",
        "forward",
        "gateway",
        "guards",
        "identity",
        "intake",
        "limits",
        "login",
        "maintenance",
        "origin_check",
        "ownership",
        "profile",
        "refusal",
        "response",
        "sent_to_login",
        "shadowed",
        "trail",
    ],
    &["edge"],
];

/// Within a ring, what a module may import of its neighbours, each with its reason.
const NEIGHBOURS: &[(&str, &str)] = &[
    // An ended session refuses authors.
    ("ended", "author"),
    // A secret is written in hex or base64.
    ("secret", "encoding"),
    // A token is JSON that everybody reads alike.
    ("jwt", "json"),
    // A rule is found by a canonical path.
    ("rule", "path"),
    // Whose something is depends on its path, and on what upstream says.
    ("owner", "path"),
    ("owner", "context"),
    ("rule", "owner"),
    // The same request is what upstream gets the same.
    ("idempotency", "hygiene"),
    // How a user stands is what the registry is told.
    ("accounts", "registry"),
    // By what tokens an operation may be called.
    ("catalogue", "tokens"),
    // They list what tokens there are.
    ("accounts", "tokens"),
    // What upstream is told of a request is what it was admitted as.
    ("forward", "access"),
    ("forward", "event"),
    // The flow is one: the gateway calls each part of it.
    ("gateway", "access"),
    ("gateway", "claim"),
    ("gateway", "endpoint"),
    ("gateway", "event"),
    ("gateway", "forward"),
    ("gateway", "identity"),
    ("gateway", "limits"),
    ("gateway", "login"),
    ("gateway", "origin_check"),
    ("gateway", "ownership"),
    ("gateway", "refusal"),
    ("gateway", "response"),
    ("gateway", "sent_to_login"),
    ("gateway", "shadowed"),
    ("gateway", "consent"),
    ("gateway", "guards"),
    ("gateway", "trail"),
    // Guards judge what was admitted, and turn it away.
    ("guards", "access"),
    ("guards", "event"),
    ("guards", "refusal"),
    // What is read of a body is what later steps ask for, and it outlasts an admission.
    ("gateway", "intake"),
    ("intake", "access"),
    ("intake", "claim"),
    ("intake", "consent"),
    ("intake", "guards"),
    ("intake", "refusal"),
    ("guards", "intake"),
    ("claim", "intake"),
    // Consent is to what the guards let pass.
    ("consent", "access"),
    ("consent", "guards"),
    ("consent", "refusal"),
    // What is written down is what is logged.
    ("trail", "event"),
    // Upstream is asked about a path of ours, and the log is told.
    ("shadowed", "event"),
    ("shadowed", "forward"),
    // A page of ours is written as one.
    ("endpoint", "response"),
    // It is asked of whoever was identified, as everything is asked of upstream.
    ("ownership", "access"),
    ("ownership", "forward"),
    // Tokens that the configuration names are made where they are first met.
    ("endpoint", "identity"),
    // Whose claim it is depends on who was admitted; a claim that is refused turns the request away.
    ("claim", "access"),
    ("claim", "event"),
    ("claim", "refusal"),
    // One request too many is turned away.
    ("limits", "refusal"),
    ("response", "limits"),
    // What an inbox hands on is what was verified.
    ("inbox", "webhook"),
    // What is done at a tick is told upstream as everything is.
    ("maintenance", "event"),
    ("maintenance", "forward"),
    // Who is asking is what access judges.
    ("identity", "access"),
    ("identity", "event"),
    // What a user is called comes along with how they stand, and goes on with them.
    ("identity", "profile"),
    ("gateway", "profile"),
    ("forward", "profile"),
    ("profile", "event"),
    // A machine's key may be in the body that a person consents to.
    ("consent", "claim"),
    // Signing in and out, and the moment of it.
    ("login", "event"),
    ("endpoint", "event"),
    ("endpoint", "login"),
    ("endpoint", "access"),
    ("endpoint", "refusal"),
    // At the login page, it depends on upstream whether a signed-in user is led away.
    ("refusal", "sent_to_login"),
    // A refusal is told in the log and written like any answer.
    ("refusal", "event"),
    ("refusal", "response"),
];

#[test]
fn imports_point_inward() {
    let ring_of: BTreeMap<&str, usize> = RINGS
        .iter()
        .enumerate()
        .flat_map(|(ring, modules)| modules.iter().map(move |m| (*m, ring)))
        .collect();
    for file in sources() {
        let module = module_of(&file);
        if matches!(module.as_str(), "lib" | "bin") {
            continue;
        }
        let ring = *ring_of.get(module.as_str()).unwrap_or_else(|| panic!("{module} is in no ring"));
        for imported in imports(&code_of(&file)) {
            let target =
                *ring_of.get(imported.as_str()).unwrap_or_else(|| panic!("{imported} is in no ring"));
            let allowed = imported == module
                || target < ring
                || NEIGHBOURS.contains(&(module.as_str(), imported.as_str()));
            assert!(allowed, "{} imports {imported}", file.display());
        }
    }
}

#[test]
fn the_platform_lives_in_the_edge_alone() {
    for file in sources().iter().filter(|file| module_of(file) != "edge") {
        let code = code_of(file);
        for word in ["worker::", "js_sys", "wasm_bindgen", "web_sys", "SystemTime::now", "Instant::now"] {
            assert!(!code.contains(word), "{} names {word}", file.display());
        }
    }
}

/// What can be Rust is Rust: the entry, and headers as one text.
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
    let [(entry, entry_lines), (headers, headers_lines)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((entry.as_str(), headers.as_str()), ("entry.js", "headers.js"));
    assert!(*entry_lines <= 80 && *headers_lines <= 60, "{found:?}");
}

/// Reading a body waits for its client. Bodies for upstream are read in one place, after which the client is judged again.
/// An endpoint's body is read before anybody is judged, and a webhook has no principal.
#[test]
fn bodies_are_read_where_somebody_is_judged_afterwards() {
    let readers = [".body(", ".bytes(", ".hash_body(", ".hash_body_with_prefix(", ".field("];
    for file in sources() {
        let may: &[&str] = match file.to_str().expect("a path") {
            "src/intake.rs" => &[".bytes(", ".hash_body(", ".hash_body_with_prefix(", ".field("],
            "src/endpoint/mod.rs" => &[".body("],
            "src/claim/event.rs" => &[".bytes("],
            _ => &[],
        };
        let code = code_of(&file);
        for reader in readers.iter().filter(|reader| !may.contains(reader)) {
            let calls = format!("effects{reader}");
            assert!(!code.contains(&calls), "{} reads a body by {calls}", file.display());
        }
    }
}

#[test]
fn the_flow_fits_its_page() {
    let lines = fs::read_to_string("src/gateway.rs").expect("a file").lines().count();
    assert!(lines <= 215, "gateway.rs has {lines} lines");
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
    assert!(found.len() > 20, "the sources are not where this test looks");
    found
}

/// The top-level module of a file.
fn module_of(file: &Path) -> String {
    let inside = file.strip_prefix("src").expect("below src");
    let first = inside.components().next().expect("a name");
    Path::new(first.as_os_str()).file_stem().expect("a name").to_string_lossy().into_owned()
}

/// A file without its unit tests and comments.
fn code_of(file: &Path) -> String {
    code_in(&fs::read_to_string(file).expect("a file"))
}

/// Leaves comments out, and each item behind `#[cfg(test)]`. rustfmt ends an item by a line with `}` or `;` that is indented
/// as its first.
fn code_in(text: &str) -> String {
    let mut code = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let unindented = line.trim_start();
        if unindented == "#[cfg(test)]" {
            let indent = line.strip_suffix(unindented).unwrap_or_default();
            let ends = |line: &str| {
                let rest = line.strip_prefix(indent).unwrap_or_default();
                rest == "}" || !rest.starts_with(' ') && rest.ends_with([';', ','])
            };
            lines.by_ref().find(|line| ends(line));
        } else if !unindented.starts_with("//") {
            code.push(line);
        }
    }
    code.join("\n")
}

#[test]
fn code_goes_on_behind_a_test() {
    let text = "use a;\n#[cfg(test)]\nmod tests;\nuse b;\n\n#[cfg(test)]\n#[path = \"x\"]\nmod more {\n    use c;\n}\n\n\
        impl D {\n    #[cfg(test)]\n    fn e() {\n        f();\n    }\n    // g\n    fn h() {}\n}";
    assert_eq!(code_in(text), "use a;\nuse b;\n\n\nimpl D {\n    fn h() {}\n}");
}

/// The modules of ours that a piece of code names by `crate::`.
fn imports(code: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for after in code.split("crate::").skip(1) {
        if let Some(group) = after.strip_prefix('{') {
            // One level of a group: the words that stand right behind `{` or `,` at depth one.
            let mut depth = 1;
            let mut word = String::new();
            let mut fresh = true;
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => fresh = true,
                    c if is_name(c) && depth == 1 && fresh => {
                        word.push(c);
                        continue;
                    }
                    c if c.is_whitespace() && word.is_empty() => continue,
                    _ => {}
                }
                if !word.is_empty() {
                    found.push(std::mem::take(&mut word));
                    fresh = c == ',' && depth == 1;
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
