//! Tests of `super::lax`: which rule decides about each spelling of a path.

use std::time::Duration;

use super::*;
use crate::{
    http::problem::Rejection,
    routing::{
        built_in::{Endpoint, route_of},
        owner::OwnerFrom,
        rule::{
            Access, Audit, Checkout, Confirm, Csrf, Destination, Hold, Idempotency, Names, Redirects, Save,
        },
    },
};

fn rule(path: &str, methods: &[&str]) -> Rule {
    Rule {
        methods: methods.iter().map(|m| (*m).to_owned()).collect(),
        operation: Some(format!("{path} {}", methods.join(" "))),
        ..Rule::new(path, Access::Authenticated, Destination::Upstream)
    }
}

/// Returns the pattern of the rule that decides about a request, or `refused`.
fn deciding_pattern(table: &Table, method: &str, path: &str) -> String {
    let path = CanonicalPath::parse(path).expect("canonical");
    table
        .match_request(method, &path, Names::Ignored)
        .deciding
        .map_or("refused".to_owned(), |rule| rule.path.clone())
}

/// Builds a table from patterns with their methods and access.
fn table(rules: &[(&str, &[&str], Access)], is_assets: bool) -> Table {
    let mut table = Table::new(Rule { operation: None, ..rule("default", &[]) });
    for (path, methods, access) in rules {
        let rule = Rule { access: *access, operation: None, ..rule(path, methods) };
        table.add(rule).expect("no conflict");
    }
    table.seal(is_assets);
    table
}

#[test]
fn the_strictest_rule_of_all_readings_decides() {
    let table = table(
        &[
            ("/{*rest}", &[], Access::Public),
            ("/dashboard", &[], Access::User),
            ("/api/Admin/{*rest}", &[], Access::User),
            ("/v1/things:purge", &[], Access::User),
            ("/api/ADMIN/help", &[], Access::Public),
            ("/public/{x}", &[], Access::Public),
            ("/app/Users", &[], Access::Authenticated),
            ("/app/users", &[], Access::Human),
            ("/Both", &["POST"], Access::User),
            ("/both", &["GET", "POST"], Access::User),
            ("/agents", &[], Access::Agent),
            ("/Agents", &[], Access::Human),
            ("/x/{id}", &[], Access::Admin),
            ("/x/free", &[], Access::Public),
            ("/%C3%BCbersicht", &[], Access::User),
            ("/keys", &[], Access::User),
        ],
        false,
    );
    for (path, want) in [
        ("/%C3%BCbersicht", "/%C3%BCbersicht"),
        ("/%C3%9Cbersicht", "/%C3%BCbersicht"),
        ("/%C3%9CBERSICHT;v=1/", "/%C3%BCbersicht"),
        ("/%C3%A4bersicht", "/{*rest}"),
        ("/%E2%84%AAeys", "/keys"),
        ("/key%C5%BF/", "/keys"),
        ("/%C4%B0", "/{*rest}"),
        ("/dashboard", "/dashboard"),
        ("/dashboard/", "/dashboard"),
        ("/Dashboard", "/dashboard"),
        ("//dashboard", "/dashboard"),
        ("/dash%62oard;x=1//", "/dashboard"),
        ("/api/admin/x", "/api/Admin/{*rest}"),
        ("/API/aDMIN/x", "/api/Admin/{*rest}"),
        ("/api/admin;v=1/x", "/api/Admin/{*rest}"),
        ("/api/Admi%6E%3Ba/x", "/api/Admin/{*rest}"),
        ("/v1/things%3Apurge", "/v1/things:purge"),
        ("/v1/THINGS:purge", "/v1/things:purge"),
        ("/v1/things:purge/", "/v1/things:purge"),
        ("/api/Admin/x", "/api/Admin/{*rest}"),
        ("/api/Admin", "/api/Admin/{*rest}"),
        ("/api/admin", "/api/Admin/{*rest}"),
        // One reading with the stricter rule is enough. The strict reading finds `/api/Admin/{*rest}`, and a reading
        // that ignores case finds `/api/ADMIN/help`.
        ("/api/Admin/help", "/api/Admin/{*rest}"),
        ("/Other;x/%3A", "/{*rest}"),
        ("/public/A;b", "/public/{x}"),
        ("/app/Users", "/app/users"),
        ("/app/users", "/app/users"),
        ("/app/USERS", "/app/users"),
        ("/app/users/", "/app/users"),
        ("/BOTH", "/both"),
        ("/agents", "refused"),
        ("/Agents", "refused"),
        ("/AGENTS/", "refused"),
        ("/x/free", "/x/free"),
        ("/X/FREE;y", "/x/{id}"),
        ("/x/free;y", "/x/{id}"),
        ("/x/..%3Ba/free", "refused"),
        ("/dashboard%3F", "/dashboard"),
        ("/dashboard%23", "/dashboard"),
        ("/Dashboard/%3Fa=1", "/dashboard"),
        ("/dashboard;v=1%3Fa%23b/c/d", "/dashboard"),
        ("/api/Admin%3F/x", "/api/Admin/{*rest}"),
        ("/api/admin/help%23", "/api/Admin/{*rest}"),
        ("/other%3F/dashboard", "/{*rest}"),
        ("/%3F/dashboard", "/{*rest}"),
        ("/dashboard.", "/dashboard"),
        ("/dashboard..", "/dashboard"),
        ("/dashboard%20", "/dashboard"),
        ("/dashboard%20.%20", "/dashboard"),
        ("/DASHBOARD./", "/dashboard"),
        ("/dashboard.;v=1", "/dashboard"),
        ("/dashboard;v=1.", "/dashboard"),
        ("/dashboard%20%3Fa=1", "/dashboard"),
        ("/dashboard/...", "/dashboard"),
        ("/api./Admin%20/x", "/api/Admin/{*rest}"),
        ("/x/..%20/free", "refused"),
        ("/x/.%20/free", "refused"),
        ("/x/..%20%3B/free", "refused"),
        ("/dashboard.json", "/{*rest}"),
        ("/.dashboard", "/{*rest}"),
        ("/compare/main...topic", "/{*rest}"),
        ("/p/https://example.com/x.png", "/{*rest}"),
    ] {
        assert_eq!(deciding_pattern(&table, "GET", path), want, "{path}");
    }
}

