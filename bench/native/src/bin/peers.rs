//! Answers for other crates: reads `{"key", "now", "tokens", "cookies"}` from standard input, and writes which tokens
//! jwt-simple accepts, and which pairs the `cookie` crate finds in each header. See `tests/differential`.

use std::io;

use jwt_simple::prelude::{Duration, HS256Key, JWTClaims, MACLike, UnixTimeStamp, VerificationOptions};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Questions {
    key: String,
    now: u64,
    tokens: Vec<String>,
    cookies: Vec<String>,
}

#[derive(Serialize)]
struct Answers {
    tokens: Vec<bool>,
    cookies: Vec<Vec<[String; 2]>>,
}

fn main() -> io::Result<()> {
    let questions: Questions = serde_json::from_reader(io::stdin().lock())?;
    let key = HS256Key::from_bytes(questions.key.as_bytes());
    let accepts = |token: &String| {
        let options = VerificationOptions {
            artificial_time: Some(UnixTimeStamp::from_secs(questions.now)),
            time_tolerance: Some(Duration::from_secs(0)),
            max_validity: None,
            max_token_length: None,
            ..VerificationOptions::default()
        };
        let claims: Result<JWTClaims<Value>, _> = key.verify_token(token, Some(options));
        claims.is_ok()
    };
    let answers = Answers {
        tokens: questions.tokens.iter().map(accepts).collect(),
        cookies: questions.cookies.iter().map(|header| pairs(header)).collect(),
    };
    serde_json::to_writer(io::stdout().lock(), &answers)?;
    Ok(())
}

fn pairs(header: &str) -> Vec<[String; 2]> {
    cookie::Cookie::split_parse(header)
        .filter_map(Result::ok)
        .map(|cookie| [cookie.name().to_owned(), cookie.value().to_owned()])
        .collect()
}
