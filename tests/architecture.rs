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
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The rings, innermost first, as listed in `lib.rs`. A file imports from inner rings and from its own module.
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

/// Imports that are allowed within a ring, each with its reason.
const NEIGHBOURS: &[(&str, &str)] = &[
    // Objects refuse a command if the session of its author has ended.
    ("ended", "author"),
    // A secret is encoded in hex or base64.
    ("secret", "encoding"),
    // A token is JSON that every parser reads alike.
    ("jwt", "json"),
    // The table finds a rule by a canonical path.
    ("rule", "path"),
    // The owner of an entity depends on its path and on upstream's response.
    ("owner", "path"),
    ("owner", "context"),
    ("rule", "owner"),
    // Two requests are the same if upstream receives the same from both.
    ("idempotency", "hygiene"),
    // `Accounts` sends a user's status to the registry.
    ("accounts", "registry"),
    // The catalogue lists the kinds of tokens that may call an operation.
    ("catalogue", "tokens"),
    // `Accounts` lists all tokens.
    ("accounts", "tokens"),
    // Forwarding sends the admitted principal to upstream.
    ("forward", "access"),
    ("forward", "event"),
    // The gateway's flow calls each part.
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
    // Guards judge admitted requests and reject them.
    ("guards", "access"),
    ("guards", "event"),
    ("guards", "refusal"),
    // Intake reads the parts of a body that later steps need. Its result outlasts an admission.
    ("gateway", "intake"),
    ("intake", "access"),
    ("intake", "claim"),
    ("intake", "consent"),
    ("intake", "guards"),
    ("intake", "refusal"),
    ("guards", "intake"),
    ("claim", "intake"),
    // A person approves only requests that the guards let pass.
    ("consent", "access"),
    ("consent", "guards"),
    ("consent", "refusal"),
    // The audit trail records what the log records.
    ("trail", "event"),
    // The gateway asks upstream about one of its own paths, and logs the result.
    ("shadowed", "event"),
    ("shadowed", "forward"),
    // Endpoints use the responses' page format.
    ("endpoint", "response"),
    // Ownership is judged for an identified principal, by a request to upstream.
    ("ownership", "access"),
    ("ownership", "forward"),
    // The list of tokens first registers the tokens of the configuration.
    ("endpoint", "identity"),
    // A claim belongs to the admitted principal. A refused claim rejects the request.
    ("claim", "access"),
    ("claim", "event"),
    ("claim", "refusal"),
    // A request over the limit is rejected.
    ("limits", "refusal"),
    ("response", "limits"),
    // The inbox delivers verified webhooks.
    ("inbox", "webhook"),
    // Scheduled maintenance sends requests to upstream like any other request.
    ("maintenance", "event"),
    ("maintenance", "forward"),
    // Access judges the identified principal.
    ("identity", "access"),
    ("identity", "event"),
    // A user's name comes with their status, and is forwarded with it.
    ("identity", "profile"),
    ("gateway", "profile"),
    ("forward", "profile"),
    ("profile", "event"),
    // A machine's key may be in the body that a person approves.
    ("consent", "claim"),
    // Login and logout, and the metadata of the request.
    ("login", "event"),
    ("endpoint", "event"),
    ("endpoint", "login"),
    ("endpoint", "access"),
    ("endpoint", "refusal"),
    // At the login page, upstream decides whether a signed-in user is redirected away.
    ("refusal", "sent_to_login"),
    // A refusal is logged, and written like any response.
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
fn only_the_edge_uses_the_platform() {
    for file in sources().iter().filter(|file| module_of(file) != "edge") {
        let code = code_of(file);
        for name in ["worker::", "js_sys", "wasm_bindgen", "web_sys", "SystemTime::now", "Instant::now"] {
            assert!(!code.contains(name), "{} uses {name}", file.display());
        }
    }
}

/// JavaScript is limited to what cannot be Rust: the entry, and headers as one text.
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

/// Reading a body waits for the client. Bodies for upstream are read in one module, and the client is judged again
/// after that. A body for an endpoint is read before the client is judged. A webhook has no principal.
#[test]
fn bodies_are_read_only_where_the_client_is_judged_again() {
    let readers = [".body(", ".bytes(", ".hash_body(", ".hash_body_with_prefix(", ".field("];
    for file in sources() {
        let allowed: &[&str] = match file.to_str().expect("a path") {
            "src/intake.rs" => &[".bytes(", ".hash_body(", ".hash_body_with_prefix(", ".field("],
            "src/endpoint/mod.rs" => &[".body("],
            "src/claim/event.rs" => &[".bytes("],
            _ => &[],
        };
        let code = code_of(&file);
        for reader in readers.iter().filter(|reader| !allowed.contains(reader)) {
            let calls = format!("effects{reader}");
            assert!(!code.contains(&calls), "{} reads a body by {calls}", file.display());
        }
    }
}

#[test]
fn the_gateway_flow_fits_one_page() {
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
