//! Tests of `super::decoded` and `super::lax`, with tables and paths that have encoded slashes.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    model::{SEGMENTS, Server, any_rule},
    requirements::requirements,
    *,
};
use crate::{
    http::problem::Rejection,
    routing::{
        owner::OwnerFrom,
        rule::{Access, Audit, Csrf, Destination, Names},
    },
};

/// Builds a table from patterns and their access. A pattern that begins with `+` allows encoded slashes.
fn table(rules: &[(&str, Access)]) -> Table {
    let mut table = Table::new(Rule::new("default", Access::Authenticated, Destination::Upstream));
    for (path, access) in rules {
        let (path, encoded_slashes) = path.strip_prefix('+').map_or((*path, false), |path| (path, true));
        let rule = Rule { encoded_slashes, ..Rule::new(path, *access, Destination::Upstream) };
        table.add(rule).expect("no conflict");
    }
    table.seal(false);
    table
}

fn deciding_pattern<'a>(table: &'a Table, path: &str) -> Result<&'a str, Rejection> {
    let path = CanonicalPath::parse_with_ambiguous_escapes(path).expect("canonical");
    table.match_request("GET", &path, Names::Ignored).deciding.map(|rule| rule.path.as_str())
}

const REFUSED: Result<&str, Rejection> = Err(Rejection::AmbiguousPath);

#[test]
fn accepts_encoded_slashes_under_a_rule_that_allows_them() {
    let table = table(&[
        ("+/npm/{package}", Access::User),
        ("+/api/projects/{id}/{*rest}", Access::User),
        ("+/files/{*name}", Access::User),
        ("/plain/{id}", Access::User),
        ("/{*rest}", Access::Public),
        ("/npm/public/{id}", Access::Public),
    ]);
    for (path, want) in [
        ("/npm/@scope%2Fname", Ok("/npm/{package}")),
        ("/npm/%2F", Ok("/npm/{package}")),
        ("/npm/100%2525", Ok("/npm/{package}")),
        ("/npm/a%252Fb", Ok("/npm/{package}")),
        ("/npm/public%2F7", Ok("/npm/{package}")),
        ("/npm/x;v=1%2Fy;z", Ok("/npm/{package}")),
        ("/api/projects/group%2Fsub%2Fproject/hooks/1", Ok("/api/projects/{id}/{*rest}")),
        ("/files/a%2Fb/c%2F", Ok("/files/{*name}")),
        // Other rules, which do not allow them.
        ("/plain/a%2Fb", REFUSED),
        ("/plain/a%2525", REFUSED),
        ("/npm/public/a%2Fb", REFUSED),
        ("/x%2Fy", REFUSED),
        ("/npm%2Fx", REFUSED),
        ("/nothing/%2F", REFUSED),
        // Other spellings of a rule that allows them.
        ("/NPM/a%2Fb", REFUSED),
        ("//npm/a%2Fb", REFUSED),
    ] {
        assert_eq!(deciding_pattern(&table, path), want, "{path}");
    }
}

#[test]
fn applies_the_rules_that_a_decoded_path_reaches() {
    let table = table(&[
        ("+/{*rest}", Access::Public),
        ("/admin/{*rest}", Access::Admin),
        ("+/own/{*rest}", Access::User),
        ("/deep/b%2C", Access::User),
    ]);
    for (path, want) in [
        ("/x%2Fy", Ok("/{*rest}")),
        ("/admin%2Fx", REFUSED),
        ("/admin%252Fx", REFUSED),
        ("/admin%25252Fx", REFUSED),
        ("/Admin%2fx", REFUSED),
        ("/%2Fadmin%2Fx", REFUSED),
        ("/%2561dmin%2Fx", REFUSED),
        ("/admin%253Bv%2Fx", REFUSED),
        ("/admin/x%2Fy", REFUSED),
        ("/deep%2Fb,", REFUSED),
        ("/deep%2Fb%252C", REFUSED),
        ("/deep/b%2C%2F", REFUSED),
        // The deciding rule allows them, too.
        ("/own%2Fx", Ok("/own/{*rest}")),
        ("/own%252Fx", Ok("/own/{*rest}")),
        ("/x%2Fown", Ok("/{*rest}")),
    ] {
        assert_eq!(deciding_pattern(&table, path), want, "{path}");
    }
}

