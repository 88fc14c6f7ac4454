//! Session cookies, the registry of live sessions, and the loop breaker.
//!
//! | file | contents |
//! |---|---|
//! | `cookies.rs` | a person's session: one token in one cookie; which of several copies of the cookie counts |
//! | `cookies/scopes.rs` | the scopes from which a browser can have sent a cookie |
//! | `cookies/token.rs` | the token of a new session |
//! | `device.rs` | names of devices and places, for people |
//! | `lifetime.rs` | how long a session lasts |
//! | `registry.rs` | the `Sessions` object of a user |
//! | `registry/authentication.rs` | a new session for a user who has authenticated again |
//! | `registry/backchannel.rs` | ends sessions for upstream |
//! | `registry/devices.rs` | recognizes the devices with which the user has signed in |
//! | `registry/ends.rs` | ends a user's sessions |
//! | `registry/profile.rs` | the object's copy of the user's name and e-mail address |
//! | `registry/tables.rs` | the object's tables and their migrations |
//! | `cache.rs` | what an isolate remembers of the registry |
//! | `logout_token.rs` | the token by which upstream ends sessions |
//! | `loop_breaker.rs` | ends redirect loops between the login page and the rest of the site |
//! | `sent_to_login.rs` | shows upstream's login page to a signed-in user whom upstream sends there |
//! | `settings.rs` | the settings |
//! | `cookies/tests.rs`, `lifetime/tests.rs`, `registry/tests.rs` | tests |

pub mod cache;
pub mod cookies;
pub mod device;
pub mod lifetime;
pub mod logout_token;
pub mod loop_breaker;
pub mod registry;
pub mod sent_to_login;
pub mod settings;
