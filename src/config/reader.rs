//! Reading JSON as configuration: each value by its name, each mistake noted and none in the way of
//! the next.

use std::{cell::RefCell, fmt, ops::RangeInclusive, time::Duration};

use serde_json::{Map, Value};

use super::schema::Member;
use crate::{origin::Origin, path::CanonicalPath, store::Class, time};

/// One mistake of an operator's, by the name and path of what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Such as `ROUTES[3].access`.
    pub path: String,
    /// What was expected and what was found. Never a secret.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// All mistakes so far, and all complaints: about invalid entries that affect nothing else.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    mistakes: RefCell<Vec<ConfigError>>,
    complaints: RefCell<Vec<ConfigError>>,
}

impl Mistakes {
    pub(super) fn note(&self, path: impl Into<String>, message: impl Into<String>) {
        self.mistakes.borrow_mut().push(ConfigError { path: path.into(), message: message.into() });
    }

    /// Notes an invalid entry that is refused while everything else works.
    pub(super) fn complain(&self, path: impl Into<String>, message: impl Into<String>) {
        self.complaints.borrow_mut().push(ConfigError { path: path.into(), message: message.into() });
    }

    pub(super) fn complaints(&self) -> Vec<ConfigError> {
        self.complaints.take()
    }

    /// Returns how many mistakes there are so far.
    pub(super) fn count(&self) -> usize {
        self.mistakes.borrow().len()
    }

    /// Adds to the mistakes after the first `count` that they are in the rule for `path`.
    pub(super) fn name_rule(&self, count: usize, path: &str) {
        let path = format!("{path:?}");
        for mistake in self.mistakes.borrow_mut().iter_mut().skip(count) {
            if !mistake.message.contains(&path) {
                let message = std::mem::take(&mut mistake.message);
                mistake.message = format!("{message} (in the rule for {path})");
            }
        }
    }

    /// Removes the mistakes about variables that are missing only because of another mistake, and those that mention them.
    pub(super) fn drop_follow_ons(&self, missing: &[&str]) {
        let follows = |ConfigError { path, message }: &ConfigError| {
            missing.iter().any(|name| {
                let is_below = path.strip_prefix(*name).is_some_and(|rest| rest.starts_with(['.', '[']));
                is_below || path == name || mentions(message, name)
            })
        };
        self.mistakes.borrow_mut().retain(|mistake| !follows(mistake));
        self.complaints.borrow_mut().retain(|mistake| !follows(mistake));
    }

    pub(super) fn into_vec(self) -> Vec<ConfigError> {
        self.mistakes.into_inner()
    }
}

/// A table whose members are read by name. Unknown members have been noted.
pub(super) struct Table<'a> {
    path: String,
    members: Option<&'a Map<String, Value>>,
    schema: &'static [Member],
    mistakes: &'a Mistakes,
}

impl<'a> Table<'a> {
    /// Opens the table found at a path; an absent one has only defaults.
    pub(super) fn open(
        path: impl Into<String>,
        value: Option<&'a Value>,
        schema: &'static [Member],
        mistakes: &'a Mistakes,
    ) -> Self {
        let path = path.into();
        let members = value.and_then(|value| {
            if value.as_object().is_none() {
                mistakes.note(path.clone(), expected("table", value));
            }
            value.as_object()
        });
        for name in members.into_iter().flat_map(Map::keys) {
            if !schema.iter().any(|member| member.name == name) {
                mistakes.note(format!("{path}.{name}"), unknown(name, schema));
            }
        }
        Self { path, members, schema, mistakes }
    }

