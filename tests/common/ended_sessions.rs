use vestibule::{
    accounts::{Invite, NewUser, Status, User, Write},
    author::Refusal,
    registry,
    session::mint,
    tokens::{self, Hash, Token, Tokens},
};

use super::*;

/// Two admins, of whom `bee` has the sessions `one` and `two`.
struct House {
    config: Config,
    upstream: Upstream,
}

fn new(id: &str) -> NewUser {
    NewUser { id: id.into(), email: format!("{id}@example.com"), name: None, password: "1$a$b".into() }
}

fn author(user: &str, session: &str) -> Author {
    let credential = Credential::Session(session.to_owned());
    Author { user: Some(user.to_owned()), credential, judged_at: Timestamp(NOW) }
}

impl House {
    fn new() -> Self {
        let house =
            Self { config: with_agent(&json!(["https://app.example"])), upstream: upstream(200, &[]) };
        let standing = Standing { role: Role::Admin, active: true, version: 0 };
        house.accounts(&accounts::Command::SetUp(new("root")));
        let reply = house.write("root", "ses_root", making("first"));
        assert!(matches!(reply, accounts::Reply::Invite(_)), "{reply:?}");
        house.accounts(&accounts::Command::Redeem("hash of first".into(), new("bee")));
        for (user, id) in [("root", "ses_root"), ("bee", "one"), ("bee", "two")] {
            let session = Session {
                id: id.to_owned(),
                created_at: Timestamp(NOW),
                last_seen_at: Timestamp(NOW),
                expires_at: Timestamp(NOW + 3_600),
                user_agent: None,
                address: None,
            };
            let open = Command::Open(standing.clone(), session);
            let opened = house.upstream.objects.ask::<Sessions>(user, &open, Timestamp(NOW));
            assert_eq!(opened, Ok(registry::Reply::Done(1)));
        }
        house
    }

    fn accounts(&self, command: &accounts::Command) -> accounts::Reply {
        self.upstream.objects.ask::<Accounts>(accounts::NAME, command, Timestamp(NOW)).expect("a reply")
    }

    /// A command as it arrives at `Accounts`.
    fn write(&self, user: &str, session: &str, write: Write) -> accounts::Reply {
        self.accounts(&accounts::Command::Write(author(user, session), write))
    }

    /// A decision as it arrives at `Confirmations`.
    fn decide(&self, session: &str, id: &str) -> confirmations::Reply {
        let author = author("bee", session);
        let decide = confirmations::Command::Decide { id: id.to_owned(), author, approves: true };
        let object = confirmations::object_of(confirmations::AGENTS);
        self.upstream.objects.ask::<Confirmations>(&object, &decide, Timestamp(NOW)).expect("a reply")
    }

    /// Has the agent ask for something that needs a consent. Returns its id.
    fn pending(&self, count: u32) -> String {
        let account =
            format!("POST\nhttps://app.example/confirmed\nauthorization\nBearer {AGENT}\nx-count\n{count}");
        let asked = json_of(&own(visit(&self.config, &self.upstream, &account).0));
        asked["confirmationId"].as_str().expect("an id").to_owned()
    }

    fn call(&self, method: &str, path: &str, (user, session): (&str, &str)) -> Reply {
        let token =
            mint(&self.config.session, &self.config.keys, (user, session), Timestamp(NOW)).expect("a token");
        let account = format!(
            "{method}\nhttps://app.example{path}\nsec-fetch-site\nsame-origin\ncf-connecting-ip\n192.0.2.1\n\
             cookie\nmk_session={token}"
        );
        own(visit(&self.config, &self.upstream, &account).0)
    }
}

