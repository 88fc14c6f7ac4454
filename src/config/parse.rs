//! Parses the variables and secrets of a Worker into a [`Config`].

use serde_json::{Map, Value};

use super::unusable::{UnusableVariable, misspelt, without_broken_json};
use super::{
    Config, audit,
    built_in::{self, BoundStores, BuiltInSettings, UsedFeatures},
    catalogue, checkouts, credentials, guards, limits, mailer,
    mistake::{ConfigError, Mistakes},
    pages::{self, ParsedPages},
    passwords,
    reader::{Table, expected},
    report::MODES,
    rules::{self, RuleContext},
    schema::{SESSION, VARIABLES},
    secrets::{self, Secrets},
    session,
    shown::ShownConfig,
    upstream, webhooks,
};
use crate::{
    accounts::{logins::Logins, pages::SIGN_IN, settings::Settings as AccountSettings},
    approvals::confirmations::Confirmations,
    audit::{Audit, settings::Settings as AuditSettings},
    base::time::Timestamp,
    checkouts::{Checkouts, settings::Settings as CheckoutSettings},
    guards::settings::Settings as GuardSettings,
    http::{cookie::CookieName, origin::Origin, path::CanonicalPath, problem},
    idempotency::{SealingKeys, ledger::Ledger, settings::Settings as IdempotencySettings},
    identity::csrf,
    metrics::{Metrics, Settings as MetricsSettings, analytics},
    platform::store::Object,
    redirects::{
        return_path::{self, LaxPattern},
        site::Site,
    },
    routing::rule::{self, pattern},
    sessions::settings::{Login, Settings as SessionSettings},
    tokens::{catalogue::SiteInfo, settings::Settings as TokenSettings},
    upstream::settings::{Settings as UpstreamSettings, Upstream},
    webhooks::inbox::Inbox,
};

/// A Worker's variables and secrets, by name.
pub type Variables = Map<String, Value>;

/// The names of the Worker's bindings that the configuration depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bindings(Vec<String>);

impl Bindings {
    /// Creates the set from names.
    #[must_use]
    pub fn named(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    /// Returns whether the Worker has a binding of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|found| found == name)
    }
}

/// What the parsers of all sections share.
pub(super) struct ParseContext<'a> {
    /// The Worker's variables and secrets, without those whose JSON is broken.
    pub(super) variables: &'a Variables,
    pub(super) bindings: &'a Bindings,
    /// The valid entries of `PUBLIC_ORIGINS`.
    pub(super) public_origins: &'a [Origin],
    /// Whether `ENVIRONMENT` is `"development"`.
    pub(super) development: bool,
    /// Collects the mistakes of all sections.
    pub(super) mistakes: &'a Mistakes,
}

impl Config {
    /// Parses a configuration.
    ///
    /// # Errors
    /// All mistakes in the configuration.
    pub fn parse(variables: &Variables, bindings: &Bindings) -> Result<Self, Vec<ConfigError>> {
        let mistakes = Mistakes::default();
        let (readable, mut unusable) = without_broken_json(variables);
        let config = parse(&readable, bindings, &mistakes);
        unusable.extend(misspelt(variables));
        let missing = unusable.iter().filter_map(|variable| variable.missing.as_deref());
        mistakes.drop_follow_ons(&missing.collect::<Vec<_>>());
        for UnusableVariable { name, message, .. } in unusable {
            mistakes.report(name, message);
        }
        let entry_errors = mistakes.entry_errors();
        let mut mistakes = mistakes.into_vec();
        match config {
            Some(config) if mistakes.is_empty() => Ok(Self { entry_errors, ..config }),
            _ => {
                mistakes.extend(entry_errors);
                Err(mistakes)
            }
        }
    }
}

