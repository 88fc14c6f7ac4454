//! Reads configuration from JSON: each value by its name. A mistake is recorded, and the next ones are still found.

use std::{ops::RangeInclusive, time::Duration};

use serde_json::{Map, Value};

use super::{
    mistake::Mistakes,
    schema::{Form, Member},
};
use crate::{
    base::time,
    http::{origin::Origin, path::CanonicalPath},
    platform::store::Class,
};

/// A table whose members are read by name. Its unknown members are already recorded as mistakes.
pub(super) struct Table<'a> {
    path: String,
    members: Option<&'a Map<String, Value>>,
    schema: &'static [Member],
    mistakes: &'a Mistakes,
}

impl<'a> Table<'a> {
    /// Opens the table at a path. In an absent table, every member has its default.
    pub(super) fn open(
        path: impl Into<String>,
        value: Option<&'a Value>,
        schema: &'static [Member],
        mistakes: &'a Mistakes,
    ) -> Self {
        let path = path.into();
        let members = value.and_then(|value| {
            if value.as_object().is_none() {
                mistakes.report(path.clone(), expected("a table", value));
            }
            value.as_object()
        });
        for name in members.into_iter().flat_map(Map::keys) {
            if !schema.iter().any(|member| member.name == name) {
                mistakes.report(format!("{path}.{name}"), unknown_name(name, schema));
            }
        }
        Self { path, members, schema, mistakes }
    }