#[test]
fn only_patterns_that_end_with_a_slash_match_a_path_without_it() {
    let table = table(
        &[
            ("/", &[], Access::Public),
            ("/api/{*rest}", &[], Access::User),
            ("/api/items/{id}", &[], Access::Public),
            ("/slash/", &[], Access::User),
            ("/own", &[], Access::Public),
            ("/own/{*rest}", &[], Access::Admin),
            ("/some/{+rest}", &[], Access::Admin),
            ("/{*rest}", &["GET"], Access::Public),
        ],
        false,
    );
    for (path, want) in [
        ("/", "/"),
        ("/api/items/7", "/api/items/{id}"),
        ("/api/items/7/", "/api/{*rest}"),
        ("/api/", "/api/{*rest}"),
        // `/api/{*rest}` covers `/api/`, and therefore `/api`, because no rule is written for `/api`.
        ("/api", "/api/{*rest}"),
        ("/API", "/api/{*rest}"),
        ("/slash", "/slash/"),
        ("/Slash", "/slash/"),
        // `/own/{*rest}` does not override a rule for `/own`.
        ("/own", "/own"),
        // Public, like its other spelling.
        ("/OWN", "/{*rest}"),
        ("/own/", "/own/{*rest}"),
        ("/own/x", "/own/{*rest}"),
        ("/some/", "/{*rest}"),
        ("/some", "/{*rest}"),
        ("/some/x", "/some/{+rest}"),
    ] {
        assert_eq!(deciding_pattern(&table, "GET", path), want, "{path}");
    }
}

