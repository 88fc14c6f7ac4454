//! Users, sessions and tokens as plain data, and the same in the real objects.

use std::collections::BTreeSet;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use vestibule::{
    base::time::Timestamp,
    identity::{principal::Role, token_scope::TokenScope},
    sessions::registry::{Command, Session, Sessions, UserStatus},
    tokens::{self, Hash, Tokens},
};

use super::{
    platform::{NOW, Upstream},
    rules::AUTH_SECRET,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) id: &'static str,
    pub(crate) is_admin: bool,
    pub(crate) is_active: bool,
}

/// A session token, and its row in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionRow {
    pub(crate) id: &'static str,
    pub(crate) user: &'static str,
    pub(crate) issued: i64,
    pub(crate) expires: i64,
    pub(crate) authenticated: i64,
    /// Whether the registry has it.
    pub(crate) is_live: bool,
}

/// A machine's or a person's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) value: String,
    pub(crate) id: &'static str,
    pub(crate) owner: &'static str,
    pub(crate) agent: Option<&'static str>,
    pub(crate) task: Option<&'static str>,
    pub(crate) expires: Option<i64>,
    pub(crate) is_revoked: bool,
    /// Operations, methods and addresses.
    pub(crate) operations: Option<Vec<&'static str>>,
    pub(crate) methods: Option<Vec<&'static str>>,
    pub(crate) addresses: Option<Vec<&'static str>>,
}

impl Token {
    pub(crate) fn is_of(&self, prefix: &str) -> bool {
        self.value.starts_with(prefix)
    }

    /// The value of `X-Actor-Source`, for a machine.
    pub(crate) fn machine(&self) -> Option<&'static str> {
        machine(&self.value)
    }
}

/// Returns the kind of machine that uses a token, by its prefix.
pub(crate) fn machine(value: &str) -> Option<&'static str> {
    [("mat_", "task_token"), ("mcn_", "cloud_pat"), ("mk_", "agent_token")]
        .iter()
        .find(|(prefix, _)| value.starts_with(prefix))
        .map(|(_, source)| *source)
}

/// What happens while time passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    EndSession(usize),
    SetUser { user: usize, is_admin: bool, is_active: bool },
    RevokeToken(usize),
    Fail(&'static str),
    Recover,
    Nothing,
}

/// An earlier state.
#[derive(Clone, Debug)]
pub(crate) struct PastState {
    pub(crate) state: State,
    /// When the next state followed.
    pub(crate) ended_at: i64,
}

/// Everything that the registry, the tokens and the accounts know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) users: Vec<User>,
    pub(crate) sessions: Vec<SessionRow>,
    pub(crate) tokens: Vec<Token>,
    /// The objects that do not answer, and `KV` and `external`.
    pub(crate) failing: BTreeSet<&'static str>,
}

impl State {
    pub(crate) fn user(&self, id: &str) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    /// Applies a change.
    pub(crate) fn apply(&mut self, change: &Change) {
        match *change {
            Change::EndSession(at) => self.sessions[at].is_live = false,
            Change::SetUser { user, is_admin, is_active } => {
                (self.users[user].is_admin, self.users[user].is_active) = (is_admin, is_active);
                // A disabled user's sessions end.
                let id = self.users[user].id;
                for session in self.sessions.iter_mut().filter(|session| session.user == id && !is_active) {
                    session.is_live = false;
                }
            }
            Change::RevokeToken(at) => self.tokens[at].is_revoked = true,
            Change::Fail(what) => drop(self.failing.insert(what)),
            Change::Recover => self.failing.clear(),
            Change::Nothing => {}
        }
    }

    /// Writes the users, sessions and tokens into the objects.
    pub(crate) fn store(&self, platform: &Upstream, now: i64) {
        for user in &self.users {
            Self::store_status(platform, user, 0, now);
        }
        for session in self.sessions.iter().filter(|session| session.is_live) {
            let status = status(self.user(session.user).expect("a user"), 1);
            let mut row = Session::opened(session.id, Timestamp(session.issued), Timestamp(session.expires));
            row.authenticated_at = Timestamp(session.authenticated);
            let open = Command::Open(status, row);
            platform.objects.call::<Sessions>(session.user, &open, Timestamp(now)).expect("opened");
        }
        for token in &self.tokens {
            let hash = Hash::of(&token.value);
            let put = tokens::Command::Put(hash.0.clone(), record(token));
            platform.objects.call::<Tokens>(hash.object(), &put, Timestamp(now)).expect("stored");
            if token.is_revoked {
                Self::store_revocation(platform, token, now);
            }
        }
    }

