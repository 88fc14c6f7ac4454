//! Tests of the strict reading: which rule matches a path, and which rules are rejected.

use proptest::prelude::*;

use super::*;
use crate::routing::rule::{Access, Destination};

fn rule(path: &str, methods: &[&str]) -> Rule {
    Rule {
        methods: methods.iter().map(|m| (*m).to_owned()).collect(),
        operation: Some(format!("{path} {}", methods.join(" "))),
        ..Rule::new(path, Access::Authenticated, Destination::Upstream)
    }
}

fn table(rules: &[(&str, &[&str])]) -> Table {
    let mut table = Table::new(rule("default", &[]));
    for (path, methods) in rules {
        table.add(rule(path, methods)).expect("no conflict");
    }
    table
}

#[track_caller]
fn check(table: &Table, method: &str, path: &str, want: &str) {
    let path = CanonicalPath::parse(path).expect("canonical");
    let found = table.find(method, &path);
    assert_eq!(found.operation.as_deref().map(str::trim), Some(want), "{method} {path:?}");
}

#[test]
fn the_most_specific_rule_wins_in_any_order() {
    let rules: &[(&str, &[&str])] = &[
        ("/{*rest}", &[]),
        ("/", &[]),
        ("/api/{*rest}", &[]),
        ("/api/users/{id}", &["GET", "DELETE"]),
        ("/api/users/me", &["GET"]),
        ("/api/{kind}/{id}/log", &[]),
        ("/api/users/{id}/log", &["POST"]),
        ("/m/{id}", &[]),
        ("/m/", &[]),
    ];
    let reversed: Vec<_> = rules.iter().rev().copied().collect();
    for table in [table(rules), table(&reversed)] {
        check(&table, "GET", "/", "/");
        check(&table, "GET", "/x", "/{*rest}");
        check(&table, "GET", "/api", "/{*rest}");
        check(&table, "GET", "/api/", "/api/{*rest}");
        check(&table, "GET", "/api/x/", "/api/{*rest}");
        check(&table, "GET", "/api/users/me", "/api/users/me GET");
        check(&table, "HEAD", "/api/users/me", "/api/users/me GET");
        check(&table, "DELETE", "/api/users/me", "/api/users/{id} GET DELETE");
        check(&table, "POST", "/api/users/me", "/api/{*rest}");
        check(&table, "get", "/api/users/me", "/api/{*rest}");
        check(&table, "POST", "/api/users/7/log", "/api/users/{id}/log POST");
        check(&table, "GET", "/api/users/7/log", "/api/{kind}/{id}/log");
        check(&table, "GET", "/m/", "/m/");
        check(&table, "GET", "/m/1", "/m/{id}");
        check(&table, "GET", "/m/1/", "/{*rest}");
        check(&table, "GET", "/M/1", "/{*rest}");
        check(&table, "GET", "/publicity", "/{*rest}");
    }
}

#[test]
fn falls_back_to_the_default_rule() {
    let table = table(&[("/a", &["GET"]), ("/b/{*rest}", &[])]);
    check(&table, "POST", "/a", "default");
    check(&table, "GET", "/a/", "default");
    check(&table, "GET", "/b", "default");
    check(&table, "GET", "/b/", "/b/{*rest}");
    check(&table, "GET", "/", "default");
}

#[test]
fn a_named_method_wins_over_any_method() {
    let table = table(&[("/a", &[]), ("/a", &["GET"]), ("/a", &["HEAD"])]);
    check(&table, "GET", "/a", "/a GET");
    check(&table, "HEAD", "/a", "/a HEAD");
    check(&table, "PURGE", "/a", "/a");
}

#[test]
fn orders_access_levels() {
    use Access::{Admin, AdminInPerson, Agent, Authenticated, Human, Optional, Owner, Public, User};
    for (access, others) in [
        (Public, vec![Public, Optional]),
        (Optional, vec![Public, Optional]),
        (Authenticated, vec![Public, Optional, Authenticated]),
        (User, vec![Public, Optional, Authenticated, User]),
        (Human, vec![Public, Optional, Authenticated, User, Human]),
        (Agent, vec![Public, Optional, Authenticated, Agent]),
        (Admin, vec![Public, Optional, Authenticated, User, Admin, Owner]),
        (AdminInPerson, vec![Public, Optional, Authenticated, User, Human, Admin, AdminInPerson, Owner]),
        (Owner, vec![Public, Optional, Authenticated, User, Owner]),
    ] {
        for other in [Public, Optional, Authenticated, User, Human, Agent, Admin, AdminInPerson, Owner] {
            assert_eq!(access.is_subset_of(other), others.contains(&other), "{access:?} within {other:?}");
        }
    }
}

