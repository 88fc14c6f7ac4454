//! Parses `PASSWORDS`.

use super::{parse::ParseContext, reader::Table, schema::PASSWORDS};
use crate::{
    accounts::passwords::policy::{MOST_REQUIRED, Policy, SHORTEST},
    crypto::password::Cost,
    sessions::settings::Login,
};

/// Parses what applies to passwords. The defaults are the minimum, so each member only makes it stricter.
pub(super) fn parse(top: &Table<'_>, login_by: Option<Login>, context: &ParseContext<'_>) -> Option<Policy> {
    if top.has("PASSWORDS") && login_by.is_some_and(|login| login != Login::Accounts) {
        top.report(
            "PASSWORDS",
            "requires SESSION.login = \"accounts\": upstream has the passwords otherwise",
        );
    }
    let table = Table::open("PASSWORDS", top.value("PASSWORDS"), PASSWORDS, context.mistakes);
    let memory = table.number("memory", Cost::MINIMUM.memory..=Cost::MAXIMUM.memory);
    let passes = table.number("passes", Cost::MINIMUM.passes..=Cost::MAXIMUM.passes);
    let bounds = u32::try_from(SHORTEST).ok()?..=u32::try_from(MOST_REQUIRED).ok()?;
    let min_length = table.number("min_length", bounds);
    Some(Policy::new(Cost { memory: memory?, passes: passes? }, usize::try_from(min_length?).ok()?))
}
