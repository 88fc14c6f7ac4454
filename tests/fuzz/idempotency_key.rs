//! Idempotency keys: one key has one record, in either spelling; different keys have different records.

use sha2::{Digest, Sha256};
use vestibule::idempotency::Key;

pub(crate) fn run(data: &[u8]) {
    let value = String::from_utf8_lossy(data);
    let Some(key) = Key::parse(&value) else { return };
    let trimmed = value.trim_matches([' ', '\t']);
    let plain = match trimmed.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => trimmed.to_owned(),
    };
    assert!((1..=255).contains(&plain.len()));
    if !plain.contains('\\') && !trimmed.contains('\\') {
        let digest = base16ct::lower::encode_string(&Sha256::digest(&plain));
        assert_eq!(key.hashed(), digest);
    }
    let quoted = format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""));
    if !trimmed.contains('\\') {
        assert_eq!(Key::parse(&quoted).map(|key| key.hashed()), Some(key.hashed()), "{quoted}");
    }
}
