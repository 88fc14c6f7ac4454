//! The configuration of upstream.

use crate::{crypto::jwt::TypedKey, http::origin::Origin, redirects::site::Site, sessions::cookies};

/// Settings of upstream.
#[derive(Debug)]
pub struct Settings {
    /// The application behind the gateway.
    pub application: Upstream,
    /// The origins by which upstream may name itself in a `Location`.
    pub origins: Vec<Origin>,
    /// The key that signs assertions. Without it, upstream gets no assertion.
    pub key: Option<TypedKey>,
}

/// The application behind the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// Over the network, with its own name as `Host`.
    Origin(Origin),
    /// Over the network, with the public name as `Host`. The platform resolves that name to the host of this origin,
    /// which is in the same zone.
    SameZone(Origin),
    /// The service binding `UPSTREAM`.
    Service,
    /// The static assets binding `ASSETS`.
    Assets,
}

/// What requests to upstream need of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamContext<'a> {
    /// The settings of upstream.
    pub settings: &'a Settings,
    /// The policy of session cookies.
    pub cookies: &'a cookies::Policy,
    /// The public side of the deployment.
    pub site: &'a Site,
}

impl Upstream {
    /// Returns whether upstream gets the public name. Then a URL that needs no change is forwarded byte for byte.
    #[must_use]
    pub fn keeps_public_name(&self) -> bool {
        match self {
            Self::Origin(_) => false,
            Self::SameZone(_) | Self::Service | Self::Assets => true,
        }
    }
}
