//! Mail to users: messages that a service of the operator turns into mail (`MAILER`).
//!
//! 1. A message is a `POST` of JSON, signed as Standard Webhooks 1.0.0 says: [`WebhookKey`]. It says what happened, and
//!    to whom the mail goes. The service decides what the mail looks like.
//! 2. It is sent after the response, so that the time of a response does not depend on it. A message that the service
//!    does not accept is sent again twice, under the same id, and then the log has an event `mailer_failed`.
//! 3. A name goes into a mail only if no mail program makes a link of it. Otherwise, a person with an invite could give
//!    somebody else's address and a name with a link, and let the site send it.
//! 4. Nothing waits for mail: a message can be lost if the Worker is stopped right after the response.

use serde::Serialize;

use super::passwords::Recipient;
use crate::{
    crypto::webhook_key::WebhookKey,
    platform::{
        effects::{DeferredPost, Effects, ServiceAddress},
        event::RequestMeta,
    },
    redirects::site::Site,
};

/// The service that sends mail.
#[derive(Debug)]
pub struct Mailer {
    /// Its address.
    pub address: ServiceAddress,
    /// The key that signs messages.
    pub key: WebhookKey,
}

/// What a mail tells its reader.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Mail {
    /// A link with which the user chooses a new password.
    PasswordReset {
        /// The link.
        url: String,
        /// When it ends.
        expires_at: String,
    },
    /// The user's password was replaced.
    PasswordChanged {
        /// The page on which the user can ask for a reset link.
        url: String,
        /// When it was replaced.
        at: String,
    },
    /// The user signed in with a device for the first time.
    NewSignIn {
        /// The page on which the user can end sessions.
        url: String,
        /// The name of the device, if it is known.
        device: Option<String>,
        /// The approximate place, if it is known.
        place: Option<String>,
        /// When the user signed in.
        at: String,
    },
}

impl Mail {
    /// Returns the type of the message.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::PasswordReset { .. } => "password_reset",
            Self::PasswordChanged { .. } => "password_changed",
            Self::NewSignIn { .. } => "sign_in_new",
        }
    }
}

/// A message that is ready to be sent.
#[derive(Debug)]
pub struct Message(DeferredPost);

impl Mailer {
    /// Signs a message for the service.
    pub fn message<E: Effects>(
        &self,
        effects: &E,
        about: &MailContext<'_>,
        recipient: &Recipient,
        mail: &Mail,
    ) -> Message {
        let MailContext { site, site_name, meta } = about;
        let (id, now) = (effects.new_id("msg_"), meta.now);
        let origin = site.canonical_origin().map_or("", |origin| origin.as_str());
        let body = Body {
            r#type: mail.name(),
            timestamp: now.to_string(),
            data: Data {
                to: &recipient.email,
                name: recipient.name.as_deref().filter(|name| is_plain(name)),
                user_id: &recipient.user,
                site: SiteData { name: *site_name, origin },
                mail,
            },
        };
        let body = serde_json::to_string(&body).unwrap_or_default();
        let headers = vec![
            ("webhook-signature", self.key.sign(&id, now, &body)),
            ("webhook-timestamp", now.0.to_string()),
            ("webhook-id", id),
        ];
        Message(DeferredPost { service: "mailer", address: self.address.clone(), headers, body })
    }
}

impl Message {
    /// Sends the message after the response.
    pub fn send<E: Effects>(self, effects: &E) {
        effects.post_after_response(self.0);
    }
}

/// Checks that a name has nothing of which mail programs make a link: a URL, an address or a host name.
fn is_plain(name: &str) -> bool {
    let after_dots = || name.split(DOTS).skip(1);
    !name.contains([':', '/', '\\', '@']) && after_dots().all(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// The characters that separate labels of host names (UTS #46).
const DOTS: [char; 4] = ['.', '\u{3002}', '\u{ff0e}', '\u{ff61}'];

/// What every mail says about the site, and when it was caused.
#[derive(Clone, Copy, Debug)]
pub struct MailContext<'a> {
    /// The site.
    pub site: &'a Site,
    /// The name of the site (`BRANDING.name`), if it has one.
    pub site_name: Option<&'a str>,
    /// The request that causes the mail.
    pub meta: RequestMeta<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    to: &'a str,
    name: Option<&'a str>,
    user_id: &'a str,
    site: SiteData<'a>,
    #[serde(flatten)]
    mail: &'a Mail,
}

#[derive(Serialize)]
struct SiteData<'a> {
    name: Option<&'a str>,
    origin: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_link_is_not_mailed() {
        for plain in
            ["Ada", "Ada Lovelace", "J. R. R. Tolkien", "Sammy Davis Jr.", "Zoë O’Brien-Ng", "李小龍"]
        {
            assert!(is_plain(plain), "{plain}");
        }
        for link in [
            "https://evil.example",
            "go to evil.example now",
            "evil.example/login",
            "evil\u{3002}example",
            "mail me@evil",
            "tel:123",
            "\\\\evil",
            "Ada..com",
        ] {
            assert!(!is_plain(link), "{link}");
        }
    }
}