    /// Tells whether a member is written down.
    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    pub(super) fn value(&self, name: &str) -> Option<&'a Value> {
        self.members?.get(name)
    }

    /// Notes a mistake of a member's.
    pub(super) fn note(&self, name: &str, message: impl Into<String>) {
        self.mistakes.note(self.at(name), message);
    }

    /// Tells whether a member is missing because its name is misspelt. That has been noted.
    pub(super) fn is_misspelt(&self, name: &str) -> bool {
        let mut names = self.members.into_iter().flat_map(Map::keys);
        names.any(|found| {
            self.schema.iter().all(|member| member.name != found) && nearest(found, self.schema) == Some(name)
        })
    }

    /// Notes that a member must be there, where it is not.
    pub(super) fn demand(&self, names: &[&str]) {
        for name in names.iter().filter(|name| !self.has(name) && !self.is_misspelt(name)) {
            self.note(name, format!("expected {}, found nothing", self.member(name).shape));
        }
    }

    /// Notes that a member needs a binding to a class, where there is none.
    pub(super) fn demand_binding(&self, name: &str, is_there: bool, class: Class, documented: &str) {
        if !is_there {
            let Class { binding, name: class, .. } = class;
            self.note(
                name,
                format!(
                    "expected a binding {binding} to the class {class}, found none (see docs/{documented})"
                ),
            );
        }
    }

    /// Reads a text, or its default, by its grammar. `None` where it is absent or a mistake was noted.
    pub(super) fn parse<T>(&self, name: &str, grammar: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.borrowed_text(name)?;
        grammar(text).map_err(|message| self.note(name, message)).ok()
    }

    /// As [`Table::parse`], for a grammar that has no words of its own.
    pub(super) fn parse_shape<T>(&self, name: &str, grammar: impl Fn(&str) -> Option<T>) -> Option<T> {
        let shape = self.member(name).shape;
        self.parse(name, |text| grammar(text).ok_or_else(|| format!("expected {shape}, found {text:?}")))
    }

    /// Reads one of several words.
    pub(super) fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        self.parse(name, |text| {
            let chosen = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
            chosen.ok_or_else(|| {
                let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
                let one_of = if words.len() == 1 { "" } else { "one of " };
                format!("expected {one_of}{}, found {text:?}", words.join(", "))
            })
        })
    }

    /// Reads any text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.borrowed_text(name).map(str::to_owned)
    }

    /// The same, as it stands in the configuration.
    pub(super) fn borrowed_text(&self, name: &str) -> Option<&'a str> {
        let member = self.member(name);
        match self.value(name) {
            Some(Value::String(text)) => Some(text),
            Some(other) => {
                self.note(name, expected(member.shape, other));
                None
            }
            None => member.default,
        }
    }

    /// Reads a JSON pointer (RFC 6901) to something within a document.
    pub(super) fn pointer(&self, name: &str) -> Option<String> {
        self.parse(name, |text| match text.strip_prefix('/') {
            Some(_) => Ok(text.to_owned()),
            None => Err(format!("expected a JSON pointer, such as /data/id, found {text:?}")),
        })
    }

    /// Reads a path in canonical form: without query, without parameters.
    pub(super) fn path(&self, name: &str) -> Option<String> {
        self.parse(name, |text| {
            let is_plain = CanonicalPath::judge(text).is_ok_and(|path| path.as_str() == text);
            if is_plain && !text.contains(['?', '#', '{']) && !text.contains("//") {
                Ok(text.to_owned())
            } else {
                Err(format!(
                    "expected a path in canonical form, without query and parameters, found {text:?}"
                ))
            }
        })
    }

    /// Reads a span within bounds, the bounds included; of another one, `wanted` is noted.
    pub(super) fn span_within(
        &self,
        name: &str,
        bounds: RangeInclusive<Duration>,
        wanted: &str,
    ) -> Option<Duration> {
        let span = self.span(name)?;
        if !bounds.contains(&span) {
            self.note(name, wanted);
        }
        Some(span)
    }

    /// Opens each table of a list; an absent list is empty.
    pub(super) fn tables(&self, name: &str, schema: &'static [Member]) -> Vec<Table<'a>> {
        let Some(value) = self.value(name) else { return Vec::new() };
        let Some(entries) = value.as_array() else {
            self.note(name, expected(self.member(name).shape, value));
            return Vec::new();
        };
        let at = self.at(name);
        let open = |(index, entry)| Table::open(format!("{at}[{index}]"), Some(entry), schema, self.mistakes);
        entries.iter().enumerate().map(open).collect()
    }

    pub(super) fn span(&self, name: &str) -> Option<Duration> {
        self.parse(name, |text| {
            time::parse_span(text).ok_or_else(|| {
                format!("expected a duration like \"30s\", \"15m\", \"24h\" or \"30d\", found {text:?}")
            })
        })
    }

    /// Reads a whole number within bounds. It may be written as text, as variables from a dashboard are.
    pub(super) fn number(&self, name: &str, bounds: RangeInclusive<u32>) -> Option<u32> {
        let Some(value) = self.value(name) else { return self.member(name).default?.parse().ok() };
        let written = value.as_str().map_or_else(|| value.as_u64(), |text| text.parse().ok());
        let number = written.and_then(|number| u32::try_from(number).ok());
        let found = number.filter(|number| bounds.contains(number));
        if found.is_none() {
            let wanted = format!("a number from {} to {}", bounds.start(), bounds.end());
            self.note(name, expected(&wanted, value));
        }
        found
    }

    /// Reads a number of bytes that a body may have.
    pub(super) fn bytes(&self, name: &str) -> Option<usize> {
        let Some(value) = self.value(name) else { return self.member(name).default?.parse().ok() };
        let bytes = value.as_u64().and_then(|bytes| usize::try_from(bytes).ok());
        let found = bytes.filter(|bytes| (1..=MOST_BYTES).contains(bytes));
        if found.is_none() {
            self.note(name, expected("a number of bytes up to 16777216", value));
        }
        found
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        match self.value(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(other) => {
                self.note(name, expected("true or false", other));
                false
            }
            None => self.member(name).default == Some("true"),
        }
    }

    /// Reads a list of texts by their grammar; an absent one is empty. It may be written as one text with a comma after
    /// each but the last.
    pub(super) fn list<T>(&self, name: &str, grammar: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let Some(value) = self.value(name) else { return Vec::new() };
        let split: Vec<Value>;
        let items = match value {
            Value::Array(items) => items,
            Value::String(text) if !text.trim().is_empty() => {
                split = text.split(',').map(|item| item.trim().into()).collect();
                &split
            }
            _ => {
                self.note(name, expected(self.member(name).shape, value));
                return Vec::new();
            }
        };
        let mut list = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let at = format!("{}[{index}]", self.at(name));
            match item.as_str().map(&grammar) {
                Some(Ok(item)) => list.push(item),
                Some(Err(message)) => self.mistakes.note(at, message),
                None => self.mistakes.note(at, expected("text", item)),
            }
        }
        list
    }

    pub(super) fn origins(&self, name: &str) -> Vec<Origin> {
        self.list(name, Origin::parse)
    }

    /// Names a member by its path.
    pub(super) fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Asking for a name that the schema does not list is a mistake of ours, which every test of the
    /// parser would show; it reads as an absent member.
    fn member(&self, name: &str) -> &'static Member {
        debug_assert!(self.schema.iter().any(|member| member.name == name), "{name} is not in the schema");
        self.schema.iter().find(|member| member.name == name).unwrap_or(&UNLISTED)
    }
}

