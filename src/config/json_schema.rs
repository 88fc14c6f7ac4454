//! The JSON Schema of the configuration, for editors: `docs/wrangler.schema.json`.
//!
//! It is generated from the lists that the parser reads ([`schema`](super::schema)), and from the descriptions in
//! `docs/configuration.md`. It flags each mistake that can be seen in a table alone. Mistakes that depend on bindings,
//! secrets or other tables are left to `check-config`.

mod conditions;

use serde_json::{Map, Value, json};

use self::conditions::conditions;
use super::{
    schema::{
        BOT_CHECK, BRANDING, CATALOGUE, CHECKOUT, CHECKOUT_PROVIDER, CONFIRM, CREDENTIAL, Form, MAINTAINED,
        Member, PAGES, PASSWORDS, RATE_LIMIT, RULE, SECRETS, SESSION, UPSTREAM, VARIABLES, WEBHOOK,
    },
    unusable::RESERVED_PREFIXES,
};
use crate::base::time;

/// A table: its name in the schema, its members, and the section of `docs/configuration.md` that describes it.
struct Definition {
    name: &'static str,
    members: &'static [Member],
    section: &'static str,
}

const DEFINITIONS: &[Definition] = &[
    Definition { name: "variables", members: VARIABLES, section: "Variables" },
    Definition { name: "session", members: SESSION, section: "SESSION" },
    Definition { name: "pages", members: PAGES, section: "PAGES" },
    Definition { name: "branding", members: BRANDING, section: "BRANDING" },
    Definition { name: "passwords", members: PASSWORDS, section: "PASSWORDS" },
    Definition { name: "upstream", members: UPSTREAM, section: "UPSTREAM" },
    Definition { name: "credential", members: CREDENTIAL, section: "CREDENTIALS" },
    Definition { name: "rule", members: RULE, section: "Rules (ROUTES)" },
    Definition { name: "rate_limit", members: RATE_LIMIT, section: "RATE_LIMITS" },
    Definition { name: "bot_check", members: BOT_CHECK, section: "BOT_CHECK" },
    Definition { name: "catalogue", members: CATALOGUE, section: "Catalogue" },
    Definition { name: "webhook", members: WEBHOOK, section: "WEBHOOKS" },
    Definition { name: "checkout", members: CHECKOUT, section: "Checkouts" },
    Definition { name: "checkout_provider", members: CHECKOUT_PROVIDER, section: "Checkouts" },
    Definition { name: "confirm", members: CONFIRM, section: "Checkouts" },
    Definition { name: "maintained", members: MAINTAINED, section: "Maintenance" },
];

/// Returns the JSON Schema (draft 7) of a wrangler configuration file whose Worker is Vestibule. `reference` is the
/// text of `docs/configuration.md`. It has no reference to wrangler's own schema, because not every editor can follow
/// one.
#[must_use]
pub fn json_schema(reference: &str) -> Value {
    let mut definitions = Map::new();
    for definition in DEFINITIONS {
        definitions.insert(definition.name.to_owned(), table(definition, reference));
    }
    let vars = json!({"properties": {"vars": {"$ref": "#/definitions/variables"}}});
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "The configuration of Vestibule in wrangler.toml or wrangler.jsonc",
        "type": "object",
        "properties": {
            "vars": {"$ref": "#/definitions/variables"},
            "env": {"type": "object", "additionalProperties": vars},
        },
        "definitions": definitions,
    })
}

fn table(definition: &Definition, reference: &str) -> Value {
    let Definition { name, members, section } = *definition;
    let mut properties = Map::new();
    for member in members {
        let mut value = form(&member.form);
        if let Some(members) = value.as_object_mut() {
            let description = description(reference, section, member.name);
            let shape = format!(
                "{}{}.",
                member.shape.get(..1).unwrap_or_default().to_uppercase(),
                member.shape.get(1..).unwrap_or_default()
            );
            members.insert("description".to_owned(), format!("{shape} {description}").trim().into());
            if let Some(default) = member.default {
                members.insert("default".to_owned(), default_value(&member.form, default));
            }
        }
        properties.insert(member.name.to_owned(), value);
    }
    let required: Vec<&str> =
        members.iter().filter(|member| member.is_required).map(|member| member.name).collect();
    let mut table = json!({"type": "object", "properties": properties});
    let Some(parts) = table.as_object_mut() else { return table };
    if !required.is_empty() {
        parts.insert("required".to_owned(), required.into());
    }
    if name == "variables" {
        add_other_variables(parts);
    } else {
        parts.insert("additionalProperties".to_owned(), false.into());
    }
    let conditions = conditions(name);
    if !conditions.is_empty() {
        parts.insert("allOf".to_owned(), conditions.into());
    }
    table
}

