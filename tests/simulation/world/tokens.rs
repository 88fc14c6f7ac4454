//! Requests about tokens.

use vestibule::{
    accounts::{self, Accounts, Reply, Write},
    base::time::Timestamp,
    identity::principal::Role,
    platform::effects::ObjectCalls,
    sessions::registry::{self, Sessions},
    tokens::{Command, Hash, Token, Tokens},
};

use super::{Answer, Browser, World, is_admin, reference::State};

/// A token, as `Accounts` knows it.
#[derive(Clone, Debug)]
pub(super) struct KnownToken {
    pub(super) hash: String,
    pub(super) owner: String,
    /// The hash of the token that made it.
    pub(super) parent: Option<String>,
    pub(super) is_agents: bool,
    pub(super) is_revoked: bool,
    /// Whether the revocation was answered.
    pub(super) is_gone: bool,
}

impl KnownToken {
    pub(super) fn new(hash: &str, owner: &str, parent: Option<String>, is_agents: bool) -> Self {
        let (hash, owner) = (hash.to_owned(), owner.to_owned());
        Self { hash, owner, parent, is_agents, is_revoked: false, is_gone: false }
    }
}

fn token(world: &World, prefix: &str, parent: Option<String>) -> Token {
    let id = world.name("tok_");
    Token {
        name: id.clone(),
        id,
        prefix: prefix.to_owned(),
        owner: String::new(),
        agent: None,
        task: None,
        created_at: world.simulation.borrow().time(),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
        made_by_token: parent,
        takeovers: 0,
        scope: None,
    }
}

/// Makes a token: for an agent, for the user, or by another token of the user.
pub(super) async fn make(world: &World, by: &Browser) -> Answer<()> {
    let Some(role) = world.role_of(by).await? else { return Ok(None) };
    let is_agents = is_admin(role) && world.one_in(2);
    let parents: Vec<String> = {
        let reference = world.reference.borrow();
        let may = |token: &&super::tokens::KnownToken| {
            token.owner == by.user && !token.is_agents && token.parent.is_none()
        };
        reference.tokens.values().filter(may).map(|token| token.hash.clone()).collect()
    };
    let parent = if is_agents || world.one_in(2) { None } else { world.pick(&parents) };
    let token = token(world, if is_agents { "mk_" } else { "mul_" }, parent);
    let hash = Hash::of(&token.id);
    let write = Write::PutToken { hash: hash.0.clone(), token: token.clone(), is_for_admins: is_agents };
    match world.write(by, write).await? {
        Some(Reply::Done(true)) => {}
        _ => return Ok(None),
    }
    let token = Token { owner: by.user.clone(), ..token };
    world.call_object::<Tokens>(hash.object(), &Command::Put(hash.0.clone(), token)).await?;
    Ok(Some(()))
}

pub(super) async fn revoke(world: &World, by: &Browser) -> Answer<()> {
    let all: Vec<String> = world.reference.borrow().tokens.keys().cloned().collect();
    let (Some(id), Some(_)) = (world.pick(&all), world.role_of(by).await?) else { return Ok(None) };
    let Some(Reply::Tokens(found)) = world.write(by, Write::RevokeToken(id.clone())).await? else {
        return Ok(None);
    };
    for (hash, token) in found {
        let hash = Hash(hash);
        world.call_object::<Tokens>(hash.object(), &Command::Revoke(hash.0.clone(), token)).await?;
    }
    let delete = accounts::Command::DeleteToken(id.clone());
    world.call_object::<Accounts>(accounts::NAME, &delete).await?;
    if let Some(token) = world.reference.borrow_mut().tokens.get_mut(&id) {
        token.is_gone = true;
    }
    Ok(Some(()))
}

pub(super) async fn take_over(world: &World, by: &Browser) -> Answer<()> {
    let agents: Vec<String> = {
        let reference = world.reference.borrow();
        reference.tokens.iter().filter(|(_, token)| token.is_agents).map(|(id, _)| id.clone()).collect()
    };
    let (Some(id), Some(_)) = (world.pick(&agents), world.role_of(by).await?) else { return Ok(None) };
    let Some(Reply::Tokens(found)) = world.write(by, Write::TakeOverToken(id)).await? else {
        return Ok(None);
    };
    for (hash, token) in found {
        let (hash, id, takeovers) = (Hash(hash), token.id.clone(), token.takeovers);
        world.call_object::<Tokens>(hash.object(), &Command::Own(hash.0.clone(), token)).await?;
        let delivered = accounts::Command::TakeoverDelivered(id, takeovers);
        world.call_object::<Accounts>(accounts::NAME, &delivered).await?;
    }
    Ok(Some(()))
}

/// Uses a token, as `gateway/identify.rs` does without its caches.
pub(super) async fn use_token(world: &World) -> Answer<()> {
    let all: Vec<String> = world.reference.borrow().tokens.keys().cloned().collect();
    let Some(id) = world.pick(&all) else { return Ok(None) };
    // A change that is answered while this request is under way may count or not.
    let known = world.reference.borrow().tokens[&id].clone();
    let hash = Hash(known.hash.clone());
    let found = world.call_object::<Tokens>(hash.object(), &Command::Find(hash.0.clone())).await?;
    let Some(token) = found.filter(|token| token.is_live(Timestamp(i64::MAX - 1))) else { return Ok(None) };
    let mut is_parent_gone = false;
    if let Some(parent) = &token.made_by_token {
        let is_gone = |known: &KnownToken| known.hash == *parent && known.is_gone;
        is_parent_gone = world.reference.borrow().tokens.values().any(is_gone);
        let hash = Hash(parent.clone());
        let found = world.call_object::<Tokens>(hash.object(), &Command::Find(hash.0.clone())).await?;
        if found.is_none_or(|parent| parent.revoked_at.is_some()) {
            return Ok(None);
        }
    }
    let first = world.reference.borrow().people[&token.owner].answered.status;
    let status = world.call_object::<Sessions>(&token.owner, &registry::Command::ReadUserStatus).await?;
    let registry::Reply::UserStatus(Some(status)) = status else { return Ok(None) };
    let is_admitted = status.active && (!known.is_agents || status.role == Role::Admin);
    if is_admitted {
        assert!(!known.is_gone && !is_parent_gone, "{id} was revoked");
        let fits = |state: &State| state.active && (!known.is_agents || is_admin(state.role));
        // The states that were possible when the registry was asked, and those since.
        let since = world.reference.borrow().people[&token.owner].states[first..].to_vec();
        assert!(since.iter().any(fits), "{id} acts for {since:?}");
    }
    Ok(Some(()))
}
