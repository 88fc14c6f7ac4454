//! Generates the JavaScript bindings of a WebAssembly module: `bind MODULE FOLDER NAME` writes `NAME.js` and
//! `NAME_bg.wasm`.
//!
//! It works like `wasm-bindgen --target web`, but compiles a minute faster, without the test runner and the web server.

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
