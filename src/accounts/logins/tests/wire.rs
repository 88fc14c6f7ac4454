//! Calls between objects that get lost.

use std::cell::Cell;

use super::super::Logins;
use crate::{
    accounts::tests::NOW,
    http::problem::Fault,
    platform::{
        effects::{BodyWasRead, ObjectCalls},
        store::{Object, OutboxMessage, decode, sqlite::Objects},
    },
    sessions::registry::Sessions,
};

/// Delivers a message to its object.
pub(super) fn deliver(objects: &Objects, message: &OutboxMessage) {
    let OutboxMessage::Tell { binding, name, command, .. } = message;
    if *binding == Logins::CLASS.binding {
        let command = decode(command).expect("a command");
        objects.call::<Logins>(name, &command, NOW).expect("a reply");
    } else {
        assert_eq!(*binding, Sessions::CLASS.binding);
        let command = decode(command).expect("a command");
        objects.call::<Sessions>(name, &command, NOW).expect("a reply");
    }
}

/// Calls that fail after some. The one that fails may have arrived.
pub(super) struct Wire<'a> {
    pub(super) objects: &'a Objects,
    pub(super) calls_left: Cell<u8>,
    pub(super) last_arrives: bool,
}

impl ObjectCalls for Wire<'_> {
    type Attachment = ();

    async fn call_object<O: Object>(&self, name: &str, command: &O::Command) -> Result<O::Reply, Fault> {
        let left = self.calls_left.get();
        if left == 0 {
            if self.last_arrives {
                drop(self.objects.call::<O>(name, command, NOW));
            }
            return Err(Fault::StoreUnavailable);
        }
        self.calls_left.set(left - 1);
        Ok(self.objects.call::<O>(name, command, NOW).expect("a reply"))
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
