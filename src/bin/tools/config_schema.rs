//! Prints the JSON Schema of the configuration. The input is the text of `docs/configuration.md`.

use std::process::ExitCode;

use vestibule::config::json_schema::json_schema;

/// Runs the program on this input.
pub(super) fn main(input: &str) -> ExitCode {
    println!("{:#}", json_schema(input));
    ExitCode::SUCCESS
}
