//! Compares the requirements of two rules.
//!
//! Servers read one path in several ways, so a request may match several rules at once. The rule that decides must
//! require at least as much as each of them, in every member. The comparison destructures both rules without `..`, so
//! a new member does not compile until a developer decides here whether it protects something, and how it is ordered.

use super::{Access, Idempotency, Rule};

/// Whether a comparison takes operation names into account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Yes, because hooks decide by them.
    Count,
    /// No, unless the other rule has an external policy, which receives the name.
    Ignored,
}

impl Rule {
    /// Checks that this rule requires at least as much as another one, in every member.
    ///
    /// If the result is false in both directions, the two rules cannot be ordered.
    #[must_use]
    pub fn asks_at_least(&self, other: &Self, names: Names) -> bool {
        let Self {
            // Not a protection: the place of the rule, not a requirement.
            path: _,
            // Not a protection: only rules that accept the request's method are compared.
            methods: _,
            operation,
            access,
            // Not a protection: the form of a refusal, for navigations.
            unauthenticated: _,
            owner_from,
            csrf,
            // Not a protection: the time limit for upstream.
            timeout: _,
            redirects,
            checkout,
            return_field,
            // Not a protection: `X-Vestibule-Login` counts only under the rule that decides.
            login: _,
            webhook,
            limit,
            idempotency,
            // Not a protection: every rule has a limit, and it applies only if another member needs the body.
            body_limit: _,
            bot_check,
            feature,
            policy,
            confirm,
            audit,
            // Not a protection: it only permits paths with encoded slashes. The table checks it for the rule of the
            // path as written and for the rule that decides.
            encoded_slashes: _,
            // Not a protection: the description of the rule in the catalogue.
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
        // Hooks, external policies and upstream decide by the operation's name. A name requires more than no name, and
        // two names cannot be ordered. Without hooks and without a policy, nothing in the gateway decides by the name.
        let names_count = names == Names::Count || other_policy.is_some();
        let access_covers = access.is_within(*other_access)
            // Both admit everyone, but only `Optional` identifies the client.
            && !(*access == Access::Public && *other_access == Access::Optional)
            // Two `Owner` rules must have the same `owner_from`. An admin passes without an owner check.
            && (*access != Access::Owner || *other_access != Access::Owner || owner_from == other_owner_from);
        access_covers
            && (!names_count || includes(operation.as_ref(), other_operation.as_ref()))
            // Ordered: no check, the standard check, the strict check.
            && csrf >= other_csrf
            // Ordered: `strict` restricts upstream's redirects.
            && redirects >= other_redirects
            // A checkout registers what upstream begins: a rule with a checkout requires more.
            && includes(checkout.as_ref(), other_checkout.as_ref())
            // A webhook is verified, claimed once and marked; other rules are not. Must be equal.
            && webhook == other_webhook
            // Each of these is a guard: a rule with it requires more, and two different values cannot be ordered.
            && includes(return_field.as_ref(), other_return_field.as_ref())
            && includes(limit.as_ref(), other_limit.as_ref())
            && includes(bot_check.as_ref(), other_bot_check.as_ref())
            && includes(feature.as_ref(), other_feature.as_ref())
            && includes(policy.as_ref(), other_policy.as_ref())
            && covers_idempotency(*idempotency, *other_idempotency)
            // Ordered: a required approval is stricter than no approval.
            && confirm >= other_confirm
            // Ordered: no audit row, a row after the response, a row before the request runs.
            && audit >= other_audit
            // Upstream, an endpoint of the gateway and an internal path are different. Must be equal.
            && destination == other_destination
    }
}

/// Returns true if the other rule has no value, or both have the same value.
fn includes<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
    other.is_none() || one == other
}

/// Compares idempotency settings. A rule with keys requires more than one without, and a required key more than an
/// optional one. All other settings (save, hold, retention, where the key is read) must be equal.
fn covers_idempotency(one: Option<Idempotency>, other: Option<Idempotency>) -> bool {
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
    use crate::routing::{
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
    fn orders_comparable_rules() {
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
            assert!(more.asks_at_least(&less, Names::Count), "{name}");
            assert!(!less.asks_at_least(&more, Names::Count), "{name}");
            assert!(more.asks_at_least(&more, Names::Count), "{name}");
        }
    }

    #[test]
    fn leaves_incomparable_rules_unordered() {
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
            ("endpoint", |_| {}, |rule| rule.destination = Destination::Endpoint(Endpoint::Me)),
            (
                "internal path",
                |rule| rule.destination = Destination::Endpoint(Endpoint::Me),
                |rule| rule.destination = Destination::Endpoint(Endpoint::InternalOnly),
            ),
            ("operation", |rule| rule.operation = Some("a".into()), |rule| rule.operation = Some("b".into())),
        ];
        for (name, one, other) in different {
            let (one, other) = (rule(one), rule(other));
            assert!(!one.asks_at_least(&other, Names::Count), "{name}");
            assert!(!other.asks_at_least(&one, Names::Count), "{name}");
        }
    }

    #[test]
    fn names_count_only_with_hooks_or_a_policy() {
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
        assert!(plain.asks_at_least(&other, Names::Count) && other.asks_at_least(&plain, Names::Count));
    }
}
