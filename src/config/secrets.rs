//! Parses the secrets, and derives keys from them.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{parse::ParseContext, reader::expected};
use crate::{
    accounts::factors::ticket::TicketKeys,
    base::encoding,
    crypto::{
        derive::KeyDerivation,
        jwt::{Keys, TypedKey},
        secret::{Opaque, Secret},
    },
    sessions::logout_token,
    upstream::assertion,
};

/// The parsed secrets, and the keys that are derived from them.
pub(super) struct Secrets {
    pub(super) keys: Keys,
    pub(super) derivation: KeyDerivation,
    pub(super) tickets: TicketKeys,
    pub(super) upstream_key: Option<TypedKey>,
    pub(super) logout_key: Option<TypedKey>,
    pub(super) setup_token: Option<Secret>,
    pub(super) export: Option<KeyDerivation>,
    pub(super) audit_keys: Vec<Opaque>,
}

/// Parses all secrets.
pub(super) fn parse(context: &ParseContext<'_>) -> Option<Secrets> {
    let ParseContext { variables, mistakes, .. } = *context;
    let read = |name: &str| {
        let value = variables.get(name)?;
        let secret = value.as_str().map(Secret::parse);
        match secret {
            Some(Ok(secret)) => Some(secret),
            Some(Err(error)) => {
                mistakes.report(name, error.to_string());
                None
            }
            None => {
                mistakes.report(name, expected("a secret", value));
                None
            }
        }
    };
    if !variables.contains_key("AUTH_SECRET") {
        let how = how_to_set("AUTH_SECRET", context.development);
        mistakes
            .report("AUTH_SECRET", format!("expected a secret of at least 32 bytes, found nothing ({how})"));
    }
    let (current, previous, upstream) =
        (read("AUTH_SECRET"), read("AUTH_SECRET_PREVIOUS"), read("UPSTREAM_SECRET"));
    if upstream.is_some() && (upstream == current || upstream == previous) {
        mistakes.report(
            "UPSTREAM_SECRET",
            "expected a secret other than AUTH_SECRET: otherwise an assertion could be used as a session",
        );
    }
    let setup_token = read("SETUP_TOKEN");
    if setup_token.is_some() && [&current, &previous, &upstream].contains(&&setup_token) {
        mistakes.report(
            "SETUP_TOKEN",
            "expected a secret that is used for nothing else: people enter it in a form",
        );
    }
    let export = read("EXPORT_KEY");
    if export.is_some() && [&current, &previous, &upstream, &setup_token].contains(&&export) {
        mistakes.report(
            "EXPORT_KEY",
            "expected a secret that is used for nothing else: with it, an export reveals all hashes",
        );
    }
    // During a rotation, both secrets may be the same. That is not a mistake.
    let previous = previous.filter(|previous| Some(previous) != current.as_ref());
    let current = current?;
    let derivation = KeyDerivation::new(&current, previous.as_ref());
    let tickets = TicketKeys::new(&derivation);
    let audit_keys = std::iter::once(&current).chain(previous.as_ref()).filter_map(audit_key).collect();
    let keys = Keys::new(&current, previous.as_ref());
    if keys.is_err() {
        mistakes
            .report("AUTH_SECRET_PREVIOUS", "expected a secret with a key id other than that of AUTH_SECRET");
    }
    let typed = |typ| upstream.as_ref().map(|secret| TypedKey::new(typ, secret));
    let (upstream_key, logout_key) = (typed(assertion::TYPE), typed(logout_token::TYPE));
    Some(Secrets {
        keys: keys.ok()?,
        derivation,
        tickets: tickets?,
        upstream_key,
        logout_key,
        setup_token,
        export: export.map(|secret| KeyDerivation::new(&secret, None)),
        audit_keys,
    })
}

/// Returns an instruction to set a secret: in `.dev.vars` in development, otherwise with wrangler.
pub(super) fn how_to_set(name: &str, development: bool) -> String {
    if development {
        format!("add a line {name}=… to .dev.vars")
    } else {
        format!("npx wrangler secret put {name}")
    }
}

/// Derives the key that chains the audit trail: an HMAC-SHA256 of a fixed text, in hex.
fn audit_key(secret: &Secret) -> Option<Opaque> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.expose()).ok()?;
    Opaque::parse(&encoding::hex(&mac.chain_update("vestibule/audit/1").finalize().into_bytes()))
}
