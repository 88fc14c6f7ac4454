//! The site as authenticators know it, and the options that browsers get.

use std::net::IpAddr;

use serde::Serialize;

use super::{PasskeyError, PasskeyUser};
use crate::{
    base::encoding,
    crypto::public_key::Algorithm,
    http::origin::{Origin, host_of},
    redirects::site::Site,
};

/// The site as authenticators know it: the host of the canonical origin, and its public origins.
#[derive(Clone, Copy, Debug)]
pub struct RelyingParty<'a> {
    /// The relying party id: a host name.
    pub id: &'a str,
    origins: &'a [Origin],
}

impl<'a> RelyingParty<'a> {
    /// Returns the relying party of a site. Returns `None` if its canonical origin has an IP address, for which there
    /// are no passkeys.
    #[must_use]
    pub fn of(site: &'a Site) -> Option<Self> {
        let id = host_of(site.canonical_origin()?.authority());
        let address = id.strip_prefix('[').and_then(|id| id.strip_suffix(']')).unwrap_or(id);
        let is_name = address.parse::<IpAddr>().is_err();
        is_name.then_some(Self { id, origins: &site.return_path.public })
    }

    /// Rejects an origin that is not a public origin of the site, and one whose host is not the relying party id or
    /// below it.
    pub(super) fn check_origin(&self, text: &str) -> Result<(), PasskeyError> {
        let known = self.origins.iter().find(|origin| origin.as_str() == text);
        let host = known.map(|origin| host_of(origin.authority())).ok_or(PasskeyError::Origin)?;
        let above = host.strip_suffix(self.id).ok_or(PasskeyError::Origin)?;
        if above.is_empty() || above.ends_with('.') { Ok(()) } else { Err(PasskeyError::Origin) }
    }

    /// Returns the options for making a passkey of this user.
    #[must_use]
    pub fn creation_options<'o>(
        &self,
        challenge: &[u8; 32],
        name: &'o str,
        id: &str,
        user: &'o PasskeyUser,
    ) -> CreationOptions<'o>
    where
        'a: 'o,
    {
        CreationOptions {
            challenge: encoding::base64url(challenge),
            rp: RelyingPartyEntity { id: self.id, name },
            user: User {
                id: encoding::base64url(id.as_bytes()),
                name: &user.email,
                display_name: user.name.as_deref().unwrap_or(&user.email),
            },
            pub_key_cred_params: Algorithm::ALL
                .map(|algorithm| Parameters { r#type: PUBLIC_KEY, alg: algorithm.number() }),
            timeout: TIMEOUT_MS,
            exclude_credentials: user.descriptors(),
            authenticator_selection: Selection {
                resident_key: "required",
                require_resident_key: true,
                user_verification: "required",
            },
            attestation: "none",
        }
    }

    /// Returns the options for using a passkey: one of these credentials, or with none, any that the device has.
    #[must_use]
    pub fn request_options<'o>(
        &self,
        challenge: &[u8; 32],
        allowed: Option<&'o PasskeyUser>,
        user_verification: bool,
    ) -> RequestOptions<'o>
    where
        'a: 'o,
    {
        RequestOptions {
            challenge: encoding::base64url(challenge),
            rp_id: self.id,
            timeout: TIMEOUT_MS,
            allow_credentials: allowed.map(PasskeyUser::descriptors).unwrap_or_default(),
            user_verification: if user_verification { "required" } else { "preferred" },
        }
    }
}

impl PasskeyUser {
    fn descriptors(&self) -> Vec<Descriptor<'_>> {
        self.credentials.iter().map(|id| Descriptor { r#type: PUBLIC_KEY, id }).collect()
    }
}

/// `PublicKeyCredentialCreationOptionsJSON`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreationOptions<'a> {
    challenge: String,
    rp: RelyingPartyEntity<'a>,
    user: User<'a>,
    pub_key_cred_params: [Parameters; 2],
    timeout: u32,
    exclude_credentials: Vec<Descriptor<'a>>,
    authenticator_selection: Selection,
    attestation: &'static str,
}

/// `PublicKeyCredentialRequestOptionsJSON`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestOptions<'a> {
    challenge: String,
    rp_id: &'a str,
    timeout: u32,
    allow_credentials: Vec<Descriptor<'a>>,
    user_verification: &'static str,
}

#[derive(Debug, Serialize)]
struct RelyingPartyEntity<'a> {
    id: &'a str,
    name: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct User<'a> {
    id: String,
    name: &'a str,
    display_name: &'a str,
}

#[derive(Debug, Serialize)]
struct Parameters {
    r#type: &'static str,
    alg: i64,
}

#[derive(Debug, Serialize)]
struct Descriptor<'a> {
    r#type: &'static str,
    id: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Selection {
    resident_key: &'static str,
    require_resident_key: bool,
    user_verification: &'static str,
}

const PUBLIC_KEY: &str = "public-key";

/// The time that a browser gives the person. A ceremony is valid for the same time.
const TIMEOUT_MS: u32 = 300_000;
