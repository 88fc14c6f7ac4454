//! The catalogue: the operations that agents may call. It reveals nothing about the application behind them.
//!
//! Two documents have the same content: one in the gateway's own format, and an `OpenAPI` 3.1 document with security
//! schemes. Both are written once, from the rules that are marked `catalogue`.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::{
    base::{encoding, time::whole_seconds},
    http::problem::RateLimit,
    identity::principal::ActorSource,
    routing::rule::{Access, Confirm, Listed, Rule},
    tokens::Kind,
};

/// The path of the catalogue.
pub const PATH: &str = "/.well-known/agent-operations";

/// The path of the `OpenAPI` document.
pub const OPENAPI_PATH: &str = "/.well-known/agent-operations/openapi.json";

/// The catalogue, as two documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// The document in the gateway's own format.
    pub own: Document,
    /// The `OpenAPI` document.
    pub openapi: Document,
}

/// A document and its entity tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// The document, in JSON.
    pub text: String,
    /// The entity tag, with its quotes (RFC 9110 §8.8.3).
    pub etag: String,
}

/// The part of the configuration, besides the rules, that the catalogue contains.
#[derive(Clone, Copy, Debug)]
pub struct SiteInfo<'a> {
    /// The gateway's public origin.
    pub origin: &'a str,
    /// The session cookie's name.
    pub cookie: &'a str,
    /// The kinds of tokens that the gateway accepts.
    pub kinds: &'a [Kind],
}

/// The rate limit of a rule, as the catalogue shows it.
#[derive(Clone, Copy, Debug)]
pub struct ListedLimit {
    /// The number of requests and the period.
    pub rate: RateLimit,
    /// What is counted: `"address"` or `"principal"`.
    pub by: &'static str,
}

impl Catalogue {
    /// Writes both documents from the rules that are listed, each with its rate limit. `is_for` leaves out operations
    /// and methods that the reader may not use.
    #[must_use]
    pub fn of<'a>(
        rules: impl Iterator<Item = (&'a Rule, Option<ListedLimit>)>,
        config: SiteInfo<'_>,
        is_for: &dyn Fn(&Rule, &str) -> bool,
    ) -> Self {
        let mut operations = Vec::new();
        let mut paths = Map::new();
        for (rule, limit) in rules {
            let Some(listed) = &rule.catalogue else { continue };
            let methods: Vec<&str> =
                rule.methods.iter().map(String::as_str).filter(|method| is_for(rule, method)).collect();
            if methods.is_empty() {
                continue;
            }
            operations.push(operation(rule, &methods, listed, limit, config.kinds));
            let path = paths.entry(openapi_path(&rule.path)).or_insert_with(|| json!({}));
            // Methods that OpenAPI 3.1 does not define are only in the gateway's own document.
            for method in methods.into_iter().filter(|method| OPENAPI_METHODS.contains(method)) {
                if let Some(path) = path.as_object_mut() {
                    path.insert(
                        method.to_ascii_lowercase(),
                        openapi_operation(rule, listed, limit, config.kinds, method),
                    );
                }
            }
        }
        let credentials: Vec<Value> = config.kinds.iter().map(credential).collect();
        let own = json!({ "operations": operations, "credentials": credentials, "openapi": OPENAPI_PATH });
        let openapi = json!({
            "openapi": "3.1.0",
            "info": { "title": "Operations", "version": env!("CARGO_PKG_VERSION") },
            "servers": [{ "url": config.origin }],
            "paths": paths,
            "components": { "securitySchemes": schemes(config), "schemas": { "Problem": problem() } },
        });
        Self { own: Document::of(&own), openapi: Document::of(&openapi) }
    }
}

impl Document {
    fn of(value: &Value) -> Self {
        let text = value.to_string();
        let digest = encoding::hex(&Sha256::digest(&text));
        let etag = format!("\"{}\"", digest.get(..16).unwrap_or_default());
        Self { text, etag }
    }
}

