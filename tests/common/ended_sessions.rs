use vestibule::{
    accounts::{Invite, NewUser, Status, User, Write, settings::RequiredFactor},
    crypto::jwt::claims::SessionIds,
    identity::author::Refusal,
    sessions::{
        cookies::{SessionTimes, mint},
        registry,
    },
    tokens::{self, Hash, Token, Tokens},
};

use super::*;

/// A gateway with two admins. The user `bee` has the sessions `one` and `two`.
struct TestGateway {
    config: Config,
    upstream: Upstream,
}

fn new_user(id: &str) -> NewUser {
    NewUser { id: id.into(), email: format!("{id}@example.com"), name: None, password: "1$a$b".into() }
}

fn author(user: &str, session: &str) -> Author {
    let credential = Credential::Session(session.to_owned());
    Author { user: Some(user.to_owned()), credential, checked_at: Timestamp(NOW) }
}

impl TestGateway {
    fn new() -> Self {
        let gateway =
            Self { config: with_agent(&json!(["https://app.example"])), upstream: upstream(200, &[]) };
        let status_change = UserStatus { role: Role::Admin, active: true, version: 0 };
        gateway.accounts(&accounts::Command::SetUp(new_user("root")));
        let reply = gateway.write("root", "ses_root", make_invite("first"));
        assert!(matches!(reply, accounts::Reply::Invite(_)), "{reply:?}");
        gateway.accounts(&accounts::Command::Redeem("hash of first".into(), new_user("bee")));
        for (user, id) in [("root", "ses_root"), ("bee", "one"), ("bee", "two")] {
            let session = Session::opened(id, Timestamp(NOW), Timestamp(NOW + 3_600));
            let open = Command::Open(status_change.clone(), session);
            let opened = gateway.upstream.objects.call::<Sessions>(user, &open, Timestamp(NOW));
            assert_eq!(opened, Ok(registry::Reply::Done(1)));
        }
        gateway
    }

    fn accounts(&self, command: &accounts::Command) -> accounts::Reply {
        self.upstream.objects.call::<Accounts>(accounts::NAME, command, Timestamp(NOW)).expect("a reply")
    }

    /// Sends a write command directly to `Accounts`.
    fn write(&self, user: &str, session: &str, write: Write) -> accounts::Reply {
        self.accounts(&accounts::Command::Write(author(user, session), write))
    }

    /// Sends a decision of `bee` directly to `Confirmations`.
    fn decide(&self, session: &str, id: &str) -> confirmations::Reply {
        let author = author("bee", session);
        let decide = confirmations::Command::Decide { id: id.to_owned(), author, approves: true };
        let object = confirmations::object_of(confirmations::AGENTS);
        self.upstream.objects.call::<Confirmations>(&object, &decide, Timestamp(NOW)).expect("a reply")
    }

    /// Sends a request of the agent that needs approval. Returns the confirmation's id.
    fn request_approval(&self, count: u32) -> String {
        let serialized =
            format!("POST\nhttps://app.example/confirmed\nauthorization\nBearer {AGENT}\nx-count\n{count}");
        let confirmation = json_of(&own_reply(send(&self.config, &self.upstream, &serialized).0));
        confirmation["confirmationId"].as_str().expect("an id").to_owned()
    }

    fn call(&self, method: &str, path: &str, by: SessionIds<'_>) -> Reply {
        let token = mint(
            &self.config.sessions.policy,
            &self.config.sessions.keys,
            by,
            SessionTimes::of_sign_in(Timestamp(NOW)),
        )
        .expect("a token");
        let serialized = format!(
            "{method}\nhttps://app.example{path}\nsec-fetch-site\nsame-origin\ncf-connecting-ip\n192.0.2.1\n\
             cookie\nmk_session={token}"
        );
        own_reply(send(&self.config, &self.upstream, &serialized).0)
    }
}

fn make_invite(id: &str) -> Write {
    let invite = Invite {
        id: id.into(),
        email: None,
        role: Role::Admin,
        status: Status::Unused,
        created_at: Timestamp(NOW),
        created_by: String::new(),
        expires_at: None,
        used_by: None,
        used_at: None,
    };
    Write::MakeInvite { invite, token_hash: format!("hash of {id}") }
}

const BEE: SessionIds<'_> = SessionIds { user: "bee", session: "one" };
const BEE_ELSEWHERE: SessionIds<'_> = SessionIds { user: "bee", session: "two" };
const ROOT: SessionIds<'_> = SessionIds { user: "root", session: "ses_root" };

