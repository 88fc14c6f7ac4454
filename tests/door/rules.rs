//! A configuration as plain data, and which of two rules requires more, as `docs/configuration.md` says.

use serde_json::{Map, Value, json};

/// The members of `access`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Public,
    Optional,
    Authenticated,
    User,
    Human,
    Agent,
    Admin,
    Owner,
}

/// Who answers the requests of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Upstream,
    /// A built-in route.
    BuiltIn,
    /// The path of a built-in route with another method.
    WrongMethod,
}

/// A rule, as an operator writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "as the operator writes them")]
pub(crate) struct Rule {
    pub(crate) path: String,
    pub(crate) methods: Vec<&'static str>,
    pub(crate) access: Access,
    pub(crate) operation: Option<&'static str>,
    pub(crate) recent: Option<i64>,
    pub(crate) owner_from: Option<&'static str>,
    pub(crate) is_csrf_strict: bool,
    pub(crate) skips_csrf: bool,
    pub(crate) has_strict_redirects: bool,
    pub(crate) return_field: Option<&'static str>,
    pub(crate) idempotency: Option<&'static str>,
    pub(crate) limit: Option<&'static str>,
    pub(crate) bot_check: Option<&'static str>,
    pub(crate) feature: Option<&'static str>,
    pub(crate) policy: Option<&'static str>,
    pub(crate) confirm: bool,
    pub(crate) audit: Option<&'static str>,
    pub(crate) unauthenticated: Option<&'static str>,
    pub(crate) mode: Option<&'static str>,
    pub(crate) report: Vec<&'static str>,
    pub(crate) encoded_slashes: bool,
    pub(crate) place: Place,
}

impl Rule {
    pub(crate) fn new(path: &str, access: Access) -> Self {
        Self {
            path: path.to_owned(),
            methods: Vec::new(),
            access,
            operation: None,
            recent: None,
            owner_from: None,
            is_csrf_strict: false,
            skips_csrf: false,
            has_strict_redirects: false,
            return_field: None,
            idempotency: None,
            limit: None,
            bot_check: None,
            feature: None,
            policy: None,
            confirm: false,
            audit: None,
            unauthenticated: None,
            mode: None,
            report: Vec::new(),
            encoded_slashes: false,
            place: Place::Upstream,
        }
    }

    fn built_in(path: &str, methods: &[&'static str], access: Access, operation: &'static str) -> Self {
        let place = Place::BuiltIn;
        Self { methods: methods.to_vec(), operation: Some(operation), place, ..Self::new(path, access) }
    }

    fn variable(&self) -> Value {
        let access = format!("{:?}", self.access).to_lowercase();
        let mut members = json!({ "path": self.path, "access": access });
        let texts = [
            ("operation", self.operation),
            ("owner_from", self.owner_from),
            ("csrf", self.is_csrf_strict.then_some("strict")),
            ("redirects", self.has_strict_redirects.then_some("strict")),
            ("return_field", self.return_field),
            ("idempotency", self.idempotency),
            ("limit", self.limit),
            ("bot_check", self.bot_check),
            ("feature", self.feature),
            ("policy", self.policy),
            ("confirm", self.confirm.then_some("human")),
            ("audit", self.audit),
            ("unauthenticated", self.unauthenticated),
            ("mode", self.mode),
        ];
        for (name, value) in texts.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            members[name] = value.into();
        }
        if let Some(seconds) = self.recent {
            members["recent"] = format!("{seconds}s").into();
        }
        for (name, is_set) in
            [("insecure_skip_csrf", self.skips_csrf), ("encoded_slashes", self.encoded_slashes)]
        {
            if is_set {
                members[name] = true.into();
            }
        }
        for (name, list) in [("methods", &self.methods), ("report", &self.report)] {
            if !list.is_empty() {
                members[name] = json!(list);
            }
        }
        members
    }

    /// Returns whether a rule lacks the guard of a step.
    pub(crate) fn lacks(&self, step: &str) -> bool {
        match step {
            "return_field" => self.return_field.is_none(),
            "bot_check" => self.bot_check.is_none(),
            "feature" => self.feature.is_none(),
            "policy" => self.policy.is_none(),
            "confirm" => !self.confirm,
            "limit" => self.limit.is_none(),
            _ => false,
        }
    }

    /// Returns whether this rule requires at least as much as another one, in every member. `names`: whether operations
    /// count although no policy decides by them.
    pub(crate) fn requires_at_least(&self, other: &Self, names: bool) -> bool {
        if self == other {
            return true;
        }
        // A built-in route, and any other rule, cannot be ordered.
        if self.place != Place::Upstream || other.place != Place::Upstream {
            return false;
        }
        let csrf = |rule: &Self| match (rule.is_csrf_strict, rule.skips_csrf) {
            (true, _) => 2,
            (false, false) => 1,
            (false, true) => 0,
        };
        let idempotency =
            |rule: &Self| ["optional", "required"].iter().position(|it| rule.idempotency == Some(it));
        let audit = |rule: &Self| ["best_effort", "required"].iter().position(|it| rule.audit == Some(it));
        let has = |own: Option<&str>, others: Option<&str>| others.is_none() || own == others;
        let is_owned_alike = self.access != Access::Owner
            || other.access != Access::Owner
            || self.owner_from == other.owner_from;
        let operation_counts = names || other.policy.is_some();
        self.access.requires_at_least(other.access)
            && is_owned_alike
            && recent_at_least(self.recent, other.recent)
            && csrf(self) >= csrf(other)
            && self.has_strict_redirects >= other.has_strict_redirects
            && has(self.return_field, other.return_field)
            && has(self.limit, other.limit)
            && has(self.bot_check, other.bot_check)
            && has(self.feature, other.feature)
            && has(self.policy, other.policy)
            && idempotency(self) >= idempotency(other)
            && self.confirm >= other.confirm
            && audit(self) >= audit(other)
            && (!operation_counts || has(self.operation, other.operation))
    }
}

