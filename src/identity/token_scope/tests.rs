use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::{
    identity::access,
    identity::principal::{Actor, ActorSource, Principal, Role, Who},
    routing::{
        built_in::{Endpoint, route_of},
        rule::Access,
    },
};

fn list(items: &[&str]) -> Option<Vec<String>> {
    Some(items.iter().map(ToString::to_string).collect())
}

fn operations(items: &[&str]) -> TokenScope {
    TokenScope { operations: list(items), ..TokenScope::default() }
}

fn addresses(items: &[&str]) -> TokenScope {
    TokenScope { addresses: list(items), ..TokenScope::default() }
}

#[test]
fn matches_operations_by_name_and_by_prefix() {
    for (patterns, operation, want) in [
        (&["orders.list"][..], Some("orders.list"), true),
        (&["orders.list"], Some("orders.list.all"), false),
        (&["orders.list"], Some("orders"), false),
        (&["orders.*"], Some("orders.list"), true),
        (&["orders.*"], Some("orders.items.list"), true),
        (&["orders.*"], Some("orders"), false),
        (&["orders.*"], Some("orders_archive.list"), false),
        (&["orders.*"], Some("ordersx.list"), false),
        (&["*"], Some("orders"), true),
        (&["*"], Some("vestibule.tokens.create"), true),
        (&["transfers.list", "orders.*"], Some("orders.a"), true),
        (&["transfers.list", "orders.*"], Some("transfers.create"), false),
        // A rule without an operation.
        (&["*"], None, false),
        (&["orders.*"], None, false),
    ] {
        assert_eq!(operations(patterns).allows_operation(operation), want, "{patterns:?} {operation:?}");
    }
    assert!(TokenScope::default().allows_operation(None));
}

#[test]
fn accepts_only_patterns_with_the_wildcard_as_the_last_segment() {
    for (text, want) in [
        ("*", true),
        ("orders", true),
        ("orders.*", true),
        ("orders.items_2.*", true),
        ("", false),
        (".*", false),
        ("*.list", false),
        ("orders.*.list", false),
        ("orders.l*", false),
        ("orders*", false),
        ("orders..*", false),
        ("orders.**", false),
        ("orders.*.*", false),
        ("Orders.*", false),
        ("orders.list ", false),
        (&"a".repeat(64), true),
        (&"a".repeat(65), false),
    ] {
        assert_eq!(is_operation_pattern(text), want, "{text:?}");
    }
}

#[test]
fn get_includes_head_and_nothing_else_is_included() {
    for (methods, method, want) in [
        (&["GET"][..], "GET", true),
        (&["GET"], "HEAD", true),
        (&["HEAD"], "GET", false),
        (&["GET", "POST"], "POST", true),
        (&["GET"], "OPTIONS", false),
        (&["GET"], "get", false),
    ] {
        let scope = TokenScope { methods: list(methods), ..TokenScope::default() };
        assert_eq!(scope.allows_method(method), want, "{methods:?} {method}");
    }
    assert!(is_method("QUERY") && !is_method("query") && !is_method("CONNECT") && !is_method("FOO"));
}

#[test]
fn matches_addresses_and_ranges() {
    for (ranges, address, want) in [
        (&["192.0.2.0/24"][..], Some("192.0.2.255"), true),
        (&["192.0.2.0/24"], Some("192.0.3.0"), false),
        (&["192.0.2.7"], Some("192.0.2.7"), true),
        (&["192.0.2.7"], Some("192.0.2.8"), false),
        (&["192.0.2.128/25"], Some("192.0.2.127"), false),
        (&["192.0.2.128/25"], Some("192.0.2.129"), true),
        (&["0.0.0.0/0"], Some("203.0.113.9"), true),
        (&["0.0.0.0/0"], Some("2001:db8::1"), false),
        (&["::/0"], Some("2001:db8::1"), true),
        (&["::/0"], Some("203.0.113.9"), false),
        (&["2001:db8::/32"], Some("2001:db8:ffff::1"), true),
        (&["2001:db8::/32"], Some("2001:db9::1"), false),
        (&["2001:db8::1"], Some("2001:0DB8:0:0::1"), true),
        // The platform may write an IPv4 client as IPv6.
        (&["192.0.2.0/24"], Some("::ffff:192.0.2.9"), true),
        (&["192.0.2.0/24", "2001:db8::/32"], Some("2001:db8::2"), true),
        (&["0.0.0.0/0", "::/0"], None, false),
        (&["0.0.0.0/0", "::/0"], Some("not an address"), false),
        (&["0.0.0.0/0"], Some("192.0.2.1, 203.0.113.9"), false),
    ] {
        let fields = address.map(|address| format!("\ncf-connecting-ip\n{address}")).unwrap_or_default();
        let text = format!("GET\nhttps://app.example/{fields}");
        let request = Request::read(&text).expect("a request");
        assert_eq!(
            addresses(ranges).allows_address(request.client_address()),
            want,
            "{ranges:?} {address:?}"
        );
    }
}

