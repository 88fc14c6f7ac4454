//! In the Worker: finding the account of a sign-in, and telling a change before it is answered.

use super::{
    Command, EmailHash, Logins, ReadAccount, Reply,
    outbox::{Told, Untold},
};
use crate::{
    accounts::{self, Accounts},
    http::problem::Fault,
    platform::effects::ObjectCalls,
    sessions::registry::{self, Sessions},
};

/// Where an account is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In its shard. If the deployment has no shards, or if the shard is not filled yet: in `Accounts`.
    Copy,
    /// In `Accounts`.
    Truth,
}

/// Finds an account by its e-mail address, for a sign-in.
///
/// # Errors
/// [`Fault::StoreUnavailable`].
pub async fn find<E: ObjectCalls>(
    effects: &E,
    has_shards: bool,
    email: &str,
    source: Source,
) -> Result<ReadAccount, Fault> {
    if !has_shards {
        let find = accounts::Command::Find(email.to_owned());
        return match effects.call_object::<Accounts>(accounts::NAME, &find).await? {
            accounts::Reply::Account(account) => Ok(ReadAccount { account, version: None }),
            _ => Err(Fault::Internal),
        };
    }
    if source == Source::Copy {
        let hash = EmailHash::of(email);
        let find = Command::Find(hash.clone());
        match effects.call_object::<Logins>(hash.shard(), &find).await? {
            Reply::Account(found) => return Ok(found),
            Reply::Unfilled => {}
            Reply::Done => return Err(Fault::Internal),
        }
    }
    let find = accounts::Command::FindForShards(email.to_owned());
    match effects.call_object::<Accounts>(accounts::NAME, &find).await? {
        accounts::Reply::Login(found) => Ok(found),
        _ => Err(Fault::Internal),
    }
}

/// Tells a change of a user to the user's sessions, and then to the shard.
///
/// # Errors
/// [`Fault::StoreUnavailable`]: the alarm of `Accounts` tells it later. The caller must not report success.
pub async fn tell<E: ObjectCalls>(effects: &E, user: &str) -> Result<(), Fault> {
    let untold = accounts::Command::Untold(user.to_owned());
    let accounts::Reply::Untold(untold) = effects.call_object::<Accounts>(accounts::NAME, &untold).await?
    else {
        return Err(Fault::Internal);
    };
    let Some(Untold { version, required, copies, emails }) = untold else { return Ok(()) };
    // First the sessions: from then on, no sign-in by an earlier copy succeeds.
    if let Some(mark) = required {
        effects.call_object::<Sessions>(user, &registry::Command::RequireCredentials(mark)).await?;
    }
    for copy in copies {
        let shard = copy.email.shard().to_owned();
        effects.call_object::<Logins>(&shard, &Command::Put(version, vec![copy])).await?;
    }
    let told = Told { version, emails, user: required.map(|_| user.to_owned()) };
    effects.call_object::<Accounts>(accounts::NAME, &accounts::Command::Told(told)).await.map(drop)
}
