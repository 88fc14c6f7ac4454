//! The texts that cross to `worker.js`. Parts are separated by NUL, which no header can hold and JSON
//! escapes; lines by line feeds, which no header can hold either.
//!
//! | text | meaning |
//! |---|---|
//! | `forward` visit milliseconds via url edits | send the request on, `resume` the visit with what came of it |
//! | `head` visit milliseconds via url edits | ask upstream by a HEAD with these headers alone, `resume` with what came of it |
//! | `post` visit milliseconds via url edits body | tell upstream by a POST with these headers alone, likewise |
//! | `ask` visit milliseconds binding name now command | have that object do something, then `resume`; `now` is the fixed clock of tests, or empty |
//! | `hand` visit milliseconds binding name now command | the same with the body attached, once it was read |
//! | `later` binding name now command … | the same after the answer, which follows |
//! | `read` visit milliseconds limit | read the body of the request, then `resume` |
//! | `bytes` visit milliseconds limit | read the body, keep it for `forward`, `resume` with its bytes |
//! | `digest` visit milliseconds limit | read the body, keep it for `forward`, `resume` with its SHA-256 |
//! | `glimpse` visit milliseconds limit first | the same, `resume` with `done`, its SHA-256, its length and its first bytes, a line each |
//! | `collect` visit milliseconds limit | read the body of upstream's response, `resume` with its length, or `stream` |
//! | `collected` visit milliseconds | `resume` with the bytes of that body |
//! | `keep` visit milliseconds binding name now command key elsewhere seconds head \[body\] | seal head and body, the collected one where there is none here; have that object do something with it, or put it into KV; `resume` with its reply |
//! | `open` visit milliseconds keys elsewhere | open what came with the last reply, or what KV has: it is the response from then on; `resume` with it as after `forward`, or `sealed` where no key opens it |
//! | `field` visit milliseconds limit name | read the body as for `digest`, `resume` with that field of it, or `absent` |
//! | `consult` visit milliseconds via url type limit body | ask somebody outside by a POST, `resume` with the status and on the next line the body |
//! | `gate` visit milliseconds binding key | ask the platform's own counter, `resume` with `open` or `shut` |
//! | `recall` visit milliseconds name | read that from KV, `resume` with it, or `absent` |
//! | `store` visit milliseconds name value | write it, `resume` |
//! | `stays` … | what follows is seen to although the client goes away |
//! | `ticked` log … | say these lines; nobody waits for an answer |
//! | `relay` log edits | answer with upstream's response |
//! | `own` log status edits \[body\] | answer with a response of ours |
//!
//! `via` is `service`, `assets` or `network`, or `network personal` for what must go past Cloudflare's
//! cache. An edit is `-name`, or `=name` (set) or `+name` (append) and a line with the value.
//!
//! What `resume` is told: `late` or `failed`, or else, after `forward` and `head`, upstream's status and then each
//! header's name and value, one a line; after `ask` and `read`, `done` and on the next line the reply or
//! the body. A body may also be `large` or `binary`, or `busy` where there is no memory for it.

use memchr::memchr2;

use crate::{
    context::Headers,
    effects::{Answer, Glimpse, HeaderEdits, Inbound, LONGEST_TOLD, Question, Sealing, Way},
    event::Event,
    problem::Fault,
    time::Timestamp,
};

/// Writes an answer and the line that tells of it.
pub(super) fn answer(answer: &Answer<()>, event: &Event<'_>) -> String {
    let mut text = String::with_capacity(1_024);
    match answer {
        Answer::Relayed((), edits) => {
            push_parts(&mut text, &["relay", &event.line().unwrap_or_default()]);
            push_edits(&mut text, edits);
        }
        Answer::Own(reply) => {
            push_parts(&mut text, &["own", &event.line().unwrap_or_default(), &reply.status.to_string()]);
            for (name, value) in &reply.headers {
                push_line(&mut text, '+', name, Some(value));
            }
            if let Some(body) = &reply.body {
                text.push('\0');
                text.push_str(body);
            }
        }
    }
    text
}

