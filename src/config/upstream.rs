//! Where the application is: `UPSTREAM`, the bindings `UPSTREAM` and `ASSETS`, and `UPSTREAM_ALIASES`.

use serde_json::Value;

use super::{
    Upstream,
    parse::Bindings,
    reader::{Mistakes, Table},
    schema::UPSTREAM,
};
use crate::origin::{Origin, host_of};

/// Reads where the application is.
pub(super) fn parse(
    top: &Table<'_>,
    bindings: &Bindings,
    public: &[Origin],
    mistakes: &Mistakes,
) -> Option<Upstream> {
    let (origin, is_public_host) = match top.value("UPSTREAM") {
        Some(table @ Value::Object(_)) => {
            let table = Table::open("UPSTREAM", Some(table), UPSTREAM, mistakes);
            let is_public_host = table.choice("host", &[("own", false), ("public", true)])?;
            let origin = if table.has("origin") { Some(table.parse("origin", without_slash)?) } else { None };
            (origin, is_public_host)
        }
        Some(_) => (Some(top.parse("UPSTREAM", without_slash)?), false),
        None => (None, false),
    };
    if let Some(origin) = origin {
        if public.contains(&origin) {
            top.note(
                "UPSTREAM",
                "expected the application, found one of PUBLIC_ORIGINS: requests would come back here",
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
    top.note(
        "UPSTREAM",
        "expected an origin, a service binding UPSTREAM or a static assets binding ASSETS, found none",
    );
    None
}

/// Lists every origin by which upstream may call itself in a `Location`: its own, under either scheme, those of
/// `UPSTREAM_ALIASES`, and for each one on this machine the other names of this machine.
pub(super) fn names(top: &Table<'_>, upstream: Option<&Upstream>) -> Vec<Origin> {
    let own = match upstream {
        Some(Upstream::Origin(origin) | Upstream::SameZone(origin)) => Some(origin.clone()),
        Some(Upstream::Service | Upstream::Assets) | None => None,
    };
    // Behind a proxy that ends TLS an application names itself under the public scheme, or under its own.
    let other = own.iter().filter_map(|origin| {
        let scheme = if origin.scheme() == "http" { "https" } else { "http" };
        Origin::parse(&format!("{scheme}://{}", origin.authority())).ok()
    });
    let written: Vec<Origin> =
        own.iter().cloned().chain(other).chain(top.origins("UPSTREAM_ALIASES")).collect();
    let local = written.iter().flat_map(|origin| {
        let host = host_of(origin.authority());
        let port = origin.authority().strip_prefix(host).unwrap_or_default();
        let others = LOCAL.iter().filter(move |name| LOCAL.contains(&host) && **name != host);
        others.filter_map(move |name| Origin::parse(&format!("{}://{name}{port}", origin.scheme())).ok())
    });
    let local: Vec<Origin> = local.collect();
    written.into_iter().chain(local).collect()
}

fn without_slash(text: &str) -> Result<Origin, String> {
    Origin::parse(text.strip_suffix('/').unwrap_or(text))
}

/// The names of this machine.
const LOCAL: &[&str] = &["localhost", "127.0.0.1", "[::1]"];
