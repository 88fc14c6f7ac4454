//! Changes of the user's password. They end the sessions of earlier sign-ins, and those that still want to open.
//!
//! A sign-in reads the user, compares the password, and then opens a session with the version of the status that it
//! read. A new password has a higher version. So it does not matter which arrives first, the sign-in or the change.

use serde::{Deserialize, Serialize};

use super::{Reply, UserStatus, apply, authentication::LATEST, done, ends};
use crate::{
    base::time::Timestamp,
    platform::store::{Store, StoreError, add_column, run_all},
};

/// A change of the user's password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordChange {
    /// The user's role and status.
    pub status: UserStatus,
    /// The version that the change gave the user.
    pub version: i64,
    /// The session in which the user changed the password. It stays, and so do those that have replaced it.
    pub kept_session: Option<String>,
}

/// Ends the sessions of sign-ins before a change. Returns their number. Repeating it changes nothing.
pub(super) fn changed(
    store: &impl Store,
    change: &PasswordChange,
    now: Timestamp,
) -> Result<Reply, StoreError> {
    let PasswordChange { status, version, kept_session } = change;
    apply(store, status, now)?;
    store.run(
        "INSERT INTO password (one, version) VALUES (1, ?)
         ON CONFLICT (one) DO UPDATE SET version = max(version, excluded.version)",
        &[(*version).into()],
    )?;
    if let Some(session) = kept_session {
        store.run(
            &format!(
                "UPDATE sessions SET user_version = ?2
                 WHERE id IN ({LATEST}) AND coalesce(user_version, 0) < ?2"
            ),
            &[session.into(), (*version).into()],
        )?;
    }
    let ended = ends::delete(store, "coalesce(user_version, 0) < ?", &[(*version).into()], now)?;
    Ok(done(&ended))
}

/// Checks whether a sign-in that read this version of the user compared a password that was replaced since.
pub(super) fn is_replaced(store: &impl Store, read: &UserStatus) -> Result<bool, StoreError> {
    Ok(!store.run("SELECT 1 FROM password WHERE version > ?", &[read.version.into()])?.is_empty())
}

/// Adds the version of the user that a session's sign-in read, and that of the last change of the password.
pub(super) fn add_password_version(store: &dyn Store) -> Result<(), StoreError> {
    add_column(store, "sessions", "user_version", "INTEGER")?;
    run_all(store, &[TABLE])
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS password (
    one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT";

#[cfg(test)]
mod tests {
    use super::{super::*, *};
    use crate::{identity::principal::Role, platform::store::sqlite::Sqlite};

    const NOW: Timestamp = Timestamp(1_700_000_000);

    fn status(version: i64) -> UserStatus {
        UserStatus { role: Role::User, active: true, version }
    }

    fn send(store: &Sqlite, command: &Command) -> Reply {
        store.handle::<Sessions>(command, NOW).expect("a reply")
    }

    fn open(store: &Sqlite, id: &str, read: i64) -> Reply {
        let session = Session::opened(id, NOW, NOW.plus(std::time::Duration::from_mins(1)));
        send(store, &Command::Open(status(read), session))
    }

    fn change(version: i64, kept_session: Option<&str>) -> Command {
        let kept_session = kept_session.map(str::to_owned);
        Command::PasswordChanged(PasswordChange { status: status(version), version, kept_session })
    }

    fn ids(store: &Sqlite) -> Vec<String> {
        match send(store, &Command::List(Limits::default())) {
            Reply::Sessions(all) => all.into_iter().map(|session| session.id).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_new_password_ends_the_sessions_of_earlier_sign_ins() {
        let store = Sqlite::of::<Sessions>();
        for id in ["a", "b", "c"] {
            open(&store, id, 1);
        }
        assert_eq!(send(&store, &change(2, Some("b"))), Reply::Done(2));
        assert_eq!(ids(&store), ["b"]);
        assert_eq!(open(&store, "late", 1), Reply::Gone, "it compared the old password");
        assert_eq!(open(&store, "new", 2), Reply::Done(1));
        assert_eq!(send(&store, &change(2, Some("b"))), Reply::Done(0), "told again");
        assert_eq!(ids(&store), ["b", "new"]);
        let ended = send(&store, &Command::RecentlyEnded);
        let Reply::RecentlyEnded(RecentlyEnded { sessions, .. }) = ended else { panic!("{ended:?}") };
        assert_eq!(sessions.as_deref(), Some(r#"["a","c"]"#));
        // An earlier change that arrives late.
        assert_eq!(send(&store, &change(4, None)), Reply::Done(2));
        assert_eq!(open(&store, "latest", 4), Reply::Done(1));
        assert_eq!(send(&store, &change(3, Some("x"))), Reply::Done(0));
        assert_eq!((ids(&store), open(&store, "late", 3)), (vec!["latest".to_owned()], Reply::Gone));
    }

    #[test]
    fn sessions_from_before_this_version_end_as_well() {
        let store = Sqlite::of::<Sessions>();
        open(&store, "old", 1);
        store.run("UPDATE sessions SET user_version = NULL", &[]).expect("rows");
        assert_eq!(send(&store, &change(2, None)), Reply::Done(1));
        assert!(ids(&store).is_empty());
    }
}
