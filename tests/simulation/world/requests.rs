//! What Workers do for requests, as the endpoints of `accounts` do.

use std::rc::Rc;

use vestibule::{
    accounts::{
        self, Account, Accounts, Command, Invite, NewUser, Reply, Status, Write,
        factors::{
            ConfirmTotp, Enrollment, FactorCommand, FactorReply, FactorWrite, Proof, Ticket, UsedStep,
            ticket::{Purpose, generation},
        },
        logins::tell::{self, Source},
        settings::RequiredFactor,
        transfer::{NumberedRecord, UserRecord},
    },
    identity::principal::Role,
    platform::effects::ObjectCalls,
    sessions::{
        lifetime::Limits,
        registry::{self, End, Session, Sessions, UserStatus, Which},
    },
};

use super::{Answer, Browser, EMAILS, Task, World, passwords, reference::SignIn, tokens};

/// Begins a random request.
pub(super) fn begin(world: &Rc<World>) -> Task {
    let world = Rc::clone(world);
    Box::pin(async move {
        // A client that gets no answer may send its request again.
        let kind = world.below(20);
        let by = world.browser();
        for _ in 0..3 {
            let result = carry_out(&world, kind, by.as_ref()).await;
            if result.is_ok() || world.one_in(2) {
                return;
            }
        }
    })
}

async fn carry_out(world: &World, kind: usize, by: Option<&Browser>) -> Answer<()> {
    let Some(by) = by.filter(|_| kind > 4) else {
        let email = EMAILS[world.below(EMAILS.len())];
        return if kind == 0 { passwords::use_link(world).await } else { sign_in(world, email).await };
    };
    match kind {
        5 | 6 => change_user(world, by).await,
        7 => delete_user(world, by).await,
        8 | 9 => invite(world, by).await,
        10 => import(world, by).await,
        11 => passwords::change_password(world, by).await,
        12 => passwords::make_link(world, by).await,
        13 => factor(world, by).await,
        14 => end_sessions(world, by).await,
        15 => sign_out(world, by).await,
        16 => tokens::make(world, by).await,
        17 => tokens::revoke(world, by).await,
        18 => tokens::take_over(world, by).await,
        _ => tokens::use_token(world).await,
    }
}

pub(super) fn sign_in_as(world: &Rc<World>, email: &'static str) -> Task {
    let world = Rc::clone(world);
    Box::pin(async move {
        let _ = sign_in(&world, email).await;
    })
}

/// Invites a user for each free address.
pub(super) fn invite_all(world: &Rc<World>) -> Task {
    let world = Rc::clone(world);
    Box::pin(async move {
        let by = world.browser().expect("a session");
        while EMAILS.iter().any(|email| world.reference.borrow().by_email(email).is_none()) {
            invite(&world, &by).await.expect("an answer");
        }
    })
}

impl World {
    /// Returns a browser with a session, perhaps one that has ended.
    fn browser(&self) -> Option<Browser> {
        let reference = self.reference.borrow();
        let live: Vec<&String> =
            reference.opened.iter().filter(|id| !reference.ended.contains(*id) || self.one_in(20)).collect();
        let session = self.pick(&live)?.clone();
        Some(Browser { user: reference.sign_ins[&session].user.clone(), session })
    }

    /// Checks a session as the gateway does, and returns the role of its user.
    pub(super) async fn role_of(&self, by: &Browser) -> Answer<Role> {
        let first = self.reference.borrow().people[&by.user].answered.status;
        let had_ended = self.reference.borrow().ended.contains(&by.session);
        let check = registry::Command::Check(by.session.clone(), Limits::default());
        let registry::Reply::Live(live) = self.call_object::<Sessions>(&by.user, &check).await? else {
            return Ok(None);
        };
        assert!(!had_ended, "{} had ended", by.session);
        // The states that were possible when the registry was asked, and those since.
        let since = self.reference.borrow().people[&by.user].states[first..].to_vec();
        let fits = |state: &super::reference::State| state.active && state.role == live.role;
        assert!(since.iter().any(fits), "{} is {:?}: {since:?}", by.user, live.role);
        Ok(Some(live.role))
    }

    /// Sends a change, and tells it. Returns `None` if the author may not make it.
    pub(super) async fn write(&self, by: &Browser, write: Write) -> Answer<Reply> {
        let author = self.author(by);
        let concerned = write.concerns(&author).map(str::to_owned);
        match self.call_object::<Accounts>(accounts::NAME, &Command::Write(author, write)).await? {
            Reply::Refused(_) => Ok(None),
            reply => {
                if let Some(user) = concerned {
                    tell::tell(self, &user).await?;
                }
                Ok(Some(reply))
            }
        }
    }

    /// A change of the status was answered: only the state with this version and later ones count.
    fn answered_status(&self, user: &str, version: i64) {
        let mut reference = self.reference.borrow_mut();
        let person = reference.people.get_mut(user).expect("a user");
        person.answered.status = person.answered.status.max(person.index_of(version));
    }

