//! The live tail: decisions on their way from the isolates to those who watch.
//!
//! 1. Who watches is a row in the object, with a filter. The reply to a flush has the filters, so an isolate learns
//!    that somebody watches, and keeps the log lines of the requests that one of them wants.
//! 2. An isolate keeps at most [`MAX_NOTABLE`] lines and [`MAX_PLAIN`] of plain passes between two flushes, and counts
//!    what it drops. So passes never displace refusals.
//! 3. The object keeps the last [`super::tables::MAX_LINES`] lines. `GET /api/metrics/tail` asks it once a second.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{
    lines::{NewLines, Numbered},
    object::{Command, Watching},
};
use crate::{
    http::{problem::Rejection, request::Request},
    platform::event::Event,
};

/// Lines of an isolate between two flushes, without those of plain passes.
pub const MAX_NOTABLE: usize = 50;

/// Lines of plain passes of an isolate between two flushes.
pub const MAX_PLAIN: usize = 20;

/// Which decisions somebody wants to see. A missing member matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// The pattern of the rule.
    #[serde(rename = "r")]
    pub rule: Option<String>,
    /// The decision.
    #[serde(rename = "d")]
    pub decision: Option<String>,
    /// A status (403) or the first digit of one (4).
    #[serde(rename = "s")]
    pub status: Option<u16>,
    /// The kind of the principal, or `anonymous`.
    #[serde(rename = "p")]
    pub principal: Option<String>,
}

/// The filters of all who watch. Empty: nobody does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch(pub Vec<Filter>);

/// Log lines for those who watch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    /// The lines, as JSON.
    pub lines: Vec<String>,
    /// Number of lines of plain passes among them.
    plain: usize,
    /// Number of lines that were dropped.
    pub dropped: u64,
}

/// The members of a decision that filters look at.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// The pattern of the rule.
    pub rule: Option<&'a str>,
    /// The decision.
    pub decision: &'a str,
    /// The status.
    pub status: u16,
    /// The kind of the principal.
    pub principal: Option<&'a str>,
}

impl Filter {
    /// Checks whether somebody wants to see a decision.
    #[must_use]
    pub fn matches(&self, decision: Decision<'_>) -> bool {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        let status = decision.status;
        is(&self.rule, decision.rule.unwrap_or(super::series::NO_RULE))
            && is(&self.decision, decision.decision)
            && self.status.is_none_or(|wanted| wanted == status || wanted == status / 100)
            && is(&self.principal, decision.principal.unwrap_or("anonymous"))
    }
}

impl Watch {
    /// Checks whether anybody watches.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.0.is_empty()
    }

    /// Checks whether somebody wants to see a decision.
    #[must_use]
    pub fn matches(&self, event: &Event<'_>) -> bool {
        let Event { rule, decision, status, principal, .. } = *event;
        self.0.iter().any(|filter| filter.matches(Decision { rule, decision, status, principal }))
    }
}

impl Lines {
    /// Adds the line of a request, or counts that it was dropped.
    pub fn push(&mut self, event: &Event<'_>) {
        let is_plain = event.is_plain_pass();
        let notable = self.lines.len().saturating_sub(self.plain);
        if if is_plain { self.plain >= MAX_PLAIN } else { notable >= MAX_NOTABLE } {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.plain = self.plain.saturating_add(usize::from(is_plain));
        self.lines.push(event.to_json());
    }

    /// Checks whether there is nothing to pass on.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.dropped == 0
    }
}

/// The live tail of one client: server-sent events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    filter: Filter,
    after: Option<i64>,
}

/// A log line, as far as filters look at it.
#[derive(Deserialize)]
struct Line {
    rule: Option<String>,
    decision: String,
    status: u16,
    principal: Option<String>,
}

impl Feed {
    /// Parses the filter, and the last event that the client has (`Last-Event-ID`).
    ///
    /// # Errors
    /// [`Rejection`]: a parameter is invalid.
    pub fn of(request: &Request<'_>) -> Result<Self, Rejection> {
        let invalid =
            Rejection::InvalidBody("status", "expected a status such as 403, or a class such as 4xx");
        let status = request.parameter("status").map(|text| {
            let digits = text.strip_suffix("xx").filter(|digits| digits.len() == 1).unwrap_or(&text);
            digits.parse().ok().filter(|status| matches!(status, 1..=5 | 100..=599)).ok_or(invalid)
        });
        let filter = Filter {
            rule: request.parameter("rule"),
            decision: request.parameter("decision"),
            status: status.transpose()?,
            principal: request.parameter("principal"),
        };
        let members = [&filter.rule, &filter.decision, &filter.principal];
        if members.into_iter().flatten().any(|member| member.len() > MAX_MEMBER) {
            return Err(Rejection::InvalidBody("(query)", "expected at most 200 bytes in each parameter"));
        }
        let after = request.headers.value("last-event-id").and_then(|id| id.parse().ok());
        Ok(Self { filter, after })
    }

