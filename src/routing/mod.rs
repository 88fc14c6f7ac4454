//! Rules, and the route table with the only matcher.
//!
//! | file | contents |
//! |---|---|
//! | `rule/mod.rs` | rules: what the gateway requires of requests to a path |
//! | `rule/pattern.rs` | the path pattern of a rule |
//! | `rule/demands.rs` | compares the requirements of two rules |
//! | `rule/table.rs` | the route table: finds the rule of a request |
//! | `rule/table/lax.rs`, `rule/table/reading.rs` | the rule that decides among all readings of a path; the readings |
//! | `rule/table/decoded.rs` | the rules that a path may reach after its encoded slashes are decoded |
//! | `rule/table/warnings.rs` | warns of rules that lenient servers treat as one path |
//! | `rule/table/tests.rs`, `rule/table/spellings.rs`, `rule/table/slashes.rs`, `rule/table/requirements.rs`, `rule/table/model.rs` | tests; the last one compares the table with a simple model |
//! | `built_in.rs` | the built-in routes, one entry for each |
//! | `development.rs` | the rule for the modules of a development server, in local development |
//! | `owner.rs` | what `access = "owner"` asks of upstream, and what upstream answers |
//! | `routed.rs` | a request with its rule |
//! | `report.rs` | report mode: refusals that are only reported |

pub mod built_in;
pub mod development;
pub mod owner;
pub mod report;
pub mod routed;
pub mod rule;
