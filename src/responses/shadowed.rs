//! In development, warns about an upstream path that one of Vestibule's endpoints hides.
//!
//! When an endpoint is first requested, the gateway sends a `HEAD` request to upstream to check whether upstream also
//! has this path. The request contains nothing of the client's request: its path is the endpoint's pattern up to the
//! first parameter.

use crate::{
    config::Config,
    platform::{effects::Effects, event::RequestMeta, once::LoggedOnce},
    routing::rule::{Destination, Rule},
    upstream::forward,
};

/// Checks the path of an endpoint at upstream, once per isolate, and logs a warning if upstream has it.
pub async fn warn<E: Effects>(config: &Config, effects: &E, rule: &Rule, meta: RequestMeta<'_>) {
    let Some(path) = fixed_part(config, rule) else { return };
    if !effects.memory().of::<LoggedOnce>().is_new_line(format!("shadowed {path}"), meta.milliseconds) {
        return;
    }
    let Some(head) = forward::probe(config.upstream_context(), path, meta) else { return };
    // Without this, the client could disconnect during the check, and the request's log line would be lost.
    effects.survive_disconnect();
    let Ok(response) = effects.head(head).await else { return };
    if !exists(response.status) {
        return;
    }
    let line = serde_json::json!({
        "event": "path_shadowed", "requestId": meta.request_id, "path": path, "upstreamStatus": response.status,
        "detail": "an endpoint of Vestibule hides this path of upstream: set ENDPOINTS to move Vestibule's endpoints",
    });
    effects.log(&line.to_string());
}

/// Returns the fixed start of an endpoint's path, if `ENDPOINTS` can move the endpoint.
fn fixed_part<'a>(config: &Config, rule: &'a Rule) -> Option<&'a str> {
    let (Destination::Endpoint(_) | Destination::WrongMethod(_), true) =
        (rule.destination, rule.path.starts_with(config.site.endpoints))
    else {
        return None;
    };
    rule.path.split("/{").next()
}

/// Checks whether a status shows that upstream has the path. A failure (5xx) shows nothing.
fn exists(status: u16) -> bool {
    status < 500 && !matches!(status, 404 | 405)
}