    /// Returns the command for the next lines. `id` is the id of the request.
    #[must_use]
    pub fn command(&self, id: &str) -> Command {
        Command::Watch(Watching { id: id.to_owned(), filter: self.filter.clone(), after: self.after })
    }

    /// Returns the events for new lines. Lines that only others want are left out.
    pub fn events(&mut self, new: NewLines) -> String {
        let NewLines { lines, dropped, last } = new;
        let mut events = String::new();
        for Numbered { number, line } in lines.iter().filter(|line| self.wants(&line.line)) {
            let _ = write!(events, "id: {number}\nevent: decision\ndata: {line}\n\n");
        }
        if dropped > 0 {
            let _ = write!(events, "id: {last}\nevent: dropped\ndata: {{\"count\":{dropped}}}\n\n");
        }
        self.after = Some(last);
        events
    }

    fn wants(&self, line: &str) -> bool {
        let Ok(Line { rule, decision, status, principal }) = serde_json::from_str(line) else { return false };
        let (rule, principal) = (rule.as_deref(), principal.as_deref());
        self.filter.matches(Decision { rule, decision: &decision, status, principal })
    }
}

/// The longest member of a filter, in bytes.
const MAX_MEMBER: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_passes_do_not_displace_refusals() {
        let (mut pass, mut refusal) = (Event::new("req_1", "GET"), Event::new("req_2", "GET"));
        (pass.upstream_ms, pass.status) = (Some(1), 200);
        (refusal.decision, refusal.status) = ("unauthorized", 401);
        let mut lines = Lines::default();
        for _ in 0..100 {
            lines.push(&pass);
        }
        for _ in 0..60 {
            lines.push(&refusal);
        }
        let refusals = lines.lines.iter().filter(|line| line.contains("unauthorized")).count();
        assert_eq!((lines.lines.len(), refusals, lines.dropped), (MAX_PLAIN + MAX_NOTABLE, MAX_NOTABLE, 90));
    }

    #[test]
    fn a_filter_compares_each_member() {
        let decision =
            Decision { rule: Some("/a"), decision: "forbidden_role", status: 403, principal: Some("user") };
        let text = |text: &str| Some(text.to_owned());
        for (filter, want) in [
            (Filter::default(), true),
            (Filter { rule: text("/a"), ..Filter::default() }, true),
            (Filter { rule: text("/b"), ..Filter::default() }, false),
            (Filter { decision: text("forbidden_role"), ..Filter::default() }, true),
            (Filter { decision: text("allow"), ..Filter::default() }, false),
            (Filter { status: Some(403), ..Filter::default() }, true),
            (Filter { status: Some(4), ..Filter::default() }, true),
            (Filter { status: Some(404), ..Filter::default() }, false),
            (Filter { status: Some(2), ..Filter::default() }, false),
            (Filter { principal: text("user"), ..Filter::default() }, true),
            (Filter { principal: text("anonymous"), ..Filter::default() }, false),
        ] {
            assert_eq!(filter.matches(decision), want, "{filter:?}");
        }
        let nobody = Decision { principal: None, rule: None, ..decision };
        assert!(
            Filter { principal: text("anonymous"), rule: text("(none)"), ..Filter::default() }
                .matches(nobody)
        );
    }

    #[test]
    fn a_feed_has_the_lines_of_its_filter() {
        let request = |query: &str, headers: &str| {
            let serialized = format!("GET\nhttps://app.example/api/metrics/tail{query}\n{headers}");
            Feed::of(&Request::read(&serialized).expect("a request"))
        };
        let line = |number, text: &str| Numbered { number, line: text.to_owned() };
        let lines = vec![
            line(8, r#"{"decision":"allow","status":200}"#),
            line(9, r#"{"decision":"unauthorized","status":401,"rule":"/a\"b"}"#),
        ];
        let mut feed = request("?status=4xx", "last-event-id\n7").expect("a feed");
        assert_eq!(feed.after, Some(7));
        let events = feed.events(NewLines { lines, dropped: 3, last: 12 });
        let want = concat!(
            "id: 9\nevent: decision\ndata: {\"decision\":\"unauthorized\",\"status\":401,\"rule\":\"/a\\\"b\"}\n\n",
            "id: 12\nevent: dropped\ndata: {\"count\":3}\n\n"
        );
        assert_eq!((events.as_str(), feed.after), (want, Some(12)));
        for query in ["?status=0", "?status=9xx", "?status=x", "?status=600"] {
            assert!(request(query, "").is_err(), "{query}");
        }
        assert!(request(&format!("?rule={}", "a".repeat(201)), "").is_err());
    }
}
