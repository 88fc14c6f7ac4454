//! Reads the body of `POST /api/explain` into a request. `dry_run.rs` decides it.
//!
//! The body describes the request: `{method, url, headers?}`. This module serializes it. The gateway then decides it in
//! a dry run and returns the trace.

use url::Url;

use super::endpoints::Call;
use crate::http::{cookie::is_token_byte, problem::Rejection};

/// Serializes the request that the body describes, in the format in which the edge passes requests on.
///
/// # Errors
/// [`Rejection::InvalidBody`]: the description is not valid.
pub(super) fn serialize_described(call: Call<'_>) -> Result<String, Rejection> {
    let form = call.form(&["method", "url", "headers"])?;
    let headers = form.table("headers", HEADERS)?;
    serialize_request(form.text("method")?, form.text("url")?, &headers)
        .map_err(|(field, expected)| Rejection::InvalidBody(field, expected))
}

/// Serializes a request: the method, the URL, then each header's name (in lower case) and value, one per line.
///
/// # Errors
/// The name of the invalid part, and what was expected.
pub fn serialize_request(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
) -> Result<String, (&'static str, &'static str)> {
    if method.is_empty() || !method.bytes().all(is_token_byte) {
        return Err(("method", "expected a method, such as GET"));
    }
    let expected = ("url", "expected an http or https URL without credentials");
    let url = Url::parse(url).map_err(|_| expected)?;
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
        return Err(expected);
    }
    let mut serialized = format!("{method}\n{url}");
    for (name, value) in headers {
        let is_valid_name = !name.is_empty() && name.bytes().all(is_token_byte);
        // RFC 9110 §5.5: a field value has no control characters but tab. So each part fits on one line.
        if !is_valid_name || value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(("headers", HEADERS));
        }
        for part in [name.to_ascii_lowercase().as_str(), value.trim()] {
            serialized.push('\n');
            serialized.push_str(part);
        }
    }
    Ok(serialized)
}

const HEADERS: &str = "expected an object of header names and values";
