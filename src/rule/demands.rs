//! Compares what two rules ask for.
//!
//! Servers read one path in several ways, so a request may be under several rules at once. The rule that decides must ask
//! for at least as much as each of them, in every member. Both rules are taken apart without `..`: a new member does
//! not compile until somebody has decided here whether it protects something, and how it is ordered.

use super::{Access, Idempotency, Rule};

/// Whether different operations count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Yes: hooks decide by them.
    Count,
    /// No, except where an external policy is told them.
    Ignored,
}

impl Rule {
    /// Checks that this rule asks for at least as much as another one, in every member.
    ///
    /// False both ways means that the two cannot be ordered.
    #[must_use]
    pub fn asks_at_least(&self, other: &Self, names: Names) -> bool {
        let Self {
            // Not a protection: it is the rule's place, not a requirement.
            path: _,
            // Not a protection: both rules take the request's method, or they would not be compared.
            methods: _,
            operation,
            access,
            // Not a protection: it says how a refusal of a navigation looks.
            unauthenticated: _,
            owner_from,
            csrf,
            // Not a protection: it limits how long upstream may take.
            timeout: _,
            redirects,
            checkout,
            return_field,
            // Not a protection: `X-Vestibule-Login` counts only under the rule that is used.
            login: _,
            webhook,
            limit,
            idempotency,
            // Not a protection: every rule has a bound, and it applies only where another member has a body read.
            body_limit: _,
            bot_check,
            feature,
            policy,
            confirm,
            audit,
            // Not a protection: it only allows paths with encoded slashes. The table checks it for the rule of the path as written
            // and for the rule that decides.
            encoded_slashes: _,
            // Not a protection: it only describes the rule in the catalogue.
            catalogue: _,
            destination,
        } = self;
        let Self {
            path: _,
            methods: _,
            operation: other_operation,
            access: other_access,
            unauthenticated: _,
            owner_from: other_owner_from,
            csrf: other_csrf,
            timeout: _,
            redirects: other_redirects,
            checkout: other_checkout,
            return_field: other_return_field,
            login: _,
            webhook: other_webhook,
            limit: other_limit,
            idempotency: other_idempotency,
            body_limit: _,
            bot_check: other_bot_check,
            feature: other_feature,
            policy: other_policy,
            confirm: other_confirm,
            audit: other_audit,
            encoded_slashes: _,
            catalogue: _,
            destination: other_destination,
        } = other;
        // Hooks, external policies and upstream decide by the name of what is done: a name asks for more than no name,
        // and two names cannot be ordered. Where no hook is installed and no policy is asked, nobody here decides by it.
        let names_count = names == Names::Count || other_policy.is_some();
        let asks_who = access.is_within(*other_access)
            // Both let everybody in, but only one identifies the client.
            && !(*access == Access::Public && *other_access == Access::Optional)
            // Two rules for owners ask the same question, or cannot be ordered. An admin is asked neither.
            && (*access != Access::Owner || *other_access != Access::Owner || owner_from == other_owner_from);
        asks_who
            && (!names_count || includes(operation.as_ref(), other_operation.as_ref()))
            // Ordered: skipping the check, the usual one, the strict one.
            && csrf >= other_csrf
            // Ordered: `strict` holds upstream's redirects.
            && redirects >= other_redirects
            // A checkout registers what upstream begins: with is more than without.
            && includes(checkout.as_ref(), other_checkout.as_ref())
            // A webhook is verified, claimed once and marked, and another rule is not: equal, or not ordered.
            && webhook == other_webhook
            // Each is a guard of its own: with is more than without, two different ones are not ordered.
            && includes(return_field.as_ref(), other_return_field.as_ref())
            && includes(limit.as_ref(), other_limit.as_ref())
            && includes(bot_check.as_ref(), other_bot_check.as_ref())
            && includes(feature.as_ref(), other_feature.as_ref())
            && includes(policy.as_ref(), other_policy.as_ref())
            && runs_once(*idempotency, *other_idempotency)
            // Ordered: a person's consent is more than none.
            && confirm >= other_confirm
            // Ordered: no row, a row afterwards, a row before it runs.
            && audit >= other_audit
            // Upstream, an endpoint of ours and an internal path are different things: equal, or not ordered.
            && destination == other_destination
    }
}

/// Checks that a rule has the same value as another one, if the other one has a value.
fn includes<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
    other.is_none() || one == other
}

