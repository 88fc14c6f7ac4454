#![no_main]

#[path = "../../tests/fuzz/origin.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
