//! Writes the JSON Schema of the configuration to the path that is its argument: `npm run docs:schema`.

use std::{env, fs, process::ExitCode};

use vestibule::config::json_schema::json_schema;

fn main() -> ExitCode {
    let Some(path) = env::args().nth(1) else {
        eprintln!("expected the path of the file to write");
        return ExitCode::from(2);
    };
    let written = fs::read_to_string("docs/configuration.md")
        .and_then(|reference| fs::write(&path, format!("{:#}\n", json_schema(&reference))));
    if let Err(error) = written {
        eprintln!("{path}: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
