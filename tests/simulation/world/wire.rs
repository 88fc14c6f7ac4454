//! Calls from Workers to objects.

use std::{any::Any, future::poll_fn, task::Poll};

use vestibule::{
    accounts::{self, Accounts, logins::Logins},
    base::time::Timestamp,
    http::problem::Fault,
    platform::{
        effects::{BodyWasRead, ObjectCalls},
        store::{Object, OutboxMessage, StoreError, decode, encode},
    },
    sessions::registry::{self, Sessions},
    tokens::{self, Tokens},
};

use super::World;

/// Lets other Workers go on first.
async fn pause() {
    let mut is_over = false;
    poll_fn(|_| if std::mem::replace(&mut is_over, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

impl World {
    /// Carries out a command, and tells the reference.
    pub(super) fn execute<O: Object>(
        &self,
        name: &str,
        command: &O::Command,
    ) -> Result<O::Reply, StoreError> {
        let now = self.simulation.borrow().time();
        let reply = self.objects.call::<O>(name, command, now)?;
        self.observe::<O>(name, command, &reply, now);
        Ok(reply)
    }

    /// Kills an object at one of its first statements. Nothing of the command may be stored.
    fn execute_and_kill<O: Object>(&self, name: &str, command: &O::Command) {
        let now = self.simulation.borrow().time();
        let statements = u32::try_from(self.below(10)).unwrap();
        let reply = self.objects.with::<O, _>(name, |store| {
            let before = store.contents();
            store.fail_after(Some(statements));
            let reply = store.handle::<O>(command, now);
            let was_killed = store.has_failed();
            store.fail_after(None);
            if reply.is_err() {
                assert_eq!(store.contents(), before, "a command that failed has stored something");
            } else {
                assert!(!was_killed, "{} hides the failure of a statement", O::CLASS.name);
            }
            store.reopen::<O>();
            reply
        });
        // It has fewer statements: only its reply is lost.
        if let Ok(reply) = reply {
            self.observe::<O>(name, command, &reply, now);
        }
    }

    /// Tells the reference of a command that was carried out.
    fn observe<O: Object>(&self, name: &str, command: &O::Command, reply: &O::Reply, now: Timestamp) {
        self.simulation.borrow_mut().commands += 1;
        let (command, reply): (&dyn Any, &dyn Any) = (command, reply);
        if let (Some(command), Some(reply)) =
            (command.downcast_ref::<accounts::Command>(), reply.downcast_ref::<accounts::Reply>())
        {
            self.note(format!("Accounts {command:?} → {reply:?}"));
            self.reference.borrow_mut().accounts(command, reply, now);
        } else if let (Some(command), Some(reply)) =
            (command.downcast_ref::<registry::Command>(), reply.downcast_ref::<registry::Reply>())
        {
            self.note(format!("Sessions {name} {command:?} → {reply:?}"));
            self.reference.borrow_mut().sessions(name, command, reply);
        } else if let Some(command) = command.downcast_ref::<tokens::Command>() {
            self.note(format!("Tokens {command:?}"));
        }
    }

    /// Sends a message of the outbox of `Accounts`, and records that it was told.
    pub(super) async fn tell(&self, message: OutboxMessage) -> Result<(), Fault> {
        let OutboxMessage::Tell { binding, name, command, done } = message;
        if binding == Sessions::CLASS.binding {
            self.call_object::<Sessions>(&name, &decode(&command).expect("a command")).await?;
        } else if binding == Tokens::CLASS.binding {
            self.call_object::<Tokens>(&name, &decode(&command).expect("a command")).await?;
        } else {
            assert_eq!(binding, Logins::CLASS.binding);
            self.call_object::<Logins>(&name, &decode(&command).expect("a command")).await?;
        }
        self.call_object::<Accounts>(accounts::NAME, &decode(&done).expect("a command")).await.map(drop)
    }
}

impl ObjectCalls for World {
    type Attachment = ();

    async fn call_object<O: Object>(&self, name: &str, command: &O::Command) -> Result<O::Reply, Fault> {
        pause().await;
        match if self.is_faulty.get() { self.below(60) } else { 60 } {
            0 => {
                self.execute_and_kill::<O>(name, command);
                Err(Fault::StoreUnavailable)
            }
            1 => {
                drop(self.execute::<O>(name, command));
                Err(Fault::StoreUnavailable)
            }
            2 => {
                // The Worker gives up after two seconds, but the call is still on its way.
                let (name, command) = (name.to_owned(), encode(command).expect("bytes"));
                self.late.borrow_mut().push(Box::new(move |world: &Self| {
                    drop(world.execute::<O>(&name, &decode(&command).expect("a command")));
                }));
                Err(Fault::StoreUnavailable)
            }
            _ => {
                let reply = self.execute::<O>(name, command).map_err(|_| Fault::StoreUnavailable);
                pause().await;
                reply
            }
        }
    }

    async fn call_for_attachment<O: Object>(
        &self,
        _: &str,
        _: &O::Command,
    ) -> Result<(O::Reply, Option<()>), Fault> {
        Err(Fault::Internal)
    }

    fn call_after_response<O: Object>(&self, _: &str, _: &O::Command) {}

    async fn call_with_body<O: Object>(
        &self,
        _: &str,
        _: &O::Command,
        _: BodyWasRead,
    ) -> Result<O::Reply, Fault> {
        Err(Fault::Internal)
    }
}
