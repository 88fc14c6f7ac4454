//! Says what is wrong with a configuration before it is deployed.
//!
//! Reads `{"vars": {…}, "bindings": ["UPSTREAM", …], "secrets": {…} | null, "bypassed": true | false}` from
//! standard input, `bypassed` telling whether static assets are served without asking the Worker. Prints
//! one line for each mistake to standard error and exits with 1, or one line to standard output and
//! exits with 0, after one line to standard error for each warning. Without secrets, stand-ins are checked and that is said.

use std::{io, process::ExitCode};

use serde_json::{Map, Value};
use vestibule::config::{CLASSES, Config, ConfigError, schema};

use self::input::Given;

#[path = "support/input.rs"]
mod input;

fn main() -> ExitCode {
    match check() {
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

/// Finds what is wrong with a binding of ours to objects: `[binding, class, whether a migration makes it]`.
fn wrong_class(object: &Value) -> Option<String> {
    let (binding, class) = (object.get(0)?.as_str()?, object.get(1)?.as_str()?);
    let wanted = CLASSES.iter().find(|wanted| wanted.binding == binding)?.name;
    if class != wanted {
        return Some(format!(
            "durable_objects: expected the class {wanted} for the binding {binding}, found {class:?}"
        ));
    }
    let is_made = object.get(2).and_then(Value::as_bool).unwrap_or_default();
    (!is_made).then(|| {
        format!("migrations: expected {wanted} in new_sqlite_classes of one of them, found it in none")
    })
}

/// Bytes that the platform takes of a variable.
const MOST_OF_A_VAR: usize = 5_120;

/// A configuration without mistakes.
struct Checked {
    summary: String,
    /// What the operator may not have intended. The check does not fail because of it.
    warnings: Vec<String>,
}

fn check() -> Result<Checked, Vec<String>> {
    let input = io::read_to_string(io::stdin()).map_err(|error| vec![error.to_string()])?;
    let input: Value = serde_json::from_str(&input).map_err(|error| vec![error.to_string()])?;
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
            "{name}: expected below [vars] ([[vars.{name}]] for a list): where it stands, nobody reads it"
        )
    }));
    mistakes.extend(vars.iter().filter_map(|(name, value)| {
        let bytes = value.as_str().map_or_else(|| value.to_string().len(), str::len);
        (bytes > MOST_OF_A_VAR).then(|| {
            format!("{name}: expected at most 5 KB, found {bytes} bytes: the platform takes no more (rules go on in any ROUTES_…)")
        })
    }));
    mistakes
        .extend(input.get("objects").and_then(Value::as_array).into_iter().flatten().filter_map(wrong_class));
    if input.get("bypassed").and_then(Value::as_bool).unwrap_or_default() {
        mistakes.push(
            "assets.run_worker_first: expected true: files would be served without passing here".to_owned(),
        );
    }
    let Given { all, bindings, secrets_are_known } = input::given(&input).map_err(|error| vec![error])?;
    match Config::parse(&all, &bindings) {
        Ok(config) if mistakes.is_empty() && config.complaints.is_empty() => {
            let note =
                if secrets_are_known { "" } else { " (secrets are the platform's and were not checked)" };
            let written: usize = all
                .iter()
                .filter(|(name, _)| name.starts_with("ROUTES"))
                .filter_map(|(_, rules)| rules.as_array())
                .map(Vec::len)
                .sum();
            for warning in config.warnings() {
                eprintln!("warning: {warning}");
            }
            let built_in = config.rules.rules().len().saturating_sub(written);
            let summary = format!("configuration ok: {written} rules, and {built_in} built in{note}");
            Ok(Checked { summary, warnings: config.rules.warnings() })
        }
        Ok(config) => {
            mistakes.extend(config.complaints.iter().map(ConfigError::to_string));
            Err(mistakes)
        }
        Err(found) => {
            mistakes.extend(found.iter().map(ConfigError::to_string));
            Err(mistakes)
        }
    }
}
