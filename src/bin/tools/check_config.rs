//! Checks a configuration before it is deployed.
//!
//! Reads `{"vars": {…}, "bindings": ["UPSTREAM", …], "secrets": {…} | null, "bypassed": true | false,
//! "misplaced": [name…], "objects": [[binding, class, has a migration]…]}` from standard input. `bypassed` says whether
//! static assets are served without running the Worker. `misplaced` lists variables outside of `[vars]`. Each warning
//! and each mistake is one line on standard error. With a mistake, the exit code is 1. Otherwise it is 0, and standard
//! output has one line as summary. Without secrets, placeholders are checked instead, and the summary says so.

use std::process::ExitCode;

use serde_json::{Map, Value};
use vestibule::config::{CLASSES, Config, ConfigError, schema};

use super::input::{self, Given};

/// Runs the program on this input.
pub(super) fn main(input: &str) -> ExitCode {
    match check(input) {
        Ok(Checked { summary, warnings }) => {
            for warning in &warnings {
                eprintln!("warning: {warning}");
            }
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(mistakes) => {
            for mistake in &mistakes {
                eprintln!("{mistake}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Checks a binding of one of Vestibule's Durable Objects: `[binding, class, whether a migration creates the class]`.
/// Returns the mistake, if there is one.
fn wrong_class(object: &Value) -> Option<String> {
    let (binding, class) = (object.get(0)?.as_str()?, object.get(1)?.as_str()?);
    let wanted = CLASSES.iter().find(|wanted| wanted.binding == binding)?.name;
    if class != wanted {
        return Some(format!(
            "durable_objects: expected the class {wanted} for the binding {binding}, found {class:?}"
        ));
    }
    let has_migration = object.get(2).and_then(Value::as_bool).unwrap_or_default();
    (!has_migration).then(|| {
        format!("migrations: expected {wanted} in new_sqlite_classes of a migration, found it in none")
    })
}

/// Maximum size of a variable on the platform, in bytes.
const MAX_VAR_BYTES: usize = 5_120;

/// The result for a configuration without mistakes.
struct Checked {
    summary: String,
    /// Settings that may be unintended. The check does not fail because of them.
    warnings: Vec<String>,
}

/// Checks the configuration on standard input. Returns its mistakes as the error.
fn check(input: &str) -> Result<Checked, Vec<String>> {
    let input: Value = serde_json::from_str(input).map_err(|error| vec![error.to_string()])?;
    let empty = Map::new();
    let vars = input.get("vars").and_then(Value::as_object).unwrap_or(&empty);
    let mut mistakes: Vec<String> = schema::SECRETS
        .iter()
        .filter(|secret| vars.contains_key(secret.name))
        .map(|secret| {
            format!(
                "{}: expected a secret (wrangler secret put {0}), found a var that anyone can read",
                secret.name
            )
        })
        .collect();
    let misplaced = input.get("misplaced").and_then(Value::as_array).into_iter().flatten();
    mistakes.extend(misplaced.filter_map(Value::as_str).map(|name| {
        format!(
            "{name}: expected inside [vars] ([[vars.{name}]] for a list): outside of [vars] it has no effect"
        )
    }));
    mistakes.extend(vars.iter().filter_map(|(name, value)| {
        let bytes = value.as_str().map_or_else(|| value.to_string().len(), str::len);
        (bytes > MAX_VAR_BYTES).then(|| {
            format!("{name}: expected at most 5 KB, found {bytes} bytes: this is the platform's limit (split rules into several ROUTES_…)")
        })
    }));
    mistakes
        .extend(input.get("objects").and_then(Value::as_array).into_iter().flatten().filter_map(wrong_class));
    if input.get("bypassed").and_then(Value::as_bool).unwrap_or_default() {
        mistakes.push(
            "assets.run_worker_first: expected true: otherwise files are served without Vestibule".to_owned(),
        );
    }
    let Given { all, bindings, secrets_are_known } = input::given(&input).map_err(|error| vec![error])?;
    match Config::parse(&all, &bindings) {
        Ok(config) if mistakes.is_empty() && config.entry_errors.is_empty() => {
            let note = if secrets_are_known {
                ""
            } else {
                " (secrets are known only to the platform and were not checked)"
            };
            let configured: usize = all
                .iter()
                .filter(|(name, _)| name.starts_with("ROUTES"))
                .filter_map(|(_, rules)| rules.as_array())
                .map(Vec::len)
                .sum();
            for warning in config.warnings() {
                eprintln!("warning: {warning}");
            }
            let built_in = config.rules.rules().len().saturating_sub(configured);
            let summary =
                format!("configuration ok: {configured} rules and {built_in} built-in routes{note}");
            Ok(Checked { summary, warnings: config.rules.warnings() })
        }
        Ok(config) => {
            mistakes.extend(config.entry_errors.iter().map(ConfigError::to_string));
            Err(mistakes)
        }
        Err(errors) => {
            mistakes.extend(errors.iter().map(ConfigError::to_string));
            Err(mistakes)
        }
    }
}
