//! All names of the configuration, with shape and default. The parser, its error messages and `docs/configuration.md`
//! use this list.

/// A variable, or a member of a table.
#[derive(Debug)]
pub struct Member {
    /// The name, as the operator writes it.
    pub name: &'static str,
    /// A description of the expected value.
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
];

/// The variables. `ROUTES` may continue in any `ROUTES_*`. These are read in the order of their names.
pub const VARIABLES: &[Member] = &[
    given("ENVIRONMENT", "\"production\" or \"development\"", "production"),
    open("PUBLIC_ORIGINS", "list of origins, at least one"),
    open("UPSTREAM", "origin of the application, or a table"),
    open("UPSTREAM_ALIASES", "list of origins"),
    given("ENDPOINTS", "path of a-z, 0-9, -, ., _ and ~", "/api"),
    open("SESSION", "table"),
    open("CREDENTIALS", "list of credentials"),
    open("USER_HEADERS", "list of \"name\" and \"email\""),
    given("TOKEN_MAKERS", "\"users\" or \"admins\"", "users"),
    open("ALLOWED_ORIGINS", "list of origins"),
    open("REDIRECT_ORIGINS", "list of origins"),
    given("CSRF", "\"standard\" or \"strict\"", "standard"),
    open("ROUTES", "list of rules"),
    open("RATE_LIMITS", "list of limits"),
    open("WEBHOOKS", "list of webhooks"),
    open("CHECKOUT_PROVIDERS", "list of providers"),
    open("MAINTENANCE", "list of paths"),
    open("BOT_CHECK", "table"),
    open("POLICY_URL", "URL"),
    given("PROBLEM_BASE", "URL, URN or \"about:blank\"", "urn:vestibule:errors"),
    given("LOG_SAMPLE", "number from 1 to 1000000", "100"),
    given("AUDIT_RETENTION", "duration from 1d to 3650d", "90d"),
    open("DANGER_FIXED_NOW", "Unix seconds"),
];

/// The secrets.
pub const SECRETS: &[Member] = &[
    open("AUTH_SECRET", "secret"),
    open("AUTH_SECRET_PREVIOUS", "secret"),
    open("UPSTREAM_SECRET", "secret"),
    open("SETUP_TOKEN", "secret"),
    open("AGENT_TOKENS", "name:token, one after each comma"),
    open("TURNSTILE_SECRET", "Turnstile's secret key"),
];

/// The members of `SESSION`.
pub const SESSION: &[Member] = &[
    given("cookie", "cookie name", "mk_session"),
    open("domain", "domain name"),
    given("lifetime", "duration", "30d"),
    given("refresh_after", "duration", "1d"),
    given("check", "\"registry\" or \"token\"", "registry"),
    given("check_ttl", "duration up to 60s", "10s"),
    open("login", "\"accounts\" or \"upstream\""),
    given("leeway", "duration up to 60s", "0s"),
    given("user_claim", "claim name", "userId"),
    given("session_claim", "claim name", "sessionId"),
    open("issuer", "text"),
    open("audience", "text"),
    given("login_path", "path", "/login"),
    given("home_path", "path", "/"),
    given("forward", "true or false", "true"),
];

/// The members of `UPSTREAM` as a table.
pub const UPSTREAM: &[Member] =
    &[open("origin", "origin of the application"), given("host", "\"own\" or \"public\"", "own")];

/// The members of a credential.
pub const CREDENTIAL: &[Member] = &[
    open("prefix", "2 to 16 of a-z, 0-9 and _, ending in _"),
    open("kind", "\"user\" or \"agent\""),
    open("source", "name"),
    open("machine", "true or false"),
    given("delegate", "true or false", "false"),
];

