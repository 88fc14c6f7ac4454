//! Vestibule is an auth gateway for Cloudflare Workers. It stands in front of a web application and its API, which stay
//! as they are, and decides at the edge who makes a request, what they may do, and whether the request was made before.
//!
//! A folder imports only from the folders above it in this map. Everything but `edge` is pure: it compiles natively,
//! and gets its clock, its randomness and its network from the traits of [`platform`].
//!
//! | folder | is for |
//! |---|---|
//! | [`base`] | time, encodings, JSON as it was written, caches, sorting |
//! | [`crypto`] | secrets, JSON Web Tokens, passwords |
//! | [`http`] | requests, headers, cookies, paths, origins, forms, pages, problem documents; which headers are not forwarded |
//! | [`platform`] | what the core calls: effects, objects and their stores; the log line; the steps of a request |
//! | [`routing`] | rules, the route table (the only matcher), built-in routes, owners |
//! | [`identity`] | principals, authors of commands, the CSRF check, access |
//! | [`redirects`] | where a browser may be sent |
//! | [`guards`] | rate limits, bot check, feature flags, hooks, external policy |
//! | [`sessions`] | session cookies, healing, the registry, the loop breaker |
//! | [`checkouts`] | payments under way, confirmed by webhooks |
//! | [`idempotency`] | keys, fingerprints, the ledger, stored responses |
//! | [`approvals`] | a person's approval of a machine's request |
//! | [`tokens`] | machine credentials, the catalogue for agents |
//! | [`accounts`] | users, invites, signing in |
//! | [`audit`] | the audit trail |
//! | [`upstream`] | identity headers, the signed assertion, requests to upstream |
//! | [`webhooks`] | signatures (a file a scheme), deduplication, the inbox |
//! | [`metrics`] | counts of requests, kept by the edge; the live tail |
//! | [`config`] | variables and secrets to one `Config` |
//! | [`responses`] | refusals, pages, edits of upstream's responses |
//! | [`gateway`] | the life of a request, on one page |
//! | `edge` | everything that touches Cloudflare: the traits of `platform` on the `worker` crate; wasm32 only |

pub mod accounts;
pub mod approvals;
pub mod audit;
pub mod base;
pub mod checkouts;
pub mod config;
pub mod crypto;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub mod edge;
pub mod gateway;
pub mod guards;
pub mod http;
pub mod idempotency;
pub mod identity;
pub mod metrics;
pub mod platform;
pub mod redirects;
pub mod responses;
pub mod routing;
pub mod sessions;
pub mod tokens;
pub mod upstream;
pub mod webhooks;

// For Workers with hooks of their own (docs/policy.md).
pub use guards::policy;
pub use http::path;
