//! Configurations: every mistake is a message, none shows a secret, and parsing twice gives the same result.

use vestibule::config::{Bindings, Config, ConfigError, read_variables};

const SECRET: &str = "4fH7kQ2mZ9xW1vB6nT8rC3jL5pD0sYgE";

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(mut variables) = read_variables(&text) else { return };
    for name in ["AUTH_SECRET", "UPSTREAM_SECRET"] {
        variables.entry(name).or_insert_with(|| SECRET.into());
    }
    let bindings = Bindings::named(["ASSETS", "SESSIONS", "ACCOUNTS", "LEDGER", "KV"]);
    let found = Config::parse(&variables, &bindings);
    let again = Config::parse(&variables, &bindings);
    match (found, again) {
        (Ok(config), Ok(_)) => drop(config.rules.warnings()),
        (Err(errors), Err(others)) => {
            let text = |errors: &[ConfigError]| {
                let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
                lines.join("\n")
            };
            assert_eq!(text(&errors), text(&others));
            assert!(!errors.is_empty() && !text(&errors).contains(SECRET));
        }
        _ => panic!("parsing twice gives two results"),
    }
}
