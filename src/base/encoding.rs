//! Encodes and decodes bytes as base64, base32 and hex, as the wire formats need it.

use base32ct::{Base32UpperUnpadded, Encoding};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// Encodes bytes as base64url without padding (RFC 4648 §5, RFC 7515 §2).
#[must_use]
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Appends bytes as base64url without padding.
pub fn push_base64url(text: &mut String, bytes: &[u8]) {
    URL_SAFE_NO_PAD.encode_string(bytes, text);
}

/// Decodes strict base64url. Returns `None` for padding, white space or unused bits that are not zero.
#[must_use]
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Decodes standard base64 with padding (RFC 4648 §4).
#[must_use]
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Encodes bytes as standard base64 with padding.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Encodes bytes as standard base64 without padding, as the PHC string format does.
#[must_use]
pub fn base64_unpadded(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}

/// Decodes standard base64 without padding.
#[must_use]
pub fn from_base64_unpadded(text: &str) -> Option<Vec<u8>> {
    STANDARD_NO_PAD.decode(text).ok()
}

/// Encodes bytes as upper-case base32 without padding (RFC 4648 §6).
#[must_use]
pub fn base32(bytes: &[u8]) -> String {
    Base32UpperUnpadded::encode_string(bytes)
}

/// Decodes upper-case base32 without padding.
#[must_use]
pub fn from_base32(text: &str) -> Option<Vec<u8>> {
    Base32UpperUnpadded::decode_vec(text).ok()
}

/// Encodes bytes as lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

/// Decodes hex in lower or upper case.
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    base16ct::mixed::decode_vec(text).ok()
}