    /// Returns whether a member is present.
    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    pub(super) fn value(&self, name: &str) -> Option<&'a Value> {
        self.members?.get(name)
    }

    /// Records a mistake about a member.
    pub(super) fn report(&self, name: &str, message: impl Into<String>) {
        self.mistakes.report(self.path_of(name), message);
    }

    /// Records that a value does not have the shape of its member in the schema, with an example.
    fn report_shape(&self, name: &str, message: &str) {
        let example = self.member(name).form.example();
        let example = example.map_or(String::new(), |example| format!(" (example: {name} = {example})"));
        self.report(name, format!("{message}{example}"));
    }

    /// Returns whether an unknown member is probably a misspelling of this name. That mistake is already recorded.
    pub(super) fn is_misspelt(&self, name: &str) -> bool {
        let mut names = self.members.into_iter().flat_map(Map::keys);
        names.any(|found| {
            self.schema.iter().all(|member| member.name != found) && nearest(found, self.schema) == Some(name)
        })
    }

    /// Records a mistake for each required member that is missing and not misspelt.
    pub(super) fn require_members(&self) {
        for Member { name, shape, .. } in self.schema.iter().filter(|member| member.is_required) {
            if !self.has(name) && !self.is_misspelt(name) {
                self.report_shape(name, &format!("expected {shape}, found nothing"));
            }
        }
    }

    /// Records a mistake if a member needs a binding to a class and the binding is missing.
    pub(super) fn require_binding(&self, name: &str, has_binding: bool, class: Class, docs_page: &str) {
        if !has_binding {
            let Class { binding, name: class, .. } = class;
            self.report(
                name,
                format!(
                    "expected a binding {binding} to the class {class}, found none (see docs/{docs_page})"
                ),
            );
        }
    }

    /// Parses a text or its default. Returns `None` if it is absent, or if it is invalid: then a mistake is recorded.
    pub(super) fn parse<T>(&self, name: &str, parser: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.borrowed_text(name)?;
        parser(text).map_err(|message| self.report(name, message)).ok()
    }

    /// Same as [`Table::parse`], for a parser without messages: the message contains the member's shape in the schema.
    pub(super) fn parse_shape<T>(&self, name: &str, parser: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.borrowed_text(name)?;
        let parsed = parser(text);
        if parsed.is_none() {
            self.report_shape(name, &format!("expected {}, found {text:?}", self.member(name).shape));
        }
        parsed
    }

    /// Parses one of several keywords.
    pub(super) fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        debug_assert!(
            self.member(name).form.has_keywords(choices.iter().map(|(keyword, _)| *keyword)),
            "{name}"
        );
        self.parse(name, |text| {
            let chosen = choices.iter().find(|(keyword, _)| *keyword == text).map(|(_, value)| *value);
            chosen.ok_or_else(|| {
                let keywords: Vec<String> =
                    choices.iter().map(|(keyword, _)| format!("{keyword:?}")).collect();
                let one_of = if keywords.len() == 1 { "" } else { "one of " };
                format!("expected {one_of}{}, found {text:?}", keywords.join(", "))
            })
        })
    }

    /// Returns a text or its default.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.borrowed_text(name).map(str::to_owned)
    }

    /// Same as [`Table::text`], borrowed from the configuration.
    pub(super) fn borrowed_text(&self, name: &str) -> Option<&'a str> {
        let member = self.member(name);
        match self.value(name) {
            Some(Value::String(text)) => Some(text),
            Some(other) => {
                self.report_shape(name, &expected(member.shape, other));
                None
            }
            None => member.default,
        }
    }

    /// Parses a JSON pointer (RFC 6901) to a part of a document. The empty pointer (the whole document) is a mistake.
    pub(super) fn pointer(&self, name: &str) -> Option<String> {
        self.parse(name, |text| match text.strip_prefix('/') {
            Some(_) => Ok(text.to_owned()),
            None => Err(format!("expected a JSON pointer, such as /data/id, found {text:?}")),
        })
    }

    /// Parses a path in canonical form, without query and parameters.
    pub(super) fn path(&self, name: &str) -> Option<String> {
        self.parse(name, |text| {
            let is_plain = CanonicalPath::parse(text).is_ok_and(|path| path.as_str() == text);
            if is_plain && !text.contains(['?', '#', '{']) && !text.contains("//") {
                Ok(text.to_owned())
            } else {
                Err(format!(
                    "expected a path in canonical form, without query and parameters, found {text:?}"
                ))
            }
        })
    }

    /// Parses a duration. Outside the bounds (inclusive), records `message` as a mistake.
    pub(super) fn duration_within(
        &self,
        name: &str,
        bounds: RangeInclusive<Duration>,
        message: &str,
    ) -> Option<Duration> {
        debug_assert!(self.member(name).form.has_bounds(&bounds), "{name}: {bounds:?}");
        let duration = self.duration(name)?;
        if !bounds.contains(&duration) {
            self.report(name, message);
        }
        Some(duration)
    }

    /// Opens each table of a list. An absent list is empty.
    pub(super) fn tables(&self, name: &str, schema: &'static [Member]) -> Vec<Table<'a>> {
        let Some(value) = self.value(name) else { return Vec::new() };
        let Some(entries) = value.as_array() else {
            self.report_shape(name, &expected(self.member(name).shape, value));
            return Vec::new();
        };
        let path = self.path_of(name);
        let open =
            |(index, entry)| Table::open(format!("{path}[{index}]"), Some(entry), schema, self.mistakes);
        entries.iter().enumerate().map(open).collect()
    }

    pub(super) fn duration(&self, name: &str) -> Option<Duration> {
        self.parse(name, |text| {
            time::parse_span(text).ok_or_else(|| {
                format!("expected a duration like \"30s\", \"15m\", \"24h\" or \"30d\", found {text:?}")
            })
        })
    }

    /// Parses a whole number within bounds. It may be a text, because variables from the dashboard are texts.
    pub(super) fn number(&self, name: &str, bounds: RangeInclusive<u32>) -> Option<u32> {
        let Some(value) = self.value(name) else { return self.member(name).default?.parse().ok() };
        let parsed = value.as_str().map_or_else(|| value.as_u64(), |text| text.parse().ok());
        let number = parsed.and_then(|number| u32::try_from(number).ok());
        let found = number.filter(|number| bounds.contains(number));
        if found.is_none() {
            let shape = format!("a number from {} to {}", bounds.start(), bounds.end());
            self.report(name, expected(&shape, value));
        }
        found
    }

    /// Parses the largest size of a body, in bytes: at most 16 MiB.
    pub(super) fn bytes(&self, name: &str) -> Option<usize> {
        let Some(value) = self.value(name) else { return self.member(name).default?.parse().ok() };
        let bytes = value.as_u64().and_then(|bytes| usize::try_from(bytes).ok());
        let found = bytes.filter(|bytes| (1..=MAX_BODY_LIMIT).contains(bytes));
        if found.is_none() {
            self.report(name, expected("a number of bytes up to 16777216", value));
        }
        found
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        match self.value(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(other) => {
                self.report(name, expected("true or false", other));
                false
            }
            None => self.member(name).default == Some("true"),
        }
    }

    /// Parses each item of a list of texts. An absent list is empty. The list may also be one text with commas between
    /// the items.
    pub(super) fn list<T>(&self, name: &str, parser: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let Some(value) = self.value(name) else { return Vec::new() };
        let split: Vec<Value>;
        let items = match value {
            Value::Array(items) => items,
            Value::String(text) if !text.trim().is_empty() => {
                split = text.split(',').map(|item| item.trim().into()).collect();
                &split
            }
            _ => {
                self.report_shape(name, &expected(self.member(name).shape, value));
                return Vec::new();
            }
        };
        let mut list = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}[{index}]", self.path_of(name));
            match item.as_str().map(&parser) {
                Some(Ok(item)) => list.push(item),
                Some(Err(message)) => self.mistakes.report(path, message),
                None => self.mistakes.report(path, expected("a string", item)),
            }
        }
        list
    }

    pub(super) fn origins(&self, name: &str) -> Vec<Origin> {
        self.list(name, Origin::parse)
    }

    /// Returns the path of a member.
    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Finds a member in the schema. A name that the schema does not list is a bug, which every test of the parser
    /// would show. In a release build it reads as an absent member.
    fn member(&self, name: &str) -> &'static Member {
        debug_assert!(self.schema.iter().any(|member| member.name == name), "{name} is not in the schema");
        self.schema.iter().find(|member| member.name == name).unwrap_or(&UNKNOWN_MEMBER)
    }
}

