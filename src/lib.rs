//! Vestibule stands between the street and the house: a Cloudflare Worker in front of a single-page
//! application that stays as it is. It decides who is asking and what they may do, and only then lets a
//! request in, stamped with what it decided.
//!
//! The modules below stand in reading order, in rings: a module imports only from rings above its own.
//! [`gateway`] is the page that shows the whole. Everything but `edge` is pure: it compiles natively and
//! is handed its clock, its randomness and its network.

// words
pub mod encoding;
pub mod origin;
pub mod outline;
pub mod page;
pub mod problem;
pub mod sampling;
pub mod secret;
pub mod sorting;
pub mod step;
pub mod time;

// tools
pub mod body_budget;
pub mod cache;
pub mod cookie;
pub mod form;
pub mod json;
pub mod jwt;
pub mod password;
pub mod principal;
pub mod store;

// a request, the rule it falls under, and who asks for what it changes
pub mod author;
pub mod context;
pub mod ended;
pub mod owner;
pub mod path;
pub mod rule;

// concerns
pub mod accounts;
pub mod assertion;
pub mod audit;
pub mod body_field;
pub mod bot_check;
pub mod catalogue;
pub mod checkouts;
pub mod confirmations;
pub mod csrf;
pub mod feature;
pub mod hygiene;
pub mod idempotency;
pub mod inbox;
pub mod ledger;
pub mod limiter;
pub mod loop_breaker;
pub mod policy;
pub mod registry;
pub mod return_path;
pub mod session;
pub mod tokens;
pub mod webhook;

// seams
pub mod config;
pub mod effects;

// flow
pub mod access;
pub mod claim;
pub mod consent;
pub mod endpoint;
pub mod event;
pub mod forward;
pub mod gateway;
pub mod guards;
pub mod identity;
pub mod intake;
pub mod limits;
pub mod login;
pub mod maintenance;
pub mod origin_check;
pub mod ownership;
pub mod profile;
pub mod refusal;
pub mod response;
pub mod sent_to_login;
pub mod shadowed;
pub mod trail;

// the platform
#[cfg(target_arch = "wasm32")]
pub mod edge;
