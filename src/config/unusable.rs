//! Variables that are present but cannot be used: broken JSON, and unknown names.

use std::borrow::Cow;

use super::{
    parse::Variables,
    reader::{json_error, nearest},
    rules,
    schema::{SECRETS, VARIABLES},
};

/// A variable that is present but cannot be used.
pub(super) struct UnusableVariable {
    pub(super) name: String,
    pub(super) message: String,
    /// The variable that is missing as a result. Other mistakes that follow from this are dropped.
    pub(super) missing: Option<String>,
}

/// Removes Vestibule's variables whose text begins like a list or a table but is not valid JSON.
pub(super) fn without_broken_json(variables: &Variables) -> (Cow<'_, Variables>, Vec<UnusableVariable>) {
    let is_known = |name: &str| rules::is_routes(name) || VARIABLES.iter().any(|member| member.name == name);
    let unusable: Vec<UnusableVariable> = variables
        .iter()
        .filter(|(name, _)| is_known(name))
        .filter_map(|(name, value)| {
            Some(UnusableVariable {
                name: name.clone(),
                message: json_error(value)?,
                missing: Some(name.clone()),
            })
        })
        .collect();
    if unusable.is_empty() {
        return (Cow::Borrowed(variables), unusable);
    }
    let mut rest = variables.clone();
    rest.retain(|name, _| unusable.iter().all(|variable| variable.name != *name));
    (Cow::Owned(rest), unusable)
}

/// Finds unknown variables with a name similar to one of Vestibule's, or with a reserved prefix. Any other unknown
/// variable may belong to the operator's own code.
pub(super) fn misspelt(variables: &Variables) -> Vec<UnusableVariable> {
    let mut found = Vec::new();
    for name in variables.keys() {
        let is_known = VARIABLES.iter().chain(SECRETS).any(|member| member.name == name);
        if is_known || rules::is_routes(name) {
            continue;
        }
        let name = name.clone();
        if let Some(known) = suggestion(&name) {
            let missing = Some(known.to_owned()).filter(|known| !variables.contains_key(known));
            let message = format!("unknown, did you mean \"{known}\"?");
            found.push(UnusableVariable { name, message, missing });
        } else if RESERVED_PREFIXES.iter().any(|prefix| name.to_ascii_uppercase().starts_with(prefix)) {
            let message = "unknown: names with this prefix are reserved for Vestibule".to_owned();
            found.push(UnusableVariable { name, message, missing: None });
        }
    }
    found
}

/// Finds the variable or secret that a misspelt name may mean.
pub(super) fn suggestion(name: &str) -> Option<&'static str> {
    let upper = name.to_ascii_uppercase();
    nearest(&upper, VARIABLES).or_else(|| nearest(&upper, SECRETS))
}

/// Reserved prefixes of variable names. Rules in a misspelt variable would have no effect, so such a name is a mistake.
pub(super) const RESERVED_PREFIXES: &[&str] = &[
    "ROUTE",
    "CSRF",
    "SESSION",
    "AUTH_SECRET",
    "UPSTREAM",
    "AGENT_TOKEN",
    "WEBHOOKS",
    "BOT_CHECK",
    "TURNSTILE",
    "AUDIT_",
];