fn recent_at_least(own: Option<i64>, other: Option<i64>) -> bool {
    match (own, other) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(own), Some(other)) => own <= other,
    }
}

impl Access {
    /// From less to more: `public`, `optional`, `authenticated`, `user`, `owner`, `admin`. `human` requires more than
    /// `user`, and `agent` more than `authenticated`.
    fn requires_at_least(self, other: Self) -> bool {
        use Access::{Admin, Agent, Authenticated, Human, Optional, Owner, Public, User};
        let below: &[Self] = match self {
            Public => &[],
            Optional => &[Public],
            Authenticated => &[Public, Optional],
            User | Agent => &[Public, Optional, Authenticated],
            Human | Owner => &[Public, Optional, Authenticated, User],
            Admin => &[Public, Optional, Authenticated, User, Owner],
        };
        self == other || below.contains(&other)
    }
}

/// Who signs users in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// Upstream, with session tokens of its own.
    Token,
    Upstream,
    Accounts,
}

/// The whole configuration.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) login: Login,
    /// `check_ttl`, in seconds.
    pub(crate) ttl: i64,
    pub(crate) is_csrf_strict: bool,
    pub(crate) reports: bool,
    pub(crate) forwards_credentials: bool,
    /// `refresh_after`, in seconds.
    pub(crate) refresh_after: i64,
    pub(crate) rules: Vec<Rule>,
}

pub(crate) const AUTH_SECRET: &str = "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA";
pub(crate) const UPSTREAM_SECRET: &str = "u7Qm2Nf8Wc4Ry9Td1Kb6Vh3Xs5Jg0LpZe";
/// The number of requests that each limit lets pass in a minute.
pub(crate) const LIMIT: usize = 3;

/// A rate limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) name: &'static str,
    pub(crate) by: &'static str,
    pub(crate) on_failure: &'static str,
    pub(crate) mode: &'static str,
}

pub(crate) const LIMITS: [Limit; 4] = [
    Limit { name: "few", by: "address", on_failure: "closed", mode: "enforce" },
    Limit { name: "own", by: "principal", on_failure: "closed", mode: "enforce" },
    Limit { name: "soft", by: "address", on_failure: "open", mode: "enforce" },
    Limit { name: "trial", by: "principal", on_failure: "closed", mode: "report" },
];

impl Setup {
    pub(crate) fn has_registry(&self) -> bool {
        self.login != Login::Token
    }

    pub(crate) fn has_tokens(&self) -> bool {
        self.login == Login::Accounts
    }

    /// Returns the rules of the operator, those of built-in routes, and that of the login page.
    pub(crate) fn all_rules(&self) -> Vec<Rule> {
        let mut all = self.rules.clone();
        all.push(Rule::built_in("/api/auth/me", &["GET"], Access::Authenticated, "vestibule.me"));
        all.push(Rule::built_in("/api/auth/logout", &["POST"], Access::Public, "vestibule.logout"));
        all.push(Rule::built_in("/.well-known/vestibule", &["GET"], Access::Public, "vestibule.status"));
        let mut paths = vec!["/api/auth/me", "/api/auth/logout", "/.well-known/vestibule"];
        if self.has_registry() {
            all.push(Rule::built_in("/api/sessions", &["GET"], Access::Human, "vestibule.sessions.list"));
            all.push(Rule::built_in(
                "/api/sessions",
                &["DELETE"],
                Access::Human,
                "vestibule.sessions.end_others",
            ));
            paths.push("/api/sessions");
        }
        let wrong = |path: &&str| Rule { place: Place::WrongMethod, ..Rule::new(path, Access::Public) };
        all.extend(paths.iter().map(wrong));
        let is_login =
            |rule: &Rule| rule.path == "/login" && (rule.methods.is_empty() || rule.methods.contains(&"GET"));
        if !all.iter().any(is_login) {
            all.push(Rule { methods: vec!["GET"], ..Rule::new("/login", Access::Public) });
        }
        all
    }

    pub(crate) fn variables(&self) -> Map<String, Value> {
        let mut session = json!({
            "check": if self.has_registry() { "registry" } else { "token" },
            "forward": self.forwards_credentials,
            "refresh_after": format!("{}s", self.refresh_after),
        });
        if self.has_registry() {
            session["check_ttl"] = format!("{}s", self.ttl).into();
            session["login"] = if self.has_tokens() { "accounts".into() } else { "upstream".into() };
        }
        let limits = LIMITS.map(|limit| {
            let Limit { name, by, on_failure, mode } = limit;
            json!({ "name": name, "limit": LIMIT, "period": "1m", "by": by, "on_failure": on_failure, "mode": mode })
        });
        let variables = json!({
            "PUBLIC_ORIGINS": ["https://app.example"],
            "ALLOWED_ORIGINS": ["https://friend.example"],
            "UPSTREAM": "https://origin.example",
            "UPSTREAM_SECRET": UPSTREAM_SECRET,
            "AUTH_SECRET": AUTH_SECRET,
            "SESSION": session,
            "CSRF": if self.is_csrf_strict { "strict" } else { "standard" },
            "MODE": if self.reports { "report" } else { "enforce" },
            "TURNSTILE_SECRET": "0x4AAAAAAAbcdefghijklmnopqrstuvwxyz",
            "POLICY_URL": "https://policy.example/decide",
            "RATE_LIMITS": limits,
            "ROUTES": self.rules.iter().map(Rule::variable).collect::<Vec<_>>(),
        });
        let Value::Object(variables) = variables else { unreachable!("an object") };
        variables
    }
}
