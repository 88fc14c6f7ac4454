//! Parses `UPSTREAM` and `UPSTREAM_ALIASES`, and uses the bindings `UPSTREAM` and `ASSETS`.

use serde_json::Value;

use super::{parse::ParseContext, reader::Table, schema::UPSTREAM};
use crate::{
    http::origin::{Origin, host_of},
    routing::development::DevelopmentServer,
    upstream::settings::Upstream,
};

/// Parses `UPSTREAM`. If it has no origin, uses the service binding `UPSTREAM`, or the static assets binding `ASSETS`.
pub(super) fn parse(top: &Table<'_>, context: &ParseContext<'_>) -> Option<Upstream> {
    let ParseContext { bindings, public_origins, mistakes, .. } = *context;
    let (origin, is_public_host) = match top.value("UPSTREAM") {
        Some(table @ Value::Object(_)) => {
            let table = Table::open("UPSTREAM", Some(table), UPSTREAM, mistakes);
            let is_public_host = table.choice("host", &[("own", false), ("public", true)])?;
            let origin = if table.has("origin") { Some(table.parse("origin", parse_origin)?) } else { None };
            (origin, is_public_host)
        }
        Some(_) => (Some(top.parse("UPSTREAM", parse_origin)?), false),
        None => (None, false),
    };
    if let Some(origin) = origin {
        if public_origins.contains(&origin) {
            top.report(
                "UPSTREAM",
                "expected the origin of the application, found one of PUBLIC_ORIGINS: Vestibule would forward requests to itself",
            );
            return None;
        }
        return Some(if is_public_host { Upstream::SameZone(origin) } else { Upstream::Origin(origin) });
    }
    if bindings.has("UPSTREAM") {
        return Some(Upstream::Service);
    }
    if bindings.has("ASSETS") {
        return Some(Upstream::Assets);
    }
    top.report(
        "UPSTREAM",
        "expected an origin, a service binding UPSTREAM or a static assets binding ASSETS, found none",
    );
    None
}

/// Lists all origins by which upstream may name itself in a `Location`: its own origin with either scheme, and those in
/// `UPSTREAM_ALIASES`. For an origin on a loopback host, adds the same origin on the other loopback hosts.
pub(super) fn names(top: &Table<'_>, upstream: Option<&Upstream>) -> Vec<Origin> {
    let configured = match upstream {
        Some(Upstream::Origin(origin) | Upstream::SameZone(origin)) => Some(origin.clone()),
        Some(Upstream::Service | Upstream::Assets) | None => None,
    };
    // Behind a proxy that terminates TLS, an application names itself with the public scheme or with its own scheme.
    let other_scheme = configured.iter().filter_map(|origin| {
        let scheme = if origin.scheme() == "http" { "https" } else { "http" };
        Origin::parse(&format!("{scheme}://{}", origin.authority())).ok()
    });
    let origins: Vec<Origin> =
        configured.iter().cloned().chain(other_scheme).chain(top.origins("UPSTREAM_ALIASES")).collect();
    let loopback = origins.iter().flat_map(|origin| {
        let host = host_of(origin.authority());
        let port = origin.authority().strip_prefix(host).unwrap_or_default();
        let other_names =
            LOOPBACK_HOSTS.iter().filter(move |name| LOOPBACK_HOSTS.contains(&host) && **name != host);
        other_names.filter_map(move |name| Origin::parse(&format!("{}://{name}{port}", origin.scheme())).ok())
    });
    let loopback: Vec<Origin> = loopback.collect();
    origins.into_iter().chain(loopback).collect()
}

/// Returns the rule for a development server: only in development, and only if all origins are on this machine.
pub(super) fn development_server(
    context: &ParseContext<'_>,
    upstream: Option<&Upstream>,
) -> Option<DevelopmentServer> {
    match upstream {
        Some(Upstream::Origin(origin)) if context.development => {
            DevelopmentServer::new(context.public_origins, origin)
        }
        _ => None,
    }
}

fn parse_origin(text: &str) -> Result<Origin, String> {
    Origin::parse(text.strip_suffix('/').unwrap_or(text))
}

/// The loopback hosts.
pub(super) const LOOPBACK_HOSTS: &[&str] = &["localhost", "127.0.0.1", "[::1]"];