#[test]
fn rejects_ties() {
    let mut table = table(&[("/a/{x}", &["GET", "PUT"]), ("/b", &[])]);
    let tie = |path: &str, method: Option<&str>| Err(RuleError::Tie(path.into(), method.map(str::to_owned)));
    assert_eq!(table.add(rule("/a/{y}", &["POST", "PUT"])), tie("/a/{x}", Some("PUT")));
    assert_eq!(table.add(rule("/b", &[])), tie("/b", None));
    assert_eq!(table.add(rule("/a/{y}", &["POST"])), Ok(()));
    check(&table, "POST", "/a/1", "/a/{y} POST");
    assert_eq!(table.add(rule("/c/{*x}", &[])), Ok(()));
    assert_eq!(table.add(rule("/c/{+x}", &[])), tie("/c/{*x}", None));
}

#[test]
fn rejects_invalid_patterns() {
    for pattern in [
        "",
        "a",
        "*",
        "/a//b",
        "//",
        "/{}",
        "/{*}",
        "/{a b}",
        "/{*rest}/x",
        "/x{id}",
        "/;x/a",
        "/a/%3Bx",
        "/a/..%3Bx",
        "/...",
        "/a/%20",
        "/.%20/a",
        "/a/...;x",
        "/%3Fa",
        "/{+}",
        "/{+rest}/x",
        "/{id}.json",
        "/*",
        "/a?b",
        "/a#b",
        "/a/../b",
        "/./a",
        "/%61",
        "/a%2fb",
        "/%zz",
        "/a b",
        "/a\\b",
        "/{id}/%2e",
        "/ü",
        "/%61/",
        "/./",
        "/x/../a/",
        "/a b/",
        "/é/",
        "/a\"b",
        "/a%2fb/",
    ] {
        let mut table = table(&[]);
        let added = table.add(rule(pattern, &[]));
        assert!(matches!(added, Err(RuleError::Pattern(_))), "{pattern}: {added:?}");
    }
    for pattern in ["/", "/a/", "/{id}/", "/a%20b", "/caf%C3%A9", "/@me/~x", "/{*rest}", "/{+rest}"] {
        assert_eq!(table(&[]).add(rule(pattern, &[])), Ok(()), "{pattern}");
    }
}

proptest! {
    /// The tree finds the same rule as a linear search over all rules.
    #[test]
    fn finds_the_same_rule_as_a_linear_search(
        patterns in proptest::collection::btree_set("(/(a|b|\\{x\\})){1,3}(/\\{\\*r\\})?|/\\{\\*r\\}", 1..8),
        path in "(/(a|b|c)){1,4}/?",
    ) {
        let rules: Vec<(&str, &[&str])> = patterns.iter().map(|p| (p.as_str(), &[][..])).collect();
        let table = table(&rules);
        let best = patterns
            .iter()
            .filter(|pattern| matches_path(pattern, &path))
            .min_by_key(|pattern| pattern.split('/').map(rank).collect::<Vec<_>>());
        let canonical = CanonicalPath::parse(&path).expect("canonical");
        let found = &table.find("GET", &canonical).path;
        prop_assert_eq!(found.as_str(), best.map_or("default", String::as_str));
    }
}

fn matches_path(pattern: &str, path: &str) -> bool {
    let mut wanted = pattern.split('/').skip(1);
    let mut rest = path.strip_prefix('/');
    loop {
        match (wanted.next(), rest) {
            (None, None) => return true,
            (Some(w), Some(_)) if w.starts_with("{*") => return true,
            (Some(w), Some(text)) => {
                let (segment, after) = text.split_once('/').map_or((text, None), |(s, a)| (s, Some(a)));
                if w != segment && (segment.is_empty() || !w.starts_with('{')) {
                    return false;
                }
                rest = after;
            }
            _ => return false,
        }
    }
}

fn rank(segment: &str) -> u8 {
    match segment {
        s if s.starts_with("{*") => 2,
        s if s.starts_with('{') => 1,
        _ => 0,
    }
}
