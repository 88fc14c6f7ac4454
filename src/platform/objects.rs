//! Commands to Durable Objects.

use super::{request_body::BodyWasRead, store::Object};
use crate::http::problem::Fault;

/// Commands to Durable Objects.
#[expect(async_fn_in_trait, reason = "one thread: a Worker's futures need not be Send")]
pub trait ObjectCalls {
    /// Bytes that are attached to a reply. The core passes them on and does not look inside.
    type Attachment;

    /// Sends a command to the object of this class and name, and returns its reply.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`]: it is unknown whether the object ran the command.
    async fn call_object<O: Object>(&self, name: &str, command: &O::Command) -> Result<O::Reply, Fault>;

    /// Sends a command as [`ObjectCalls::call_object`] does. Returns the bytes that the reply has, too.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`]: it is unknown whether the object ran the command.
    async fn call_for_attachment<O: Object>(
        &self,
        name: &str,
        command: &O::Command,
    ) -> Result<(O::Reply, Option<Self::Attachment>), Fault>;

    /// Sends a command to an object after the response. Its result is not reported.
    fn call_after_response<O: Object>(&self, name: &str, command: &O::Command);

    /// Sends a command to an object with the request's body attached, which was read before.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`]: it is unknown whether the object ran the command.
    async fn call_with_body<O: Object>(
        &self,
        name: &str,
        command: &O::Command,
        body: BodyWasRead,
    ) -> Result<O::Reply, Fault>;
}
