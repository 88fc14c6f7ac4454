#![no_main]

#[path = "../../tests/fuzz/path.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