/// Parses variables as the platform stores them. A list or table may also be written as JSON in a text.
///
/// # Errors
/// If `json` is not a JSON object.
pub fn read_variables(json: &str) -> Result<Variables, serde_json::Error> {
    let mut variables: Variables = serde_json::from_str(json)?;
    for value in variables.values_mut() {
        let parsed = value
            .as_str()
            .filter(|text| text.starts_with(['[', '{']))
            .and_then(|text| serde_json::from_str(text).ok());
        if let Some(parsed) = parsed {
            *value = parsed;
        }
    }
    Ok(variables)
}

#[expect(clippy::too_many_lines, reason = "one list")]
fn parse(variables: &Variables, bindings: &Bindings, mistakes: &Mistakes) -> Option<Config> {
    let known: Variables = variables
        .iter()
        .filter(|(name, _)| VARIABLES.iter().any(|member| member.name == *name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let known = Value::Object(known);
    let top = Table::open("", Some(&known), VARIABLES, mistakes);
    let environment = top.choice("ENVIRONMENT", &[("production", false), ("development", true)]);
    let development = environment.unwrap_or_default();
    let public = public_origins(&top, development);
    let context = ParseContext { variables, bindings, public_origins: &public, development, mistakes };
    let upstream = upstream::parse(&top, &context);
    let upstream_names = upstream::names(&top, upstream.as_ref());
    let fixed_now = fixed_now(&top, development);
    let strict = top.choice("CSRF", &[("standard", false), ("strict", true)]);
    let allowed: Vec<Origin> = public.iter().cloned().chain(top.origins("ALLOWED_ORIGINS")).collect();
    let elsewhere = top.origins("REDIRECT_ORIGINS");
    let log_sample =
        if development && !top.has("LOG_SAMPLE") { Some(1) } else { top.number("LOG_SAMPLE", 1..=1_000_000) };
    let problem_base = top.parse("PROBLEM_BASE", problem_base);
    let mode = top.choice("MODE", MODES);

    let prefix = top.parse_shape("ENDPOINTS", built_in::parse_prefix);
    let all_built_in = BuiltInSettings::all(prefix.unwrap_or(built_in::DEFAULT_PREFIX));
    let page_path = |text: &str| page_path(text, all_built_in);

    let table = Table::open("SESSION", variables.get("SESSION"), SESSION, mistakes);
    let session = session::parse(&table, &context);
    let check = session::check(&table, &context);
    let login_by = session::login(&table, check, &context);
    let recent_admin = session::recent_admin(&table, check);
    let required_factor = session::required_factor(&table, login_by);
    let ParsedPages { pages, lack_assets } = pages::parse(&top, &table, login_by, &context);
    let branding = pages::branding(&top, login_by, &context);
    let passwords = passwords::parse(&top, login_by, &context);
    let mailer = mailer::parse(&top, login_by, &context);
    let login_path = match pages.filter(|_| !table.has("login_path")) {
        Some(pages) => Some(pages.path(SIGN_IN)),
        None => table.parse("login_path", page_path),
    };
    let home_path = table.parse("home_path", page_path);
    if prefix.is_some_and(|prefix| [&login_path, &home_path].into_iter().flatten().any(|path| path == prefix))
    {
        top.report("ENDPOINTS", "expected a path other than SESSION.login_path and SESSION.home_path");
    }
    if login_path.is_some() && login_path == home_path {
        table.report(
            "home_path",
            "expected a path other than SESSION.login_path: otherwise the page redirects to itself",
        );
    }
    let secrets = secrets::parse(&context);
    // Tokens are stored with accounts. Without accounts there are no tokens.
    let kinds = credentials::parse(&top);
    if top.has("CREDENTIALS") && login_by.is_some_and(|login| login != Login::Accounts) {
        top.report("CREDENTIALS", "requires SESSION.login = \"accounts\": tokens belong to accounts");
    }
    let credentials = if login_by == Some(Login::Accounts) { kinds } else { Vec::new() };
    let user_headers = session::user_headers(&top, login_by);
    let token_makers = credentials::token_makers(&top, login_by);
    let max_expiry = credentials::max_expiry(&top, login_by);
    let configured_tokens = credentials::agent_tokens(&context, &credentials);
    let built_in_settings = BuiltInSettings {
        prefix: all_built_in.prefix,
        pages,
        check,
        login_by,
        recent_admin,
        has_logout_tokens: secrets.as_ref().is_some_and(|secrets| secrets.logout_key.is_some()),
        bound: BoundStores {
            ledger: bindings.has(Ledger::CLASS.binding),
            inbox: bindings.has(Inbox::CLASS.binding),
            checkouts: bindings.has(Checkouts::CLASS.binding),
            confirmations: bindings.has(Confirmations::CLASS.binding),
            audit: bindings.has(Audit::CLASS.binding),
            metrics: bindings.has(Metrics::CLASS.binding),
            kv: bindings.has("KV"),
        },
        used: UsedFeatures::detect(variables, !credentials.is_empty()),
    };
    let (webhooks, mut extra_rules) = webhooks::parse(&top, &context, built_in_settings);
    let confirming_events = checkouts::providers(&top, &webhooks, built_in_settings.bound.checkouts);
    let (maintenance, internal_rules) =
        checkouts::maintenance(&top, &context, built_in_settings.bound.ledger);
    extra_rules.extend(internal_rules);
    let limits = limits::parse(&top, &context);
    let guard_settings = guards::parse(&top, &context);
    let audit_retention = audit::retention(&top);
    let rule_context = RuleContext {
        login_path: login_path.as_deref(),
        built_in_settings,
        available_guards: guard_settings.available,
        mode: mode.unwrap_or_default(),
        limits: &limits,
        confirming_events: &confirming_events,
    };
    let rules = rules::parse(&context, &rule_context, extra_rules);
    let mut all_rules = rules.iter().flat_map(rule::Table::rules);
    if upstream == Some(Upstream::Assets) && all_rules.any(|rule| rule.encoded_slashes) {
        mistakes.report(
            "ROUTES",
            "encoded_slashes is not allowed with static assets: their names contain no slash",
        );
    }
    let (session, secrets) = (session?, secrets?);
    let Secrets { keys, derivation, tickets, upstream_key, logout_key, setup_token, export, audit_keys } =
        secrets;
    let mut rules = rules?;
    rules.seal(upstream == Some(Upstream::Assets));
    let catalogue = catalogue::build(
        &rules,
        &limits,
        SiteInfo {
            origin: public.first().map_or("", Origin::as_str),
            cookie: session.cookie.as_str(),
            kinds: &credentials,
        },
        &|_, _| true,
    );
    let hops_cookie = CookieName::parse(&format!("{}_hops", hops_stem(session.cookie.as_str())))?;
    let cookies = session.names().cloned().collect();
    let development_server = upstream::development_server(&context, upstream.as_ref());
    let csrf = csrf::Policy { allowed, strict: strict?, development, cookies };
    let return_path = return_path::Policy {
        login: login_path?,
        home: home_path?,
        endpoints: built_in::forbidden_return_paths(built_in_settings)
            .iter()
            .map(|path| LaxPattern::of(path))
            .collect(),
        sign_ins: sign_ins(&rules),
        public,
        elsewhere,
    };
    Some(Config {
        site: Site {
            development: environment?,
            endpoints: prefix?,
            return_path,
            hops_cookie,
            problem_base: problem_base?,
            fixed_now,
        },
        upstream: UpstreamSettings { application: upstream?, origins: upstream_names, key: upstream_key },
        sessions: SessionSettings {
            policy: session,
            keys,
            logout_key,
            recent_admin,
            check: check?,
            login: login_by?,
        },
        tokens: TokenSettings {
            prefixes_detail: credentials::prefixes_detail(&credentials),
            kinds: credentials,
            makers: token_makers?,
            max_expiry,
            configured: configured_tokens,
        },
        accounts: AccountSettings {
            setup_token,
            export,
            has_shards: bindings.has(Logins::CLASS.binding),
            user_headers,
            required_factor: required_factor?,
            passwords: passwords?,
            mailer,
            tickets,
            derivation: derivation.clone(),
            pages,
            pages_lack_assets: lack_assets,
            branding,
            has_approvals: built_in_settings.has_approvals(),
            features: built_in::enabled_features(built_in_settings),
        },
        webhooks,
        checkouts: CheckoutSettings {
            has_store: built_in_settings.bound.checkouts,
            confirming_events,
            maintenance,
        },
        limits,
        guards: GuardSettings { bot_check: guard_settings.bot_check, policy: guard_settings.policy },
        idempotency: IdempotencySettings { seals: SealingKeys::new(derivation), has_kv: bindings.has("KV") },
        audit: AuditSettings { retention: audit_retention?, keys: audit_keys },
        metrics: MetricsSettings {
            has_store: bindings.has(Metrics::CLASS.binding),
            has_analytics: bindings.has(analytics::BINDING),
        },
        csrf,
        rules,
        development_server,
        catalogue,
        mode: mode?,
        log_sample: log_sample?,
        entry_errors: Vec::new(),
        shown: ShownConfig::of(variables),
    })
}

fn public_origins(top: &Table<'_>, development: bool) -> Vec<Origin> {
    let origins = top.origins("PUBLIC_ORIGINS");
    let is_empty_list = top.value("PUBLIC_ORIGINS").and_then(Value::as_array).is_some_and(Vec::is_empty);
    if is_empty_list {
        top.report("PUBLIC_ORIGINS", "expected a list of at least one origin, found an empty list");
    }
    top.require_members();
    for origin in &origins {
        if origin.scheme() == "http" && !development {
            top.report(
                "PUBLIC_ORIGINS",
                format!(
                    "expected https origins in production, found {:?}: browsers store no Secure cookie there",
                    origin.as_str()
                ),
            );
        }
    }
    origins
}

fn fixed_now(top: &Table<'_>, development: bool) -> Option<Timestamp> {
    let value = top.value("DANGER_FIXED_NOW")?;
    if !development {
        top.report("DANGER_FIXED_NOW", "not allowed in production");
    }
    let seconds = value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    if seconds.is_none() {
        top.report("DANGER_FIXED_NOW", expected("Unix seconds", value));
    }
    seconds.map(Timestamp)
}

/// Parses the base of `type` in problem documents. It has no fragment: the problem's code is added as one.
fn problem_base(text: &str) -> Result<String, String> {
    let is_absolute = ["https://", "http://", "urn:"]
        .iter()
        .any(|start| text.strip_prefix(start).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')));
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte));
    if is_plain && (is_absolute || text == problem::ABOUT_BLANK) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "expected an http or https URL without fragment, a URN or \"about:blank\", found {text:?}"
        ))
    }
}

