//! The ownership lookup: the only request that the gateway sends to upstream before it admits a client's request.
//! [`crate::routing::owner`] describes the request and the answer.

use super::settings::UpstreamContext;
use crate::{
    base::outline::outlined,
    http::{path::CanonicalPath, problem::Fault, request::Request},
    identity::{access::Identity, principal::Role},
    platform::{
        effects::{Effects, UpstreamRequest},
        step::Step,
    },
    routing::{
        owner::{self, Ownership},
        rule::{Access, Rule},
    },
    upstream::forward::{self, IdentityHeaders},
};

/// Asks upstream whether the caller owns the entity that the rule guards. For admins, agents and callers without a
/// principal, ownership makes no difference, so upstream is not asked. A dry run assumes that the caller is the owner.
///
/// # Errors
/// [`Fault::UpstreamFailed`], [`Fault::UpstreamTimeout`].
pub async fn look_up_owner<E: Effects>(
    cx: UpstreamContext<'_>,
    effects: &E,
    rule: &Rule,
    request: &Request<'_>,
    path: &CanonicalPath<'_>,
    identity: &Identity,
    identity_headers: IdentityHeaders<'_>,
) -> Result<Ownership, Fault> {
    let (Access::Owner, Some(owner_from), Ok(principal)) =
        (rule.access, &rule.owner_from, &identity.principal)
    else {
        return Ok(Ownership::NotChecked);
    };
    let Some(user_id) = principal.user_id().filter(|_| principal.role != Some(Role::Admin)) else {
        return Ok(Ownership::NotChecked);
    };
    if let Some(dry_run) = effects.as_dry_run() {
        dry_run.assume(Step::Access);
        return Ok(Ownership::Owner);
    }
    let target = owner_from.of(path);
    let identity_headers = IdentityHeaders { target: &target, ..identity_headers };
    let lookup = forward::owner_lookup(cx, rule, request, principal, identity_headers);
    outlined(send(effects, lookup, user_id)).await
}

async fn send<E: Effects>(
    effects: &E,
    lookup: UpstreamRequest<'_>,
    user_id: &str,
) -> Result<Ownership, Fault> {
    let response = effects.head(lookup).await?;
    owner::check_response(response.status, &response.headers(), user_id)
}