#[test]
fn rejects_ranges_that_can_be_read_in_two_ways() {
    for text in [
        "",
        "/",
        "192.0.2.0/",
        "192.0.2.0/33",
        "192.0.2.0/-1",
        "192.0.2.0/+8",
        "192.0.2.0/ 8",
        "192.0.2.1/24",
        "192.0.2.0/24/8",
        "192.0.2",
        "192.0.2.0.0",
        "192.0.02.0",
        "2001:db8::/129",
        "2001:db8::1/64",
        "::ffff:192.0.2.0/120",
        "::ffff:192.0.2.1",
        "fe80::1%eth0",
        "example.com",
        "*",
        "[::1]",
        "192.0.2.0/256",
        "192.0.2.0/99999999999",
    ] {
        assert!(!is_address_range(text), "{text:?}");
    }
    for text in ["0.0.0.0/0", "::/0", "10.0.0.0/8", "192.0.2.1/32", "2001:db8::1/128", "::1"] {
        assert!(is_address_range(text), "{text:?}");
    }
}

#[test]
fn an_unreadable_range_allows_nothing() {
    let stored = addresses(&["192.0.2.1/24", "everywhere"]);
    assert!(!stored.allows_address(Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)))));
}

#[test]
fn names_the_first_part_that_does_not_cover_the_request() {
    let text = "POST\nhttps://app.example/orders\ncf-connecting-ip\n192.0.2.1";
    let request = Request::read(text).expect("a request");
    let mut rule = Rule::new("/orders", Access::User, Destination::Upstream);
    rule.operation = Some("orders.create".to_owned());
    let scope = |operation: &str, method: &str, address: &str| TokenScope {
        operations: list(&[operation]),
        methods: list(&[method]),
        addresses: list(&[address]),
    };
    for (scope, want) in [
        (scope("orders.*", "POST", "192.0.2.0/24"), None),
        (scope("refunds.*", "GET", "192.0.9.0/24"), Some(OutOfScope::Operation)),
        (scope("orders.*", "GET", "192.0.9.0/24"), Some(OutOfScope::Method)),
        (scope("orders.*", "POST", "192.0.9.0/24"), Some(OutOfScope::Address)),
    ] {
        let found = check(Some(&scope), &rule, &request).err();
        assert_eq!(found, want.map(Rejection::ForbiddenScope), "{scope:?}");
    }
    assert!(check(None, &rule, &request).is_ok());
    rule.operation = None;
    let everything = scope("*", "POST", "0.0.0.0/0");
    assert_eq!(
        check(Some(&everything), &rule, &request).err(),
        Some(Rejection::ForbiddenScope(OutOfScope::Operation))
    );
}

#[test]
fn covers_built_in_routes_except_the_catalogue() {
    let request = Request::read("GET\nhttps://app.example/api/auth/me").expect("a request");
    let check = |scope: &TokenScope, endpoint| {
        let route = route_of(endpoint);
        let mut rule = Rule::new(route.path, route.access, Destination::Endpoint(route));
        rule.operation = Some(route.operation.to_owned());
        super::check(Some(scope), &rule, &request).is_ok()
    };
    for (patterns, endpoint, want) in [
        (&["orders.*"][..], Endpoint::Me, false),
        (&["vestibule.me"], Endpoint::Me, true),
        (&["vestibule.*"], Endpoint::CreateToken, true),
        (&["vestibule.tokens.list"], Endpoint::CreateToken, false),
        (&["orders.*"], Endpoint::Catalogue, true),
        (&["orders.*"], Endpoint::CatalogueAsOpenApi, true),
    ] {
        assert_eq!(check(&operations(patterns), endpoint), want, "{patterns:?} {endpoint:?}");
    }
}

