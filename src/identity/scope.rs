//! The scope of keys, limits and flags: one for each principal.

use sha2::{Digest, Sha256};

use super::{
    access::Admission,
    principal::{Principal, Who},
};
use crate::{base::encoding, http::request::Request};

/// Returns the owner of a request's keys: the principal, or else the client's address.
#[must_use]
pub fn of(principal: Option<&Principal>, request: &Request<'_>) -> String {
    match principal.map(|principal| &principal.who) {
        Some(Who::User { id }) => format!("user:{id}"),
        Some(Who::Agent { id }) => format!("agent:{id}"),
        None => format!("address:{}", request.client_group()),
    }
}

/// Returns the owner of a claim. In report mode, a request can come this far although its rule requires a principal and
/// none was proven. Its claim belongs to its address and its credentials as sent, so that it is shared neither with a
/// principal nor with a client of other credentials at that address.
#[must_use]
pub fn of_claim(admission: &Admission, request: &Request<'_>) -> String {
    if !admission.is_by_report() || admission.principal().is_some() {
        return of(admission.principal(), request);
    }
    let mut hash = Sha256::new().chain_update(request.client_group());
    for name in ["cookie", "authorization"] {
        // No header contains a line feed.
        hash.update("\n");
        hash.update(request.headers.value(name).unwrap_or_default());
    }
    format!("unproven:{}", encoding::hex(&hash.finalize()))
}
