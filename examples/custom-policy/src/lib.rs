//! A Worker of one's own on Vestibule. It is Vestibule in every respect, and decides more: in Rust, without asking
//! anybody, and before anybody outside is asked.
//!
//! 1. A machine that was made for one task gets at no other: below `/api/tasks/`, the task is its own.
//! 2. Operations that begin with `plan.` are for those who have one, and the others are told where to get it, in an
//!    answer of this Worker's own.

use serde_json::json;
use vestibule::{
    path::fold,
    policy::{Act, Decision, Hooks},
};

/// What this Worker decides.
#[derive(Clone, Copy, Debug)]
pub struct House;

impl Hooks for House {
    fn judge(&self, act: &Act<'_>) -> Decision {
        let task = act.principal.as_ref().and_then(|principal| principal.task_id);
        // As the laxest server behind reads it: `/api/Tasks/8` may be the same to it.
        let path = fold(act.path);
        if let (Some(own), Some(asked)) = (task, path.strip_prefix("/api/tasks/"))
            && asked.split('/').next() != Some(&fold(own))
        {
            return Decision::Forbid;
        }
        let is_plans = act.operation.is_some_and(|operation| operation.starts_with("plan."));
        if is_plans && !act.principal.as_ref().is_some_and(|asking| PAYING.contains(&asking.id)) {
            let body = json!({ "error": "plan_needed", "where": "https://app.example.com/plans" });
            return Decision::Fail { status: 402, body: body.to_string() };
        }
        Decision::Allow
    }
}

/// Who has a plan. A Worker in earnest would have it in its own variables or in the token.
const PAYING: &[&str] = &["usr_pays"];

/// Called when the module is started, before the first request.
#[cfg(target_arch = "wasm32")]
mod start {
    use wasm_bindgen::prelude::wasm_bindgen;

    #[wasm_bindgen(start)]
    fn start() {
        vestibule::edge::install(super::House);
    }
}

#[cfg(test)]
mod tests {
    use vestibule::policy::Asking;

    use super::*;

    fn asking(id: &'static str, task_id: Option<&'static str>) -> Asking<'static> {
        Asking {
            kind: "user",
            id,
            user_id: Some(id),
            role: None,
            session_id: None,
            actor_source: task_id.map(|_| "task_token"),
            agent_id: None,
            task_id,
            token_id: None,
        }
    }

    #[test]
    fn what_is_decided() {
        for (path, operation, who, want) in [
            ("/api/tasks/7", None, asking("usr_a", Some("7")), None),
            ("/api/tasks/7/notes", None, asking("usr_a", Some("7")), None),
            ("/api/tasks/8", None, asking("usr_a", Some("7")), Some(403)),
            ("/api/tasks/78", None, asking("usr_a", Some("7")), Some(403)),
            ("/api/tasks/8", None, asking("usr_a", None), None),
            ("/api/tasks/7/x", None, asking("usr_a", Some("7")), None),
            ("/api/Tasks/8", None, asking("usr_a", Some("7")), Some(403)),
            ("/api/tasks;x/8", None, asking("usr_a", Some("7")), Some(403)),
            ("/api/plan", Some("plan.export"), asking("usr_a", None), Some(402)),
            ("/api/plan", Some("plan.export"), asking("usr_pays", None), None),
        ] {
            let act =
                Act { policy: None, operation, method: "GET", path, query: "", principal: Some(who.clone()) };
            let found = match House.judge(&act) {
                Decision::Allow => None,
                Decision::Forbid => Some(403),
                Decision::Fail { status, .. } => Some(status),
            };
            assert_eq!(found, want, "{path} {who:?}");
        }
    }
}
