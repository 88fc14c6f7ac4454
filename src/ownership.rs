//! Asking upstream whose something is: the one question that it is put before a request is let in.

use crate::{
    access::Identity,
    config::Config,
    context::Request,
    effects::{Effects, UpstreamRequest},
    forward::{self, IdentityHeaders},
    outline::outlined,
    owner::{self, Ownership},
    path::CanonicalPath,
    principal::Role,
    problem::Fault,
    rule::{Access, Rule},
    step::Step,
};

/// Finds out whether what a rule guards is whoever's asks. Of an admin, an agent and nobody, it makes no
/// difference.
///
/// # Errors
/// [`Fault::UpstreamFailed`], [`Fault::UpstreamTimeout`].
pub async fn establish<E: Effects>(
    config: &Config,
    effects: &E,
    rule: &Rule,
    (request, path): (&Request<'_>, &CanonicalPath<'_>),
    identity: &Identity,
    stamps: IdentityHeaders<'_>,
) -> Result<Ownership, Fault> {
    let (Access::Owner, Some(owner_from), Ok(principal)) =
        (rule.access, &rule.owner_from, &identity.principal)
    else {
        return Ok(Ownership::Unasked);
    };
    let Some(user_id) = principal.user_id().filter(|_| principal.role != Some(Role::Admin)) else {
        return Ok(Ownership::Unasked);
    };
    if let Some(dry_run) = effects.as_dry_run() {
        dry_run.assume(Step::Access);
        return Ok(Ownership::Theirs);
    }
    let target = owner_from.of(path);
    let stamps = IdentityHeaders { target: &target, ..stamps };
    let asked = forward::asking_owner(config, rule, request, principal, stamps);
    outlined(ask(effects, asked, user_id)).await
}

async fn ask<E: Effects>(effects: &E, asked: UpstreamRequest<'_>, user_id: &str) -> Result<Ownership, Fault> {
    let told = effects.head(asked).await?;
    owner::judge(told.status, &told.headers(), user_id)
}
