//! Pages and problem documents: inserted text stays text.

use serde_json::Value;
use vestibule::http::{
    page::Html,
    problem::{Rejection, SecondStep},
};

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let page = Html::new("<p title=\"{}\">{}</p>", &[&text, &text]).into_page(&text);
    let empty = Html::new("<p title=\"{}\">{}</p>", &["", ""]).into_page("");
    for markup in ['<', '>', '"', '\''] {
        assert_eq!(page.matches(markup).count(), empty.matches(markup).count(), "{text:?} adds {markup}");
    }
    let mut problem = Rejection::NotFound.problem(&text);
    problem.login_url = Some(&text);
    problem.second_step =
        Some(SecondStep { ticket: &text, methods: None, expires_at: text.clone().into_owned() });
    let json: Value = serde_json::from_str(&problem.with_base(&text).to_json()).unwrap();
    for member in ["requestId", "loginUrl", "ticket", "expiresAt"] {
        assert_eq!(json[member], *text);
    }
}
