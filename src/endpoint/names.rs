//! `GET /api/users/names?ids=…`: what users are called, for whoever shows who made something.
//!
//! Anybody who is signed in may ask, agents too: an id is 160 random bits, so who knows one has been shown something
//! of that user's. Nothing but the name is told. Users who were deleted are absent.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Answered, Call, json};
use crate::{
    accounts::{self, Accounts, Command},
    effects::Effects,
    jwt::claims,
    problem::{Fault, Rejection},
    refusal::Turned,
};

/// Ids that may be asked for at a time.
const MOST: usize = 100;

pub(super) async fn read<E: Effects>(call: Call<'_>, effects: &E) -> Result<Answered, Turned> {
    call.only(&["ids"])?;
    let wrong = Rejection::InvalidBody("ids", "expected 1 to 100 ids of users, with commas between");
    let asked = call.request.parameter("ids").ok_or(wrong)?;
    let ids: Vec<String> = asked.split(',').take(MOST.saturating_add(1)).map(str::to_owned).collect();
    if ids.len() > MOST || !ids.iter().all(|id| claims::is_id(id)) {
        return Err(wrong.into());
    }
    match effects.ask::<Accounts>(accounts::NAME, &Command::Names(ids)).await? {
        accounts::Reply::Names(names) => Ok(json(200, &Shown { names: names.into_iter().collect() }).into()),
        _ => Err(Fault::Internal.into()),
    }
}

#[derive(Serialize)]
struct Shown {
    /// By id; null where a user has no name.
    names: BTreeMap<String, Option<String>>,
}
