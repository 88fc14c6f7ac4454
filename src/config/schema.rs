//! All names of the configuration, with shape and default. The parser, its error messages and `docs/configuration.md`
//! use this list.

/// A variable, or a member of a table.
#[derive(Debug)]
pub struct Member {
    /// The name, as the operator writes it.
    pub name: &'static str,
    /// A description of the expected value, with its article, as error messages show it.
    pub shape: &'static str,
    /// The value of an absent member, as the operator would write it.
    pub default: Option<&'static str>,
}

/// All of the lists below.
pub const ALL: &[&[Member]] = &[
    VARIABLES,
    SECRETS,
    SESSION,
    UPSTREAM,
    CREDENTIAL,
    RULE,
    RATE_LIMIT,
    BOT_CHECK,
    CATALOGUE,
    WEBHOOK,
    CHECKOUT,
    CHECKOUT_PROVIDER,
    CONFIRM,
    MAINTAINED,
    PAGES,
    BRANDING,
];

/// The variables. `ROUTES` may continue in any `ROUTES_*`. These are read in the order of their names.
pub const VARIABLES: &[Member] = &[
    given("ENVIRONMENT", "\"production\" or \"development\"", "production"),
    open("PUBLIC_ORIGINS", "a list of at least one origin"),
    open("UPSTREAM", "the origin of the application, or a table"),
    open("UPSTREAM_ALIASES", "a list of origins"),
    given("ENDPOINTS", "a path of a-z, 0-9, -, ., _ and ~", "/api"),
    open("SESSION", "a table"),
    open("CREDENTIALS", "a list of credentials"),
    open("USER_HEADERS", "a list of \"name\" and \"email\""),
    given("TOKEN_MAKERS", "\"users\" or \"admins\"", "users"),
    open("TOKEN_MAX_EXPIRY", "a duration from 1m to 3650d"),
    open("PAGES", "a table"),
    open("BRANDING", "a table"),
    open("ALLOWED_ORIGINS", "a list of origins"),
    open("REDIRECT_ORIGINS", "a list of origins"),
    given("CSRF", "\"standard\" or \"strict\"", "standard"),
    open("ROUTES", "a list of rules"),
    open("RATE_LIMITS", "a list of limits"),
    open("WEBHOOKS", "a list of webhooks"),
    open("CHECKOUT_PROVIDERS", "a list of providers"),
    open("MAINTENANCE", "a list of paths"),
    open("BOT_CHECK", "a table"),
    open("POLICY_URL", "a URL"),
    given("PROBLEM_BASE", "a URL, URN or \"about:blank\"", "urn:vestibule:errors"),
    given("LOG_SAMPLE", "a number from 1 to 1000000", "100"),
    given("AUDIT_RETENTION", "a duration from 1d to 3650d", "90d"),
    open("DANGER_FIXED_NOW", "Unix seconds"),
];

/// The secrets.
pub const SECRETS: &[Member] = &[
    open("AUTH_SECRET", "a secret"),
    open("AUTH_SECRET_PREVIOUS", "a secret"),
    open("UPSTREAM_SECRET", "a secret"),
    open("SETUP_TOKEN", "a secret"),
    open("AGENT_TOKENS", "name:token pairs, separated by commas"),
    open("TURNSTILE_SECRET", "Turnstile's secret key"),
];

/// The members of `SESSION`.
pub const SESSION: &[Member] = &[
    given("cookie", "a cookie name", "mk_session"),
    open("cookie_previous", "a cookie name"),
    open("domain", "a domain name"),
    given("lifetime", "a duration", "30d"),
    given("refresh_after", "a duration", "1d"),
    open("max_lifetime", "a duration of at least 5m"),
    open("idle", "a duration of at least 5m"),
    given("check", "\"registry\" or \"token\"", "registry"),
    given("check_ttl", "a duration up to 60s", "10s"),
    open("login", "\"accounts\" or \"upstream\""),
    open("recent_admin", "a duration from 1m to 30d"),
    given("require_second_factor", "\"nobody\", \"admins\" or \"everybody\"", "nobody"),
    given("leeway", "a duration up to 60s", "0s"),
    given("user_claim", "a claim name", "userId"),
    given("session_claim", "a claim name", "sessionId"),
    open("issuer", "a string"),
    open("audience", "a string"),
    given("login_path", "a path", "/login"),
    given("home_path", "a path", "/"),
    given("forward", "true or false", "true"),
];

/// The members of `PAGES`.
pub const PAGES: &[Member] = &[given("prefix", "a path of a-z, 0-9, -, ., _ and ~", "/_vestibule")];

/// The members of `BRANDING`.
pub const BRANDING: &[Member] = &[
    open("name", "a name of 1 to 60 characters"),
    open("logo", "an https URL, or a path of this site"),
    open("accent", "a colour like #1d4ed8"),
];

/// The members of `UPSTREAM` as a table.
pub const UPSTREAM: &[Member] =
    &[open("origin", "the origin of the application"), given("host", "\"own\" or \"public\"", "own")];

/// The members of a credential.
pub const CREDENTIAL: &[Member] = &[
    open("prefix", "2 to 16 of a-z, 0-9 and _, ending in _"),
    open("kind", "\"user\" or \"agent\""),
    open("source", "a name"),
    open("machine", "true or false"),
    given("delegate", "true or false", "false"),
];

