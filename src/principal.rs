//! Who a request turns out to be.

/// Somebody we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A human's signed-in browser.
    User {
        /// 1–128 visible ASCII characters.
        user_id: String,
        /// 1–128 visible ASCII characters.
        session_id: String,
    },
}

impl Principal {
    /// Names the kind, as upstream and logs are told.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User { .. } => "user",
        }
    }
}
