//! Claims: the right to run a request once. A key is claimed in the ledger before the request is forwarded, and the
//! claim is settled with the outcome. This is what both kinds of claims share.

use std::time::Duration;

use super::ledger::{self, About, ClaimRequest, Ledger, Verdict};
use crate::{
    http::{problem::Fault, reply::Reply},
    platform::{
        effects::{Effects, UpstreamResponse},
        event::ClaimState,
    },
};

/// The result of claiming: what to do with the request.
#[derive(Debug)]
pub enum ClaimResult<R, C> {
    /// Run the request. It needs no claim.
    NotNeeded,
    /// Run the request, then settle this claim.
    Granted(C),
    /// The request ran before. This is the stored answer.
    Replay(UpstreamResponse<R>),
    /// Do not run the request. This is the answer.
    Answer(Reply),
}

impl<R, C> ClaimResult<R, C> {
    /// Changes the type of the claim.
    pub fn map<D>(self, change: impl FnOnce(C) -> D) -> ClaimResult<R, D> {
        match self {
            Self::NotNeeded => ClaimResult::NotNeeded,
            Self::Granted(claim) => ClaimResult::Granted(change(claim)),
            Self::Replay(response) => ClaimResult::Replay(response),
            Self::Answer(reply) => ClaimResult::Answer(reply),
        }
    }
}

/// A granted claim, and what its kind adds: for a client's key, or for a provider's event.
#[derive(Debug)]
pub struct Claimed<K> {
    /// The claim.
    pub granted: GrantedClaim,
    /// What its kind adds.
    pub kind: K,
}

/// A claim that was granted to this request.
#[derive(Debug)]
pub struct GrantedClaim {
    /// The key in the ledger.
    pub about: About,
    /// The fencing token.
    pub fencing_token: String,
}

/// The ledger's answer to a claim.
#[derive(Debug)]
pub struct Started<A> {
    /// The verdict.
    pub verdict: Verdict,
    /// The sealed answer, if the record has it.
    pub attachment: Option<A>,
}

/// Claims a key. If the ledger's reply is lost, releases the claim after the response: nothing ran under it.
///
/// # Errors
/// [`Fault::StoreUnavailable`].
pub async fn start<E: Effects>(
    effects: &E,
    about: &About,
    claim: ClaimRequest,
) -> Result<Started<E::Attachment>, Fault> {
    let release = ledger::Command::Transition(
        about.key.clone(),
        ledger::Transition::Release(claim.fencing_token.clone()),
    );
    match effects
        .call_for_attachment::<Ledger>(&about.scope, &ledger::Command::Start(about.clone(), claim))
        .await
    {
        Ok((ledger::Reply::Verdict(verdict), attachment)) => Ok(Started { verdict, attachment }),
        Ok(_) => Err(Fault::Internal),
        Err(fault) => {
            effects.call_after_response::<Ledger>(&about.scope, &release);
            Err(fault)
        }
    }
}

impl GrantedClaim {
    /// Releases the claim, so that the request may run again.
    pub async fn release<E: Effects>(&self, effects: &E) -> ClaimState {
        match self.send(effects, ledger::Transition::Release(self.fencing_token.clone())).await {
            ClaimState::Settled => ClaimState::Released,
            other => other,
        }
    }

    /// Sends a transition of the claim's record to the ledger. Returns [`ClaimState::Settled`] or
    /// [`ClaimState::Unsettled`].
    pub async fn send<E: Effects>(&self, effects: &E, change: ledger::Transition) -> ClaimState {
        let command = ledger::Command::Transition(self.about.key.clone(), change);
        settled(&effects.call_object::<Ledger>(&self.about.scope, &command).await)
    }
}

/// Returns [`ClaimState::Settled`] if the ledger stored the outcome. Otherwise, the outcome becomes unknown when the
/// lease ends.
#[must_use]
pub fn settled(reply: &Result<ledger::Reply, Fault>) -> ClaimState {
    if *reply == Ok(ledger::Reply::Verdict(Verdict::Done)) {
        ClaimState::Settled
    } else {
        ClaimState::Unsettled
    }
}

/// Time for settling a claim. It is added to the timeout of upstream for the lease.
pub const SETTLING_TIME: Duration = Duration::from_secs(15);
