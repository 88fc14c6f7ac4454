//! Step 12 for the pages of Vestibule: finds the file in the assets binding.

use crate::{
    accounts::pages::{ACCOUNT, PagePath},
    config::Config,
    gateway::request_context::DispatchOutcome,
    http::{
        problem::{Fault, Rejection},
        reply::EarlyResponse,
        request::Request,
    },
    platform::effects::{AssetRequest, Effects},
    responses::response,
};

/// Answers an admitted request for a path under the prefix of the pages.
///
/// # Errors
/// 404 for a path that leads to no file, [`Fault::PagesMissing`] if a page is not in the assets binding, and
/// [`Fault::UpstreamFailed`] or [`Fault::UpstreamTimeout`] if the binding does not answer.
pub(in crate::gateway) async fn answer<'a, E: Effects>(
    config: &Config,
    effects: &E,
    request: &Request<'_>,
    target: &str,
) -> Result<DispatchOutcome<'a, E::Response>, EarlyResponse> {
    let pages = config.accounts.pages.ok_or(Rejection::NotFound)?;
    let file = match pages.find(target.split('?').next().unwrap_or_default()) {
        PagePath::File(file) => file,
        PagePath::Root => {
            return Ok(DispatchOutcome::Endpoint(response::redirect(302, pages.path(ACCOUNT)).into()));
        }
        PagePath::Unknown => return Err(Rejection::NotFound.into()),
    };
    let known = request.headers.value("if-none-match");
    let asset = AssetRequest { method: request.method, path: &file.path, if_none_match: known };
    let response = effects.asset(asset).await?;
    if file.is_found(response.status, response.headers().value("content-type")) {
        Ok(DispatchOutcome::Page(file, response))
    } else if file.is_page {
        Err(Fault::PagesMissing.into())
    } else {
        Err(Rejection::NotFound.into())
    }
}