/// Writes what to send on.
pub(super) fn forward(
    order: &str,
    (visit, milliseconds): (u32, u128),
    via: &str,
    (base, target): (&str, &str),
    edits: &HeaderEdits<'_>,
) -> String {
    let mut text = String::with_capacity(2_048);
    push_parts(&mut text, &[order, &visit.to_string(), &milliseconds.to_string(), via]);
    text.push_str(base);
    push_parts(&mut text, &[target]);
    push_edits(&mut text, edits);
    text
}

/// Writes how an event is delivered: as `forward`, without a visit to resume.
pub(super) fn delivery(
    milliseconds: u128,
    via: &str,
    (base, target): (&str, &str),
    fields: &Headers<'_>,
    edits: &HeaderEdits<'_>,
) -> String {
    let mut text = String::with_capacity(2_048);
    push_parts(&mut text, &["deliver", "0", &milliseconds.to_string(), via]);
    text.push_str(base);
    push_parts(&mut text, &[target]);
    for (name, value) in fields.iter() {
        push_line(&mut text, '=', name, Some(value));
    }
    push_edits(&mut text, edits);
    text
}

/// Writes what to ask an object.
pub(super) fn ask(
    order: &str,
    (visit, milliseconds): (u32, u128),
    binding: &str,
    (name, command): (&str, &str),
    fixed_now: Option<Timestamp>,
) -> String {
    let now = fixed_now.map(|now| now.0.to_string()).unwrap_or_default();
    format!("{order}\0{visit}\0{milliseconds}\0{binding}\0{name}\0{now}\0{command}")
}

/// Writes what to ask an object after the answer, which this goes before.
pub(super) fn later(binding: &str, (name, command): (&str, &str), fixed_now: Option<Timestamp>) -> String {
    let now = fixed_now.map(|now| now.0.to_string()).unwrap_or_default();
    format!("later\0{binding}\0{name}\0{now}\0{command}\0")
}

/// Writes an order to read a body of at most so many bytes.
pub(super) fn limited(order: &str, (visit, milliseconds): (u32, u128), limit: usize) -> String {
    format!("{order}\0{visit}\0{milliseconds}\0{limit}")
}

/// Writes an order to look at a body.
pub(super) fn glimpse((visit, milliseconds): (u32, u128), limit: usize, first: usize) -> String {
    format!("glimpse\0{visit}\0{milliseconds}\0{limit}\0{first}")
}

/// Reads what was seen of it.
pub(super) fn seen(told: &[u8]) -> Option<Glimpse> {
    let mut lines = told.splitn(3, |byte| *byte == b'\n');
    let mut line = || std::str::from_utf8(lines.next()?).ok();
    let (sha256, length) = (line()?.to_owned(), line()?.parse().ok()?);
    Some(Glimpse { sha256, length, first: lines.next()?.to_vec() })
}

/// Writes an order to read a field of the body.
pub(super) fn field((visit, milliseconds): (u32, u128), name: &str, limit: usize) -> String {
    format!("field\0{visit}\0{milliseconds}\0{limit}\0{name}")
}

/// Writes a question to somebody outside.
pub(super) fn consult((visit, milliseconds): (u32, u128), question: Question<'_>) -> String {
    let (via, url) = match question.way {
        Way::Url(url) => ("network", url),
        // A binding is asked directly: which host that names is no matter to it.
        Way::Binding(binding) => (binding, "https://policy.invalid/"),
    };
    let Question { content_type, body, .. } = question;
    format!("consult\0{visit}\0{milliseconds}\0{via}\0{url}\0{content_type}\0{LONGEST_TOLD}\0{body}")
}

/// Writes an order that is told a few names.
pub(super) fn named(order: &str, (visit, milliseconds): (u32, u128), names: &[&str]) -> String {
    format!("{order}\0{visit}\0{milliseconds}\0{}", names.join("\0"))
}

