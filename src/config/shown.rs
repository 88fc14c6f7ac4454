//! What admins see of the configuration: the variables as written, without secrets.
//!
//! A variable is shown only if [`VARIABLES`] lists it. Of a secret, only whether it is set. Everything else that the
//! Worker gets is not shown: it may be anything. Of URLs, only the origin is shown: services put keys into paths and
//! queries.

use serde_json::{Map, Value, json};
use url::Url;

use super::{
    parse::Variables,
    rules::is_routes,
    schema::{Form, Member, SECRETS, VARIABLES},
};

/// The configuration, as `GET /api/config` returns it.
#[derive(Debug)]
pub struct ShownConfig {
    /// The variables by name. A secret is `{"set": true}` or `{"set": false}`.
    pub settings: Map<String, Value>,
    /// The defaults of absent variables and members: `SESSION.lifetime`.
    pub defaults: Map<String, Value>,
}

impl ShownConfig {
    pub(super) fn of(variables: &Variables) -> Self {
        let is_shown = |name: &str| is_routes(name) || VARIABLES.iter().any(|member| member.name == name);
        let mut settings: Map<String, Value> = variables
            .iter()
            .filter(|(name, _)| is_shown(name))
            .map(|(name, value)| (name.clone(), without_paths(value)))
            .collect();
        let is_webhook_secret = |name: &&String| name.starts_with("WEBHOOK_") && name.ends_with("_SECRET");
        let secrets = SECRETS.iter().map(|member| member.name.to_owned());
        for name in secrets.chain(variables.keys().filter(is_webhook_secret).cloned()) {
            let is_set = variables.contains_key(&name);
            settings.insert(name, json!({ "set": is_set }));
        }
        let mut defaults = Map::new();
        for member in VARIABLES {
            add_default(&mut defaults, "", member, variables.get(member.name));
            if let (Form::Table(members), Some(Value::Object(written))) =
                (&member.form, variables.get(member.name))
            {
                let prefix = format!("{}.", member.name);
                for inner in *members {
                    add_default(&mut defaults, &prefix, inner, written.get(inner.name));
                }
            }
        }
        Self { settings, defaults }
    }
}

fn add_default(defaults: &mut Map<String, Value>, prefix: &str, member: &Member, written: Option<&Value>) {
    if let (Some(default), None) = (member.default, written) {
        defaults.insert(format!("{prefix}{}", member.name), default.into());
    }
}

/// Replaces what follows the origin of each URL by `…`.
fn without_paths(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_path(text)),
        Value::Array(items) => Value::Array(items.iter().map(without_paths).collect()),
        Value::Object(members) => Value::Object(
            members.iter().map(|(name, member)| (name.clone(), without_paths(member))).collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn without_path(text: &str) -> String {
    // A text can be a whole list or table, or several URLs with commas.
    if text.trim_start().starts_with(['[', '{'])
        && let Ok(parsed) = serde_json::from_str::<Value>(text)
    {
        return without_paths(&parsed).to_string();
    }
    let (mut shown, mut follows_path) = (Vec::new(), false);
    for part in text.split(',') {
        let url = Url::parse(part.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(url) = url else {
            // A path or a query can have commas.
            if !follows_path {
                shown.push(part.to_owned());
            }
            continue;
        };
        let origin = url.origin().ascii_serialization();
        follows_path = part.trim().trim_end_matches('/') != origin;
        shown.push(if follows_path { format!("{origin}/…") } else { part.to_owned() });
    }
    shown.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_variables_but_no_secret_and_nothing_unknown() {
        let variables = json!({
            "PUBLIC_ORIGINS": ["https://app.example"],
            "SESSION": { "login": "accounts" },
            "ROUTES_MORE": [{ "path": "/a", "access": "public" }],
            "MAILER": "https://mail.example/a,K3Y?token=K3Y,K3Y",
            "POLICY_URL": "https://user:K3Y@policy.example",
            "ALLOWED_ORIGINS": "https://a.example,https://b.example",
            "AUTH_SECRET": "K3Y",
            "WEBHOOK_STRIPE_SECRET": "K3Y",
            "STRIPE_KEY": "K3Y",
            "WEBHOOKS": "[{\"name\": \"x\", \"url\": \"https://hooks.example/K3Y\"}]",
        });
        let shown = ShownConfig::of(variables.as_object().expect("an object"));
        let text = serde_json::to_string(&shown.settings).expect("JSON");
        assert!(!text.contains("K3Y") && !text.contains("STRIPE_KEY"), "{text}");
        let settings = &shown.settings;
        assert_eq!(settings["PUBLIC_ORIGINS"], json!(["https://app.example"]));
        assert_eq!(settings["ROUTES_MORE"], json!([{ "path": "/a", "access": "public" }]));
        assert_eq!(settings["MAILER"], "https://mail.example/…");
        assert_eq!(settings["POLICY_URL"], "https://policy.example/…");
        assert_eq!(settings["ALLOWED_ORIGINS"], "https://a.example,https://b.example");
        assert_eq!(settings["AUTH_SECRET"], json!({ "set": true }));
        assert_eq!(settings["WEBHOOK_STRIPE_SECRET"], json!({ "set": true }));
        assert_eq!(settings["SETUP_TOKEN"], json!({ "set": false }));
        assert_eq!(shown.defaults["MODE"], "enforce");
        assert_eq!(shown.defaults["SESSION.lifetime"], "30d");
        assert!(!shown.defaults.contains_key("PUBLIC_ORIGINS"));
    }
}
