//! Requests about passwords.

use vestibule::{
    accounts::{
        self, Accounts, Command, Reply, Write,
        logins::tell,
        passwords::{
            LIFETIME, LinkProof, NewLink, NewPassword, PasswordChanged, PasswordCommand, PasswordReply,
            PasswordWrite,
        },
    },
    identity::{author::Author, principal::Role},
    platform::effects::ObjectCalls,
    sessions::registry::{self, PasswordChange, Reauthentication, Sessions},
    tokens::{self, Hash, Tokens},
};

use super::{Answer, Browser, World, requests::someone};

pub(super) async fn change_password(world: &World, by: &Browser) -> Answer<()> {
    if world.role_of(by).await?.is_none() {
        return Ok(None);
    }
    let Some(compared) =
        world.reference.borrow().person(&by.user).map(|person| person.state().password.clone())
    else {
        return Ok(None);
    };
    let new = new_password(world);
    let write = Write::Password(PasswordWrite::Change { compared, new });
    let Some(Reply::Password(PasswordReply::Changed(changed))) = world.write(by, write).await? else {
        return Ok(None);
    };
    propagate(world, changed).await?;
    let (now, author) = (world.simulation.borrow().time(), world.author(by));
    let expires_at = now.plus(std::time::Duration::from_hours(1_000));
    let request = Reauthentication {
        author: Author { checked_at: now, ..author },
        new_session: world.name("ses_"),
        expires_at,
    };
    world.call_object::<Sessions>(&by.user, &registry::Command::Reauthenticate(request)).await?;
    Ok(Some(()))
}

fn new_password(world: &World) -> NewPassword {
    NewPassword { stored: world.name("password "), revoke_tokens: world.one_in(2) }
}

async fn propagate(world: &World, changed: PasswordChanged) -> Answer<()> {
    let PasswordChanged { user, change, tokens, .. } = changed;
    let PasswordChange { version, .. } = change;
    world.call_object::<Sessions>(&user, &registry::Command::PasswordChanged(change)).await?;
    world.notify_ended(&user).await?;
    tell::tell(world, &user).await?;
    let revoked: Vec<String> = tokens.iter().map(|(_, token)| token.id.clone()).collect();
    for (hash, token) in tokens {
        let hash = Hash(hash);
        let revoke = tokens::Command::Revoke(hash.0.clone(), token);
        world.call_object::<Tokens>(hash.object(), &revoke).await?;
    }
    let delivered = Command::Password(PasswordCommand::Delivered(user.clone(), version));
    world.call_object::<Accounts>(accounts::NAME, &delivered).await?;
    let index = world.reference.borrow().people[&user].index_of(version);
    world.answered_credentials(&user, index);
    let mut reference = world.reference.borrow_mut();
    for id in revoked {
        if let Some(token) = reference.tokens.get_mut(&id) {
            token.is_gone = true;
        }
    }
    Ok(Some(()))
}

/// The text of a link's token.
fn link_token(world: &World) -> String {
    let number = world.name("");
    format!("mkr_{number:0>8}{:A>19}", "")
}

pub(super) async fn make_link(world: &World, by: &Browser) -> Answer<()> {
    let Some(user) = someone(world) else { return Ok(None) };
    if world.role_of(by).await? != Some(Role::Admin) {
        return Ok(None);
    }
    let proof = LinkProof::of(&link_token(world)).expect("a token");
    let expires_at = world.simulation.borrow().time().plus(LIFETIME);
    let link = NewLink { proof: proof.clone(), expires_at };
    world.write(by, Write::Password(PasswordWrite::MakeLink(user, link))).await?;
    set_password(world, proof).await
}

/// Asks for a link by mail, and uses it.
pub(super) async fn use_link(world: &World) -> Answer<()> {
    let Some(user) = someone(world) else { return Ok(None) };
    let email = world.reference.borrow().people[&user].email.clone();
    let proof = LinkProof::of(&link_token(world)).expect("a token");
    let expires_at = world.simulation.borrow().time().plus(LIFETIME);
    let link = NewLink { proof: proof.clone(), expires_at };
    let request = Command::Password(PasswordCommand::RequestLink(email, link));
    match world.call_object::<Accounts>(accounts::NAME, &request).await? {
        Reply::Password(PasswordReply::Requested(Some(_))) => set_password(world, proof).await,
        _ => Ok(None),
    }
}

/// Uses a link, twice.
async fn set_password(world: &World, proof: LinkProof) -> Answer<()> {
    for _ in 0..2 {
        let command = Command::Password(PasswordCommand::UseLink(proof.clone(), new_password(world)));
        let reply = world.call_object::<Accounts>(accounts::NAME, &command).await;
        if let Ok(Reply::Password(PasswordReply::Changed(changed))) = reply {
            propagate(world, changed).await?;
        }
    }
    Ok(Some(()))
}
