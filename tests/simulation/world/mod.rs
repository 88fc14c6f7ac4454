//! `Accounts`, `Sessions`, `Tokens` and `Logins`, and the Workers that call them.
//!
//! | file | contents |
//! |---|---|
//! | `mod.rs` | the world, its steps, the order in which Workers go on |
//! | `wire.rs` | calls from Workers to objects: killed, lost, late |
//! | `requests.rs` | what Workers do for requests about users, as the endpoints do |
//! | `passwords.rs`, `tokens.rs` | … about passwords and tokens |
//! | `reference.rs` | what the world must be after each command that `Accounts` or `Sessions` carried out |
//! | `check.rs` | what holds at any time, and when nothing is under way |
//!
//! Several Workers answer requests at the same time. Each of their calls to an object waits for a random time, and so
//! does its reply. A Worker may die at any time. A call may fail before or after it was carried out, or be carried out
//! long after its Worker gave up. `Accounts` tells others by its alarm, which may die halfway, too.
//!
//! 1. **When a change was answered, nothing admits more than the state after it.** Until then, an object that does not
//!    know of the change may go by the state before.
//! 2. **What has ended stays ended**: a session, a token, an invite, a link.
//! 3. **When everything was told, all objects agree**, and no session is left that a change should have ended.

mod check;
mod passwords;
mod reference;
mod requests;
mod tokens;
mod wire;

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Waker},
};

use vestibule::{
    accounts::{self, Accounts, NewUser, logins::EmailHash},
    http::problem::Fault,
    identity::{
        author::{Author, Credential},
        principal::Role,
    },
    platform::store::{Object, OutboxMessage, Store},
};

use crate::{
    Simulation, simulate,
    sqlite::{self, Objects},
};
use reference::Reference;

#[test]
fn all_objects_agree_and_nothing_that_ended_lives_again() {
    simulate("world", 6, run);
}

/// The addresses of users. There are few, so that they are given up and taken again.
const EMAILS: [&str; 4] = ["root@x.example", "a@x.example", "b@x.example", "c@x.example"];

/// The world, shared by all Workers.
struct World {
    simulation: RefCell<Simulation>,
    objects: Objects,
    reference: RefCell<Reference>,
    /// Calls whose Workers have given up.
    late: RefCell<Vec<Late>>,
    /// Whether calls may still fail.
    is_faulty: std::cell::Cell<bool>,
}

/// A call that is carried out later.
type Late = Box<dyn FnOnce(&World)>;

/// What a Worker does for a request, or the alarm of `Accounts` for one other object.
type Task = Pin<Box<dyn Future<Output = ()>>>;

/// A session in a browser.
#[derive(Clone, Debug)]
struct Browser {
    user: String,
    session: String,
}

impl World {
    fn author(&self, browser: &Browser) -> Author {
        Author {
            user: Some(browser.user.clone()),
            credential: Credential::Session(browser.session.clone()),
            checked_at: self.simulation.borrow().time(),
        }
    }

    fn below(&self, end: usize) -> usize {
        self.simulation.borrow_mut().random.below(end)
    }

    fn one_in(&self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn name(&self, prefix: &str) -> String {
        self.simulation.borrow_mut().name(prefix)
    }

    fn note(&self, step: String) {
        self.simulation.borrow_mut().note(step);
    }

    fn pick<T: Clone>(&self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.below(of.len())].clone())
    }
}

fn run(simulation: &mut Simulation) {
    let taken = std::mem::replace(simulation, Simulation::new(0));
    let world = Rc::new(World {
        simulation: RefCell::new(taken),
        objects: Objects::default(),
        reference: RefCell::default(),
        late: RefCell::default(),
        is_faulty: std::cell::Cell::new(true),
    });
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| steps(&world)));
    // For the report of a failure.
    std::mem::swap(simulation, &mut *world.simulation.borrow_mut());
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

fn steps(world: &Rc<World>) {
    set_up(world);
    let mut tasks: Vec<Task> = Vec::new();
    for _ in 0..2_500 {
        if tasks.len() < 6 && world.one_in(4) {
            tasks.push(requests::begin(world));
        }
        match world.below(60) {
            0 => pass_time(world),
            1 if !tasks.is_empty() => {
                let at = world.below(tasks.len());
                // A Worker or an alarm dies.
                drop(tasks.swap_remove(at));
            }
            2..6 => carry_out_late(world),
            6..9 => tasks.extend(alarm(world)),
            9..14 => check::always(world),
            _ if !tasks.is_empty() => {
                let at = world.below(tasks.len());
                go_on(&mut tasks, at);
            }
            _ => {}
        }
    }
    // Everything comes to an end: half of the Workers die, late calls arrive, and the alarm tells the rest.
    tasks.retain(|_| world.one_in(2));
    world.is_faulty.set(false);
    drain(world, tasks);
    check::drained(world);
}