/// The members of a rule.
pub const RULE: &[Member] = &[
    open("path", "a path pattern"),
    open("methods", "a list of methods"),
    open("operation", "a dotted name"),
    open(
        "access",
        "\"public\", \"optional\", \"authenticated\", \"user\", \"human\", \"agent\", \"admin\" or \"owner\"",
    ),
    open("recent", "a duration from 1m to 30d"),
    open("unauthenticated", "\"redirect\" or \"401\""),
    open("owner_from", "a path with parameters of the rule"),
    open("csrf", "\"strict\""),
    given("insecure_skip_csrf", "true or false", "false"),
    given("timeout", "a duration up to 10m", "30s"),
    open("redirects", "\"strict\""),
    open("return_field", "the name of a field"),
    given("login", "true or false", "false"),
    open("idempotency", "\"optional\" or \"required\""),
    given("save", "\"safe\", \"stripe\" or \"success\"", "safe"),
    given("hold", "\"conflict\", \"retry\" or \"ask\"", "conflict"),
    given("retention", "a duration from 1h to 30d", "24h"),
    given("invocation_id", "true, false or a JSON pointer", "false"),
    given("body_limit", "a number of bytes", "1048576"),
    open("checkout", "a table"),
    open("limit", "the name of a limit"),
    open("bot_check", "an action name"),
    open("feature", "the name of a feature"),
    open("policy", "the name of a policy"),
    open("confirm", "\"human\""),
    open("audit", "\"best_effort\" or \"required\""),
    given("encoded_slashes", "true or false", "false"),
    open("catalogue", "true or a table"),
];

/// The members of a webhook. Those from `header` on belong to `scheme = "hmac"`.
pub const WEBHOOK: &[Member] = &[
    open("name", "1 to 32 of a-z, 0-9, - and _"),
    open(
        "scheme",
        "\"standard\", \"stripe\", \"github\", \"shopify\", \"slack\", \"paddle\", \"lemonsqueezy\", \"twilio\", \"square\" or \"hmac\"",
    ),
    open("path", "a path"),
    open("secret", "the name of a secret"),
    open("tolerance", "a duration from 1s to 1h"),
    open("dedupe", "\"event_id\" or \"payload_hash\""),
    given("retention", "a duration from 1h to 30d", "7d"),
    open("events", "a list of event types"),
    given("body_limit", "a number of bytes", "1048576"),
    given("timeout", "a duration up to 60s", "30s"),
    given("delivery", "\"direct\" or \"inbox\"", "direct"),
    open("order", "a JSON pointer"),
    open("header", "the name of a header"),
    open("prefix", "a string"),
    given("encoding", "\"hex\" or \"base64\"", "hex"),
    given("signed", "a string with {body}", "{body}"),
    open("timestamp_header", "the name of a header"),
    open("timestamp_prefix", "a string"),
    open("id_header", "the name of a header"),
    open("event_id", "a JSON pointer"),
    open("event_type", "a JSON pointer"),
];

/// The members of a limit.
pub const RATE_LIMIT: &[Member] = &[
    open("name", "1 to 32 of a-z, 0-9, - and _, not a built-in limit"),
    open("limit", "a number up to 1000000"),
    open("period", "a duration from 10s to 1d"),
    open("by", "\"address\" or \"principal\""),
    given("on_failure", "\"closed\" or \"open\"", "closed"),
    open("gate", "the name of a rate-limit binding"),
];

/// The members of `BOT_CHECK`.
pub const BOT_CHECK: &[Member] = &[
    given("verify_url", "a URL", "https://challenges.cloudflare.com/turnstile/v0/siteverify"),
    given("header", "the name of a header", "CF-Turnstile-Response"),
    given("field", "the name of a field", "cf-turnstile-response"),
    open("hostnames", "a list of host names"),
    given("timeout", "a duration from 1s to 10s", "3s"),
];

/// The members of a rule's `catalogue`.
pub const CATALOGUE: &[Member] =
    &[open("summary", "a string up to 200 characters"), open("schema", "a URL or path")];

/// The members of a rule's `checkout`.
pub const CHECKOUT: &[Member] = &[
    open("provider", "the name of a webhook"),
    given("ref", "a JSON pointer", "/id"),
    given("reserve", "a duration from 1m to 30d", "30m"),
];

/// The members of a checkout provider.
pub const CHECKOUT_PROVIDER: &[Member] =
    &[open("provider", "the name of a webhook"), open("confirm", "a list of events")];

/// The members of an event that confirms a checkout.
pub const CONFIRM: &[Member] = &[
    open("event", "an event type"),
    open("ref", "a JSON pointer"),
    open("equals", "a table of JSON pointers and values"),
];

/// The members of a maintenance path.
pub const MAINTAINED: &[Member] = &[open("path", "a path"), given("timeout", "a duration up to 10m", "30s")];

const fn open(name: &'static str, shape: &'static str) -> Member {
    Member { name, shape, default: None }
}

const fn given(name: &'static str, shape: &'static str, default: &'static str) -> Member {
    Member { name, shape, default: Some(default) }
}