/// The members of a rule.
pub const RULE: &[Member] = &[
    open("path", "path pattern"),
    open("methods", "list of methods"),
    open("operation", "dotted name"),
    open(
        "access",
        "\"public\", \"optional\", \"authenticated\", \"user\", \"human\", \"agent\", \"admin\" or \"owner\"",
    ),
    open("unauthenticated", "\"redirect\" or \"401\""),
    open("owner_from", "path, with parameters of the rule's own"),
    open("csrf", "\"strict\""),
    given("insecure_skip_csrf", "true or false", "false"),
    given("timeout", "duration up to 10m", "30s"),
    open("redirects", "\"strict\""),
    open("return_field", "name of a field"),
    given("login", "true or false", "false"),
    open("idempotency", "\"optional\" or \"required\""),
    given("save", "\"safe\", \"stripe\" or \"success\"", "safe"),
    given("hold", "\"conflict\", \"retry\" or \"ask\"", "conflict"),
    given("retention", "duration from 1h to 30d", "24h"),
    given("invocation_id", "true, false or a JSON pointer", "false"),
    given("body_limit", "number of bytes", "1048576"),
    open("checkout", "table"),
    open("limit", "name of a limit"),
    open("bot_check", "action name"),
    open("feature", "name of a feature"),
    open("policy", "name of a policy"),
    open("confirm", "\"human\""),
    open("audit", "\"best_effort\" or \"required\""),
    given("encoded_slashes", "true or false", "false"),
    open("catalogue", "true, or a table"),
];

/// The members of a webhook. Those from `header` on belong to `scheme = "hmac"`.
pub const WEBHOOK: &[Member] = &[
    open("name", "1 to 32 of a-z, 0-9, - and _"),
    open(
        "scheme",
        "\"standard\", \"stripe\", \"github\", \"shopify\", \"slack\", \"paddle\", \"lemonsqueezy\", \"twilio\", \"square\" or \"hmac\"",
    ),
    open("path", "path"),
    open("secret", "name of a secret"),
    open("tolerance", "duration from 1s to 1h"),
    open("dedupe", "\"event_id\" or \"payload_hash\""),
    given("retention", "duration from 1h to 30d", "7d"),
    open("events", "list of event types"),
    given("body_limit", "number of bytes", "1048576"),
    given("timeout", "duration up to 60s", "30s"),
    given("delivery", "\"direct\" or \"inbox\"", "direct"),
    open("order", "JSON pointer"),
    open("header", "name of a header"),
    open("prefix", "text"),
    given("encoding", "\"hex\" or \"base64\"", "hex"),
    given("signed", "text with {body}", "{body}"),
    open("timestamp_header", "name of a header"),
    open("timestamp_prefix", "text"),
    open("id_header", "name of a header"),
    open("event_id", "JSON pointer"),
    open("event_type", "JSON pointer"),
];

/// The members of a limit.
pub const RATE_LIMIT: &[Member] = &[
    open("name", "1 to 32 of a-z, 0-9, - and _, not one of ours"),
    open("limit", "number up to 1000000"),
    open("period", "duration from 10s to 1d"),
    open("by", "\"address\" or \"principal\""),
    given("on_failure", "\"closed\" or \"open\"", "closed"),
    open("gate", "name of a rate-limit binding"),
];

/// The members of `BOT_CHECK`.
pub const BOT_CHECK: &[Member] = &[
    given("verify_url", "URL", "https://challenges.cloudflare.com/turnstile/v0/siteverify"),
    given("header", "name of a header", "CF-Turnstile-Response"),
    given("field", "name of a field", "cf-turnstile-response"),
    open("hostnames", "list of host names"),
    given("timeout", "duration from 1s to 10s", "3s"),
];

/// The members of a rule's `catalogue`.
pub const CATALOGUE: &[Member] =
    &[open("summary", "text up to 200 characters"), open("schema", "URL or path")];

/// The members of a rule's `checkout`.
pub const CHECKOUT: &[Member] = &[
    open("provider", "name of a webhook"),
    given("ref", "JSON pointer", "/id"),
    given("reserve", "duration from 1m to 30d", "30m"),
];

/// The members of a checkout provider.
pub const CHECKOUT_PROVIDER: &[Member] =
    &[open("provider", "name of a webhook"), open("confirm", "list of events")];

/// The members of an event that confirms a checkout.
pub const CONFIRM: &[Member] = &[
    open("event", "event type"),
    open("ref", "JSON pointer"),
    open("equals", "table of JSON pointers and values"),
];

/// The members of a maintenance path.
pub const MAINTAINED: &[Member] = &[open("path", "path"), given("timeout", "duration up to 10m", "30s")];

const fn open(name: &'static str, shape: &'static str) -> Member {
    Member { name, shape, default: None }
}

const fn given(name: &'static str, shape: &'static str, default: &'static str) -> Member {
    Member { name, shape, default: Some(default) }
}