fn operation(
    rule: &Rule,
    methods: &[&str],
    listed: &Listed,
    limit: Option<ListedLimit>,
    kinds: &[Kind],
) -> Value {
    let mut entry = json!({
        "operation": rule.operation,
        "methods": methods,
        "path": rule.path,
        "access": name_of(rule.access),
        "credentials": credentials_for(rule, kinds),
        "idempotency": rule.idempotency.map(|policy| {
            let mut policy_entry = json!({
                "header": "Idempotency-Key",
                "required": policy.required,
                "retentionSeconds": whole_seconds(policy.retention),
            });
            put(&mut policy_entry, "fallback", policy.invocation_id.then_some("Invocation-ID"));
            put(&mut policy_entry, "fallbackPointer", policy.invocation_pointer);
            policy_entry
        }),
        "confirmation": (rule.confirm == Confirm::Human).then_some("human"),
        "limit": limit.map(|ListedLimit { rate, by }| json!({ "limit": rate.limit, "periodSeconds": rate.period, "by": by })),
        "botCheck": rule.bot_check.is_some(),
    });
    put(&mut entry, "recentSeconds", rule.recent.map(whole_seconds));
    put(&mut entry, "summary", listed.summary.as_deref());
    put(&mut entry, "schema", listed.schema.as_deref());
    entry
}

fn credential(kind: &Kind) -> Value {
    json!({
        "prefix": kind.prefix,
        "kind": if kind.is_agent { "agent" } else { "user" },
        "actorSource": kind.source.name(),
        "machine": kind.source.is_machine(),
    })
}

/// Returns the credentials that a rule accepts: `session`, and prefixes of tokens.
fn credentials_for<'a>(rule: &Rule, kinds: &'a [Kind]) -> Vec<&'a str> {
    let access = rule.access;
    let is_accepted = |kind: &&Kind| match access {
        _ if rule.recent.is_some() => false,
        Access::Public => false,
        Access::Optional | Access::Authenticated => true,
        Access::User | Access::Admin | Access::Owner => !kind.is_agent,
        Access::Human | Access::AdminInPerson | Access::UserInPerson => kind.source == ActorSource::Human,
        Access::Agent => kind.is_agent,
    };
    let session = (!matches!(access, Access::Public | Access::Agent)).then_some("session");
    session.into_iter().chain(kinds.iter().filter(is_accepted).map(|kind| kind.prefix.as_str())).collect()
}

/// Returns the name of the access that a rule requires, as clients see it.
#[must_use]
pub fn name_of(access: Access) -> &'static str {
    match access {
        Access::Public => "public",
        Access::Optional => "optional",
        Access::Authenticated => "authenticated",
        Access::User => "user",
        Access::Human | Access::UserInPerson => "human",
        Access::Agent => "agent",
        Access::Admin | Access::AdminInPerson => "admin",
        Access::Owner => "owner",
    }
}

