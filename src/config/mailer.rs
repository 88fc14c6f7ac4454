//! Parses `MAILER` and `MAILER_SECRET`.

use super::{guards::parse_url, parse::ParseContext, reader::Table, secrets::how_to_set};
use crate::{
    accounts::mailer::Mailer, crypto::webhook_key::WebhookKey, platform::effects::ServiceAddress,
    sessions::settings::Login,
};

/// Returns the service that sends mail: the service binding `MAILER`, or the service at the URL `MAILER`.
pub(super) fn parse(top: &Table<'_>, login_by: Option<Login>, context: &ParseContext<'_>) -> Option<Mailer> {
    let ParseContext { variables, bindings, development, mistakes, .. } = *context;
    let url = top.parse("MAILER", |text| parse_url(text, development));
    let is_binding = bindings.has("MAILER");
    if top.has("MAILER") && is_binding {
        top.report("MAILER", "not allowed with a service binding MAILER: remove one of them");
    }
    if top.has("MAILER") && login_by.is_some_and(|login| login != Login::Accounts) {
        top.report("MAILER", "requires SESSION.login = \"accounts\": mail goes to users with accounts");
    }
    let address =
        if is_binding { Some(ServiceAddress::Binding("MAILER")) } else { url.map(ServiceAddress::Url) };
    let secret = variables.get("MAILER_SECRET");
    let key = secret.and_then(|secret| secret.as_str()).and_then(WebhookKey::parse);
    if secret.is_some() && key.is_none() {
        mistakes.report("MAILER_SECRET", "expected whsec_ and the base64 of 24 to 64 random bytes");
    }
    if secret.is_none() && (is_binding || top.has("MAILER")) {
        let how = how_to_set("MAILER_SECRET", development);
        mistakes.report("MAILER_SECRET", format!("required with MAILER: it signs the messages ({how})"));
    }
    Some(Mailer { address: address?, key: key? })
}