#[test]
fn static_assets_serve_one_page_under_several_paths() {
    let rules: &[(&str, &[&str], Access)] = &[
        ("/{*rest}", &[], Access::Public),
        ("/account.html", &[], Access::User),
        ("/docs/secret.html", &[], Access::User),
        ("/admin/{*rest}", &[], Access::User),
        ("/area/index.html", &[], Access::User),
        ("/plain", &[], Access::User),
    ];
    let (assets, other) = (table(rules, true), table(rules, false));
    for (paths, want) in [
        (["/account", "/account/", "/account.html", "/account/index.html"], "/account.html"),
        (["/docs/secret", "/docs/secret/", "/Docs/Secret", "/docs/secret/index"], "/docs/secret.html"),
        (["/admin", "/admin/", "/admin.html", "/admin/index.html"], "/admin/{*rest}"),
        (["/area", "/area/", "/area.html", "/area//"], "/area/index.html"),
        (["/plain", "/plain/", "/plain.html", "/plain/index.html"], "/plain"),
        (["/", "/index.html", "/other", "/other.html"], "/{*rest}"),
    ] {
        for path in paths {
            assert_eq!(deciding_pattern(&assets, "GET", path), want, "{path}");
        }
    }
    for path in ["/account", "/docs/secret", "/area", "/plain.html", "/admin.html"] {
        assert_eq!(deciding_pattern(&other, "GET", path), "/{*rest}", "{path}");
    }
}

#[test]
fn other_spellings_keep_every_requirement_of_a_rule() {
    let guards: [fn(&mut Rule); 15] = [
        |rule| rule.access = Access::Admin,
        |rule| rule.limit = Some(0),
        |rule| rule.bot_check = Some("a".into()),
        |rule| rule.feature = Some("a".into()),
        |rule| rule.policy = Some("a".into()),
        |rule| rule.confirm = Confirm::Human,
        |rule| rule.audit = Audit::BestEffort,
        |rule| rule.csrf = Csrf::Strict,
        |rule| rule.redirects = Redirects::Strict,
        |rule| rule.idempotency = Some(KEYS),
        |rule| rule.idempotency = Some(Idempotency { required: true, ..KEYS }),
        |rule| rule.checkout = Some(checkout()),
        // These cannot be ordered.
        |rule| rule.webhook = Some(0),
        |rule| rule.destination = Destination::Endpoint(route_of(Endpoint::Me)),
        |rule| rule.destination = Destination::InternalOnly,
    ];
    for (number, guard) in guards.into_iter().enumerate() {
        let mut pay = rule("/pay", &[]);
        guard(&mut pay);
        let slashed = Rule { path: "/slash/".into(), ..pay.clone() };
        let mut table = Table::new(Rule { operation: None, ..rule("default", &[]) });
        for rule in [pay, slashed, rule("/open/{id}", &[])] {
            table.add(rule).expect("no conflict");
        }
        table.seal(false);
        let or_refused = |pattern: &'static str| if number < 12 { pattern } else { "refused" };
        for (path, want) in [
            ("/pay", "/pay"),
            ("/PAY", or_refused("/pay")),
            ("/pay/", or_refused("/pay")),
            ("/Pay;v=1/", or_refused("/pay")),
            ("/pay%3Bv", or_refused("/pay")),
            ("/;a/pay", or_refused("/pay")),
            ("/;/pay", or_refused("/pay")),
            ("//pay", or_refused("/pay")),
            ("/x/..%3Ba/pay", "refused"),
            ("/slash/", "/slash/"),
            ("/slash", or_refused("/slash/")),
            ("/Slash", or_refused("/slash/")),
            ("/open/PAY", "/open/{id}"),
            ("/open/1/", "/open/{id}"),
            ("/other/", "default"),
            ("/", "default"),
        ] {
            assert_eq!(deciding_pattern(&table, "GET", path), want, "{number}: {path}");
        }
    }
}

#[test]
fn operations_are_not_ordered_if_hooks_decide() {
    let named = |path: &str, access| Rule { access, ..rule(path, &[]) };
    let mut table = Table::new(Rule { operation: None, ..rule("default", &[]) });
    for rule in [named("/{*rest}", Access::Public), named("/dashboard", Access::User)] {
        table.add(rule).expect("no conflict");
    }
    table.seal(false);
    let path = CanonicalPath::parse("/Dashboard").expect("canonical");
    let used = |names| table.match_request("GET", &path, names).deciding.map(|rule| rule.path.as_str());
    assert_eq!(used(Names::Ignored), Ok("/dashboard"));
    assert_eq!(used(Names::Count), Err(Rejection::AmbiguousPath));
}

