//! In development, warns of a path of the application's that an endpoint of ours hides.
//!
//! The first time that an endpoint is requested, upstream is asked by a `HEAD` whether it has something there, too. Nothing
//! of the client's request goes along: what is asked for is the pattern up to its first parameter.

use crate::{
    config::Config,
    effects::Effects,
    event::RequestMeta,
    forward,
    rule::{Destination, Endpoint, Rule},
};

/// Asks upstream about the path of an endpoint, once in each isolate, and tells the log.
pub async fn warn<E: Effects>(config: &Config, effects: &E, rule: &Rule, meta: RequestMeta<'_>) {
    let Some(path) = fixed_part(config, rule) else { return };
    if !effects.memory().is_new_line(format!("shadowed {path}"), meta.milliseconds) {
        return;
    }
    let Some(outbound) = forward::probe(config, path, meta) else { return };
    // What was decided is written down, whether or not the client waits for this.
    effects.survive_disconnect();
    let Ok(inbound) = effects.head(outbound).await else { return };
    if !is_there(inbound.status) {
        return;
    }
    let line = serde_json::json!({
        "event": "path_shadowed", "requestId": meta.request_id, "path": path, "upstreamStatus": inbound.status,
        "detail": "an endpoint of Vestibule's own hides this path of upstream: set ENDPOINTS to move them",
    });
    effects.log(&line.to_string());
}

/// Finds what an endpoint's paths begin with, where a prefix can move them.
fn fixed_part<'a>(config: &Config, rule: &'a Rule) -> Option<&'a str> {
    let (Destination::Endpoint(endpoint), true) = (rule.destination, rule.path.starts_with(config.endpoints))
    else {
        return None;
    };
    // That path is upstream's, and kept from clients on purpose.
    if endpoint == Endpoint::InternalOnly {
        return None;
    }
    rule.path.split("/{").next()
}

/// Tells whether a status says that there is something. A failure says nothing.
fn is_there(status: u16) -> bool {
    status < 500 && !matches!(status, 404 | 405)
}
