//! Gives a WebAssembly module its JavaScript side: `bind MODULE FOLDER NAME` writes `NAME.js` and `NAME_bg.wasm`.
//!
//! This is `wasm-bindgen --target web` without the test runner and its web server, which that program takes a minute more to compile with.

use std::env;

use anyhow::{Result, bail};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [module, folder, name] = &arguments[..] else { bail!("expected MODULE FOLDER NAME") };
    Bindgen::new()
        .input_path(module)
        .out_name(name)
        .web(true)?
        .typescript(false)
        .reset_state_function(true)
        .generate(folder)
}
