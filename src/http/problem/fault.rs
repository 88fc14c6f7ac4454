//! Faults: refusals that the client did not cause.

use super::Problem;

/// A failure of the gateway, of a store or of upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Upstream refused the connection, reset it or sent an invalid response.
    UpstreamFailed,
    /// Upstream sent no response headers in time.
    UpstreamTimeout,
    /// It is unknown whether an invite was redeemed.
    InviteRedeemFailed,
    /// A store refused, failed or took too long. The gateway cannot decide without it.
    StoreUnavailable,
    /// A page of Vestibule is not in the assets binding.
    PagesMissing,
    /// The configuration is invalid, so no request is admitted.
    Misconfigured,
    /// A bug: a case that should be impossible.
    Internal,
}

impl Fault {
    /// Returns the problem document of this fault, for the request with this id.
    #[must_use]
    pub fn problem(self, request_id: &str) -> Problem<'_> {
        let (status, error, title) = match self {
            Self::UpstreamFailed => (502, "upstream_failed", "the application could not be reached"),
            Self::UpstreamTimeout => (504, "upstream_timeout", "the application did not answer in time"),
            Self::InviteRedeemFailed => {
                (500, "invite_redeem_failed", "it is unknown whether the invite was used: try to sign in")
            }
            Self::StoreUnavailable => {
                (503, "store_unavailable", "a data store did not answer: send the request again later")
            }
            Self::PagesMissing => (
                503,
                "pages_missing",
                "the pages of Vestibule were not deployed: add the folder _vestibule to the static assets",
            ),
            Self::Misconfigured => (503, "misconfigured", "this gateway is not configured correctly"),
            Self::Internal => (500, "internal", "internal error: try again later"),
        };
        Problem {
            r#type: String::new(),
            title,
            status,
            error,
            reason: None,
            field: None,
            safe_to_retry: None,
            answered: None,
            approval: None,
            second_step: None,
            login_url: None,
            detail: None,
            request_id,
        }
    }

    /// Returns the stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.problem("").error
    }
}
