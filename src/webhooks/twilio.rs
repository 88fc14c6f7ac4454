//! Twilio. <https://www.twilio.com/docs/usage/webhooks/webhooks-security>
//!
//! 1. `X-Twilio-Signature: <base64>` is HMAC-SHA1 with the account's auth token. There is no timestamp.
//! 2. The signed text is the URL and then the form's parameters, sorted by name, each as name and value without
//!    separators. Values of the same name are sorted, and equal values are written once.
//! 3. If the query has `bodySHA256`, the signed text is only the URL. `bodySHA256` is then the SHA-256 of the body, in
//!    hex, for any type of body. Without it, a body that is not a form is not signed, and is rejected.
//! 4. Twilio's senders write URLs in different ways: with or without the port, and with `'` or `%27` in the
//!    query. Each of these spellings may be the signed one, as in Twilio's own libraries.
//! 5. No signed value is an event id or an event type: `CallSid` and `MessageSid` are the same in all events of a
//!    call or a message. `I-Twilio-Idempotency-Token` is not signed.
//!
//! A form must be sorted before its signature can be checked. So a form has at most [`MAX_PARAMETERS`] parameters and
//! [`MAX_FORM_BYTES`] bytes. Twilio sends fewer than a hundred parameters.
//!
//! Without separators, one signature also matches parameters in another order, in another encoding or split elsewhere.
//! So the content hash covers the signed bytes.

use percent_encoding::percent_decode;
use sha2::{Digest, Sha256};

use super::{
    InvalidSignature, Signed,
    signature::{Encoding, EventInfo, Keys, Sha1Mac, required_header},
};
use crate::base::{encoding, sorting};

pub(super) fn verify(keys: &Keys<Sha1Mac>, request: &Signed<'_>) -> Result<EventInfo, InvalidSignature> {
    let tag = required_header(request, "x-twilio-signature")?;
    // Reject a malformed signature before the body is parsed.
    Keys::<Sha1Mac>::decode_tags(Encoding::Base64, [tag])?;
    let parameters = parameters(request)?;
    for url in spellings(request.url) {
        match keys.verify(&[url.as_bytes(), &parameters], Encoding::Base64, [tag]) {
            Ok(()) => {
                let content = Sha256::new().chain_update(url).chain_update(parameters).finalize();
                return Ok(EventInfo { content_hash: Some(encoding::hex(&content)), ..EventInfo::default() });
            }
            Err(InvalidSignature::Mismatch) => {}
            Err(error) => return Err(error),
        }
    }
    Err(InvalidSignature::Mismatch)
}

/// Returns the signed bytes that follow the URL.
fn parameters(request: &Signed<'_>) -> Result<Vec<u8>, InvalidSignature> {
    let query = request.url.split_once('?').map(|(_, query)| query).unwrap_or_default();
    if let Some(hash) = query.split('&').find_map(|pair| pair.strip_prefix("bodySHA256=")) {
        // The hash of the body is no secret, so the comparison need not take constant time.
        let matches =
            encoding::from_hex(hash).is_some_and(|hash| hash == Sha256::digest(request.body).as_slice());
        return if matches { Ok(Vec::new()) } else { Err(InvalidSignature::Mismatch) };
    }
    let content_type = request.headers.value("content-type").unwrap_or_default();
    let content_type = content_type.split(';').next().unwrap_or_default().trim();
    if !content_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") && !request.body.is_empty() {
        return Err(InvalidSignature::Malformed);
    }
    let separators = memchr::memchr_iter(b'&', request.body).count();
    if request.body.len() > MAX_FORM_BYTES || separators >= MAX_PARAMETERS {
        return Err(InvalidSignature::Malformed);
    }
    Ok(sorted(request.body))
}

/// Sorts and joins the parameters of a form. Works on bytes, because as text two different bodies could become equal.
fn sorted(form: &[u8]) -> Vec<u8> {
    let pairs = form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    let pairs: Vec<(Vec<u8>, Vec<u8>)> = pairs
        .map(|pair| {
            let mut halves = pair.splitn(2, |byte| *byte == b'=').map(decoded);
            (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
        })
        .collect();
    let mut pairs = sorting::sorted(pairs);
    pairs.dedup();
    pairs.into_iter().flat_map(|(name, value)| [name, value]).flatten().collect()
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).collect()
}

/// Maximum number of parameters of a form, including empty ones.
const MAX_PARAMETERS: usize = 1_000;

/// Maximum length of a form, in bytes.
const MAX_FORM_BYTES: usize = 1_048_576;

/// Returns the spellings of a URL that a sender may have signed: at most six.
fn spellings(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let other = match authority.rsplit_once(':') {
        Some((host, port)) if is_port(port) => host.to_owned(),
        _ => format!("{authority}:{}", if scheme == "https" { 443 } else { 80 }),
    };
    let mut queries = vec![query.to_owned()];
    for other in [query.replace('\'', "%27"), query.replace("%27", "'")] {
        if !queries.contains(&other) {
            queries.push(other);
        }
    }
    let authorities = [authority, &other];
    let spell = |query: &String| authorities.map(|authority| format!("{scheme}://{authority}{path}{query}"));
    queries.iter().flat_map(spell).collect()
}

#[cfg(test)]
mod tests;
