//! The rule for the modules of a development server (Vite), in local development.
//!
//! Rules are written for the built application. Its development server has other paths: modules of the source, of
//! packages and of the server itself, and a WebSocket for hot module replacement (HMR). Without a session they would be
//! refused, and a login page of the application could not load its scripts.
//!
//! [`DevelopmentServer`] exists only if `ENVIRONMENT` is `development`, and all public origins and the origin of
//! upstream are on a loopback host. It applies only to a request
//!
//! - at one of the public origins: a page that reaches the machine under a foreign name (DNS rebinding) gets nothing;
//! - for which no reading of the path finds a rule of the configuration: each such rule goes first;
//! - with `GET` or `HEAD` for a module, but not for a page; or for the HMR socket. The CSRF check still applies to it.

use super::rule::{Access, Destination, Rule, Table};
use crate::http::{
    origin::{Origin, is_localhost},
    path::CanonicalPath,
    request::Request,
};

/// The public rule for modules and the HMR socket, and the origins at which it applies.
#[derive(Debug)]
pub struct DevelopmentServer {
    origins: Vec<Origin>,
    rule: Rule,
}

impl DevelopmentServer {
    /// Returns the rule for a development environment with these origins; `None` if one of them is not local.
    #[must_use]
    pub fn new(public: &[Origin], upstream: &Origin) -> Option<Self> {
        let is_local = |origin: &Origin| is_localhost(origin.authority());
        if !is_local(upstream) || !public.iter().all(is_local) {
            return None;
        }
        let rule = Rule::new("(development server)", Access::Public, Destination::Upstream);
        Some(Self { origins: public.to_vec(), rule })
    }

    /// Returns the rule if it applies to the request.
    #[must_use]
    pub fn rule_for(&self, request: &Request<'_>, path: &CanonicalPath<'_>, rules: &Table) -> Option<&Rule> {
        let is_public =
            |origin: &Origin| origin.scheme() == request.scheme && origin.authority() == request.authority;
        let is_own = if request.is_upgrade() {
            is_hmr_socket(request, path.as_str())
        } else {
            matches!(request.method, "GET" | "HEAD") && !request.wants_page() && is_module(path.as_str())
        };
        let applies = is_own
            && self.origins.iter().any(is_public)
            && !path.has_ambiguous_escapes()
            && rules.has_no_rule_for(request.method, path);
        applies.then_some(&self.rule)
    }
}

/// Returns whether Vite serves a module at this path. `/src` is where its templates have the source.
fn is_module(path: &str) -> bool {
    let is_below = |folder: &&str| path.strip_prefix(*folder).is_some_and(|rest| !rest.is_empty());
    FOLDERS.iter().any(is_below) || path == REACT_REFRESH
}

/// Returns whether the request opens Vite's socket for hot module replacement, or asks whether the server is back.
fn is_hmr_socket(request: &Request<'_>, path: &str) -> bool {
    let protocol = request.headers.value("sec-websocket-protocol");
    request.method == "GET" && path == "/" && matches!(protocol, Some("vite-hmr" | "vite-ping"))
}