/// Returns the session cookie's name without leading `_`, cut to 40 bytes. Browsers would require `Secure` for a name
/// with a prefix such as `__Host-`.
fn hops_stem(cookie: &str) -> &str {
    cookie.trim_start_matches('_').get(..40).unwrap_or_else(|| cookie.trim_start_matches('_'))
}

/// Lists the patterns of the rules under which a `GET` may sign a user in.
fn sign_ins(rules: &rule::Table) -> Vec<LaxPattern> {
    let takes_get = |rule: &&rule::Rule| {
        rule.login && (rule.methods.is_empty() || rule.methods.iter().any(|method| method == "GET"))
    };
    rules.rules().iter().filter(takes_get).map(|rule| LaxPattern::of(&rule.path)).collect()
}

fn page_path(text: &str, all_built_in: BuiltInSettings) -> Result<String, String> {
    // The login page gets a rule, so its path must be a valid pattern, too.
    let is_plain =
        CanonicalPath::parse(text).is_ok_and(|path| path.as_str() == text) && pattern::parse(text).is_ok();
    if is_plain && !text.contains(['?', '#', '{']) && !built_in::is_built_in(all_built_in, text) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "expected a path in canonical form, without query, that is not an endpoint of Vestibule, found {text:?}"
        ))
    }
}
