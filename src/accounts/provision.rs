//! Provisions the tokens that the configuration names (`AGENT_TOKENS`).

use crate::{
    accounts::{self, Accounts, AccountsMemory},
    base::time::Timestamp,
    http::problem::Fault,
    platform::effects::Effects,
    tokens::{self, ConfiguredToken, Hash, Token, Tokens, settings::Settings},
};

/// Creates a token that the configuration names. Isolates that do this at the same time create the same token. Returns
/// `None` if another token has this name.
pub async fn create<E: Effects>(
    effects: &E,
    configured: &ConfiguredToken,
    now: Timestamp,
) -> Result<Option<Token>, Fault> {
    let Hash(hash) = &configured.hash;
    let command = accounts::Command::SeedToken(hash.clone(), configured.token(effects.new_id("tok_"), now));
    let token = match effects.call_object::<Accounts>(accounts::NAME, &command).await? {
        accounts::Reply::Token(token) => token,
        accounts::Reply::NameTaken => return Ok(None),
        _ => return Err(Fault::Internal),
    };
    let put = tokens::Command::Put(hash.clone(), token);
    effects.call_object::<Tokens>(configured.hash.object(), &put).await?.map(Some).ok_or(Fault::Internal)
}

/// Sends the configured tokens to `Accounts` at this isolate's first request, so that they are listed. It runs after
/// the response: no request waits for it, or fails because of it.
pub fn store_once<E: Effects>(settings: &Settings, effects: &E, now: Timestamp) {
    if settings.configured.is_empty()
        || effects.memory().of::<AccountsMemory>().has_sent_configured_tokens.replace(true)
    {
        return;
    }
    store_after_response(settings, effects, now);
}

/// Sends the configured tokens to `Accounts` after the response.
#[inline(never)]
fn store_after_response<E: Effects>(settings: &Settings, effects: &E, now: Timestamp) {
    effects.call_after_response::<Accounts>(accounts::NAME, &store_command(settings, effects, now));
}

/// Returns the command that stores all configured tokens.
pub fn store_command<E: Effects>(settings: &Settings, effects: &E, now: Timestamp) -> accounts::Command {
    let token = |configured: &ConfiguredToken| {
        (configured.hash.0.clone(), configured.token(effects.new_id("tok_"), now))
    };
    accounts::Command::SeedTokens(settings.configured.iter().map(token).collect())
}
