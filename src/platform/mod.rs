//! The interface between the core and the platform: effects, objects and their stores, the log line, the steps of a
//! request.
//!
//! | file | contents |
//! |---|---|
//! | `effects.rs` | `Effects`: all of the following traits as one bound |
//! | `upstream.rs` | requests to upstream |
//! | `objects.rs` | commands to Durable Objects |
//! | `request_body.rs` | the body of the client's request |
//! | `sealing.rs` | stored responses, encrypted |
//! | `external.rs` | external services, and the platform's rate limit |
//! | `kv.rs` | Workers KV |
//! | `isolate.rs` | randomness, the log, memory, and the time since the request arrived |
//! | `dry_run.rs` | dry runs: reads are allowed, writes are suppressed |
//! | `store.rs`, `store/migration.rs` | Durable Objects and their databases; migrations of their tables |
//! | `step.rs` | the steps that decide a request, by name |
//! | `event.rs` | the log line, the time and the id of a request |
//! | `sampling.rs` | which plain passes are logged |
//! | `once.rs` | lines that an isolate logs once |
//! | `memory.rs` | what an isolate remembers between requests |
//! | `body_budget.rs` | memory for bodies that are read whole, shared by all requests of an isolate |

pub mod body_budget;
pub mod dry_run;
pub mod effects;
pub mod event;
pub mod external;
pub mod isolate;
pub mod kv;
pub mod memory;
pub mod objects;
pub mod once;
pub mod request_body;
pub mod sampling;
pub mod sealing;
pub mod step;
pub mod store;
pub mod upstream;
