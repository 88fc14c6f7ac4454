//! The vocabulary of HTTP, without policy: requests, headers, cookies, paths, origins, forms, pages and problem documents.

pub mod body_field;
pub mod cookie;
pub mod form;
pub mod hygiene;
pub mod origin;
pub mod page;
pub mod path;
pub mod problem;
pub mod reply;
pub mod request;
