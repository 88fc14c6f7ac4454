//! All names of the configuration, with shape and default. The parser, its error messages and `docs/configuration.md`
//! use this list.

use std::ops::RangeInclusive;

use self::Form::{Bytes, Choice, Duration, Either, Flag, List, Number, Path, Pointers, Secret, Table, Text};
use crate::base::time;

/// A variable, or a member of a table.
#[derive(Debug)]
pub struct Member {
    /// The name, as the operator writes it.
    pub name: &'static str,
    /// A description of the expected value, with its article, as error messages show it.
    pub shape: &'static str,
    /// The form of its values.
    pub form: Form,
    /// The value of an absent member, as the operator would write it.
    pub default: Option<&'static str>,
    /// Whether a table without it is a mistake.
    pub is_required: bool,
}

/// The form of a value. The parser and the JSON Schema share it.
#[derive(Debug)]
pub enum Form {
    /// A text that matches a regular expression (ECMA-262), and an example.
    Text(&'static str, &'static str),
    /// A canonical path that matches a regular expression, and an example.
    Path(&'static str, &'static str),
    /// One of these keywords.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A whole number within these bounds, or a text of its digits.
    Number(u32, u32),
    /// A number of bytes.
    Bytes,
    /// A duration within these bounds.
    Duration(&'static str, &'static str),
    /// A table with these members.
    Table(&'static [Member]),
    /// A list. A list of texts may also be one text with commas.
    List(&'static Form),
    /// One of two forms.
    Either(&'static Form, &'static Form),
    /// A table of JSON pointers (RFC 6901) and values.
    Pointers,
    /// A text that must not be in the file.
    Secret,
}

impl Form {
    /// Returns an example, as the operator would write it. Messages list keywords and bounds instead.
    pub(super) fn example(&self) -> Option<String> {
        match self {
            Text(_, example) | Path(_, example) => Some(format!("{example:?}")),
            Either(first, _) => first.example(),
            List(item) => item.example().map(|example| format!("[{example}]")),
            Table(members) if members.iter().any(|member| member.is_required) => {
                let required = members.iter().filter(|member| member.is_required);
                let values = required.map(|Member { name, form, .. }| match form {
                    Choice([first, ..]) | Duration(first, _) => format!("{name} = {first:?}"),
                    Flag => format!("{name} = true"),
                    Number(first, _) => format!("{name} = {first}"),
                    form => format!("{name} = {}", form.example().unwrap_or_default()),
                });
                Some(format!("{{ {} }}", values.collect::<Vec<_>>().join(", ")))
            }
            _ => None,
        }
    }

    /// Returns whether these are the keywords of a [`Choice`]. Used only in debug builds, where the parser checks that
    /// it agrees with this list.
    pub(super) fn has_keywords<'a>(&self, keywords: impl Iterator<Item = &'a str>) -> bool {
        matches!(self, Choice(known) if keywords.eq(known.iter().copied()))
    }

    /// Returns whether these are the bounds of a [`Duration`]. Used only in debug builds, as [`Form::has_keywords`].
    pub(super) fn has_bounds(&self, bounds: &RangeInclusive<std::time::Duration>) -> bool {
        let is = |text, bound: &_| time::parse_span(text).as_ref() == Some(bound);
        matches!(self, Duration(from, to) if is(from, bounds.start()) && is(to, bounds.end()))
    }
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
    PASSWORDS,
];

/// The variables. `ROUTES` may continue in any `ROUTES_*`. These are read in the order of their names.
pub const VARIABLES: &[Member] = &[
    given(
        "ENVIRONMENT",
        "\"production\" or \"development\"",
        "production",
        Choice(&["production", "development"]),
    ),
    given("MODE", "\"enforce\" or \"report\"", "enforce", MODE),
    required("PUBLIC_ORIGINS", "a list of at least one origin", List(&ORIGIN)),
    open("UPSTREAM", "the origin of the application, or a table", Either(&UPSTREAM_ORIGIN, &Table(UPSTREAM))),
    open("UPSTREAM_ALIASES", "a list of origins", List(&ORIGIN)),
    given("ENDPOINTS", "a path of a-z, 0-9, -, ., _ and ~", "/api", PREFIX),
    open("SESSION", "a table", Table(SESSION)),
    open("CREDENTIALS", "a list of credentials", List(&Table(CREDENTIAL))),
    open("USER_HEADERS", "a list of \"name\" and \"email\"", List(&Choice(&["name", "email"]))),
    given("TOKEN_MAKERS", "\"users\" or \"admins\"", "users", Choice(&["users", "admins"])),
    open("TOKEN_MAX_EXPIRY", "a duration from 1m to 3650d", Duration("1m", "3650d")),
    open("PAGES", "a table", Table(PAGES)),
    open("BRANDING", "a table", Table(BRANDING)),
    open("PASSWORDS", "a table", Table(PASSWORDS)),
    open("MAILER", "a URL", URL),
    open("ALLOWED_ORIGINS", "a list of origins", List(&ORIGIN)),
    open("REDIRECT_ORIGINS", "a list of origins", List(&ORIGIN)),
    given("CSRF", "\"standard\" or \"strict\"", "standard", Choice(&["standard", "strict"])),
    open("ROUTES", "a list of rules", List(&Table(RULE))),
    open("RATE_LIMITS", "a list of limits", List(&Table(RATE_LIMIT))),
    open("WEBHOOKS", "a list of webhooks", List(&Table(WEBHOOK))),
    open("CHECKOUT_PROVIDERS", "a list of providers", List(&Table(CHECKOUT_PROVIDER))),
    open("MAINTENANCE", "a list of paths", List(&Table(MAINTAINED))),
    open("BOT_CHECK", "a table", Table(BOT_CHECK)),
    open("POLICY_URL", "a URL", URL),
    given(
        "PROBLEM_BASE",
        "a URL, URN or \"about:blank\"",
        "urn:vestibule:errors",
        Text(
            r"^(https?://[^/#\s][^#\s]*|urn:[^/#\s][^#\s]*|about:blank)$",
            "https://docs.example.com/errors",
        ),
    ),
    given("LOG_SAMPLE", "a number from 1 to 1000000", "100", Number(1, 1_000_000)),
    given("AUDIT_RETENTION", "a duration from 1d to 3650d", "90d", Duration("1d", "3650d")),
    open("DANGER_FIXED_NOW", "Unix seconds", Number(0, u32::MAX)),
];

/// The secrets.
pub const SECRETS: &[Member] = &[
    open("AUTH_SECRET", "a secret", Secret),
    open("AUTH_SECRET_PREVIOUS", "a secret", Secret),
    open("UPSTREAM_SECRET", "a secret", Secret),
    open("SETUP_TOKEN", "a secret", Secret),
    open("EXPORT_KEY", "a secret", Secret),
    open("MAILER_SECRET", "whsec_ and the base64 of 24 to 64 bytes", Secret),
    open("AGENT_TOKENS", "name:token pairs, separated by commas", Secret),
    open("TURNSTILE_SECRET", "Turnstile's secret key", Secret),
];

/// The members of `SESSION`.
pub const SESSION: &[Member] = &[
    given("cookie", "a cookie name", "mk_session", COOKIE),
    open("cookie_previous", "a cookie name", COOKIE),
    open("domain", "a domain name", Text(r"^[a-z0-9-]+(\.[a-z0-9-]+)+$", "example.com")),
    given("lifetime", "a duration", "30d", Duration("1s", LONGEST)),
    given("refresh_after", "a duration", "1d", Duration("0s", LONGEST)),
    open("max_lifetime", "a duration of at least 5m", Duration("5m", LONGEST)),
    open("idle", "a duration of at least 5m", Duration("5m", LONGEST)),
    given("check", "\"registry\" or \"token\"", "registry", Choice(&["registry", "token"])),
    given("check_ttl", "a duration up to 60s", "10s", Duration("0s", "60s")),
    open("login", "\"accounts\" or \"upstream\"", Choice(&["accounts", "upstream"])),
    open("recent_admin", "a duration from 1m to 30d", Duration("1m", "30d")),
    given(
        "require_second_factor",
        "\"nobody\", \"admins\" or \"everybody\"",
        "nobody",
        Choice(&["nobody", "admins", "everybody"]),
    ),
    given("leeway", "a duration up to 60s", "0s", Duration("0s", "60s")),
    given("user_claim", "a claim name", "userId", CLAIM),
    given("session_claim", "a claim name", "sessionId", CLAIM),
    open("issuer", "a string", Text(".", "https://auth.example.com")),
    open("audience", "a string", Text(".", "app")),
    given("login_path", "a path", "/login", PATH),
    given("home_path", "a path", "/", PATH),
    given("forward", "true or false", "true", Flag),
];

/// The members of `PAGES`.
pub const PAGES: &[Member] = &[given("prefix", "a path of a-z, 0-9, -, ., _ and ~", "/_vestibule", PREFIX)];

/// The members of `BRANDING`.
pub const BRANDING: &[Member] = &[
    open(
        "name",
        "a name of 1 to 60 characters",
        Text(r"^[^\s\x00-\x1f]([^\x00-\x1f]{0,58}[^\s\x00-\x1f])?$", "Example"),
    ),
    open(
        "logo",
        "an https URL, or a path of this site",
        Text(r"^(https://[^@\s]+|/([^/\s][^\s]*)?)$", "/logo.svg"),
    ),
    open("accent", "a colour like #1d4ed8", Text("^#[0-9a-fA-F]{6}$", "#1d4ed8")),
];

/// The members of `PASSWORDS`.
pub const PASSWORDS: &[Member] = &[
    given("memory", "a number of KiB from 19456 to 47104", "19456", Number(19_456, 47_104)),
    given("passes", "a number from 2 to 10", "2", Number(2, 10)),
    given("min_length", "a number from 12 to 64", "12", Number(12, 64)),
];

/// The members of `UPSTREAM` as a table.
pub const UPSTREAM: &[Member] = &[
    open("origin", "the origin of the application", UPSTREAM_ORIGIN),
    given("host", "\"own\" or \"public\"", "own", Choice(&["own", "public"])),
];

/// The members of a credential.
pub const CREDENTIAL: &[Member] = &[
    required("prefix", "2 to 16 of a-z, 0-9 and _, ending in _", Text("^[a-z0-9_]{1,15}_$", "mk_")),
    required("kind", "\"user\" or \"agent\"", Choice(&["user", "agent"])),
    open("source", "a name", NAME),
    required("machine", "true or false", Flag),
    given("delegate", "true or false", "false", Flag),
];

/// The members of a rule.
pub const RULE: &[Member] = &[
    required("path", "a path pattern", Path("^/", "/orders/{id}")),
    open("methods", "a list of methods", List(&METHOD)),
    open("operation", "a dotted name", Text(r"^[a-z0-9_]+(\.[a-z0-9_]+)*$", "orders.create")),
    required(
        "access",
        "\"public\", \"optional\", \"authenticated\", \"user\", \"human\", \"agent\", \"admin\" or \"owner\"",
        Choice(&["public", "optional", "authenticated", "user", "human", "agent", "admin", "owner"]),
    ),
    open("recent", "a duration from 1m to 30d", Duration("1m", "30d")),
    open("stream_check", "a duration from 1s to 1h", Duration("1s", "1h")),
    open("unauthenticated", "\"redirect\" or \"401\"", Choice(&["redirect", "401"])),
    open("owner_from", "a path with parameters of the rule", Path("^/", "/orders/{id}/owner")),
    open("csrf", "\"strict\"", Choice(&["strict"])),
    given("insecure_skip_csrf", "true or false", "false", Flag),
    given("timeout", "a duration up to 10m", "30s", Duration("1s", "10m")),
    open("redirects", "\"strict\"", Choice(&["strict"])),
    open("return_field", "the name of a field", Text(r"^[!#-~]{1,64}$", "return_to")),
    given("login", "true or false", "false", Flag),
    open("idempotency", "\"optional\" or \"required\"", Choice(&["optional", "required"])),
    given("save", "\"safe\", \"stripe\" or \"success\"", "safe", Choice(&["safe", "stripe", "success"])),
    given("hold", "\"conflict\", \"retry\" or \"ask\"", "conflict", Choice(&["conflict", "retry", "ask"])),
    given("retention", "a duration from 1h to 30d", "24h", Duration("1h", "30d")),
    given("invocation_id", "true, false or a JSON pointer", "false", Either(&POINTER, &Flag)),
    given("body_limit", "a number of bytes", "1048576", Bytes),
    open("checkout", "a table", Table(CHECKOUT)),
    open("limit", "the name of a limit", NAME),
    open("bot_check", "an action name", Text("^[A-Za-z0-9_-]{1,32}$", "signup")),
    open("feature", "the name of a feature", NAME),
    open("policy", "the name of a policy", NAME),
    open("confirm", "\"human\"", Choice(&["human"])),
    open("audit", "\"best_effort\" or \"required\"", Choice(&["best_effort", "required"])),
    open("mode", "\"enforce\" or \"report\"", MODE),
    open("report", "a list of guards of the rule", List(&GUARD)),
    given("encoded_slashes", "true or false", "false", Flag),
    open("catalogue", "true or a table", Either(&Flag, &Table(CATALOGUE))),
];

/// The members of a webhook. Those from `header` on belong to `scheme = "hmac"`.
pub const WEBHOOK: &[Member] = &[
    required("name", "1 to 32 of a-z, 0-9, - and _", NAME),
    required(
        "scheme",
        "\"standard\", \"stripe\", \"github\", \"shopify\", \"slack\", \"paddle\", \"lemonsqueezy\", \"twilio\", \"square\" or \"hmac\"",
        Choice(&[
            "standard",
            "stripe",
            "github",
            "shopify",
            "slack",
            "paddle",
            "lemonsqueezy",
            "twilio",
            "square",
            "hmac",
        ]),
    ),
    required("path", "a path", PATH),
    open("secret", "the name of a secret", Text(".", "GITHUB_SECRET")),
    open("tolerance", "a duration from 1s to 1h", Duration("1s", "1h")),
    open("dedupe", "\"event_id\" or \"payload_hash\"", Choice(&["event_id", "payload_hash"])),
    given("retention", "a duration from 1h to 30d", "7d", Duration("1h", "30d")),
    open("events", "a list of event types", List(&ANY)),
    given("body_limit", "a number of bytes", "1048576", Bytes),
    given("timeout", "a duration up to 60s", "30s", Duration("1s", "60s")),
    given("delivery", "\"direct\" or \"inbox\"", "direct", Choice(&["direct", "inbox"])),
    open("order", "a JSON pointer", POINTER),
    open("header", "the name of a header", HEADER),
    open("prefix", "a string", ANY),
    given("encoding", "\"hex\" or \"base64\"", "hex", Choice(&["hex", "base64"])),
    given("signed", "a string with {body}", "{body}", Text(r"\{body\}", "{timestamp}.{body}")),
    open("timestamp_header", "the name of a header", HEADER),
    open("timestamp_prefix", "a string", ANY),
    open("id_header", "the name of a header", HEADER),
    open("event_id", "a JSON pointer", POINTER),
    open("event_type", "a JSON pointer", POINTER),
];

/// The members of a limit.
pub const RATE_LIMIT: &[Member] = &[
    required("name", "1 to 32 of a-z, 0-9, - and _, not a built-in limit", NAME),
    required("limit", "a number up to 1000000", Number(1, 1_000_000)),
    required("period", "a duration from 10s to 1d", Duration("10s", "1d")),
    required("by", "\"address\" or \"principal\"", Choice(&["address", "principal"])),
    given("on_failure", "\"closed\" or \"open\"", "closed", Choice(&["closed", "open"])),
    open("gate", "the name of a rate-limit binding", Text(".", "GATE")),
    given("mode", "\"enforce\" or \"report\"", "enforce", MODE),
];

/// The members of `BOT_CHECK`.
pub const BOT_CHECK: &[Member] = &[
    given("verify_url", "a URL", "https://challenges.cloudflare.com/turnstile/v0/siteverify", URL),
    given("header", "the name of a header", "CF-Turnstile-Response", HEADER),
    given(
        "field",
        "the name of a field",
        "cf-turnstile-response",
        Text("^.{1,64}$", "cf-turnstile-response"),
    ),
    open("hostnames", "a list of host names", List(&Text(r"^[^/:\s]+(:[0-9]+)?$", "app.example.com"))),
    given("timeout", "a duration from 1s to 10s", "3s", Duration("1s", "10s")),
];

/// The members of a rule's `catalogue`.
pub const CATALOGUE: &[Member] = &[
    open("summary", "a string up to 200 characters", Text("^.{1,200}$", "Creates an order")),
    open("schema", "a URL or path", Text("^(https://|/)", "/schemas/order.json")),
];

/// The members of a rule's `checkout`.
pub const CHECKOUT: &[Member] = &[
    required("provider", "the name of a webhook", NAME),
    given("ref", "a JSON pointer", "/id", POINTER),
    given("reserve", "a duration from 1m to 30d", "30m", Duration("1m", "30d")),
];

/// The members of a checkout provider.
pub const CHECKOUT_PROVIDER: &[Member] = &[
    required("provider", "the name of a webhook", NAME),
    required("confirm", "a list of events", List(&Table(CONFIRM))),
];

/// The members of an event that confirms a checkout.
pub const CONFIRM: &[Member] = &[
    required("event", "an event type", Text(".", "checkout.session.completed")),
    required("ref", "a JSON pointer", POINTER),
    open("equals", "a table of JSON pointers and values", Pointers),
];

/// The members of a maintenance path.
pub const MAINTAINED: &[Member] = &[
    required("path", "a path", PATH),
    given("timeout", "a duration up to 10m", "30s", Duration("1s", "10m")),
];

const fn open(name: &'static str, shape: &'static str, form: Form) -> Member {
    Member { name, shape, form, default: None, is_required: false }
}

const fn required(name: &'static str, shape: &'static str, form: Form) -> Member {
    Member { name, shape, form, default: None, is_required: true }
}

const fn given(name: &'static str, shape: &'static str, default: &'static str, form: Form) -> Member {
    Member { name, shape, form, default: Some(default), is_required: false }
}

const ANY: Form = Text("", "text");
const NAME: Form = Text("^[a-z0-9_-]{1,32}$", "orders");
const PATH: Form = Path(r"^/[^?#{\s]*$", "/reports");
const PREFIX: Form = Path("^(/[a-z0-9._~-]+)+$", "/_vestibule");
const POINTER: Form = Text("^/", "/data/id");
const HEADER: Form = Text(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", "X-Signature");
const COOKIE: Form = Text(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", "__Host-session");
const CLAIM: Form = Text(".", "sub");
const URL: Form = Text(r"^https?://[^#\s@]+$", "https://policy.example.com/decide");
const MODE: Form = Choice(&["enforce", "report"]);
const GUARD: Form = Choice(&["return_field", "bot_check", "feature", "hooks", "policy", "confirm"]);
const METHOD: Form = Choice(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
const ORIGIN: Form = Text(r"^https?://[^/?#@,\sA-Z]+$", "https://app.example.com");
const UPSTREAM_ORIGIN: Form = Text(r"^https?://[^/?#@,\sA-Z]+/?$", "https://origin.example.com");

/// The longest duration that can be written.
const LONGEST: &str = "999999999d";
