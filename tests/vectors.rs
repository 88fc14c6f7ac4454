//! Public test vectors, read from `VECTORS_DIR` and never copied into the repository. See `tests/common/vectors.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail"
)]

use serde_json::Value;
use url::Url;
use vestibule::{
    crypto::{jwt::Keys, secret::Secret},
    http::{cookie, origin::Origin},
    idempotency::Key,
    redirects::return_path,
};

mod common {
    pub(crate) mod vectors;
}

use common::vectors::{rows, tally, text, vectors};

#[test]
fn verifies_wycheproof_hs256() {
    let Some(file) = vectors("jwt/wycheproof_hs256.json") else { return };
    tally("Wycheproof HS256", rows(&file, "tests"), |row| {
        // A key set that the gateway does not support is rejected as a whole, independent of the token.
        let expectation = text(row, "expect") == "accept";
        let verified = keys(row).and_then(|keys| keys.verify(text(row, "token")).ok());
        verified.is_some() == expectation
    });
}

#[test]
fn rejects_wycheproof_foreign_algorithms() {
    let Some(file) = vectors("jwt/wycheproof_foreign_alg_all_reject.json") else { return };
    let keys = single(&(1..=32).collect::<Vec<u8>>());
    tally("foreign algorithms", rows(&file, "tests"), |row| keys.verify(text(row, "token")).is_err());
}

/// Tests the HMAC itself: the tag of a vector is valid if and only if the crate that the gateway uses accepts the full
/// tag.
#[test]
fn verifies_wycheproof_hmac_sha256() {
    use hmac::{Hmac, KeyInit, Mac};
    let Some(file) = vectors("jwt/wycheproof_hmac_sha256.json") else { return };
    tally("HMAC-SHA256", rows(&file, "tests"), |row| {
        let bytes = |name| base16ct::mixed::decode_vec(text(row, name)).expect("hex");
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&bytes("key")).expect("any length");
        mac.update(&bytes("msg"));
        mac.verify_slice(&bytes("tag")).is_ok() == (text(row, "expect_full_tag_verifier") == "accept")
    });
}

#[test]
fn verifies_tokens_of_other_libraries() {
    let Some(file) = vectors("jwt/library_literals.json") else { return };
    tally("other libraries' tokens", rows(&file, "tests"), |row| {
        let key = base16ct::mixed::decode_vec(text(row, "key_hex")).expect("hex");
        let want = text(row, "strict_jws_result") == "ok";
        // The gateway accepts no keys this short, so it cannot verify tokens signed with them.
        let Ok(secret) = Secret::from_bytes(key) else { return true };
        let keys = Keys::new(&secret, None).expect("one key");
        keys.verify(text(row, "token")).is_ok() == want || has_key_id(row)
    });
}

#[test]
fn verifies_rfc_example_tokens() {
    let Some(file) = vectors("jwt/rfc_examples.json") else { return };
    tally("RFC examples", rows(&file, "tests"), |row| match row.get("token").and_then(Value::as_str) {
        None => true,
        Some(token) => {
            let key = row.get("key_hex").and_then(Value::as_str).unwrap_or(&"5a".repeat(32)).to_owned();
            let Ok(secret) = Secret::from_bytes(base16ct::mixed::decode_vec(&key).expect("hex")) else {
                return row.get("expect").is_some();
            };
            let verified = Keys::new(&secret, None).expect("one key").verify(token);
            // This example has no session claims. Only its signature is checked here.
            verified.is_ok() == row.get("at").is_some()
        }
    });
}

