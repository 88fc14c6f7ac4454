//! Tests of the JSON Schema: editors accept what the parser accepts, and flag the mistakes that they can see.

use std::sync::LazyLock;

use boon::{Compiler, SchemaIndex, Schemas};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    base::time,
    config::{
        json_schema::{duration_pattern, json_schema},
        schema::SECRETS,
    },
};

const REFERENCE: &str = include_str!("../../../docs/configuration.md");

/// A compiled schema.
struct Validator {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Validator {
    fn new(schema: Value) -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("schema.json", schema).expect("a resource");
        let index = compiler.compile("schema.json", &mut schemas).expect("a valid schema");
        Self { schemas, index }
    }

    /// Returns the mistakes in a value, or an empty text.
    fn mistakes(&self, value: &Value) -> String {
        self.schemas.validate(value, self.index).map_or_else(|error| format!("{error:#}"), |()| String::new())
    }
}

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| Validator::new(json_schema(REFERENCE)));

/// Returns the variables as a configuration file has them: without secrets.
fn file(variables: &Value) -> Value {
    let mut vars = variables.clone();
    vars.as_object_mut()
        .expect("an object")
        .retain(|name, _| SECRETS.iter().all(|secret| secret.name != name) && !name.starts_with("WEBHOOK_"));
    json!({ "vars": vars })
}

/// Checks that editors accept a configuration that the parser accepts.
#[track_caller]
pub(super) fn expect_valid(variables: &Value) {
    let file = file(variables);
    let mistakes = VALIDATOR.mistakes(&file);
    assert!(mistakes.is_empty(), "{file}: {mistakes}");
}

/// Checks that editors flag a mistake, unless it depends on something that they cannot see.
#[track_caller]
pub(super) fn expect_flag(variables: &Value, mistake: &str) {
    let is_flagged = !VALIDATOR.mistakes(&file(variables)).is_empty();
    assert!(is_flagged || HIDDEN.iter().any(|reason| mistake.contains(reason)), "{variables}: {mistake}");
}

/// Parts of the messages of mistakes that editors cannot see: those that depend on bindings, secrets or another table,
/// and those about text that a regular expression cannot judge.
const HIDDEN: &[&str] = &[
    // Bindings.
    "requires a KV namespace",
    "requires POLICY_URL or a service binding",
    "expected a binding ",
    "rate-limit binding",
    "expected a static assets binding",
    "UPSTREAM: expected an origin, a service binding",
    // Secrets, which are not in the file.
    "_SECRET: expected",
    "_SECRET: secret 2",
    "_SECRET: required",
    "the secret TURNSTILE_SECRET",
    "AGENT_TOKENS:",
    "SETUP_TOKEN:",
    // Other entries, or members with a value that depends on another.
    "conflicts with the rule",
    "that is not an endpoint",
    "expected a unique name",
    "the name of a limit in RATE_LIMITS",
    "the name of a webhook in WEBHOOKS",
    "the name of a provider in CHECKOUT_PROVIDERS",
    "expected a rule that is at least as strict",
    "the rule for ",
    "expected the parameters of the path in the same order",
    "expected a parameter of",
    "expected a path other than",
    "expected a name other than",
    "expected a claim other than",
    "requires SESSION.check",
    "\"agent\" requires SESSION.login",
    "otherwise the login page",
    "UPSTREAM: expected the origin of the application",
    "SESSION.login_path: expected a path",
    "SESSION.home_path: expected a path",
    "expected a webhook whose scheme signs",
    "events of this scheme have no type",
    "expected a domain that includes",
    "SESSION.refresh_after: expected less",
    // Names of variables that may belong to the operator's own code.
    "ENDPOINT: unknown",
    "SESION: unknown",
    "AUTH_SECERT: unknown",
    "Routes_2: unknown",
    "routes: unknown",
    // Text that is JSON.
    "not valid JSON",
];

proptest! {
    #[test]
    fn duration_patterns_agree_with_the_parser(seconds in 0_u64..700_000, unit in 0_usize..4, bounds in 0_usize..5) {
        let (from, to) = [("1m", "30d"), ("5s", "10m"), ("10s", "1d"), ("0s", "60s"), ("1h", "999999999d")][bounds];
        let (unit, size) = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)][unit];
        let text = format!("{}{unit}", u64::checked_div(seconds, size).expect("a size"));
        let span = time::parse_span(&text).expect("a duration");
        let is_within = time::parse_span(from).expect("a bound") <= span && span <= time::parse_span(to).expect("a bound");
        let schema = json!({"pattern": duration_pattern(from, to)});
        prop_assert_eq!(Validator::new(schema).mistakes(&json!(text)).is_empty(), is_within, "{} {} {}", text, from, to);
    }
}