    /// Applies a change to the objects, of which this is the state afterwards.
    pub(crate) fn store_change(&self, change: &Change, version: i64, platform: &Upstream, now: i64) {
        match *change {
            Change::EndSession(at) => {
                let SessionRow { id, user, .. } = self.sessions[at];
                let end = Command::SignOut(id.to_owned());
                platform.objects.call::<Sessions>(user, &end, Timestamp(now)).expect("ended");
            }
            Change::SetUser { user, .. } => Self::store_status(platform, &self.users[user], version, now),
            Change::RevokeToken(at) => Self::store_revocation(platform, &self.tokens[at], now),
            Change::Fail(what) => drop(platform.failing.borrow_mut().insert(what)),
            Change::Recover => platform.failing.borrow_mut().clear(),
            Change::Nothing => {}
        }
    }

    fn store_status(platform: &Upstream, user: &User, version: i64, now: i64) {
        let apply = Command::Apply(status(user, version));
        platform.objects.call::<Sessions>(user.id, &apply, Timestamp(now)).expect("applied");
    }

    fn store_revocation(platform: &Upstream, token: &Token, now: i64) {
        let hash = Hash::of(&token.value);
        let mut record = record(token);
        record.revoked_at = Some(Timestamp(now));
        let revoke = tokens::Command::Revoke(hash.0.clone(), record);
        platform.objects.call::<Tokens>(hash.object(), &revoke, Timestamp(now)).expect("revoked");
    }
}

fn status(user: &User, version: i64) -> UserStatus {
    let role = if user.is_admin { Role::Admin } else { Role::User };
    UserStatus { role, active: user.is_active, version }
}

fn record(token: &Token) -> tokens::Token {
    let list =
        |list: &Option<Vec<&str>>| list.as_ref().map(|list| list.iter().map(ToString::to_string).collect());
    let scope = TokenScope {
        operations: list(&token.operations),
        methods: list(&token.methods),
        addresses: list(&token.addresses),
    };
    tokens::Token {
        id: token.id.to_owned(),
        name: "a token".to_owned(),
        prefix: token.value.split_inclusive('_').next().unwrap_or_default().to_owned(),
        owner: token.owner.to_owned(),
        agent: token.agent.map(str::to_owned),
        task: token.task.map(str::to_owned),
        created_at: Timestamp(NOW),
        expires_at: token.expires.map(Timestamp),
        revoked_at: None,
        last_used_at: None,
        made_by_token: None,
        takeovers: 0,
        scope: (scope != TokenScope::default()).then_some(scope),
    }
}

/// Signs claims as HS256 (RFC 7515).
pub(crate) fn sign(secret: &str, claims: &Value) -> String {
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", base64url(&mac.finalize().into_bytes()))
}

/// Returns the claims of a token whose signature is valid.
pub(crate) fn verified(secret: &str, token: &str) -> Option<Value> {
    let (signed, signature) = token.rsplit_once('.')?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(signed.as_bytes());
    let is_valid = base64url(&mac.finalize().into_bytes()) == signature;
    let claims = vestibule::base::encoding::from_base64url(signed.split_once('.')?.1)?;
    is_valid.then(|| serde_json::from_slice(&claims).ok()).flatten()
}

fn base64url(bytes: &[u8]) -> String {
    vestibule::base::encoding::base64url(bytes)
}

/// Returns a session token.
pub(crate) fn session_token(secret: &str, session: &SessionRow) -> String {
    let SessionRow { id, user, issued, expires, .. } = session;
    sign(secret, &json!({ "userId": user, "sessionId": id, "iat": issued, "exp": expires }))
}

/// Returns the token in a session's cookie.
pub(crate) fn cookie_of(session: &SessionRow) -> String {
    session_token(AUTH_SECRET, session)
}
