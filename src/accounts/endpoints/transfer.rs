//! `GET /api/users/export` and `POST /api/users/import`: users in JSON Lines, with password hashes and second factors,
//! sealed under `EXPORT_KEY`.
//!
//! An export is paged like a list: `Link` (RFC 8288) names the next page. An import answers for each line. No answer
//! repeats what a line says.

use serde::Serialize;

use super::{Call, users::write};
use crate::{
    accounts::{
        self, Write,
        transfer::{
            NumberedRecord, Outcome, RefusedRecord,
            line::{self, LineError, LineKeys, MEDIA_TYPE, MOST_LINES},
        },
    },
    http::{
        problem::{Fault, Rejection},
        reply::{EarlyResponse, Reply},
    },
    identity::call::{EndpointResponse, json},
    platform::effects::{BodyError, Effects},
};

pub(super) async fn export<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let keys = keys(call)?;
    call.reject_unknown_parameters(&["cursor", "limit"])?;
    let limit = call.limit()?;
    let command = Write::ExportUsers(call.request.parameter("cursor"), limit.saturating_add(1));
    let accounts::Reply::Exported(found) = write(call, effects, command).await? else {
        return Err(Fault::Internal.into());
    };
    let page = found.get(..usize::try_from(limit).unwrap_or_default()).unwrap_or(&found);
    let mut body = String::new();
    for record in page {
        body.push_str(&line::write(effects, keys, record).await?);
        body.push('\n');
    }
    let mut headers = vec![("content-type", MEDIA_TYPE.to_owned())];
    if let Some(last) = page.last().filter(|_| found.len() > page.len()) {
        // An id consists of letters, digits, `-` and `_`.
        headers.push(("link", format!("<{}?cursor={}&limit={limit}>; rel=\"next\"", call.path(), last.id)));
    }
    let detail = format!("{} users", page.len());
    Ok(EndpointResponse::from(Reply { status: 200, headers, body: Some(body) }).with_detail(detail))
}

pub(super) async fn import<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let keys = keys(call)?;
    call.reject_unknown_parameters(&["dryRun"])?;
    let is_dry_run = match call.request.parameter("dryRun").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Rejection::InvalidBody("dryRun", "expected \"true\" or \"false\"").into()),
    };
    let (mut records, mut errors) = (Vec::new(), Vec::new());
    for (line, text) in lines(call)? {
        match line::read(effects, keys, text).await? {
            Ok(record) => records.push(NumberedRecord { line, record }),
            Err(error) => errors.push(ErrorView::of_line(line, error)),
        }
    }
    let command = Write::ImportUsers { records, is_dry_run };
    let accounts::Reply::Imported(outcomes) = write(call, effects, command).await? else {
        return Err(Fault::Internal.into());
    };
    let count = |wanted| outcomes.iter().filter(|(_, outcome)| *outcome == wanted).count();
    let (added, unchanged) = (count(Outcome::Added), count(Outcome::Unchanged));
    for (line, outcome) in outcomes {
        if let Outcome::Refused(refused) = outcome {
            errors.push(ErrorView::of_record(line, refused));
        }
    }
    errors.sort_unstable_by_key(|error| error.line);
    let dry = if is_dry_run { " in a dry run" } else { "" };
    let detail = format!("{added} added, {unchanged} unchanged, {} refused{dry}", errors.len());
    let view = ImportView { dry_run: is_dry_run, added, unchanged, errors };
    Ok(EndpointResponse::from(json(200, &view)).with_detail(detail))
}

/// Returns the keys. Without `EXPORT_KEY`, there are no such endpoints.
fn keys(call: Call<'_>) -> Result<LineKeys<'_>, Rejection> {
    let export = call.cx.accounts.export.as_ref().ok_or(Rejection::NotFound)?;
    Ok(LineKeys { export, stored: &call.cx.accounts.derivation })
}

/// Returns the lines of the body that are not empty, with their numbers.
fn lines(call: Call<'_>) -> Result<Vec<(u32, &str)>, Rejection> {
    let media_type = call.request.headers.value("content-type").unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case(MEDIA_TYPE) {
        return Err(Rejection::UnsupportedMediaType);
    }
    let text = call.body.unwrap_or(&Err(BodyError::BrokenOff)).as_ref().map_err(|error| *error)?;
    let numbered = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let lines: Vec<(u32, &str)> = numbered.take(MOST_LINES.saturating_add(1)).collect();
    if (1..=MOST_LINES).contains(&lines.len()) {
        Ok(lines)
    } else {
        Err(Rejection::InvalidBody("(body)", "expected 1 to 100 lines"))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ImportView {
    dry_run: bool,
    added: usize,
    unchanged: usize,
    errors: Vec<ErrorView>,
}

/// Why a line was not imported.
#[derive(Serialize)]
struct ErrorView {
    line: u32,
    error: &'static str,
    detail: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<&'static str>,
}

impl ErrorView {
    fn of_line(line: u32, error: LineError) -> Self {
        let (error, detail, member) = match error {
            LineError::Form => ("invalid_line", "expected a JSON object as an export writes it", None),
            LineError::Key => (
                "not_opened",
                "the sealed text does not open: EXPORT_KEY is another one, or id or email was changed",
                None,
            ),
            LineError::Version => {
                ("unknown_version", "the sealed text is of another version of Vestibule", None)
            }
            LineError::Changed => {
                ("changed_line", "name, role, status or createdAt was changed after the export", None)
            }
            LineError::Member(member) => {
                ("invalid_member", "a member does not have the form that a new account needs", Some(member))
            }
        };
        Self { line, error, detail, member }
    }

    fn of_record(line: u32, refused: RefusedRecord) -> Self {
        let (error, detail) = match refused {
            RefusedRecord::Differs => {
                ("user_differs", "the user exists, and is not the same: nothing was changed")
            }
            RefusedRecord::IdTaken => ("id_taken", "another user has this id"),
            RefusedRecord::EmailTaken => ("email_taken", "another user has this e-mail address"),
            RefusedRecord::PasskeyTaken => ("passkey_taken", "another user has one of the passkeys"),
        };
        Self { line, error, detail, member: None }
    }
}
