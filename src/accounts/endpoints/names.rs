//! `GET /api/users/names?ids=…`: returns display names of users.
//!
//! Any authenticated principal may ask, agents too: an id has 160 random bits, so only a client that was shown one can
//! ask for it. Nothing but the name is returned. Deleted users are absent.

use serde::{Serialize, Serializer};

use super::Call;
use crate::{
    accounts::{self, Accounts, Command},
    crypto::jwt::claims,
    http::{
        problem::{Fault, Rejection},
        reply::EarlyResponse,
    },
    identity::call::{EndpointResponse, json},
    platform::effects::Effects,
};

/// Maximum number of ids in one request.
const MAX_IDS: usize = 100;

pub(super) async fn read<E: Effects>(call: Call<'_>, effects: &E) -> Result<EndpointResponse, EarlyResponse> {
    call.reject_unknown_parameters(&["ids"])?;
    let invalid = Rejection::InvalidBody("ids", "expected 1 to 100 user ids, separated by commas");
    let parameter = call.request.parameter("ids").ok_or(invalid)?;
    let ids: Vec<String> = parameter.split(',').take(MAX_IDS.saturating_add(1)).map(str::to_owned).collect();
    if ids.len() > MAX_IDS || !ids.iter().all(|id| claims::is_id(id)) {
        return Err(invalid.into());
    }
    match effects.call_object::<Accounts>(accounts::NAME, &Command::Names(ids)).await? {
        accounts::Reply::Names(names) => Ok(json(200, &NamesView { names }).into()),
        _ => Err(Fault::Internal.into()),
    }
}

#[derive(Serialize)]
struct NamesView {
    /// Names by user id; null for a user without a name.
    #[serde(serialize_with = "by_id")]
    names: Vec<(String, Option<String>)>,
}

fn by_id<S: Serializer>(names: &[(String, Option<String>)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(names.iter().map(|(id, name)| (id, name)))
}
