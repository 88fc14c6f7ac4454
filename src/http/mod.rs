//! The vocabulary of HTTP, without policy: requests, headers, cookies, paths, origins, forms, pages and problem
//! documents.
//!
//! | file | contents |
//! |---|---|
//! | `request.rs` | a request as it arrived, borrowed |
//! | `path.rs`, `path/case.rs` | the canonical form of a path; case folding |
//! | `cookie.rs` | parses `Cookie`, writes `Set-Cookie` |
//! | `origin.rs` | origins: scheme, host and port |
//! | `header_filter.rs`, `header_filter/forwarded.rs`, `header_filter/spelling.rs` | which headers of a client are forwarded; the request as it is forwarded; unusual spellings of names |
//! | `body_field.rs` | the values that a query or a body has under one name |
//! | `form.rs` | bodies of the built-in endpoints |
//! | `problem.rs`, `problem/rejection.rs`, `problem/fault.rs`, `problem/reason.rs` | refusals: the format on the wire; codes and status, by cause; reasons |
//! | `reply.rs` | Vestibule's own replies, edits of upstream's response, early responses |
//! | `streaming.rs` | content types of bodies that are sent piece by piece |
//! | `page.rs`, `page.css` | Vestibule's own pages, and the only way to write text into HTML |

pub mod body_field;
pub mod cookie;
pub mod form;
pub mod header_filter;
pub mod origin;
pub mod page;
pub mod path;
pub mod problem;
pub mod reply;
pub mod request;
pub mod streaming;
