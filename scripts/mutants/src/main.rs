//! Writes all mutants of some files into them, each behind a switch: `mutants ROOT LEFT_OUT FILE…`.
//!
//! cargo-mutants builds the crate once for each mutant. With this program, one build has all of them, and the environment
//! variable `MUTANT` turns one on. The mutants are of the same kinds: results of functions, operators, guards and arms of
//! `match`. `LEFT_OUT` lists the numbers of those that do not compile, separated by commas. Prints the others as JSON.
//!
//! `scripts/mutants.mjs` calls this program, on a copy of the repository.

mod functions;
mod mutator;

use std::{collections::BTreeSet, env, error::Error, fs};

use mutator::Mutator;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [root, left_out, files @ ..] = &arguments[..] else {
        return Err("expected ROOT LEFT_OUT FILE…".into());
    };
    let left_out: BTreeSet<u32> = left_out.split(',').filter_map(|number| number.parse().ok()).collect();
    let mut mutator = Mutator::new(left_out);
    for file in files {
        let path = format!("{root}/{file}");
        let mut syntax = syn::parse_file(&fs::read_to_string(&path)?)?;
        mutator.mutate(file, &mut syntax);
        fs::write(&path, prettyplease::unparse(&syntax))?;
    }
    let library = format!("{root}/src/lib.rs");
    let text = fs::read_to_string(&library)?;
    fs::write(&library, format!("{text}\n{SWITCH}"))?;
    println!("{}", serde_json::to_string(&mutator.mutants)?);
    Ok(())
}

/// Returns true for the mutant that `MUTANT` names. If `MUTANT_TRACE` names a file, it notes which test reaches which
/// mutant: the thread of a test has the name of the test.
const SWITCH: &str = r#"
#[doc(hidden)]
pub fn mutant(number: u32) -> bool {
    use std::{collections::BTreeSet, env, fs::OpenOptions, io::Write as _, sync::{LazyLock, Mutex}, thread};
    static ACTIVE: LazyLock<u32> =
        LazyLock::new(|| env::var("MUTANT").ok().and_then(|text| text.parse().ok()).unwrap_or(u32::MAX));
    static TRACE: LazyLock<Option<String>> = LazyLock::new(|| env::var("MUTANT_TRACE").ok());
    static REACHED: Mutex<BTreeSet<(String, u32)>> = Mutex::new(BTreeSet::new());
    if let Some(file) = &*TRACE {
        let name = thread::current().name().unwrap_or("main").to_owned();
        let mut reached = REACHED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if reached.insert((name.clone(), number)) {
            let mut out = OpenOptions::new().append(true).create(true).open(file).expect("the trace");
            writeln!(out, "{name} {number}").expect("the trace");
        }
    }
    *ACTIVE == number
}
"#;