#[test]
fn finds_a_stricter_rule_that_a_decoded_path_may_reach() {
    use Access::{Admin, Authenticated, Public, User};
    for (rules, want) in [
        (&[("+/npm/{id}", User)][..], None),
        (&[("+/npm/{id}", Public)], Some("default")),
        (&[("+/npm/{id}", Public), ("/npm/{*rest}", Public)], None),
        (&[("+/npm/{*rest}", Public)], None),
        // Some servers read `/npm/%2F` as `/npm/`.
        (&[("+/npm/{+rest}", Public)], Some("default")),
        (&[("+/npm/{id}", User), ("/npm/admin", Admin)], Some("/npm/admin")),
        (&[("+/npm/{id}", User), ("/npm/{id}/tags", Admin)], Some("/npm/{id}/tags")),
        (&[("+/npm/{id}", User), ("/npm/a/b/c/{*rest}", Admin)], Some("/npm/a/b/c/{*rest}")),
        (&[("+/npm/{id}", User), ("/npm", Admin)], Some("/npm")),
        (&[("+/npm/{id}", User), ("/NPM/x", Admin)], Some("/NPM/x")),
        (&[("+/npm/{id}", User), ("/n%21pm/x", Admin)], None),
        (&[("+/npm!/{id}", User), ("/npm%21/x", Admin)], Some("/npm%21/x")),
        (&[("+/npm/{id}", User), ("/npm;v/x", Admin)], Some("/npm;v/x")),
        (&[("+/npm/{id}", User), ("/{x}/{y}/z", Admin)], Some("/{x}/{y}/z")),
        (&[("+/npm/{id}", User), ("/{x}/{y}/z", Admin), ("/npm/{*rest}", User)], None),
        (&[("+/npm/{id}", User), ("/{*rest}", Admin)], Some("/{*rest}")),
        (&[("+/npm/{id}", User), ("/{*rest}", Admin), ("/npm/{*rest}", User)], None),
        (&[("+/npm/{id}", User), ("/admin/{*rest}", Admin), ("/{*rest}", Public)], None),
        (&[("+/{*rest}", Public), ("/a", Authenticated)], Some("/a")),
        (&[("+/{*rest}", Admin), ("/a", Authenticated)], None),
        // Every decoding contains the literals between the parameters.
        (&[("+/{org}/npm/{id}", User), ("/org/me", Admin)], None),
        (&[("+/{org}/npm/{id}", User), ("/org/admin/{*rest}", Admin)], Some("/org/admin/{*rest}")),
        (&[("+/{org}/npm/{id}", User), ("/org/{x}/admin", Admin)], Some("/org/{x}/admin")),
        (&[("+/{org}/npm/{id}", User), ("/org/x/npm", Admin)], Some("/org/x/npm")),
        (&[("+/{org}/npm/", User), ("/npm", Admin)], Some("/npm")),
    ] {
        let table = table(rules);
        let rule = table.rules.iter().find(|rule| rule.encoded_slashes).expect("one");
        let found = table.stricter_once_decoded(rule).map(|other| other.path.as_str());
        assert_eq!(found, want, "{rules:?}");
    }
}

#[test]
fn a_stricter_member_counts_for_every_common_method() {
    type Change = fn(&mut Rule);
    let changes: &[(Change, bool)] = &[
        (|_| {}, false),
        (|rule| rule.limit = Some(0), true),
        (|rule| rule.feature = Some("f".into()), true),
        (|rule| rule.csrf = Csrf::Strict, true),
        (|rule| rule.csrf = Csrf::InsecureSkip, false),
        (|rule| rule.audit = Audit::BestEffort, true),
        (|rule| rule.webhook = Some(0), true),
        (|rule| rule.destination = Destination::InternalOnly, true),
        (|rule| rule.access = Access::Public, false),
        (|rule| rule.access = Access::Agent, true),
    ];
    for (number, (change, is_stricter)) in changes.iter().enumerate() {
        for (methods, others, in_common) in [
            (&[][..], &[][..], true),
            (&[], &["PUT"], true),
            (&["PUT"], &[], true),
            (&["GET"], &["HEAD"], true),
            (&["GET", "POST"], &["POST"], true),
            (&["HEAD"], &["GET"], true),
            (&["GET"], &["POST"], false),
        ] {
            let owned = |methods: &[&str]| methods.iter().map(|method| (*method).to_owned()).collect();
            let mut table = Table::new(Rule::new("default", Access::User, Destination::Upstream));
            let mut other = Rule::new("/x/a", Access::User, Destination::Upstream);
            other.methods = owned(others);
            change(&mut other);
            let rule = Rule {
                methods: owned(methods),
                encoded_slashes: true,
                ..Rule::new("/x/{id}", Access::User, Destination::Upstream)
            };
            table.add(other).expect("no conflict");
            table.add(rule.clone()).expect("no conflict");
            table.seal(false);
            let found = table.stricter_once_decoded(&rule).map(|rule| rule.path.as_str());
            assert_eq!(
                found,
                (*is_stricter && in_common).then_some("/x/a"),
                "{number}: {methods:?} {others:?}"
            );
        }
    }
}