/// Writes that an order is to be seen to although the client goes away.
pub(super) fn stays(order: &str) -> String {
    format!("stays\0{order}")
}

/// Writes that the collected body is wanted.
pub(super) fn collected(visit: u32, milliseconds: u128) -> String {
    format!("collected\0{visit}\0{milliseconds}")
}

/// Writes what the log is to say of a tick.
pub(super) fn ticked(lines: &[String]) -> String {
    format!("ticked\0{}", lines.join("\0"))
}

/// Writes what to keep, and by whom.
pub(super) fn keep(
    (visit, milliseconds): (u32, u128),
    (binding, name, command): (&str, &str, &str),
    fixed_now: Option<Timestamp>,
    Sealing { key, head, body, elsewhere }: Sealing<'_>,
) -> String {
    let now = fixed_now.map(|now| now.0.to_string()).unwrap_or_default();
    let (elsewhere, seconds) = elsewhere.unwrap_or_default();
    let mut text = format!("keep\0{visit}\0{milliseconds}\0");
    push_parts(&mut text, &[binding, name, &now, command, key, elsewhere, &seconds.to_string()]);
    text.push_str(head);
    if let Some(body) = body {
        text.push('\0');
        text.push_str(body);
    }
    text
}

/// Writes what to open.
pub(super) fn open(visit: u32, milliseconds: u128, keys: &[String], elsewhere: Option<&str>) -> String {
    format!("open\0{visit}\0{milliseconds}\0{}\0{}", keys.join(","), elsewhere.unwrap_or_default())
}

/// Reads an object's reply, or a body.
///
/// # Errors
/// The word that came in place of it.
pub(super) fn done(mut told: String) -> Result<String, String> {
    if told.starts_with(DONE) {
        told.drain(..DONE.len());
        return Ok(told);
    }
    Err(told)
}

/// The same of bytes.
pub(super) fn done_bytes(mut told: Vec<u8>) -> Result<Vec<u8>, Vec<u8>> {
    if told.starts_with(DONE.as_bytes()) {
        told.drain(..DONE.len());
        return Ok(told);
    }
    Err(told)
}

const DONE: &str = "done\n";

/// Reads what came of it.
///
/// # Errors
/// [`Fault::UpstreamFailed`], [`Fault::UpstreamTimeout`].
pub(super) fn inbound(mut told: String, elapsed_ms: u64) -> Result<Inbound<()>, Fault> {
    if told == "late" {
        return Err(Fault::UpstreamTimeout);
    }
    let line = told.find('\n').unwrap_or(told.len());
    // What HTTP does not have as a status (RFC 9110 §15) is no answer.
    let status = told.get(..line).and_then(|status| status.parse().ok());
    let status = status.filter(|status| (100..600).contains(status)).ok_or(Fault::UpstreamFailed)?;
    told.drain(..told.len().min(line.saturating_add(1)));
    Ok(Inbound { status, elapsed_ms, fields: told, response: () })
}

fn push_parts(text: &mut String, parts: &[&str]) {
    for part in parts {
        text.push_str(part);
        text.push('\0');
    }
}

fn push_edits(text: &mut String, edits: &HeaderEdits<'_>) {
    for name in &edits.remove {
        push_line(text, '-', name, None);
    }
    for (name, value) in &edits.set {
        push_line(text, '=', name, Some(value));
    }
    for (name, value) in &edits.append {
        push_line(text, '+', name, Some(value));
    }
}

/// A value that holds a separator, which no decision of ours produces, is left out rather than let it
/// become another header.
fn push_line(text: &mut String, mark: char, name: &str, value: Option<&str>) {
    let is_split = |part: &str| memchr2(b'\n', b'\0', part.as_bytes()).is_some();
    if is_split(name) || value.is_some_and(is_split) {
        return;
    }
    if !text.ends_with('\0') {
        text.push('\n');
    }
    text.push(mark);
    text.push_str(name);
    if let Some(value) = value {
        text.push('\n');
        text.push_str(value);
    }
}