/// Returns the operation object of `OpenAPI` for one method of a rule.
fn openapi_operation(
    rule: &Rule,
    listed: &Listed,
    limit: Option<ListedLimit>,
    kinds: &[Kind],
    method: &str,
) -> Value {
    let name = rule.operation.clone().unwrap_or_default();
    let id = if rule.methods.len() > 1 { format!("{name}.{}", method.to_ascii_lowercase()) } else { name };
    let header = |name: &str, required: bool, description: &str| {
        let schema = json!({ "type": "string" });
        json!({ "name": name, "in": "header", "required": required, "description": description, "schema": schema })
    };
    let mut parameters: Vec<Value> = parameters(&rule.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    if let Some(policy) = rule.idempotency {
        let required = policy.required && !policy.invocation_id;
        parameters.push(header(
            "Idempotency-Key",
            required,
            "A request that is repeated with the same key runs once.",
        ));
        if policy.invocation_id {
            parameters.push(header("Invocation-ID", false, "Used if there is no Idempotency-Key."));
        }
    }
    if rule.confirm == Confirm::Human {
        let about = "For machines: the confirmationId of the 403 confirmation_required, after a person has approved the request.";
        parameters.push(header("Confirmation-ID", false, about));
    }
    let refusal = json!({ "description": "The request is refused.", "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } } });
    let mut responses = Map::new();
    responses.insert("default".to_owned(), json!({ "description": "The response of the application." }));
    for (status, applies) in [
        ("400", rule.idempotency.is_some()),
        ("401", rule.access.requires_principal()),
        ("403", true),
        ("409", rule.idempotency.is_some()),
        ("422", rule.idempotency.is_some()),
        ("429", limit.is_some()),
    ] {
        if applies {
            responses.insert(status.to_owned(), refusal.clone());
        }
    }
    let security: Vec<Value> = match rule.access {
        Access::Public => vec![],
        Access::Optional => vec![json!({}), json!({ "session": [] }), json!({ "bearer": [] })],
        _ => {
            let accepted = credentials_for(rule, kinds);
            let session = accepted.contains(&"session").then(|| json!({ "session": [] }));
            let bearer = accepted.iter().any(|name| *name != "session").then(|| json!({ "bearer": [] }));
            session.into_iter().chain(bearer).collect()
        }
    };
    let mut entry = json!({
        "operationId": id,
        "parameters": parameters,
        "responses": responses,
        "security": security,
        "x-credentials": credentials_for(rule, kinds),
    });
    put(&mut entry, "summary", listed.summary.as_deref());
    put(&mut entry, "externalDocs", listed.schema.as_ref().map(|schema| json!({ "url": schema })));
    entry
}

fn schemes(config: SiteInfo<'_>) -> Value {
    let prefixes: Vec<&str> = config.kinds.iter().map(|kind| kind.prefix.as_str()).collect();
    let mut schemes = json!({ "session": { "type": "apiKey", "in": "cookie", "name": config.cookie } });
    let bearer = (!prefixes.is_empty()).then(|| {
        let about = format!("A token that begins with one of: {}", prefixes.join(", "));
        json!({ "type": "http", "scheme": "bearer", "description": about })
    });
    put(&mut schemes, "bearer", bearer);
    schemes
}

fn problem() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "required": ["type", "title", "status", "error", "requestId"],
        "properties": {
            "type": text, "title": text, "status": { "type": "integer" }, "error": text, "reason": text,
            "detail": text, "requestId": text, "confirmationId": text, "approveUrl": text, "expiresAt": text,
        },
    })
}

/// Adds a member to a JSON object if there is a value.
fn put(object: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let (Some(object), Some(value)) = (object.as_object_mut(), value) {
        object.insert(name.to_owned(), value.into());
    }
}

/// Returns the names of the parameters in a path pattern.
fn parameters(pattern: &str) -> impl Iterator<Item = &str> {
    pattern
        .split('/')
        .filter(|part| part.starts_with('{'))
        .map(|part| part.trim_matches(['{', '}', '*', '+']))
}

/// The methods that a path item of `OpenAPI` 3.1 may have.
const OPENAPI_METHODS: &[&str] = &["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"];

/// Returns a path pattern in the syntax of `OpenAPI`.
fn openapi_path(pattern: &str) -> String {
    pattern.replace("{*", "{").replace("{+", "{")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::routing::rule::Destination;

    #[test]
    fn lists_the_credentials_that_a_rule_accepts() {
        let kind = |prefix: &str, is_agent, source| Kind {
            prefix: prefix.to_owned(),
            is_agent,
            source,
            delegate: false,
        };
        let kinds = [
            kind("mul_", false, ActorSource::Human),
            kind("mat_", false, ActorSource::TaskToken),
            kind("mk_", true, ActorSource::AgentToken),
        ];
        for (access, want) in [
            (Access::Public, vec![]),
            (Access::Optional, vec!["session", "mul_", "mat_", "mk_"]),
            (Access::User, vec!["session", "mul_", "mat_"]),
            (Access::Human, vec!["session", "mul_"]),
            (Access::Agent, vec!["mk_"]),
            (Access::Owner, vec!["session", "mul_", "mat_"]),
        ] {
            let mut rule = Rule::new("/a", access, Destination::Upstream);
            assert_eq!(credentials_for(&rule, &kinds), want, "{access:?}");
            rule.recent = Some(Duration::from_mins(10));
            let session: Vec<&str> = want.into_iter().filter(|name| *name == "session").collect();
            assert_eq!(credentials_for(&rule, &kinds), session, "{access:?}: only a session is recent");
        }
    }

    #[test]
    fn converts_path_patterns() {
        assert_eq!(openapi_path("/files/{id}/{*rest}"), "/files/{id}/{rest}");
        assert_eq!(parameters("/files/{id}/{*rest}").collect::<Vec<_>>(), ["id", "rest"]);
    }
}
