//! Header edits as one text, in the format that `headers.js` applies.

use memchr::memchr2;

use crate::http::reply::HeaderEdits;

/// An edit of one header.
#[derive(Clone, Copy)]
pub(super) enum HeaderEdit<'a> {
    /// Removes every header of this name.
    Remove(&'a str),
    /// Replaces every header of this name by one with this value.
    Set(&'a str, &'a str),
    /// Adds a header with this name and value.
    Append(&'a str, &'a str),
}

/// Serializes edits: `-name` removes, `=name` sets and `+name` appends the value on the next line.
pub(super) fn serialize_edits(edits: &HeaderEdits<'_>) -> String {
    if edits.is_empty() {
        return String::new();
    }
    let mut text = String::with_capacity(2_048);
    for name in &edits.remove {
        push_edit(&mut text, HeaderEdit::Remove(name));
    }
    for (name, value) in &edits.set {
        push_edit(&mut text, HeaderEdit::Set(name, value));
    }
    for (name, value) in &edits.append {
        push_edit(&mut text, HeaderEdit::Append(name, value));
    }
    text
}

/// Appends an edit. Leaves it out if its name or value contains a separator, so that it cannot become another header.
/// No decision of the gateway produces such an edit.
pub(super) fn push_edit(text: &mut String, edit: HeaderEdit<'_>) {
    let (operation, name, value) = match edit {
        HeaderEdit::Remove(name) => ('-', name, None),
        HeaderEdit::Set(name, value) => ('=', name, Some(value)),
        HeaderEdit::Append(name, value) => ('+', name, Some(value)),
    };
    let is_split = |part: &str| memchr2(b'\n', b'\0', part.as_bytes()).is_some();
    if is_split(name) || value.is_some_and(is_split) {
        return;
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text.push(operation);
    text.push_str(name);
    if let Some(value) = value {
        text.push('\n');
        text.push_str(value);
    }
}
