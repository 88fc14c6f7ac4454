//! The programs of the command line: `tools check-config`, `explain`, `replay` and `config-schema`. Each reads its
//! input from standard input. They are one program, so that they can be shipped as one WebAssembly module (WASI).

mod check_config;
mod config_schema;
mod explain;
mod input;
mod offline;
mod replay;

use std::{env, io, process::ExitCode};

fn main() -> ExitCode {
    let run: fn(&str) -> ExitCode = match env::args().nth(1).as_deref() {
        Some("check-config") => check_config::main,
        Some("explain") => explain::main,
        Some("replay") => replay::main,
        Some("config-schema") => config_schema::main,
        _ => {
            eprintln!("expected check-config, explain, replay or config-schema");
            return ExitCode::from(2);
        }
    };
    match io::read_to_string(io::stdin()) {
        Ok(input) => run(&input),
        Err(error) => {
            eprintln!("standard input: {error}");
            ExitCode::FAILURE
        }
    }
}