#[test]
fn asks_for_the_owner_only_under_the_rule_as_written() {
    let mut table = Table::new(Rule::new("default", Access::Public, Destination::Upstream));
    for (path, access) in [("/m/{id}/{*rest}", Access::Owner), ("/{*rest}", Access::Public)] {
        let owner_from = OwnerFrom::parse("/m/{id}", path).ok();
        let rule = Rule::new(path, access, Destination::Upstream);
        table.add(Rule { encoded_slashes: true, owner_from, ..rule }).expect("no conflict");
    }
    table.seal(false);
    for (path, want) in [
        ("/m/a%2Fb/x", Ok("/m/{id}/{*rest}")),
        ("/m/a/x%2Fb", Ok("/m/{id}/{*rest}")),
        ("/m%2Fa/x", REFUSED),
        ("/%2Fm/mine/x", REFUSED),
        ("/m//a/x%2F", REFUSED),
        ("/other%2F", Ok("/{*rest}")),
    ] {
        assert_eq!(deciding_pattern(&table, path), want, "{path}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Compares the table with servers that decode whole paths any number of times.
    ///
    /// If the table is proved safe for a rule, no path under that rule is rejected because of other rules that it may
    /// reach, and every rule that it reaches requires at most as much.
    #[test]
    fn no_decoding_of_a_path_evades_a_requirement(
        rules in vec((any_rule(), any::<bool>()), 1..6),
        paths in vec(any_path_with_slashes(), 1..6),
        method in select(&["GET", "HEAD", "POST", "DELETE"][..]),
        is_assets in any::<bool>(),
        is_default_open in any::<bool>(),
    ) {
        let access = if is_default_open { Access::Public } else { Access::Authenticated };
        let mut table = Table::new(Rule::new("(no rule)", access, Destination::Upstream));
        for (rule, encoded_slashes) in rules {
            let _ = table.add(Rule { encoded_slashes, ..rule }); // A rule that ties is not added.
        }
        table.seal(is_assets);
        for text in paths {
            let Ok(path) = CanonicalPath::parse_with_ambiguous_escapes(&text) else { continue };
            // No decoding contains a backslash, which some servers read as a slash.
            prop_assert!(path.decodings().all(|decoded| !decoded.contains('\\')), "{text}");
            let RuleMatch { as_written: strict, deciding: used, .. } = table.match_request(method, &path, Names::Ignored);
            let reached_by = |servers: Vec<Server>| -> Vec<&Rule> {
                let found = servers.into_iter().flat_map(|server| {
                    let found = server.rules(&table.rules, method, path.as_str());
                    if found.is_empty() { vec![&table.default] } else { found }
                });
                found.collect()
            };
            let own = reached_by(vec![Server::STRICT]);
            prop_assert!(std::ptr::eq(strict, own[0]), "{text}: {strict:?}");
            let is_proved = strict.encoded_slashes && table.stricter_once_decoded(strict).is_none();
            // A path with an escaped `?` or `#` can be rejected although its rule is proved safe.
            let may_end_early = path.decodings().any(|text| text.contains(['?', '#']) || text.contains("%3F") || text.contains("%23"));
            if path.has_ambiguous_escapes() && is_proved && !is_assets && !may_end_early {
                prop_assert!(used.is_ok_and(|used| std::ptr::eq(used, strict)), "{text}: {strict:?} {used:?}");
                // Some servers cut parameters before they decode.
                let servers = Server::of_slashes(false).into_iter();
                let reached = reached_by(servers.map(Server::cutting_first).collect());
                for other in reached {
                    let covers = requirements(strict).is_superset(&requirements(other));
                    prop_assert!(covers, "{text}: {strict:?} beside {other:?}");
                }
            }
            let reached = reached_by(Server::of_slashes(is_assets));
            let is_strictest = |rule: &&&Rule| reached.iter().all(|other| rule.is_at_least_as_strict_as(other, Names::Ignored));
            let Ok(used) = used else {
                let strictest = reached.iter().find(is_strictest);
                let is_allowed = strict.encoded_slashes && strictest.is_some_and(|rule| rule.encoded_slashes);
                prop_assert!(!path.has_ambiguous_escapes() || !is_allowed, "{text}");
                continue;
            };
            if path.has_ambiguous_escapes() {
                prop_assert!(used.encoded_slashes && strict.encoded_slashes, "{text}: {used:?} for {strict:?}");
                for other in &reached {
                    let covers = requirements(used).is_superset(&requirements(other));
                    prop_assert!(covers, "{text}: {used:?} beside {other:?}");
                    prop_assert_eq!(used.webhook, other.webhook);
                    prop_assert_eq!(used.destination, other.destination);
                }
            }
        }
    }
}

/// Generates paths whose parts are joined by slashes, escaped slashes and escaped backslashes.
fn any_path_with_slashes() -> impl Strategy<Value = String> {
    let slash = select(
        &[
            "/", "/", "%2F", "%2f", "%252F", "%25252f", "%2F%2F", "%253B", "%2521", "%3F", "%252523", ".%2F",
            "%5C", "%255c",
        ][..],
    );
    (select(SEGMENTS), vec((slash, select(SEGMENTS)), 1..5), any::<bool>()).prop_map(
        |(first, more, has_slash)| {
            let more: String = more.into_iter().flat_map(|(slash, segment)| [slash, segment]).collect();
            format!("/{first}{more}{}", if has_slash { "/" } else { "" })
        },
    )
}
