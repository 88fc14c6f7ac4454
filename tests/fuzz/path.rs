//! Paths and rules: the canonical form is its own canonical form, and no spelling reaches a weaker rule.
//!
//! The first line is the path of the request, each further line the pattern of a rule.

use vestibule::{
    http::path::{CanonicalPath, settle_query},
    routing::rule::{Access, Destination, Names, Rule, Table},
};

const ACCESSES: &[Access] = &[Access::Public, Access::User, Access::Admin, Access::Human, Access::Authenticated];

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let raw = lines.next().unwrap_or_default();
    let query = settle_query(raw);
    assert_eq!(settle_query(&query), query, "settling a query is idempotent");
    let Ok(path) = CanonicalPath::parse_with_ambiguous_escapes(raw) else { return };
    let again = CanonicalPath::parse_with_ambiguous_escapes(path.as_str()).unwrap();
    assert_eq!(again, path, "the canonical form is its own canonical form");
    assert!(path.as_str().starts_with('/') && path.as_str().is_ascii());
    assert!(!path.as_str().contains(['\\', ' ', '?', '#']) || raw.contains(['?', '#']));
    let segments = |text: &str| text.split('/').any(|segment| segment == "." || segment == "..");
    assert!(!path.decodings().any(|text| segments(&text)));

    let mut table = Table::new(Rule::new("/{*rest}", Access::Authenticated, Destination::Upstream));
    for (pattern, access) in lines.zip(ACCESSES.iter().cycle()).take(12) {
        let mut rule = Rule::new(pattern, *access, Destination::Upstream);
        rule.encoded_slashes = pattern.len() % 2 == 0;
        let _ = table.add(rule);
    }
    table.seal(false);
    let found = table.match_request("GET", &path, Names::Ignored);
    assert_eq!(found.as_written.path, table.find("GET", &path).path);
    let Ok(deciding) = found.deciding else { return };
    assert!(deciding.is_at_least_as_strict_as(found.as_written, Names::Ignored));
    // However often a server decodes the path and merges its slashes, it finds no stricter rule.
    for reading in path.decodings().flat_map(|text| [text.replace("//", "/"), text.into_owned()]) {
        let Ok(reading) = CanonicalPath::parse(&reading) else { continue };
        let rule = table.find("GET", &reading);
        assert!(
            deciding.is_at_least_as_strict_as(rule, Names::Ignored),
            "{raw:?} is decided by {}, but {reading:?} matches {}",
            deciding.path,
            rule.path
        );
    }
}