/// Says what was expected and what kind of thing was found.
pub(super) fn expected(shape: &str, found: &Value) -> String {
    let kind = match found {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "an empty text",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    };
    format!("expected {shape}, found {kind}")
}

/// Says where a text that begins like a list or a table is not JSON. `None` if it is, or does not begin so.
pub(super) fn not_json(value: &Value) -> Option<String> {
    let text = value.as_str().filter(|text| text.starts_with(['[', '{']))?;
    let error = serde_json::from_str::<Value>(text).err()?;
    let (line, column) = (error.line(), error.column());
    let told = error.to_string();
    let why = told.split(" at line ").next().unwrap_or_default();
    let line = if text.contains('\n') { format!("line {line}, ") } else { String::new() };
    Some(format!("not valid JSON at {line}column {column}: {why}"))
}

/// Tells whether a message names a variable, and not only one whose name contains it.
fn mentions(message: &str, name: &str) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    message.match_indices(name).any(|(at, _)| {
        let before = message.as_bytes().get(..at).and_then(<[u8]>::last);
        let after = message.as_bytes().get(at.saturating_add(name.len()));
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// Says that a name is unknown, and which one may have been meant.
pub(super) fn unknown(name: &str, schema: &[Member]) -> String {
    if let Some(meant) = nearest(name, schema) {
        return format!("unknown, did you mean \"{meant}\"?");
    }
    let names: Vec<&str> = schema.iter().map(|member| member.name).collect();
    format!("unknown, expected one of {}", names.join(", "))
}

/// Finds the name that a misspelt one is two edits or fewer away from; short names, one.
pub(super) fn nearest(name: &str, schema: &[Member]) -> Option<&'static str> {
    schema
        .iter()
        .map(|member| (strsim::osa_distance(name, member.name), member.name))
        .filter(|(distance, meant)| *distance <= if meant.len() < 6 { 1 } else { 2 })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, meant)| meant)
}

/// An isolate has 128 MB for all that it does at a time.
const MOST_BYTES: usize = 16 * 1_048_576;

static UNLISTED: Member = Member { name: "", shape: "", default: None };
