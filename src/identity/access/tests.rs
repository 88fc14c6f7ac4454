use super::*;
use crate::{
    http::request::Request,
    identity::{
        csrf,
        principal::{Actor, ActorSource},
        token_scope,
    },
    routing::rule::{Csrf, Destination},
};

const NOW: Timestamp = Timestamp(1_700_000_000);
const RECENT: Duration = Duration::from_mins(5);

/// A caller, as the documentation of this module tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    /// An agent with a token of its own.
    Agent,
    /// A user with the token of a machine.
    Machine(Role),
    /// A user with a personal access token.
    PersonalToken(Role),
    /// A user with a session.
    Session(Role),
}

const CALLERS: [Caller; 7] = [
    Caller::Agent,
    Caller::Machine(Role::User),
    Caller::Machine(Role::Admin),
    Caller::PersonalToken(Role::User),
    Caller::PersonalToken(Role::Admin),
    Caller::Session(Role::User),
    Caller::Session(Role::Admin),
];

const ACCESSES: [Access; 10] = [
    Access::Public,
    Access::Optional,
    Access::Authenticated,
    Access::User,
    Access::Human,
    Access::Agent,
    Access::Admin,
    Access::AdminInPerson,
    Access::UserInPerson,
    Access::Owner,
];

impl Caller {
    fn role(self) -> Option<Role> {
        match self {
            Self::Agent => None,
            Self::Machine(role) | Self::PersonalToken(role) | Self::Session(role) => Some(role),
        }
    }

    fn is_in_person(self) -> bool {
        matches!(self, Self::PersonalToken(_) | Self::Session(_))
    }

    fn principal(self) -> Principal {
        let token =
            |source| Actor::Token { id: "t".into(), name: "t".into(), source, agent: None, task: None };
        Principal {
            who: match self {
                Self::Agent => Who::Agent { id: "a".into() },
                _ => Who::User { id: "u".into() },
            },
            role: self.role(),
            actor: match self {
                Self::Agent => token(ActorSource::AgentToken),
                Self::Machine(_) => token(ActorSource::TaskToken),
                Self::PersonalToken(_) => token(ActorSource::Human),
                Self::Session(_) => Actor::Session { id: "s".into() },
            },
        }
    }

    fn identity(self, may_have_machine_credential: bool) -> Identity {
        Identity {
            principal: Ok(self.principal()),
            may_have_machine_credential,
            authenticated_at: matches!(self, Self::Session(_)).then_some(NOW),
            ..Identity::unknown(NOW)
        }
    }
}

/// The table of the module's documentation, as conditions.
fn expected(access: Access, caller: Caller, beside_a_machine: bool, ownership: Ownership) -> bool {
    let is_user = caller != Caller::Agent;
    let is_admin = caller.role() == Some(Role::Admin);
    let is_in_person = caller.is_in_person() && !beside_a_machine;
    match access {
        Access::Public | Access::Optional | Access::Authenticated => true,
        Access::User => is_user,
        Access::Human | Access::UserInPerson => is_in_person,
        Access::Agent => !is_user,
        Access::Admin => is_admin,
        Access::AdminInPerson => is_admin && is_in_person,
        Access::Owner => is_user && (is_admin || ownership == Ownership::Owner),
    }
}

fn admitted(rule: &Rule, identity: Identity, ownership: Ownership) -> Result<Admission, Rejection> {
    let request = Request::read("GET\nhttps://app.example/").expect("a request");
    let policy = csrf::Policy { allowed: Vec::new(), strict: false, development: false, cookies: Vec::new() };
    let csrf_passed = csrf::check(&policy, Csrf::Standard, &request).expect("a safe request");
    let in_scope = token_scope::check(None, rule, &request).expect("no scope");
    admit(rule, csrf_passed, in_scope, identity, ownership).map_err(|refused| refused.rejection)
}

#[test]
fn admits_whom_the_table_names() {
    for access in ACCESSES {
        let rule = Rule::new("/", access, Destination::Upstream);
        for caller in CALLERS {
            for beside_a_machine in [false, true] {
                for ownership in
                    [Ownership::NotChecked, Ownership::Owner, Ownership::NotOwner, Ownership::NotFound]
                {
                    let admission = admitted(&rule, caller.identity(beside_a_machine), ownership);
                    assert_eq!(
                        admission.is_ok(),
                        expected(access, caller, beside_a_machine, ownership),
                        "{access:?} {caller:?} {beside_a_machine} {ownership:?}"
                    );
                    let Ok(admission) = admission else { continue };
                    let forwards = access != Access::Public;
                    assert_eq!(admission.principal().is_some(), forwards, "{access:?} {caller:?}");
                    assert_eq!(admission.may_have_machine_credential(), beside_a_machine);
                    let is_in_person = forwards && caller.is_in_person() && !beside_a_machine;
                    assert_eq!(admission.is_by_a_person(), is_in_person, "{access:?} {caller:?}");
                }
            }
        }
    }
}

#[test]
fn without_a_principal_admits_public_and_optional_only() {
    for access in ACCESSES {
        let rule = Rule::new("/", access, Destination::Upstream);
        let admission = admitted(&rule, Identity::unknown(NOW), Ownership::Owner);
        let is_open = matches!(access, Access::Public | Access::Optional);
        assert_eq!(admission.is_ok(), is_open, "{access:?}");
        if let Ok(admission) = admission {
            let rejection = admission.check_recent(Some(RECENT)).expect_err("nobody has authenticated");
            assert!(matches!(rejection, Rejection::Unauthorized(Reason::NoCredential)));
        }
    }
}

#[test]
fn a_list_of_operations_has_what_the_principal_may_use_as_an_owner() {
    for access in ACCESSES {
        let rule = Rule::new("/", access, Destination::Upstream);
        for caller in CALLERS {
            let want = expected(access, caller, false, Ownership::Owner);
            assert_eq!(may_use(&rule, &caller.principal()), want, "{access:?} {caller:?}");
            let recent = Rule { recent: Some(RECENT), ..rule.clone() };
            let has_session = matches!(caller, Caller::Session(_));
            assert_eq!(may_use(&recent, &caller.principal()), want && has_session, "{access:?} {caller:?}");
        }
    }
}

#[test]
fn an_endpoint_can_demand_a_recent_authentication_later() {
    let rule = Rule::new("/", Access::User, Destination::Upstream);
    let is_recent = |caller: Caller, authenticated_at| {
        let identity = Identity { authenticated_at, ..caller.identity(false) };
        let admission = admitted(&rule, identity, Ownership::NotChecked).expect("a user");
        assert!(admission.check_recent(None).is_ok(), "nothing is demanded");
        admission.check_recent(Some(RECENT)).is_ok()
    };
    assert!(is_recent(Caller::Session(Role::User), Some(NOW)));
    assert!(!is_recent(Caller::Session(Role::User), Some(Timestamp(NOW.0 - 301))));
    assert!(!is_recent(Caller::Session(Role::User), None));
    assert!(!is_recent(Caller::PersonalToken(Role::Admin), Some(NOW)));
}
