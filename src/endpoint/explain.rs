//! `POST /api/explain`: a request in words, of which an operator wants to know what would become of it.
//!
//! `{method, url, headers?}`; the trace is the gateway's to give, which goes the same way with it.

use url::Url;

use super::Call;
use crate::{cookie::is_token_byte, problem::Rejection};

/// Writes the request that is described as the edge gives its account of one.
///
/// # Errors
/// [`Rejection::InvalidBody`].
pub fn described(call: Call<'_>) -> Result<String, Rejection> {
    let form = call.form(&["method", "url", "headers"])?;
    let headers = form.table("headers", HEADERS)?;
    account(form.text("method")?, form.text("url")?, &headers)
        .map_err(|(field, wanted)| Rejection::InvalidBody(field, wanted))
}

/// Writes an account of a request; else which part is none, and what was expected of it.
///
/// # Errors
/// The part and the expectation.
pub fn account(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
) -> Result<String, (&'static str, &'static str)> {
    if method.is_empty() || !method.bytes().all(is_token_byte) {
        return Err(("method", "expected a method, such as GET"));
    }
    let wanted = ("url", "expected an http or https URL without credentials");
    let url = Url::parse(url).map_err(|_| wanted)?;
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
        return Err(wanted);
    }
    let mut account = format!("{method}\n{url}");
    for (name, value) in headers {
        let is_one = !name.is_empty() && name.bytes().all(is_token_byte);
        // What a header can hold (RFC 9110 §5.5), in one line.
        if !is_one || value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(("headers", HEADERS));
        }
        for part in [name.to_ascii_lowercase().as_str(), value.trim()] {
            account.push('\n');
            account.push_str(part);
        }
    }
    Ok(account)
}

const HEADERS: &str = "expected a table of header names and values";