/// Secrets must not be variables. `ROUTES_…` are lists of rules. Other names with a reserved prefix are mistakes.
fn add_other_variables(table: &mut Map<String, Value>) {
    let known: Vec<&str> = VARIABLES.iter().chain(SECRETS).map(|member| member.name).collect();
    let reserved = format!("^({})", RESERVED_PREFIXES.join("|"));
    let names = json!({"anyOf": [{"enum": known}, {"pattern": "^ROUTES_"}, {"not": {"pattern": reserved}}]});
    table.insert("propertyNames".to_owned(), names);
    let rules = json!({"^ROUTES_": form(&Form::List(&Form::Table(RULE)))});
    table.insert("patternProperties".to_owned(), rules);
    let secrets = SECRETS.iter().map(|secret| {
        let how = format!("A secret: set it with `npx wrangler secret put {}`.", secret.name);
        (secret.name.to_owned(), json!({"not": {}, "description": how}))
    });
    if let Some(properties) = table.get_mut("properties").and_then(Value::as_object_mut) {
        properties.extend(secrets);
    }
}

/// Returns the schema of a value.
fn form(form: &Form) -> Value {
    match form {
        Form::Text("", _) => json!({"type": "string"}),
        Form::Text(pattern, example) => json!({"type": "string", "pattern": pattern, "examples": [example]}),
        // Neither the syntax of another router, nor segments that a browser would resolve.
        Form::Path(pattern, example) => json!({
            "type": "string", "pattern": pattern, "not": {"pattern": r"/(:|\.\.?(/|$)|/|.*\()"}, "examples": [example],
        }),
        Form::Choice(keywords) => json!({"enum": keywords}),
        Form::Flag => json!({"type": "boolean"}),
        Form::Number(from, to) => json!({
            "type": ["integer", "string"], "minimum": from, "maximum": to, "pattern": "^[0-9]+$",
        }),
        Form::Bytes => json!({"type": "integer", "minimum": 1, "maximum": 16 * 1_048_576}),
        Form::Duration(from, to) => {
            json!({"type": "string", "pattern": duration_pattern(from, to), "examples": [from, to]})
        }
        Form::Table(members) => text_or(&table_reference(members)),
        Form::List(item) => match item {
            Form::Table(members) => text_or(&json!({"type": "array", "items": table_reference(members)})),
            item => texts(item),
        },
        Form::Either(first, second) => {
            json!({"anyOf": [form_without_text(first), form_without_text(second)]})
        }
        Form::Pointers => json!({"type": "object", "propertyNames": {"pattern": "^/"}}),
        Form::Secret => json!({"not": {}}),
    }
}

fn form_without_text(value: &Form) -> Value {
    match value {
        Form::Table(members) => table_reference(members),
        other => form(other),
    }
}

fn table_reference(members: &'static [Member]) -> Value {
    let definition = DEFINITIONS.iter().find(|definition| std::ptr::eq(definition.members, members));
    json!({"$ref": format!("#/definitions/{}", definition.map_or("", |definition| definition.name))})
}

/// A list or table may also be JSON in a text.
fn text_or(schema: &Value) -> Value {
    json!({"if": {"type": "string"}, "then": {"pattern": r"^[\[{]"}, "else": schema})
}

/// A list of texts, or one text with commas between them.
fn texts(item: &Form) -> Value {
    let inner = match item {
        Form::Choice(keywords) => format!("({})", keywords.join("|")),
        Form::Text("", _) => r"[^,]*".to_owned(),
        Form::Text(pattern, _) => format!("({})", pattern.trim_start_matches('^').trim_end_matches('$')),
        _ => ".*".to_owned(),
    };
    let listed = format!(r"^\s*{inner}(\s*,\s*{inner})*\s*$|^\[");
    json!({
        "if": {"type": "string"},
        "then": {"pattern": listed},
        "else": {"type": "array", "items": form(item), "minItems": 1},
    })
}