/// Returns a message with the expected shape and the kind of the value that was found.
pub(super) fn expected(shape: &str, found: &Value) -> String {
    let kind = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "an empty string",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    };
    format!("expected {shape}, found {kind}")
}

/// Returns a message that says where a text is not valid JSON. Returns `None` if it is valid, or does not begin like a
/// list or a table.
pub(super) fn json_error(value: &Value) -> Option<String> {
    let text = value.as_str().filter(|text| text.starts_with(['[', '{']))?;
    let error = serde_json::from_str::<Value>(text).err()?;
    let (line, column) = (error.line(), error.column());
    let message = error.to_string();
    let reason = message.split(" at line ").next().unwrap_or_default();
    let line = if text.contains('\n') { format!("line {line}, ") } else { String::new() };
    Some(format!("not valid JSON at {line}column {column}: {reason}"))
}

/// Returns the message for an unknown name, with the name that was probably meant, or with all known names.
pub(super) fn unknown_name(name: &str, schema: &[Member]) -> String {
    if let Some(suggestion) = nearest(name, schema) {
        return format!("unknown, did you mean \"{suggestion}\"?");
    }
    let names: Vec<&str> = schema.iter().map(|member| member.name).collect();
    format!("unknown, expected one of {}", names.join(", "))
}

/// Finds the known name that is at most two edits away from a misspelt one. A known name of fewer than six bytes must
/// be at most one edit away.
pub(super) fn nearest(name: &str, schema: &[Member]) -> Option<&'static str> {
    schema
        .iter()
        .map(|member| (strsim::osa_distance(name, member.name), member.name))
        .filter(|(distance, known)| *distance <= if known.len() < 6 { 1 } else { 2 })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// The largest `body_limit`, in bytes. An isolate has 128 MB for everything that it does at the same time.
const MAX_BODY_LIMIT: usize = 16 * 1_048_576;

static UNKNOWN_MEMBER: Member =
    Member { name: "", shape: "", form: Form::Text("", ""), default: None, is_required: false };