fn making(id: &str) -> Write {
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

const BEE: (&str, &str) = ("bee", "one");
const ELSEWHERE: (&str, &str) = ("bee", "two");
const ROOT: (&str, &str) = ("root", "ses_root");

/// Each way to end the session `one`, and how it is answered.
const ENDS: [(&str, &str, (&str, &str), u16); 6] = [
    ("POST", "/api/auth/logout", BEE, 204),
    ("DELETE", "/api/sessions/one", ELSEWHERE, 204),
    ("DELETE", "/api/sessions", ELSEWHERE, 200),
    ("DELETE", "/api/sessions/one?user=bee", ROOT, 204),
    ("DELETE", "/api/sessions?user=bee", ROOT, 200),
    ("DELETE", "/api/users/bee", ROOT, 204),
];

#[test]
fn what_is_in_flight_when_a_session_ends_is_refused() {
    for (method, path, by, status) in ENDS {
        let house = House::new();
        let first = house.pending(1);
        let second = house.pending(2);
        let decided = house.call("POST", &format!("/api/confirmations/{first}/reject"), BEE);
        assert_eq!(decided.status, 200, "{decided:?}");
        let ended = house.call(method, path, by);
        assert_eq!(ended.status, status, "{method} {path}: {ended:?}");
        let refused = accounts::Reply::Refused(Refusal::SessionRevoked);
        assert_eq!(house.write("bee", "one", making("late")), refused, "{method} {path}");
        let late = house.decide("one", &second);
        assert_eq!(late, confirmations::Reply::SessionEnded, "{method} {path}");
        // The account is active again: its old session has ended all the same.
        let all = house.accounts(&accounts::Command::Users(None, 10));
        let accounts::Reply::Users(all) = all else { panic!("{all:?}") };
        if all.iter().any(|user: &User| user.id == "bee") {
            let made = house.write("bee", "new", making("anew"));
            assert!(matches!(made, accounts::Reply::Invite(_)), "{method} {path}: {made:?}");
        }
    }
}

#[test]
fn a_session_that_ended_sends_no_decision() {
    let house = House::new();
    let id = house.pending(1);
    let path = format!("/api/confirmations/{id}/approve");
    let sent = Command::Deciding { session: "one".into(), object: "x".into() };
    house.call("POST", "/api/auth/logout", BEE);
    let reply = house.upstream.objects.ask::<Sessions>("bee", &sent, Timestamp(NOW));
    assert_eq!(reply, Ok(registry::Reply::Gone));
    assert_eq!(house.call("POST", &path, BEE).status, 401);
}

#[test]
fn an_agents_token_is_refused_while_its_owner_is_no_active_admin() {
    let house = House::new();
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
    };
    let put = tokens::Command::Put(hash.0.clone(), token);
    house.upstream.objects.ask::<Tokens>(hash.object(), &put, Timestamp(NOW)).expect("kept");
    let account = format!("GET\nhttps://app.example/api/auth/me\nauthorization\nBearer {value}");
    for (version, role, active, want) in [
        (0, Role::Admin, true, 200),
        (1, Role::User, true, 401),
        (2, Role::Admin, false, 401),
        (3, Role::Admin, true, 200),
    ] {
        let apply = Command::Apply(Standing { role, active, version });
        house.upstream.objects.ask::<Sessions>("bee", &apply, Timestamp(NOW)).expect("told");
        let reply = own(visit(&house.config, &house.upstream, &account).0);
        assert_eq!(reply.status, want, "{role:?} {active}");
        if want == 401 {
            assert_eq!(json_of(&reply)["reason"], "token_revoked");
        }
    }
    assert!(house.upstream.seen.borrow().is_empty());
}

#[test]
fn an_admin_who_was_demoted_ends_no_sessions_of_others() {
    // `Accounts` knows it, and the registry does not yet.
    for (role, active, status, error) in
        [(Role::User, true, 403, "forbidden_role"), (Role::Admin, false, 401, "unauthorized")]
    {
        for path in ["/api/sessions?user=root", "/api/sessions/ses_root?user=root"] {
            let house = House::new();
            let change = Write::ChangeUser { id: "bee".into(), role: Some(role), active: Some(active) };
            let changed = house.write("root", "ses_root", change);
            assert!(matches!(changed, accounts::Reply::Standing(_)), "{changed:?}");
            let refused = house.call("DELETE", path, BEE);
            assert_eq!(refused.status, status, "{path}: {refused:?}");
            assert_eq!(json_of(&refused)["error"], error);
            assert_eq!(house.call("GET", "/api/auth/me", ROOT).status, 200, "{path}");
        }
    }
}
