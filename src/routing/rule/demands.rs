//! Compares the requirements of two rules.
//!
//! Servers read one path in several ways, so a request may match several rules at once. The rule that decides must
//! require at least as much as each of them, in every member. The comparison destructures both rules without `..`, so
//! a new member does not compile until a developer decides here whether it protects something, and how it is ordered.

use std::time::Duration;

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
    pub fn is_at_least_as_strict_as(&self, other: &Self, names: Names) -> bool {
        let Self {
            // Not a protection: the place of the rule, not a requirement.
            path: _,
            // Not a protection: only rules that accept the request's method are compared.
            methods: _,
            operation,
            access,
            recent,
            stream_check,
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
            // Not compared: the table reports a refusal only if all rules that it compared report it.
            reports: _,
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
            recent: other_recent,
            stream_check: other_stream_check,
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
            reports: _,
            encoded_slashes: _,
            catalogue: _,
            destination: other_destination,
        } = other;
        // Hooks, external policies and upstream decide by the operation's name. A name requires more than no name, and
        // two names cannot be ordered. Without hooks and without a policy, nothing in the gateway decides by the name.
        let names_count = names == Names::Count || other_policy.is_some();
        let access_covers = access.is_subset_of(*other_access)
            // Both admit everyone, but only `Optional` identifies the client.
            && !(*access == Access::Public && *other_access == Access::Optional)
            // Two `Owner` rules must have the same `owner_from`. An admin passes without an owner check.
            && (*access != Access::Owner || *other_access != Access::Owner || owner_from == other_owner_from);
        access_covers
            // Ordered: no maximum, a longer one, a shorter one.
            && is_at_most(*recent, *other_recent)
            // Ordered: no check of open streams, a check after a longer time, after a shorter time.
            && is_at_most(*stream_check, *other_stream_check)
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

/// Returns true if the other rule has no maximum, or this one is at most as long.
fn is_at_most(one: Option<Duration>, other: Option<Duration>) -> bool {
    other.is_none_or(|other| one.is_some_and(|one| one <= other))
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
mod tests;