#[test]
fn a_scope_that_is_made_within_another_inherits_its_parts() {
    let parent = TokenScope {
        operations: list(&["orders.*", "refunds.list"]),
        methods: list(&["GET"]),
        addresses: list(&["192.0.2.0/24"]),
    };
    for (requested, want) in [
        (TokenScope::default(), Ok(parent.clone())),
        (
            operations(&["orders.list"]),
            Ok(TokenScope { operations: list(&["orders.list"]), ..parent.clone() }),
        ),
        (operations(&["orders.*"]), Ok(TokenScope { operations: list(&["orders.*"]), ..parent.clone() })),
        (operations(&["*"]), Err(OutOfScope::Operation)),
        (operations(&["refunds.*"]), Err(OutOfScope::Operation)),
        (operations(&["orders.list", "transfers.list"]), Err(OutOfScope::Operation)),
        (TokenScope { methods: list(&["POST"]), ..TokenScope::default() }, Err(OutOfScope::Method)),
        (addresses(&["192.0.2.0/23"]), Err(OutOfScope::Address)),
        (
            addresses(&["192.0.2.128/25"]),
            Ok(TokenScope { addresses: list(&["192.0.2.128/25"]), ..parent.clone() }),
        ),
    ] {
        assert_eq!(requested.clone().narrowed_to(&parent), want, "{requested:?}");
        let is_allowed = allows_child(Some(&parent), Some(&requested));
        assert!(!is_allowed, "{requested:?}: parts of the parent are missing");
    }
    let limited = Some(&parent);
    assert!(!allows_child(limited, None));
    assert!(allows_child(limited, limited) && allows_child(None, None) && allows_child(None, limited));
}

#[test]
fn is_stored_under_fixed_names() {
    let scope = TokenScope { operations: list(&["orders.*"]), methods: None, addresses: list(&["::1"]) };
    let text = r#"{"operations":["orders.*"],"methods":null,"addresses":["::1"]}"#;
    assert_eq!(serde_json::to_string(&scope).expect("JSON"), text);
    assert_eq!(serde_json::from_str::<TokenScope>(text).expect("a scope"), scope);
    let later = r#"{"operations":null,"methods":null,"addresses":null,"hours":["9-17"]}"#;
    assert!(serde_json::from_str::<TokenScope>(later).is_err(), "an unknown part must not be ignored");
}

fn operation_pattern() -> impl Strategy<Value = String> {
    let segment = prop_oneof!["a", "b", "ab"].prop_map(|text: String| text);
    (prop::collection::vec(segment, 0..4), any::<bool>()).prop_filter_map("a pattern", |(parts, any)| {
        let mut parts = parts;
        if any || parts.is_empty() {
            parts.push("*".to_owned());
        }
        Some(parts.join("."))
    })
}

fn operation() -> impl Strategy<Value = Option<String>> {
    prop::option::of("(a|b|ab)(\\.(a|b|ab)){0,3}")
}

fn range() -> impl Strategy<Value = String> {
    let v4 = (0..4_u32, 28..=32_u32).prop_map(|(last, prefix)| {
        let address =
            Ipv4Addr::from_bits((0xC000_0200 | (last << 2)) & u32::MAX.checked_shl(32 - prefix).unwrap_or(0));
        format!("{address}/{prefix}")
    });
    let v6 = (0..4_u128, 124..=128_u32).prop_map(|(last, prefix)| {
        let address = Ipv6Addr::from_bits((last << 2) & u128::MAX.checked_shl(128 - prefix).unwrap_or(0));
        format!("{address}/{prefix}")
    });
    prop_oneof![v4, v6]
}

fn address() -> impl Strategy<Value = Option<IpAddr>> {
    prop::option::of(prop_oneof![
        (0..20_u32).prop_map(|last| IpAddr::V4(Ipv4Addr::from_bits(0xC000_0200 | last))),
        (0..20_u128).prop_map(|last| IpAddr::V6(Ipv6Addr::from_bits(last))),
    ])
}

fn method() -> impl Strategy<Value = String> {
    prop_oneof!["GET", "HEAD", "POST"].prop_map(|text: String| text)
}

fn scope() -> impl Strategy<Value = TokenScope> {
    let part = |items: BoxedStrategy<String>| prop::option::of(prop::collection::vec(items, 1..4));
    (part(operation_pattern().boxed()), part(method().boxed()), part(range().boxed()))
        .prop_map(|(operations, methods, addresses)| TokenScope { operations, methods, addresses })
}