fn set_up(world: &Rc<World>) {
    let new = NewUser {
        id: "usr_root".to_owned(),
        email: EMAILS[0].to_owned(),
        name: None,
        password: world.name("password "),
    };
    world.is_faulty.set(false);
    world.execute::<Accounts>(accounts::NAME, &accounts::Command::SetUp(new)).expect("an account");
    // Shards without an address of the simulation are told nothing, so that runs are short.
    let used = EMAILS.map(|email| EmailHash::of(email).shard().to_owned());
    for shard in (0..=u8::MAX).map(|byte| format!("{byte:02x}")).filter(|shard| !used.contains(shard)) {
        world.objects.with::<Accounts, _>(accounts::NAME, |store| {
            store.run("INSERT INTO filled_shards VALUES (?)", &[(&shard).into()]).expect("a row");
        });
    }
    drain(world, vec![requests::sign_in_as(world, EMAILS[0])]);
    drain(world, vec![requests::invite_all(world)]);
    world.is_faulty.set(true);
}

/// Lets a task do its next step.
fn go_on(tasks: &mut Vec<Task>, at: usize) {
    if tasks[at].as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
        drop(tasks.swap_remove(at));
    }
}

fn pass_time(world: &World) {
    let mut simulation = world.simulation.borrow_mut();
    let seconds = match simulation.random.below(8) {
        0 => simulation.random.within(-3, -1),
        1 => simulation.random.within(60, 90),
        _ => simulation.random.within(0, 3),
    };
    simulation.now += seconds;
}

fn carry_out_late(world: &World) {
    let late = {
        let mut late = world.late.borrow_mut();
        let at = if late.is_empty() { return } else { world.below(late.len()) };
        late.swap_remove(at)
    };
    late(world);
}

/// Fires the alarm of `Accounts`, and returns a task for each object that it tells something.
fn alarm(world: &Rc<World>) -> Vec<Task> {
    let messages = world
        .objects
        .with::<Accounts, _>(accounts::NAME, |store| world.simulation.borrow_mut().alarm::<Accounts>(store));
    let mut groups: Vec<Vec<OutboxMessage>> = Vec::new();
    let name = |message: &OutboxMessage| {
        let OutboxMessage::Tell { binding, name, .. } = message;
        (*binding, name.clone())
    };
    for message in messages {
        match groups.iter_mut().find(|group| name(&group[0]) == name(&message)) {
            Some(group) => group.push(message),
            None => groups.push(vec![message]),
        }
    }
    let task = |group: Vec<OutboxMessage>| -> Task {
        let world = Rc::clone(world);
        Box::pin(async move {
            for message in group {
                if world.tell(message).await.is_err() {
                    return;
                }
            }
        })
    };
    groups.into_iter().map(task).collect()
}

/// Lets all tasks end, carries out what is late, and fires the alarm until nothing is left to tell.
fn drain(world: &Rc<World>, mut tasks: Vec<Task>) {
    for _ in 0..100 {
        while !tasks.is_empty() {
            let at = world.below(tasks.len());
            go_on(&mut tasks, at);
        }
        while !world.late.borrow().is_empty() {
            carry_out_late(world);
        }
        let now = world.simulation.borrow().time();
        let is_due = world.objects.with::<Accounts, _>(accounts::NAME, |store| {
            Accounts::next_alarm(store, now).expect("a time").is_some()
        });
        if !is_due {
            return;
        }
        tasks = alarm(world);
    }
    let left = world.objects.with::<Accounts, _>(accounts::NAME, sqlite::Sqlite::contents);
    let left: Vec<_> = left.iter().filter(|row| row.contains("untold")).collect();
    panic!("the outbox does not become empty: {left:?}");
}

/// The result of a request: `Err` if an object did not answer, `None` if the request was refused.
type Answer<T> = Result<Option<T>, Fault>;

fn is_admin(role: Role) -> bool {
    role == Role::Admin
}