const FOLDERS: &[&str] = &["/src/", "/node_modules/", "/@vite/", "/@id/", "/@fs/"];
const REACT_REFRESH: &str = "/@react-refresh";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::Headers;

    fn server(public: &[&str], upstream: &str) -> Option<DevelopmentServer> {
        let origin = |text: &&str| Origin::parse(text).expect("an origin");
        let public: Vec<Origin> = public.iter().map(origin).collect();
        DevelopmentServer::new(&public, &origin(&upstream))
    }

    /// Returns whether the rule applies to a request: a method, a URL, and headers on lines of their own.
    fn applies(serialized: &str, paths: &[(&str, Access)]) -> bool {
        let mut table = Table::new(Rule::new("(no rule)", Access::Authenticated, Destination::Upstream));
        for (path, access) in paths {
            table.add(Rule::new(path, *access, Destination::Upstream)).expect("a rule");
        }
        table.seal(false);
        let request = Request::read(serialized).expect("a request");
        let path = CanonicalPath::parse_with_ambiguous_escapes(request.path).expect("a path");
        let server = server(&["http://localhost:8787"], "http://127.0.0.1:5173").expect("a server");
        server.rule_for(&request, &path, &table).is_some()
    }

    #[test]
    fn exists_only_between_loopback_hosts() {
        assert!(server(&["http://localhost:8787"], "http://localhost:5173").is_some());
        assert!(server(&["http://127.0.0.1:8787", "http://[::1]:8787"], "http://[::1]:5173").is_some());
        assert!(server(&["http://localhost:8787"], "https://origin.example").is_none());
        assert!(server(&["http://localhost:8787", "https://app.example"], "http://localhost:5173").is_none());
        assert!(server(&["http://192.168.1.7:8787"], "http://localhost:5173").is_none());
    }

    #[test]
    fn applies_to_modules_and_not_to_pages() {
        for path in [
            "/src/main.tsx",
            "/src/a/b.css",
            "/@vite/client",
            "/@id/__x00__a",
            "/@fs/home/a.js",
            "/@react-refresh",
        ] {
            let url = format!("http://localhost:8787{path}?t=1");
            assert!(applies(&format!("GET\n{url}"), &[]), "{path}");
            assert!(applies(&format!("HEAD\n{url}"), &[]), "{path}");
            assert!(!applies(&format!("POST\n{url}"), &[]), "{path}");
            assert!(!applies(&format!("GET\n{url}\nsec-fetch-mode\nnavigate"), &[]), "{path}");
            assert!(!applies(&format!("GET\n{url}\naccept\ntext/html"), &[]), "{path}");
            assert!(!applies(&format!("GET\n{url}\nupgrade\nwebsocket"), &[]), "{path}");
            for host in ["127.0.0.1:8787", "localhost:8788", "rebound.example:8787"] {
                assert!(!applies(&format!("GET\nhttp://{host}{path}"), &[]), "{host}");
            }
            assert!(!applies(&format!("GET\nhttps://localhost:8787{path}"), &[]), "{path}");
        }
        for path in
            ["/", "/src", "/src/", "/api/src/a", "/Src/a", "/srcs/a", "/@react-refresh/a", "/src/a%2Fb"]
        {
            assert!(!applies(&format!("GET\nhttp://localhost:8787{path}"), &[]), "{path}");
        }
    }

    #[test]
    fn applies_to_the_socket_of_vite_only() {
        let socket = |protocol: &str| {
            format!(
                "GET\nhttp://localhost:8787/?token=a\nupgrade\nwebsocket\nsec-websocket-protocol\n{protocol}"
            )
        };
        assert!(applies(&socket("vite-hmr"), &[]));
        assert!(applies(&socket("vite-ping"), &[]));
        for protocol in ["", "notes", "vite-hmr, notes"] {
            assert!(!applies(&socket(protocol), &[]), "{protocol}");
        }
        assert!(!applies("GET\nhttp://localhost:8787/\nsec-websocket-protocol\nvite-hmr", &[]));
        assert!(!applies(&socket("vite-hmr").replace("/?", "/a?"), &[]));
        assert!(!applies(&socket("vite-hmr"), &[("/", Access::User)]));
    }

    #[test]
    fn every_rule_of_the_configuration_goes_first() {
        let get = |path: &str| format!("GET\nhttp://localhost:8787{path}");
        for rule in ["/{*rest}", "/src/{*rest}", "/src/a", "/{tenant}/a", "/src/A"] {
            assert!(!applies(&get("/src/a"), &[(rule, Access::Authenticated)]), "{rule}");
        }
        // Lenient servers read these as the path of the rule.
        for path in ["/src/A", "/src/a/", "/src/a;b", "/src/a.", "/src//a"] {
            assert!(!applies(&get(path), &[("/src/a", Access::Authenticated)]), "{path}");
        }
        assert!(applies(
            &get("/src/b"),
            &[("/src/a", Access::Authenticated), ("/api/{*rest}", Access::User)]
        ));
    }

    #[test]
    fn ignores_other_headers() {
        let headers = Headers::read("cookie\nmk_session=a\nsec-fetch-mode\ncors");
        let request =
            Request { headers, ..Request::read("GET\nhttp://localhost:8787/src/a").expect("a request") };
        let rules = Table::new(Rule::new("(no rule)", Access::Authenticated, Destination::Upstream));
        let server = server(&["http://localhost:8787"], "http://localhost:5173").expect("a server");
        let path = CanonicalPath::parse(request.path).expect("a path");
        assert!(server.rule_for(&request, &path, &rules).is_some());
    }
}
