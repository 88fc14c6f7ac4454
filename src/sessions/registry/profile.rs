//! The copy of a user's name and e-mail address that is returned with the user's status.

use serde::{Deserialize, Serialize};

use crate::platform::store::{SqlRow, Store, StoreError};

/// A user's name and e-mail address. Neither changes after the account is created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The name, if the user gave one.
    pub name: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
}

pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS profile (
    one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT, email TEXT) STRICT";

/// Stores the copy.
pub(super) fn put(store: &impl Store, new: &Profile) -> Result<(), StoreError> {
    let values = [new.name.as_deref().into(), new.email.as_deref().into()];
    store.run("INSERT OR REPLACE INTO profile (one, name, email) VALUES (1, ?, ?)", &values)?;
    Ok(())
}

/// Reads the copy, if there is one.
pub(super) fn find(store: &impl Store) -> Result<Option<Profile>, StoreError> {
    let rows = store.run("SELECT name, email FROM profile", &[])?;
    let read = |row: &SqlRow| Ok(Profile { name: row.optional_text(0)?, email: row.optional_text(1)? });
    rows.first().map(read).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::time::Timestamp,
        identity::principal::Role,
        platform::store::{Object, sqlite::Sqlite},
        sessions::{
            lifetime::Limits,
            registry::{Command, LiveSession, Reply, Session, Sessions, UserStatus},
        },
    };

    #[test]
    fn returns_the_copy_while_the_user_is_active() {
        let store = Sqlite::of::<Sessions>();
        let call = |command: &Command| store.handle::<Sessions>(command, Timestamp(5)).expect("a reply");
        let with_profile = |command: Command| Command::WithProfile(Box::new(command));
        let (get_status, check) = (
            with_profile(Command::ReadUserStatus),
            with_profile(Command::Check("a".into(), Limits::default())),
        );
        let ada = Profile { name: Some("Ada".into()), email: Some("ada@example.com".into()) };
        let status = |active, version| UserStatus { role: Role::User, active, version };
        assert!(Sessions::is_read_only(&get_status) && !Sessions::is_read_only(&check));
        call(&Command::Profile(ada.clone()));
        assert_eq!(call(&get_status), Reply::WithProfile(Box::new(Reply::UserStatus(None)), None));
        call(&Command::Open(status(true, 1), Session::opened("a", Timestamp(5), Timestamp(9))));
        let live = || {
            let (created_at, authenticated_at, expires_at) = (Timestamp(5), Timestamp(5), Timestamp(9));
            Box::new(Reply::Live(LiveSession { role: Role::User, expires_at, created_at, authenticated_at }))
        };
        assert_eq!(call(&check), Reply::WithProfile(live(), None));
        call(&Command::Profile(ada.clone()));
        assert_eq!(call(&check), Reply::WithProfile(live(), Some(ada.clone())));
        call(&Command::Apply(status(false, 2)));
        call(&Command::Profile(ada));
        assert_eq!(
            call(&check),
            Reply::WithProfile(Box::new(Reply::Gone), None),
            "nothing is stored for a disabled user"
        );
    }
}