/// The ways to end the session `one`, with the status of the response.
const ENDS: [(&str, &str, SessionIds<'_>, u16); 6] = [
    ("POST", "/api/auth/logout", BEE, 204),
    ("DELETE", "/api/sessions/one", BEE_ELSEWHERE, 204),
    ("DELETE", "/api/sessions", BEE_ELSEWHERE, 200),
    ("DELETE", "/api/sessions/one?user=bee", ROOT, 204),
    ("DELETE", "/api/sessions?user=bee", ROOT, 200),
    ("DELETE", "/api/users/bee", ROOT, 204),
];

#[test]
fn refuses_commands_in_flight_when_a_session_ends() {
    for (method, path, by, status) in ENDS {
        let gateway = TestGateway::new();
        let first = gateway.request_approval(1);
        let second = gateway.request_approval(2);
        let decided = gateway.call("POST", &format!("/api/confirmations/{first}/reject"), BEE);
        assert_eq!(decided.status, 200, "{decided:?}");
        let ended = gateway.call(method, path, by);
        assert_eq!(ended.status, status, "{method} {path}: {ended:?}");
        let refused = accounts::Reply::Refused(Refusal::SessionEnded);
        assert_eq!(gateway.write("bee", "one", make_invite("late")), refused, "{method} {path}");
        let late = gateway.decide("one", &second);
        assert_eq!(late, confirmations::Reply::SessionEnded, "{method} {path}");
        // If the account still exists, it is active: a command from a new session is accepted.
        let all = gateway.accounts(&accounts::Command::Users(accounts::UserQuery::all(None, 10)));
        let accounts::Reply::Users(all) = all else { panic!("{all:?}") };
        if all.users.iter().any(|user: &User| user.id == "bee") {
            let made = gateway.write("bee", "new", make_invite("anew"));
            assert!(matches!(made, accounts::Reply::Invite(_)), "{method} {path}: {made:?}");
        }
    }
}

#[test]
fn an_ended_session_sends_no_decision() {
    let gateway = TestGateway::new();
    let id = gateway.request_approval(1);
    let path = format!("/api/confirmations/{id}/approve");
    let deciding = Command::Deciding { session: "one".into(), object: "x".into() };
    gateway.call("POST", "/api/auth/logout", BEE);
    let reply = gateway.upstream.objects.call::<Sessions>("bee", &deciding, Timestamp(NOW));
    assert_eq!(reply, Ok(registry::Reply::Gone));
    assert_eq!(gateway.call("POST", &path, BEE).status, 401);
}

#[test]
fn refuses_an_agent_token_unless_its_owner_is_an_active_admin() {
    let gateway = TestGateway::new();
    let value = "mk_abcdef0123456789abcdef0123456789abcdef0123456789";
    let hash = Hash::of(value);
    let token = Token {
        id: "tok_1".into(),
        name: "deploy".into(),
        prefix: "mk_".into(),
        owner: "bee".into(),
        agent: None,
        task: None,
        created_at: Timestamp(NOW),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
        made_by_token: None,
        takeovers: 0,
        scope: None,
    };
    let put = tokens::Command::Put(hash.0.clone(), token);
    gateway.upstream.objects.call::<Tokens>(hash.object(), &put, Timestamp(NOW)).expect("stored");
    let serialized = format!("GET\nhttps://app.example/api/auth/me\nauthorization\nBearer {value}");
    for (version, role, active, want) in [
        (0, Role::Admin, true, 200),
        (1, Role::User, true, 401),
        (2, Role::Admin, false, 401),
        (3, Role::Admin, true, 200),
    ] {
        let apply = Command::Apply(UserStatus { role, active, version });
        gateway.upstream.objects.call::<Sessions>("bee", &apply, Timestamp(NOW)).expect("applied");
        let reply = own_reply(send(&gateway.config, &gateway.upstream, &serialized).0);
        assert_eq!(reply.status, want, "{role:?} {active}");
        if want == 401 {
            assert_eq!(json_of(&reply)["reason"], "token_revoked");
        }
    }
    assert!(gateway.upstream.received.borrow().is_empty());
}

#[test]
fn a_demoted_admin_cannot_end_sessions_of_others() {
    // `Accounts` knows the change already, the registry does not yet.
    for (role, active, status, error) in
        [(Role::User, true, 403, "forbidden_role"), (Role::Admin, false, 401, "unauthorized")]
    {
        for path in ["/api/sessions?user=root", "/api/sessions/ses_root?user=root"] {
            let gateway = TestGateway::new();
            let change = Write::ChangeUser {
                id: "bee".into(),
                role: Some(role),
                active: Some(active),
                required: RequiredFactor::Nobody,
            };
            let changed = gateway.write("root", "ses_root", change);
            assert!(matches!(changed, accounts::Reply::UserStatus(_)), "{changed:?}");
            let refused = gateway.call("DELETE", path, BEE);
            assert_eq!(refused.status, status, "{path}: {refused:?}");
            assert_eq!(json_of(&refused)["error"], error);
            assert_eq!(gateway.call("GET", "/api/auth/me", ROOT).status, 200, "{path}");
        }
    }
}
