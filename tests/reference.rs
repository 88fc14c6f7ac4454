//! `docs/configuration.md` lists exactly the members that the code reads, with the same types and defaults. The JSON
//! Schema is up to date.

#![allow(clippy::expect_used, reason = "a test may fail")]

use std::fs;

use vestibule::config::{
    json_schema::json_schema,
    schema::{ALL, Member},
};

#[test]
fn every_member_has_a_row() {
    let text = fs::read_to_string("docs/configuration.md").expect("the reference");
    let members: Vec<&Member> = ALL.iter().copied().flatten().collect();
    for member in &members {
        let default = member.default.map_or("–".to_owned(), |default| format!("`{default}`"));
        // The table has no articles.
        let article = ["a ", "an ", "the "].into_iter().find(|article| member.shape.starts_with(article));
        let shape = member.shape.strip_prefix(article.unwrap_or_default()).unwrap_or_default();
        let row = format!("| `{}` | {shape} | {default} |", member.name);
        assert!(text.contains(&row), "docs/configuration.md lacks the row {row}");
    }
}

#[test]
fn every_row_has_a_member() {
    let text = fs::read_to_string("docs/configuration.md").expect("the reference");
    let rows = text.lines().filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 3);
    for row in rows {
        let name = row.split('`').nth(1).unwrap_or_default();
        let known = ALL.iter().copied().flatten().any(|member| member.name == name);
        assert!(known, "docs/configuration.md lists {name}, which the code does not read");
    }
}

#[test]
fn the_json_schema_is_up_to_date() {
    let reference = fs::read_to_string("docs/configuration.md").expect("the reference");
    let schema = json_schema(&reference);
    let text = fs::read_to_string("docs/wrangler.schema.json").expect("the schema");
    assert!(text == format!("{schema:#}\n"), "outdated: run `npm run docs:schema`");
}
