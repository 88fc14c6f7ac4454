//! The configuration that the scripts pass to the programs: `{"vars": {…}, "bindings": […], "secrets": {…} | null}`.

use serde_json::{Map, Value};
use vestibule::config::{Bindings, Variables, read_variables, webhook_secret};

/// A configuration as the scripts passed it.
pub(super) struct Given {
    /// Variables, and secrets or their placeholders.
    pub(super) all: Variables,
    pub(super) bindings: Bindings,
    pub(super) secrets_are_known: bool,
}

/// Reads the configuration from the input.
pub(super) fn given(input: &Value) -> Result<Given, String> {
    let empty = Map::new();
    let vars = input.get("vars").and_then(Value::as_object).unwrap_or(&empty);
    let secrets = input.get("secrets").and_then(Value::as_object);
    let mut all = vars.clone();
    if let Some(secrets) = secrets {
        all.extend(secrets.clone());
    } else {
        let read = read_variables(&Value::Object(vars.clone()).to_string()).unwrap_or_default();
        all.extend(placeholders(&read));
    }
    let names = input.get("bindings").and_then(Value::as_array);
    let bindings = Bindings::named(names.into_iter().flatten().filter_map(Value::as_str));
    let all = read_variables(&Value::Object(all).to_string()).map_err(|error| error.to_string())?;
    Ok(Given { all, bindings, secrets_are_known: secrets.is_some() })
}

/// Returns placeholders for the secrets that the configuration needs and only the platform knows.
fn placeholders(vars: &Map<String, Value>) -> Map<String, Value> {
    let mut secrets = Map::new();
    let mut put = |name: String, text: &str| secrets.insert(name, Value::from(text));
    put("AUTH_SECRET".to_owned(), "hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    put("UPSTREAM_SECRET".to_owned(), "hex:202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f");
    put("TURNSTILE_SECRET".to_owned(), "0xStandsInForTheSecretOfAWidget");
    put("MAILER_SECRET".to_owned(), "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=");
    for webhook in vars.get("WEBHOOKS").and_then(Value::as_array).into_iter().flatten() {
        if let Some(name) = webhook_secret(webhook) {
            // The one form that every scheme accepts.
            put(name, "whsec_c3RhbmRzIGluIGZvciBhIHNlY3JldA==");
        }
    }
    secrets
}
