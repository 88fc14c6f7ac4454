//! The page that ends a redirect loop.

use crate::{
    config::Config,
    http::{
        page::{self, Frames, Html},
        problem::Reason,
        reply::Reply,
    },
};

/// The reason why a browser was redirected too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopKind {
    /// The gateway sends it to the login page, because the request has no valid session.
    SignedOut(Reason),
    /// The gateway sends it to the login page, because the user authenticated too long ago.
    Stale,
    /// The gateway sends it away from the login page, because the user is signed in.
    SignedIn,
}

/// Returns the page that ends a redirect loop: it says what happened, why, and what to do.
#[must_use]
pub fn render(config: &Config, reason: LoopKind, frames: Frames) -> Reply {
    let reason = match reason {
        LoopKind::SignedOut(reason) => reason.detail(),
        LoopKind::Stale => {
            "the page asks you to confirm that it is you, but the sign-in page keeps sending you back without asking"
        }
        LoopKind::SignedIn => {
            "you are signed in here, but the application keeps sending you to its sign-in page"
        }
    };
    let body = Html::new(LOOP_PAGE, &[reason, config.site.endpoints, &config.site.return_path.login]);
    Reply {
        status: 200,
        headers: page::headers(frames).into(),
        body: Some(body.into_page("Too many redirects")),
    }
}

const LOOP_PAGE: &str = "<h1>Too many redirects to and from the sign-in page</h1>
<p>Your browser was redirected in a loop, so this page stopped it. Reason: {}.</p>
<form method=\"post\" class=\"act\" action=\"{}/auth/logout?cookies=all\">
<button class=\"go\">Clear this site's cookies and sign in again</button>
<a href=\"{}\">Try again</a>
</form>
<p class=\"soft\">This signs you out of this site in this browser. It deletes no other data.</p>
";
