//! A request as plain data, and as the edge serializes it.

use std::fmt::Write as _;

use super::{
    rules::AUTH_SECRET,
    state::{Change, SessionRow, State, cookie_of, session_token},
};

/// A value of the session cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// The token of this session, as it was signed.
    Of(usize),
    /// The token of this session, signed with another secret.
    Forged(usize),
    /// The token of this session, with a time in the past.
    Expired(usize),
    Malformed,
}

/// The value of `Authorization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authorization {
    Token(usize),
    /// A token of a known kind that nobody has made.
    Unknown,
    /// A bearer token of no known kind.
    Foreign,
    Basic,
    /// A token, and another credential behind a comma.
    Several(usize),
}

/// The `Confirmation-ID` of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Confirmation {
    Unknown,
    Of(String),
}

/// What happens while the body arrives, and how many seconds that takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meanwhile {
    pub(crate) change: Change,
    pub(crate) seconds: i64,
}

impl Meanwhile {
    pub(crate) const NOTHING: Self = Self { change: Change::Nothing, seconds: 0 };
}

/// A request that waits for a person's approval.
#[derive(Clone, Debug)]
pub(crate) struct WaitingRequest {
    pub(crate) approval: String,
    pub(crate) request: Request,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) query: &'static str,
    pub(crate) address: &'static str,
    pub(crate) cookies: Vec<Cookie>,
    pub(crate) authorization: Option<Authorization>,
    pub(crate) site: Option<&'static str>,
    pub(crate) origin: Option<&'static str>,
    pub(crate) referer: Option<&'static str>,
    pub(crate) mode: Option<&'static str>,
    pub(crate) dest: Option<&'static str>,
    pub(crate) accept: Option<&'static str>,
    pub(crate) is_upgrade: bool,
    pub(crate) key: Option<&'static str>,
    pub(crate) confirmation: Option<Confirmation>,
    /// The token of the bot check in the header, and in the body.
    pub(crate) bot_header: Option<&'static str>,
    pub(crate) bot_field: Option<&'static str>,
    /// The return field in the body.
    pub(crate) field: Option<&'static str>,
    /// Headers that the client must not set.
    pub(crate) forged: Vec<&'static str>,
    /// The status of upstream's response.
    pub(crate) upstream: u16,
    /// The owner whom upstream names, or the status of its answer without one.
    pub(crate) owner: Result<&'static str, u16>,
    pub(crate) meanwhile: Meanwhile,
}

pub(crate) const HOST: &str = "app.example";

impl Request {
    pub(crate) fn is_safe(&self) -> bool {
        ["GET", "HEAD", "OPTIONS"].contains(&self.method)
    }

    /// A navigation, or a form that a person sends.
    pub(crate) fn wants_page(&self) -> bool {
        !self.is_upgrade
            && match self.mode {
                Some(mode) => mode == "navigate",
                None => self.accept.is_some_and(|accept| accept.contains("text/html")),
            }
    }

    pub(crate) fn is_navigation(&self) -> bool {
        self.wants_page() && ["GET", "HEAD"].contains(&self.method)
    }

    pub(crate) fn has_bearer(&self) -> bool {
        !matches!(self.authorization, None | Some(Authorization::Basic))
    }

    /// Returns the text of the bearer token.
    pub(crate) fn bearer(&self, state: &State) -> Option<String> {
        let token = |at: usize| state.tokens[at].value.clone();
        match self.authorization? {
            Authorization::Token(at) => Some(token(at)),
            Authorization::Several(at) => Some(format!("{}, Basic YTpi", token(at))),
            Authorization::Unknown => Some(format!("mul_{}", "0".repeat(40))),
            Authorization::Foreign => Some("xyz_1".to_owned()),
            Authorization::Basic => None,
        }
    }

    pub(crate) fn body(&self) -> String {
        self.field
            .filter(|_| !self.is_safe())
            .map(|value| format!("next={}", value.replace(':', "%3A").replace('/', "%2F")))
            .unwrap_or_default()
    }

    fn cookie(&self, state: &State) -> Option<String> {
        let value = |cookie: &Cookie| match *cookie {
            Cookie::Of(at) => cookie_of(&state.sessions[at]),
            Cookie::Forged(at) => session_token("a secret of somebody else, 32 bytes", &state.sessions[at]),
            Cookie::Expired(at) => {
                let session = &state.sessions[at];
                session_token(
                    AUTH_SECRET,
                    &SessionRow { issued: 1_600_000_000, expires: 1_600_000_100, ..session.clone() },
                )
            }
            Cookie::Malformed => "broken".to_owned(),
        };
        let pairs = self.cookies.iter().map(|cookie| format!("mk_session={}", value(cookie)));
        (!self.cookies.is_empty()).then(|| format!("a=1; {}", pairs.collect::<Vec<_>>().join("; ")))
    }

    /// Returns the request as the edge serializes it.
    pub(crate) fn serialized(&self, state: &State) -> String {
        let Self { method, path, query, address, .. } = self;
        let confirmation = self.confirmation.as_ref().map(|confirmation| match confirmation {
            Confirmation::Unknown => "cnf_unknown".to_owned(),
            Confirmation::Of(id) => id.clone(),
        });
        let authorization = match self.authorization {
            Some(Authorization::Basic) => Some("Basic YTpi".to_owned()),
            _ => self.bearer(state).map(|token| format!("Bearer {token}")),
        };
        let own = |text: Option<&str>| text.map(str::to_owned);
        let headers = [
            ("cf-connecting-ip", Some((*address).to_owned())),
            ("cookie", self.cookie(state)),
            ("authorization", authorization),
            ("sec-fetch-site", own(self.site)),
            ("origin", own(self.origin)),
            ("referer", own(self.referer)),
            ("sec-fetch-mode", own(self.mode)),
            ("sec-fetch-dest", own(self.dest)),
            ("accept", own(self.accept)),
            ("upgrade", self.is_upgrade.then(|| "websocket".to_owned())),
            ("idempotency-key", own(self.key)),
            ("confirmation-id", confirmation),
            ("cf-turnstile-response", own(self.bot_header)),
            ("content-type", (!self.is_safe()).then(|| "application/x-www-form-urlencoded".to_owned())),
        ];
        let mut text = format!("{method}\nhttps://{HOST}{path}{query}");
        let sent = headers.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let forged = self.forged.iter().map(|name| (*name, "root".to_owned()));
        for (name, value) in sent.chain(forged) {
            write!(text, "\n{name}\n{value}").expect("a string");
        }
        text
    }
}

impl Request {
    /// Returns a request without anything special.
    pub(crate) fn plain(method: &'static str, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            query: "",
            address: "192.0.2.7",
            cookies: Vec::new(),
            authorization: None,
            site: None,
            origin: None,
            referer: None,
            mode: None,
            dest: None,
            accept: None,
            is_upgrade: false,
            key: None,
            confirmation: None,
            bot_header: None,
            bot_field: None,
            field: None,
            forged: Vec::new(),
            upstream: 200,
            owner: Ok("ada"),
            meanwhile: Meanwhile::NOTHING,
        }
    }
}
