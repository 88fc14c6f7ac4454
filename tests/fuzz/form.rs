//! Bodies: forms of the endpoints, and fields that are searched for in the bodies of others.
//!
//! The first line is a content type, the rest a body.

use serde_json::Value;
use vestibule::http::{body_field, form::Form, request::HeaderLines};

const KNOWN: &[&str] = &["email", "password", "name", "role"];

pub(crate) fn run(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (content_type, body) = data.split_at(end);
    let body = body.get(1..).unwrap_or_default();
    let lines = HeaderLines(format!("content-type\n{}", String::from_utf8_lossy(content_type)));
    let headers = lines.headers();
    let found = body_field::values(&headers, body, "email");
    assert!(found.is_none_or(|found| found.len() <= body.len()));
    let Ok(text) = std::str::from_utf8(body) else { return };
    let Ok(form) = Form::read(text, KNOWN) else { return };
    let read: Value = serde_json::from_str(text).unwrap();
    for name in KNOWN {
        if let Ok(Some(text)) = form.optional(name) {
            assert_eq!(read[*name], text);
        }
        if let Ok(Some(address)) = form.optional_email(name) {
            assert!(address.is_ascii() && address.contains('@') && address.len() <= 254);
        }
        if let Ok(Some(text)) = form.name(name) {
            assert!(!text.chars().any(char::is_control) && text.chars().count() <= 100);
        }
    }
}