/// Compares what becomes of requests that are sent again: with keys is more than without, and a required key is more than an
/// optional one. All else (what is kept, for how long, what an unknown outcome means) is equal or not ordered.
fn runs_once(one: Option<Idempotency>, other: Option<Idempotency>) -> bool {
    let Some(Idempotency {
        required: other_required,
        invocation_id: other_id,
        invocation_pointer: other_pointer,
        save,
        hold,
        retention,
    }) = other
    else {
        return true;
    };
    one.is_some_and(|one| {
        let Idempotency {
            required,
            invocation_id,
            invocation_pointer,
            save: own_save,
            hold: own_hold,
            retention: own_retention,
        } = one;
        required >= other_required
            && invocation_id == other_id
            && invocation_pointer == other_pointer
            && own_save == save
            && own_hold == hold
            && own_retention == retention
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        owner::OwnerFrom,
        rule::{Audit, Checkout, Confirm, Csrf, Destination, Endpoint, Hold, Listed, Redirects, Save},
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
    fn orders_what_can_be_ordered() {
        let ordered: [(&str, Change, Change); 17] = [
            ("access", |_| {}, |rule| rule.access = Access::User),
            ("optional", |rule| rule.access = Access::Public, |rule| rule.access = Access::Optional),
            ("owner", |rule| rule.access = Access::Owner, |rule| rule.access = Access::Admin),
            ("csrf", |rule| rule.csrf = Csrf::InsecureSkip, |_| {}),
            ("strict csrf", |_| {}, |rule| rule.csrf = Csrf::Strict),
            ("redirects", |_| {}, |rule| rule.redirects = Redirects::Strict),
            ("checkout", |_| {}, |rule| rule.checkout = Some(checkout("a"))),
            ("limit", |_| {}, |rule| rule.limit = Some(0)),
            ("bot_check", |_| {}, |rule| rule.bot_check = Some("a".into())),
            ("feature", |_| {}, |rule| rule.feature = Some("a".into())),
            ("policy", |_| {}, |rule| rule.policy = Some("a".into())),
            ("keys", |_| {}, |rule| rule.idempotency = Some(KEYS)),
            (
                "required keys",
                |rule| rule.idempotency = Some(KEYS),
                |rule| rule.idempotency = Some(Idempotency { required: true, ..KEYS }),
            ),
            ("confirm", |_| {}, |rule| rule.confirm = Confirm::Human),
            ("audit", |_| {}, |rule| rule.audit = Audit::BestEffort),
            ("required audit", |rule| rule.audit = Audit::BestEffort, |rule| rule.audit = Audit::Required),
            ("operation", |_| {}, |rule| rule.operation = Some("a".into())),
        ];
        for (what, less, more) in ordered {
            let (less, more) = (rule(less), rule(more));
            assert!(more.asks_at_least(&less, Names::Count), "{what}");
            assert!(!less.asks_at_least(&more, Names::Count), "{what}");
            assert!(more.asks_at_least(&more, Names::Count), "{what}");
        }
    }

    #[test]
    fn does_not_order_what_differs() {
        let different: [(&str, Change, Change); 15] = [
            ("access", |rule| rule.access = Access::Agent, |rule| rule.access = Access::Human),
            (
                "owner_from",
                |rule| (rule.access, rule.owner_from) = (Access::Owner, OwnerFrom::parse("/b", "/a").ok()),
                |rule| (rule.access, rule.owner_from) = (Access::Owner, OwnerFrom::parse("/c", "/a").ok()),
            ),
            (
                "checkout",
                |rule| rule.checkout = Some(checkout("a")),
                |rule| rule.checkout = Some(checkout("b")),
            ),
            ("webhook", |_| {}, |rule| rule.webhook = Some(0)),
            ("webhooks", |rule| rule.webhook = Some(1), |rule| rule.webhook = Some(0)),
            ("limit", |rule| rule.limit = Some(1), |rule| rule.limit = Some(0)),
            ("bot_check", |rule| rule.bot_check = Some("a".into()), |rule| rule.bot_check = Some("b".into())),
            ("feature", |rule| rule.feature = Some("a".into()), |rule| rule.feature = Some("b".into())),
            ("policy", |rule| rule.policy = Some("a".into()), |rule| rule.policy = Some("b".into())),
            ("two guards", |rule| rule.limit = Some(0), |rule| rule.feature = Some("b".into())),
            (
                "what is kept",
                |rule| rule.idempotency = Some(KEYS),
                |rule| rule.idempotency = Some(Idempotency { save: Save::Stripe, ..KEYS }),
            ),
            (
                "for how long",
                |rule| rule.idempotency = Some(KEYS),
                |rule| {
                    rule.idempotency = Some(Idempotency { retention: Duration::from_hours(1), ..KEYS });
                },
            ),
            ("an endpoint", |_| {}, |rule| rule.destination = Destination::Endpoint(Endpoint::Me)),
            (
                "an internal path",
                |rule| rule.destination = Destination::Endpoint(Endpoint::Me),
                |rule| rule.destination = Destination::Endpoint(Endpoint::InternalOnly),
            ),
            ("operation", |rule| rule.operation = Some("a".into()), |rule| rule.operation = Some("b".into())),
        ];
        for (what, one, other) in different {
            let (one, other) = (rule(one), rule(other));
            assert!(!one.asks_at_least(&other, Names::Count), "{what}");
            assert!(!other.asks_at_least(&one, Names::Count), "{what}");
        }
    }

    #[test]
    fn names_count_only_where_somebody_decides_by_them() {
        let named = |name: &str, policy: Option<&str>| Rule {
            operation: Some(name.to_owned()),
            policy: policy.map(str::to_owned),
            ..rule(|_| {})
        };
        assert!(named("a", None).asks_at_least(&named("b", None), Names::Ignored));
        assert!(!named("a", None).asks_at_least(&named("b", None), Names::Count));
        assert!(!named("a", Some("p")).asks_at_least(&named("b", Some("p")), Names::Ignored));
        assert!(named("a", Some("p")).asks_at_least(&named("b", None), Names::Ignored));
    }

    #[test]
    fn what_protects_nothing_makes_no_difference() {
        let plain = rule(|_| {});
        let other = rule(|rule| {
            rule.path = "/b".into();
            rule.methods = vec!["GET".into()];
            rule.timeout = Duration::from_secs(1);
            rule.body_limit = 1;
            rule.encoded_slashes = true;
            rule.catalogue = Some(Listed::default());
        });
        assert!(plain.asks_at_least(&other, Names::Count) && other.asks_at_least(&plain, Names::Count));
    }
}