/// Decides as the documentation says, segment by segment and bit by bit.
fn model_allows(scope: &TokenScope, operation: Option<&str>, method: &str, address: Option<IpAddr>) -> bool {
    let operation_fits = |pattern: &String| {
        let Some(operation) = operation else { return false };
        let (want, found): (Vec<&str>, Vec<&str>) =
            (pattern.split('.').collect(), operation.split('.').collect());
        match want.split_last() {
            Some((&"*", before)) => found.len() > before.len() && found.starts_with(before),
            _ => want == found,
        }
    };
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let bit = |bytes: &[u8], at: usize| (bytes[at / 8] >> (7 - at % 8)) & 1;
    let address_fits = |range: &String| {
        let (base, prefix) = range.split_once('/').expect("a prefix");
        let Some(address) = address else { return false };
        let (base, found) = (octets(base.parse().expect("an address")), octets(address));
        base.len() == found.len()
            && (0..prefix.parse().expect("a number")).all(|at| bit(&base, at) == bit(&found, at))
    };
    scope.operations.as_ref().is_none_or(|patterns| patterns.iter().any(operation_fits))
        && scope.methods.as_ref().is_none_or(|methods| {
            methods.iter().any(|allowed| allowed == method || (allowed == "GET" && method == "HEAD"))
        })
        && scope.addresses.as_ref().is_none_or(|ranges| ranges.iter().any(address_fits))
}

fn allows(scope: &TokenScope, operation: Option<&str>, method: &str, address: Option<IpAddr>) -> bool {
    scope.allows_operation(operation) && scope.allows_method(method) && scope.allows_address(address)
}

proptest! {
    #[test]
    fn decides_as_the_model(scope in scope(), operation in operation(), method in method(), address in address()) {
        let operation = operation.as_deref();
        let want = model_allows(&scope, operation, &method, address);
        prop_assert_eq!(allows(&scope, operation, &method, address), want);
    }

    #[test]
    fn a_child_scope_allows_at_most_what_its_parent_does(
        parent in scope(),
        requested in scope(),
        operation in operation(),
        method in method(),
        address in address(),
    ) {
        let operation = operation.as_deref();
        if let Ok(child) = requested.clone().narrowed_to(&parent) {
            prop_assert!(allows_child(Some(&parent), Some(&child)));
            let is_allowed = allows(&child, operation, &method, address);
            prop_assert!(!is_allowed || allows(&parent, operation, &method, address));
            prop_assert!(!is_allowed || allows(&requested, operation, &method, address));
        }
        // Also a scope that did not pass `narrowed_to`, as the transaction checks it.
        if allows_child(Some(&parent), Some(&requested)) && allows(&requested, operation, &method, address) {
            prop_assert!(allows(&parent, operation, &method, address));
        }
    }

    #[test]
    fn a_token_with_a_scope_may_do_at_most_what_its_principal_may(
        scope in scope(),
        operation in operation(),
        method in method(),
        address in address(),
        access_index in 0..8_usize,
        is_admin in any::<bool>(),
        is_machine in any::<bool>(),
        is_agent in any::<bool>(),
    ) {
        let access = [
            Access::Authenticated, Access::User, Access::Human, Access::Agent,
            Access::Admin, Access::AdminInPerson, Access::UserInPerson, Access::Optional,
        ][access_index];
        let id = || "x".to_owned();
        let source = if is_machine { ActorSource::TaskToken } else { ActorSource::Human };
        let principal = Principal {
            who: if is_agent { Who::Agent { id: id() } } else { Who::User { id: id() } },
            role: (!is_agent).then_some(if is_admin { Role::Admin } else { Role::User }),
            actor: Actor::Token { id: id(), name: id(), source, agent: None, task: None },
        };
        let fields = address.map(|address| format!("\ncf-connecting-ip\n{address}")).unwrap_or_default();
        let text = format!("{method}\nhttps://app.example/{fields}");
        let request = Request::read(&text).expect("a request");
        let mut rule = Rule::new("/", access, Destination::Upstream);
        rule.operation.clone_from(&operation);
        let with_scope = check(Some(&scope), &rule, &request).is_ok() && access::may_use(&rule, &principal);
        let without = check(None, &rule, &request).is_ok() && access::may_use(&rule, &principal);
        prop_assert!(!with_scope || without);
        let expected = without && model_allows(&scope, operation.as_deref(), &method, address);
        prop_assert_eq!(with_scope, expected);
    }
}