    /// A change of the credentials was answered.
    pub(super) fn answered_credentials(&self, user: &str, index: usize) {
        let mut reference = self.reference.borrow_mut();
        let answered = &mut reference.people.get_mut(user).expect("a user").answered;
        answered.credentials = answered.credentials.max(index);
    }

    pub(super) async fn notify_ended(&self, user: &str) -> Answer<()> {
        let recent = self.call_object::<Sessions>(user, &registry::Command::RecentlyEnded).await?;
        let registry::Reply::RecentlyEnded(recent) = recent else { panic!("{recent:?}") };
        if let Some(sessions) = recent.sessions {
            self.call_object::<Accounts>(accounts::NAME, &Command::EndedSessions(sessions)).await?;
        }
        Ok(Some(()))
    }
}

/// Signs in with the present password or an earlier one, and with a second factor if there is one.
async fn sign_in(world: &World, email: &str) -> Answer<()> {
    let password = {
        let reference = world.reference.borrow();
        let Some(id) = reference.by_email(email) else { return Ok(None) };
        let states = &reference.people[id].states;
        let at = if world.one_in(4) { world.below(states.len()) } else { states.len() - 1 };
        states[at].password.clone()
    };
    for source in [Source::Copy, Source::Truth] {
        let read = tell::find(world, true, email, source).await?;
        let Some(account) = read.account else { return Ok(None) };
        if !account.status.active || account.password != password {
            return Ok(None);
        }
        if account.factors.is_enrolled() {
            return second_step(world, account).await;
        }
        match open(world, &account.id, account.status, &password, false, read.version).await? {
            Some(registry::Reply::Stale) => {}
            _ => return Ok(Some(())),
        }
    }
    Ok(None)
}

async fn second_step(world: &World, account: Account) -> Answer<()> {
    let factor =
        world.reference.borrow().person(&account.id).and_then(|person| person.state().factor.clone());
    let Some(factor) = factor else { return Ok(None) };
    let expires_at = world.simulation.borrow().time().plus(std::time::Duration::from_mins(5));
    let ticket = Ticket {
        id: world.name("tkt_"),
        purpose: Purpose::SignIn,
        user: account.id.clone(),
        generation: generation(&account.password, &account.status),
        expires_at,
    };
    let step = i64::try_from(world.below(1_000)).unwrap();
    let proof = Proof::Totp(UsedStep { id: factor, step, resealed: None });
    let command = Command::Factor(FactorCommand::SignIn(ticket, proof));
    match world.call_object::<Accounts>(accounts::NAME, &command).await? {
        Reply::Factor(FactorReply::SignedIn(status)) => {
            open(world, &account.id, status, &account.password, true, None).await?;
            Ok(Some(()))
        }
        _ => Ok(None),
    }
}

async fn open(
    world: &World,
    user: &str,
    status: UserStatus,
    password: &str,
    has_proved_factor: bool,
    credentials: Option<i64>,
) -> Answer<registry::Reply> {
    let id = world.name("ses_");
    let sign_in = SignIn {
        user: user.to_owned(),
        password: password.to_owned(),
        has_proved_factor,
        version: status.version,
    };
    world.reference.borrow_mut().sign_ins.insert(id.clone(), sign_in);
    let now = world.simulation.borrow().time();
    let end = now.plus(std::time::Duration::from_hours(1_000));
    let session = Session { credentials, ..Session::opened(&id, now, end) };
    world.call_object::<Sessions>(user, &registry::Command::Open(status, session)).await.map(Some)
}

/// Tells the registry of a new status, and what to answer.
async fn apply_status(world: &World, user: &str, reply: Option<Reply>) -> Answer<()> {
    let Some(Reply::UserStatus(status)) = reply else { return Ok(None) };
    let (version, is_disabled) = (status.version, !status.active);
    world.call_object::<Sessions>(user, &registry::Command::Apply(status)).await?;
    if is_disabled {
        world.notify_ended(user).await?;
    }
    let delivered = Command::StatusDelivered(user.to_owned(), version);
    world.call_object::<Accounts>(accounts::NAME, &delivered).await?;
    world.answered_status(user, version);
    Ok(Some(()))
}

pub(super) fn someone(world: &World) -> Option<String> {
    let people: Vec<String> = world.reference.borrow().people.keys().cloned().collect();
    world.pick(&people)
}

async fn change_user(world: &World, by: &Browser) -> Answer<()> {
    let Some(id) = someone(world).filter(|id| *id != by.user || world.one_in(3)) else { return Ok(None) };
    if world.role_of(by).await? != Some(Role::Admin) {
        return Ok(None);
    }
    let role = [None, Some(Role::Admin), Some(Role::User)][world.below(3)];
    let is_active = world.reference.borrow().people[&id].state().active;
    let active = if world.one_in(2) { Some(!is_active) } else { None };
    let write = Write::ChangeUser { id: id.clone(), role, active, required: RequiredFactor::Nobody };
    let reply = world.write(by, write).await?;
    apply_status(world, &id, reply).await
}

async fn delete_user(world: &World, by: &Browser) -> Answer<()> {
    let Some(id) = someone(world) else { return Ok(None) };
    if world.role_of(by).await? != Some(Role::Admin) {
        return Ok(None);
    }
    let reply = world.write(by, Write::DeleteUser(id.clone())).await?;
    apply_status(world, &id, reply).await
}

