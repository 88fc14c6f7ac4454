//! The list of Durable Object classes.

use crate::platform::store::{Class, Object};

/// Calls a macro with the name and the type of each class. This is the only list: the edge declares the classes from
/// it, the build exports what the edge declares, and `check-config` and the tests read [`CLASSES`].
macro_rules! with_object_classes {
    ($then:ident) => {
        $then! {
            Accounts = crate::accounts::Accounts;
            Audit = crate::audit::Audit;
            Checkouts = crate::checkouts::Checkouts;
            Confirmations = crate::approvals::confirmations::Confirmations;
            Inbox = crate::webhooks::inbox::Inbox;
            Ledger = crate::idempotency::ledger::Ledger;
            Limiter = crate::guards::limiter::Limiter;
            Logins = crate::accounts::logins::Logins;
            Metrics = crate::metrics::Metrics;
            Sessions = crate::sessions::registry::Sessions;
            Tokens = crate::tokens::Tokens;
        }
    };
}

macro_rules! list {
    ($($name:ident = $object:ty;)*) => {
        /// All Durable Object classes.
        pub const CLASSES: &[Class] = &[$(<$object>::CLASS),*];

        #[test]
        fn each_class_has_the_name_in_the_list() {
            assert_eq!(CLASSES.iter().map(|class| class.name).collect::<Vec<_>>(), [$(stringify!($name)),*]);
        }
    };
}

with_object_classes!(list);

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub(crate) use with_object_classes;
