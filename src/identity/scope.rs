//! The scope of keys, limits and flags: one for each principal.

use super::principal::{Principal, Who};
use crate::http::request::Request;

/// Returns the owner of a request's keys: the principal, or else the client's address.
#[must_use]
pub fn of(principal: Option<&Principal>, request: &Request<'_>) -> String {
    match principal.map(|principal| &principal.who) {
        Some(Who::User { id }) => format!("user:{id}"),
        Some(Who::Agent { id }) => format!("agent:{id}"),
        None => format!("address:{}", request.client_group()),
    }
}