/// Adds a user again whose record was exported before.
async fn import(world: &World, by: &Browser) -> Answer<()> {
    let deleted: Vec<String> = {
        let reference = world.reference.borrow();
        reference.people.iter().filter(|(_, person)| !person.exists).map(|(id, _)| id.clone()).collect()
    };
    let Some(id) = world.pick(&deleted) else { return Ok(None) };
    if world.role_of(by).await? != Some(Role::Admin) {
        return Ok(None);
    }
    let record = {
        let reference = world.reference.borrow();
        let person = &reference.people[&id];
        UserRecord {
            id,
            email: person.email.clone(),
            name: None,
            role: person.state().role,
            active: true,
            created_at: world.simulation.borrow().time(),
            password: person.state().password.clone(),
            totp: None,
            recovery_codes: Vec::new(),
            passkeys: Vec::new(),
        }
    };
    let records = vec![NumberedRecord { line: 1, record }];
    world.write(by, Write::ImportUsers { records, is_dry_run: false }).await?;
    Ok(Some(()))
}

/// Makes an invite, and redeems it twice.
async fn invite(world: &World, by: &Browser) -> Answer<()> {
    if world.role_of(by).await? != Some(Role::Admin) {
        return Ok(None);
    }
    let (id, now) = (world.name("inv_"), world.simulation.borrow().time());
    let email = world.one_in(2).then(|| EMAILS[world.below(EMAILS.len())].to_owned());
    let invite = Invite {
        id: id.clone(),
        email: email.clone(),
        role: if world.one_in(2) { Role::Admin } else { Role::User },
        status: Status::Unused,
        created_at: now,
        created_by: by.user.clone(),
        expires_at: None,
        used_by: None,
        used_at: None,
    };
    let token_hash = format!("hash of {id}");
    match world.write(by, Write::MakeInvite { invite, token_hash: token_hash.clone() }).await? {
        Some(Reply::Invite(_)) => {}
        _ => return Ok(None),
    }
    for _ in 0..2 {
        let email = EMAILS[world.below(EMAILS.len())].to_owned();
        let new = NewUser { id: world.name("usr_"), email, name: None, password: world.name("password ") };
        let (user, password) = (new.id.clone(), new.password.clone());
        let redeem = Command::Redeem(token_hash.clone(), new);
        if let Ok(Reply::UserStatus(status)) = world.call_object::<Accounts>(accounts::NAME, &redeem).await {
            open(world, &user, status, &password, false, None).await?;
        }
    }
    Ok(Some(()))
}

/// Enrolls or removes codes of an authenticator app.
async fn factor(world: &World, by: &Browser) -> Answer<()> {
    if world.role_of(by).await?.is_none() {
        return Ok(None);
    }
    // The change is a later state than those.
    let known = world.reference.borrow().people[&by.user].states.len();
    if world.one_in(3) {
        let remove = Write::Factor(FactorWrite::RemoveTotp(RequiredFactor::Nobody));
        if world.write(by, remove).await? == Some(Reply::Factor(FactorReply::Done)) {
            world.answered_credentials(&by.user, known);
        }
        return Ok(Some(()));
    }
    let id = world.name("fac_");
    let begin = Enrollment::BeginTotp { id: id.clone(), sealed: "sealed".to_owned() };
    let confirm = Enrollment::ConfirmTotp(ConfirmTotp { id, step: 0, recovery_codes: Vec::new() });
    for enrollment in [begin, confirm] {
        let reply = world.write(by, Write::Factor(FactorWrite::Enroll(enrollment))).await?;
        match reply {
            Some(Reply::Factor(FactorReply::Begun(_))) => {}
            Some(Reply::Factor(FactorReply::Done)) => world.answered_credentials(&by.user, known),
            _ => return Ok(None),
        }
    }
    Ok(Some(()))
}

/// Signs out everywhere else, or ends all sessions of another user.
async fn end_sessions(world: &World, by: &Browser) -> Answer<()> {
    let Some(role) = world.role_of(by).await? else { return Ok(None) };
    let own = world.one_in(2) || role != Role::Admin;
    let Some(of) = (if own { Some(by.user.clone()) } else { someone(world) }) else { return Ok(None) };
    let which = if own && world.one_in(2) { Which::Others } else { Which::All };
    let mut author = Some(world.author(by));
    if of != by.user {
        if world.write(by, Write::AuthorizeEndingSessions(of.clone())).await?.is_none() {
            return Ok(None);
        }
        author = None;
    }
    let end = registry::Command::End(End { author, of: of.clone(), which });
    match world.call_object::<Sessions>(&of, &end).await? {
        registry::Reply::Done(_) => world.notify_ended(&of).await,
        _ => Ok(None),
    }
}

async fn sign_out(world: &World, by: &Browser) -> Answer<()> {
    let out = registry::Command::SignOut(by.session.clone());
    world.call_object::<Sessions>(&by.user, &out).await?;
    world.notify_ended(&by.user).await
}
