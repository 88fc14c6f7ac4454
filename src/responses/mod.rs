//! Responses to clients: refusals, pages, and edits of upstream's responses.
//!
//! | file | contents |
//! |---|---|
//! | `refusal.rs` | answers requests that are not admitted, in the format that suits the client |
//! | `refusal/page.rs`, `refusal/loop_page.rs` | the page of a refusal; the page that ends a redirect loop |
//! | `refusal/sign_in.rs` | the answer to a person who has to sign in, or to authenticate again |
//! | `response.rs` | the format of responses, and the changes to upstream's |
//! | `response/caching.rs` | which caches may store a response |
//! | `origin_check.rs` | in development: detects that the application's own origin check refused a form |
//! | `shadowed.rs` | in development: warns of an upstream path that an endpoint hides |
//! | `refusal/tests.rs` | tests |

pub mod origin_check;
pub mod refusal;
pub mod response;
pub mod shadowed;
