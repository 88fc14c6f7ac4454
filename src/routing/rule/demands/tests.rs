use std::time::Duration;

use super::*;
use crate::routing::{
    built_in::{Endpoint, route_of},
    owner::OwnerFrom,
    rule::{Audit, Checkout, Confirm, Csrf, Destination, Hold, Listed, Redirects, Save},
};

type Change = fn(&mut Rule);

const KEYS: Idempotency = Idempotency {
    required: false,
    invocation_id: false,
    invocation_pointer: None,
    save: Save::Safe,
    hold: Hold::Conflict,
    retention: Duration::from_hours(24),
};

fn rule(change: Change) -> Rule {
    let mut rule = Rule::new("/a", Access::Authenticated, Destination::Upstream);
    change(&mut rule);
    rule
}

fn checkout(provider: &str) -> Checkout {
    let (provider, reference) = (provider.to_owned(), "/id".to_owned());
    Checkout { provider, reference, reserve: Duration::from_mins(5) }
}

#[test]
fn orders_comparable_rules() {
    let ordered: [(&str, Change, Change); 21] = [
        ("access", |_| {}, |rule| rule.access = Access::User),
        ("optional", |rule| rule.access = Access::Public, |rule| rule.access = Access::Optional),
        ("owner", |rule| rule.access = Access::Owner, |rule| rule.access = Access::Admin),
        ("recent", |_| {}, |rule| rule.recent = Some(Duration::from_mins(10))),
        (
            "more recent",
            |rule| rule.recent = Some(Duration::from_mins(10)),
            |rule| rule.recent = Some(Duration::from_mins(5)),
        ),
        ("stream_check", |_| {}, |rule| rule.stream_check = Some(Duration::from_secs(30))),
        (
            "a shorter stream_check",
            |rule| rule.stream_check = Some(Duration::from_secs(30)),
            |rule| rule.stream_check = Some(Duration::from_secs(10)),
        ),
        ("csrf", |rule| rule.csrf = Csrf::InsecureSkip, |_| {}),
        ("strict csrf", |_| {}, |rule| rule.csrf = Csrf::Strict),
        ("redirects", |_| {}, |rule| rule.redirects = Redirects::Strict),
        ("checkout", |_| {}, |rule| rule.checkout = Some(checkout("a"))),
        ("limit", |_| {}, |rule| rule.limit = Some(0)),
        ("bot_check", |_| {}, |rule| rule.bot_check = Some("a".into())),
        ("feature", |_| {}, |rule| rule.feature = Some("a".into())),
        ("policy", |_| {}, |rule| rule.policy = Some("a".into())),
        ("idempotency", |_| {}, |rule| rule.idempotency = Some(KEYS)),
        (
            "required idempotency",
            |rule| rule.idempotency = Some(KEYS),
            |rule| rule.idempotency = Some(Idempotency { required: true, ..KEYS }),
        ),
        ("confirm", |_| {}, |rule| rule.confirm = Confirm::Human),
        ("audit", |_| {}, |rule| rule.audit = Audit::BestEffort),
        ("required audit", |rule| rule.audit = Audit::BestEffort, |rule| rule.audit = Audit::Required),
        ("operation", |_| {}, |rule| rule.operation = Some("a".into())),
    ];
    for (name, less, more) in ordered {
        let (less, more) = (rule(less), rule(more));
        assert!(more.is_at_least_as_strict_as(&less, Names::Count), "{name}");
        assert!(!less.is_at_least_as_strict_as(&more, Names::Count), "{name}");
        assert!(more.is_at_least_as_strict_as(&more, Names::Count), "{name}");
    }
}

#[test]
fn leaves_incomparable_rules_unordered() {
    let different: [(&str, Change, Change); 16] = [
        (
            "stream_check and recent",
            |rule| rule.stream_check = Some(Duration::from_secs(10)),
            |rule| rule.recent = Some(Duration::from_mins(5)),
        ),
        ("access", |rule| rule.access = Access::Agent, |rule| rule.access = Access::Human),
        (
            "owner_from",
            |rule| (rule.access, rule.owner_from) = (Access::Owner, OwnerFrom::parse("/b", "/a").ok()),
            |rule| (rule.access, rule.owner_from) = (Access::Owner, OwnerFrom::parse("/c", "/a").ok()),
        ),
        ("checkout", |rule| rule.checkout = Some(checkout("a")), |rule| rule.checkout = Some(checkout("b"))),
        ("webhook", |_| {}, |rule| rule.webhook = Some(0)),
        ("webhooks", |rule| rule.webhook = Some(1), |rule| rule.webhook = Some(0)),
        ("limit", |rule| rule.limit = Some(1), |rule| rule.limit = Some(0)),
        ("bot_check", |rule| rule.bot_check = Some("a".into()), |rule| rule.bot_check = Some("b".into())),
        ("feature", |rule| rule.feature = Some("a".into()), |rule| rule.feature = Some("b".into())),
        ("policy", |rule| rule.policy = Some("a".into()), |rule| rule.policy = Some("b".into())),
        ("different guards", |rule| rule.limit = Some(0), |rule| rule.feature = Some("b".into())),
        (
            "save",
            |rule| rule.idempotency = Some(KEYS),
            |rule| rule.idempotency = Some(Idempotency { save: Save::Stripe, ..KEYS }),
        ),
        (
            "retention",
            |rule| rule.idempotency = Some(KEYS),
            |rule| {
                rule.idempotency = Some(Idempotency { retention: Duration::from_hours(1), ..KEYS });
            },
        ),
        ("endpoint", |_| {}, |rule| rule.destination = Destination::Endpoint(route_of(Endpoint::Me))),
        (
            "internal path",
            |rule| rule.destination = Destination::Endpoint(route_of(Endpoint::Me)),
            |rule| rule.destination = Destination::InternalOnly,
        ),
        ("operation", |rule| rule.operation = Some("a".into()), |rule| rule.operation = Some("b".into())),
    ];
    for (name, one, other) in different {
        let (one, other) = (rule(one), rule(other));
        assert!(!one.is_at_least_as_strict_as(&other, Names::Count), "{name}");
        assert!(!other.is_at_least_as_strict_as(&one, Names::Count), "{name}");
    }
}

#[test]
fn names_count_only_with_hooks_or_a_policy() {
    let named = |name: &str, policy: Option<&str>| Rule {
        operation: Some(name.to_owned()),
        policy: policy.map(str::to_owned),
        ..rule(|_| {})
    };
    assert!(named("a", None).is_at_least_as_strict_as(&named("b", None), Names::Ignored));
    assert!(!named("a", None).is_at_least_as_strict_as(&named("b", None), Names::Count));
    assert!(!named("a", Some("p")).is_at_least_as_strict_as(&named("b", Some("p")), Names::Ignored));
    assert!(named("a", Some("p")).is_at_least_as_strict_as(&named("b", None), Names::Ignored));
}

#[test]
fn ignores_members_that_protect_nothing() {
    let plain = rule(|_| {});
    let other = rule(|rule| {
        rule.path = "/b".into();
        rule.methods = vec!["GET".into()];
        rule.timeout = Duration::from_secs(1);
        rule.body_limit = 1;
        rule.encoded_slashes = true;
        rule.catalogue = Some(Listed::default());
    });
    assert!(
        plain.is_at_least_as_strict_as(&other, Names::Count)
            && other.is_at_least_as_strict_as(&plain, Names::Count)
    );
}
