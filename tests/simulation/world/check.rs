//! What holds at any time, and when nothing is under way.

use vestibule::{
    accounts::{
        self, Accounts,
        logins::{self, EmailHash, Logins},
    },
    platform::store::Store,
    sessions::{
        lifetime::Limits,
        registry::{self, Sessions},
    },
    tokens::{self, Hash, Tokens},
};

use super::{EMAILS, World};

/// What has ended stays ended.
pub(super) fn always(world: &World) {
    let ended: Vec<String> = world.reference.borrow().ended.iter().cloned().collect();
    let Some(id) = world.pick(&ended) else { return };
    check_ended(world, &id);
}

fn check_ended(world: &World, id: &str) {
    let user = world.reference.borrow().sign_ins[id].user.clone();
    let check = registry::Command::CheckReadOnly(id.to_owned(), Limits::default());
    let now = world.simulation.borrow().time();
    let reply = world.objects.call::<Sessions>(&user, &check, now).expect("a reply");
    assert_eq!(reply, registry::Reply::Gone, "{id} lives again");
}

/// All objects agree, and nothing is left to tell.
pub(super) fn drained(world: &World) {
    let ended: Vec<String> = world.reference.borrow().ended.iter().cloned().collect();
    for id in ended {
        check_ended(world, &id);
    }
    people(world);
    machine_tokens(world);
    copies(world);
    for table in ["untold", "untold_tokens", "untold_passwords", "untold_credentials", "untold_requirements"]
    {
        let rows = world.objects.with::<Accounts, _>(accounts::NAME, |store| {
            store.run(&format!("SELECT 1 FROM {table}"), &[]).expect("rows").len()
        });
        assert_eq!(rows, 0, "{table}");
    }
}

/// The registry has each user's role and status, and no session that a change should have ended.
fn people(world: &World) {
    let now = world.simulation.borrow().time();
    let reference = world.reference.borrow();
    for (id, person) in &reference.people {
        let find = accounts::Command::User(id.clone());
        let accounts::Reply::User(found) =
            world.objects.call::<Accounts>(accounts::NAME, &find, now).expect("a reply")
        else {
            panic!("a user")
        };
        let state = person.state();
        assert_eq!(found.is_some(), person.exists, "{id}");
        if let Some(found) = found {
            assert_eq!(
                (found.role, found.active, found.email),
                (state.role, state.active, person.email.clone())
            );
        }
        let call = |command| world.objects.call::<Sessions>(id, &command, now).expect("a reply");
        if let registry::Reply::UserStatus(Some(status)) = call(registry::Command::ReadUserStatus) {
            let is_from_deletion = status.version <= person.deleted_at && !status.active;
            assert!(is_from_deletion || status.active == (state.active && person.exists), "{id}: {status:?}");
            assert!(!status.active || status.role == state.role, "{id} is {:?}", status.role);
        }
        let registry::Reply::Sessions(live) = call(registry::Command::List(Limits::default())) else {
            panic!("sessions")
        };
        for session in live {
            let sign_in = &reference.sign_ins[&session.id];
            assert!(person.exists && state.active, "{} of {id}, who is disabled", session.id);
            assert_eq!(sign_in.password, state.password, "{} knows another password", session.id);
            assert!(sign_in.version > person.ended_at, "{} is from before {id} was disabled", session.id);
        }
    }
}

fn machine_tokens(world: &World) {
    let now = world.simulation.borrow().time();
    for (id, known) in &world.reference.borrow().tokens {
        let hash = Hash(known.hash.clone());
        let find = tokens::Command::Find(hash.0.clone());
        let found = world.objects.call::<Tokens>(hash.object(), &find, now).expect("a reply");
        // A token that was made by another one is valid only with that one.
        let is_live = found.as_ref().is_some_and(|token| token.is_live(now));
        assert!(!is_live || !known.is_revoked || known.parent.is_some(), "{id} is revoked");
        if let Some(token) = found.filter(|_| !known.is_revoked) {
            assert!(is_live, "{id} is not revoked");
            assert_eq!(token.owner, known.owner, "{id}");
        }
    }
}

/// Each shard has what `Accounts` has.
fn copies(world: &World) {
    let now = world.simulation.borrow().time();
    for email in EMAILS {
        let find = accounts::Command::Find(email.to_owned());
        let accounts::Reply::Account(truth) =
            world.objects.call::<Accounts>(accounts::NAME, &find, now).expect("a reply")
        else {
            panic!("an account")
        };
        let hash = EmailHash::of(email);
        let find = logins::Command::Find(hash.clone());
        match world.objects.call::<Logins>(hash.shard(), &find, now).expect("a reply") {
            logins::Reply::Account(copy) => assert_eq!(copy.account, truth, "{email}"),
            other => panic!("{other:?}"),
        }
    }
}