#[test]
fn rejects_paths_whose_owner_segment_is_uncertain() {
    let mut table = Table::new(Rule { operation: None, ..rule("default", &[]) });
    for (path, from) in [("/m/{id}/{*rest}", "/m/{id}"), ("/f/{*rest}", "/of/{*rest}")] {
        let owner_from = OwnerFrom::parse(from, path).ok();
        table
            .add(Rule { owner_from, ..Rule::new(path, Access::Owner, Destination::Upstream) })
            .expect("no conflict");
    }
    table.seal(false);
    for (path, want) in [
        ("/m/mine/x", "/m/{id}/{*rest}"),
        ("/M/mine/x/", "/m/{id}/{*rest}"),
        ("/m/;/yours/x", "refused"),
        ("/m//yours/x", "refused"),
        ("//m/yours/x", "refused"),
        ("/m/%3Bmine/yours/x", "refused"),
        ("/f/a//b", "/f/{*rest}"),
        ("/f//a", "/f/{*rest}"),
        ("//f/a", "refused"),
    ] {
        assert_eq!(deciding_pattern(&table, "GET", path), want, "{path}");
    }
}

#[test]
fn searches_a_plain_path_once() {
    let table = table(
        &[
            ("/{*rest}", &[], Access::Public),
            ("/", &[], Access::Public),
            ("/api/users/{id}", &[], Access::User),
            ("/dashboard", &[], Access::User),
            ("/dashboard/{*rest}", &[], Access::User),
            ("/slash/", &[], Access::User),
        ],
        false,
    );
    for (path, want) in [
        ("/", 0),
        ("/api/users/7f3a-9", 0),
        ("/assets/app-1a2b.js", 0),
        ("/dashboard", 0),
        ("/dashboard/x", 0),
        ("/p:x/@y/~z", 0),
        // Another rule has this path with a slash at the end.
        ("/slash", 1),
        ("/dashboard/", 1),
        ("/Dashboard", 3),
    ] {
        lax::SEARCHES.set(0);
        deciding_pattern(&table, "GET", path);
        assert_eq!(lax::SEARCHES.get(), want, "{path}");
    }
}

#[test]
fn warns_of_rules_that_lenient_servers_treat_as_one_path() {
    let warned = |rules: &[(&str, &[&str], Access)]| table(rules, false).warnings().join("\n");
    assert_eq!(warned(&[("/{*rest}", &[], Access::Public), ("/a", &[], Access::User)]), "");
    assert_eq!(warned(&[("/a/{*rest}", &[], Access::User), ("/{id}", &[], Access::User)]), "");
    let same_path = warned(&[("/app/Users", &[], Access::Authenticated), ("/app/users", &[], Access::Human)]);
    assert!(
        same_path.starts_with(
            "\"/app/Users\": this rule never applies, because the rule for \"/app/users\" decides"
        ),
        "{same_path}"
    );
    let slash = warned(&[("/a/", &[], Access::User), ("/a", &[], Access::Public)]);
    assert!(
        slash.starts_with("\"/a\": this rule never applies, because the rule for \"/a/\" decides"),
        "{slash}"
    );
    let refused = warned(&[("/a", &[], Access::Agent), ("/A", &[], Access::Human)]);
    assert_eq!(refused.matches("every request to it is refused").count(), 2, "{refused}");
    let open = warned(&[("/own", &[], Access::Public), ("/own/{*rest}", &[], Access::Admin)]);
    assert!(open.contains("\"/own/{*rest}\": guarded, but \"/own\" is not"), "{open}");
}

const KEYS: Idempotency = Idempotency {
    required: false,
    invocation_id: false,
    invocation_pointer: None,
    save: Save::Safe,
    hold: Hold::Conflict,
    retention: Duration::from_hours(24),
};

fn checkout() -> Checkout {
    Checkout { provider: "p".into(), reference: "/id".into(), reserve: Duration::from_mins(5) }
}
