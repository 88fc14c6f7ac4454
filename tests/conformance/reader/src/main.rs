//! Reads a question from each line of standard input, and writes its answer to a line of standard output.

use std::io::{self, BufRead, Write};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        writeln!(out, "{}", conformance_reader::answer(&line?))?;
    }
    Ok(())
}