/// Returns a pattern of the durations within these bounds.
pub(super) fn duration_pattern(from: &str, to: &str) -> String {
    let seconds = |text: &str| time::parse_span(text).map_or(0, |span| span.as_secs());
    let (from, to) = (seconds(from), seconds(to));
    let units =
        [("s", 1_u64), ("m", 60), ("h", 3_600), ("d", 86_400)].into_iter().filter_map(|(unit, size)| {
            let (first, last) = (from.div_ceil(size), to.checked_div(size)?.min(999_999_999));
            (first <= last).then(|| format!("0*({}){unit}", numbers(first, last)))
        });
    format!("^({})$", units.collect::<Vec<_>>().join("|"))
}

/// Returns a pattern of the whole numbers from `first` to `last`, without leading zeros.
fn numbers(first: u64, last: u64) -> String {
    let mut parts = Vec::new();
    let mut low = first;
    // One part for each number of digits.
    while low <= last {
        let digits = low.to_string();
        let high = "9".repeat(digits.len()).parse().map_or(last, |nines: u64| nines.min(last));
        parts.push(same_length(&digits, &high.to_string()));
        low = high.saturating_add(1);
    }
    parts.join("|")
}

/// Returns a pattern of the digit strings from `low` to `high`, which have the same length.
fn same_length(low: &str, high: &str) -> String {
    let (Some((first, low_rest)), Some((last, high_rest))) = (split_first(low), split_first(high)) else {
        return String::new();
    };
    let (nines, zeros) = ("9".repeat(low_rest.len()), "0".repeat(low_rest.len()));
    if first == last {
        return format!("{first}{}", same_length(low_rest, high_rest));
    }
    if low_rest == zeros && high_rest == nines {
        let rest = if low_rest.is_empty() { String::new() } else { format!("[0-9]{{{}}}", low_rest.len()) };
        return format!("[{first}-{last}]{rest}");
    }
    // Those that start like `low`, those between, and those that start like `high`.
    let next = |digit: char, step: i32| char::from_u32(u32::from(digit).saturating_add_signed(step));
    let mut parts = vec![format!("{first}{}", same_length(low_rest, &nines))];
    if let (Some(from), Some(to)) = (next(first, 1), next(last, -1))
        && from <= to
    {
        parts.push(format!("[{from}-{to}][0-9]{{{}}}", low_rest.len()));
    }
    parts.push(format!("{last}{}", same_length(&zeros, high_rest)));
    format!("({})", parts.join("|"))
}

fn split_first(text: &str) -> Option<(char, &str)> {
    let mut chars = text.chars();
    Some((chars.next()?, chars.as_str()))
}

/// Returns the JSON value of a default as the operator would write it.
fn default_value(form: &Form, default: &str) -> Value {
    match form {
        Form::Flag | Form::Number(..) | Form::Bytes => serde_json::from_str(default).unwrap_or(Value::Null),
        Form::Either(_, second) => match default_value(second, default) {
            Value::Null => default.into(),
            value => value,
        },
        _ => default.into(),
    }
}

/// Finds the meaning of a member in `docs/configuration.md`: the last column of its row in a section, without links.
fn description(reference: &str, section: &str, name: &str) -> String {
    let is_heading = |line: &str| line.starts_with("## ");
    let lines = reference
        .lines()
        .skip_while(|line| line.strip_prefix("## ").is_none_or(|title| !title.starts_with(section)));
    let row = lines
        .enumerate()
        .take_while(|(at, line)| *at == 0 || !is_heading(line))
        .find(|(_, line)| line.starts_with(&format!("| `{name}` |")));
    let meaning = row.and_then(|(_, line)| line.trim_end_matches('|').rsplit(" | ").next());
    without_links(meaning.unwrap_or_default().trim())
}

/// Replaces `[text](address)` with `text`.
fn without_links(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((words, after)) = link.split_once("](") else { break };
        let Some((_, after)) = after.split_once(')') else { break };
        plain.push_str(before);
        plain.push_str(words);
        rest = after;
    }
    plain.push_str(rest);
    plain
}