#[test]
fn parses_cookie_headers() {
    let Some(file) = vectors("cookies/cookie_request_header.json") else { return };
    tally("Cookie headers", rows(&file, "tests"), |row| {
        let want: Vec<(String, String)> = rows(row, "pairs")
            .iter()
            .map(|pair| {
                (pair[0].as_str().expect("text").to_owned(), pair[1].as_str().expect("text").to_owned())
            })
            .collect();
        let found: Vec<(String, String)> = cookie::pairs(text(row, "input_latin1"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        found == want
    });
}

#[test]
fn parses_cookies_of_real_sites() {
    let Some(file) = vectors("cookies/top_sites_cookie.json") else { return };
    let sites: Vec<Value> = file.as_object().expect("an object").values().cloned().collect();
    tally("real sites' cookies", &sites, |header| {
        let header = header.as_str().expect("text");
        let pairs: Vec<String> =
            cookie::pairs(header).map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ") == header
    });
}

#[test]
fn rejects_open_redirects() {
    let Some(file) = vectors("redirects/open_redirect_cases.json") else { return };
    let base = Url::parse("https://app.example.com/login").expect("a url");
    let policy = policy();
    tally("open redirects", rows(&file, "cases"), |row| {
        let Some(accepted) = policy.accept(text(row, "input")) else { return true };
        let stays = base.join(accepted.as_str()).is_ok_and(|url| url.origin() == base.origin());
        // A backslash in a query is data. So an input that resolves to this site may be accepted.
        stays
            && (text(row, "class") == "same_origin" || text(row, "expect_path_only_sanitizer") != "fallback")
    });
}

#[test]
fn accepts_safe_return_paths() {
    let Some(file) = vectors("redirects/safe_return_paths.json") else { return };
    let policy = policy();
    tally("safe return paths", rows(&file, "preserve"), |path| {
        let path = path.as_str().expect("text");
        policy.accept(path).is_some_and(|accepted| accepted.as_str() == path)
    });
}

#[test]
fn parses_trusted_origins() {
    let Some(file) = vectors("csrf/csrf_cases.json") else { return };
    let rows: Vec<Value> = rows(&file, "tests")
        .iter()
        .filter(|row| row.get("trusted_origin_config").is_some())
        .cloned()
        .collect();
    tally("trusted origins", &rows, |row| {
        let is_error = row["upstream_config_error"].as_bool().expect("a flag");
        Origin::parse(text(row, "trusted_origin_config")).is_err() == is_error
    });
}

/// Returns the keys of a row, if they can be configured: HS256, at least 32 bytes, no duplicate name. A set that mixes
/// key kinds returns `None`, because the configuration cannot express it.
fn keys(row: &Value) -> Option<Keys> {
    let config_policy = row.get("config_level_policy").and_then(Value::as_str).unwrap_or_default();
    if config_policy.contains("mixes symmetric and asymmetric") {
        return None;
    }
    let mut named = Vec::new();
    for key in rows(row, "keys") {
        if text(key, "alg") != "HS256" {
            return None;
        }
        let bytes = base16ct::mixed::decode_vec(text(key, "hex")).expect("hex");
        named.push((text(key, "kid").to_owned(), Secret::from_bytes(bytes).ok()?));
    }
    let first = named.remove(0);
    Keys::named(first, named).ok()
}

fn single(bytes: &[u8]) -> Keys {
    Keys::new(&Secret::from_bytes(bytes.to_vec()).expect("a secret"), None).expect("one key")
}

/// Returns true if a token names a key. Such a token is valid only for that key, and these tests do not have it.
fn has_key_id(row: &Value) -> bool {
    row.pointer("/header/kid").is_some()
}

fn policy() -> return_path::Policy {
    return_path::Policy {
        login: "/login".into(),
        home: "/".into(),
        endpoints: vec![return_path::LaxPattern::of("/api/auth/logout")],
        sign_ins: vec![],
        public: vec![Origin::parse("https://app.example.com").expect("an origin")],
        elsewhere: Vec::new(),
    }
}

#[test]
fn parses_idempotency_keys_as_structured_fields() {
    let Some(file) = vectors("idempotency/sf_string_items.json") else { return };
    tally("idempotency keys", rows(&file, "tests"), |row| {
        let lines: Vec<&str> = rows(row, "raw").iter().map(|line| line.as_str().expect("text")).collect();
        // The runtime joins several header lines into one value.
        let value = lines.join(", ");
        let key = Key::parse(&value);
        let bare = value.trim_matches([' ', '\t']);
        if !bare.starts_with('"') {
            // The gateway also accepts bare keys, without the characters that other structured fields use.
            let is_bare = |byte: u8| byte.is_ascii_graphic() && !b"\"'\\,;".contains(&byte);
            return key.is_some() == (!bare.is_empty() && bare.bytes().all(is_bare));
        }
        let escaped =
            row["expected"][0].as_str().unwrap_or_default().replace('\\', "\\\\").replace('"', "\\\"");
        match text(row, "idempotency_key_expect") {
            "accept" => key.is_some() && key == Key::parse(&format!("\"{escaped}\"")),
            _ => key.is_none(),
        }
    });
}
