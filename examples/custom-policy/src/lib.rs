//! A custom Worker that uses the Vestibule crate. It behaves like Vestibule and adds two decisions in Rust, which need
//! no other service and come before the external policy:
//!
//! 1. A machine with a task can only use the paths of that task below `/api/tasks/`.
//! 2. Operations that start with `plan.` need a user with a plan. Other users get 402 with a link to the plans.

use serde_json::json;
use vestibule::{
    guards::policy::{Act, Decision, Hooks},
    http::path::fold,
};

/// The hooks of this Worker.
#[derive(Clone, Copy, Debug)]
pub struct CustomPolicy;

impl Hooks for CustomPolicy {
    fn judge(&self, act: &Act<'_>) -> Decision {
        let task = act.principal.as_ref().and_then(|principal| principal.task_id);
        // `fold` reads the path as the laxest server does. To such a server, `/api/Tasks/8` may be `/api/tasks/8`.
        let path = fold(act.path);
        if let (Some(task), Some(rest)) = (task, path.strip_prefix("/api/tasks/"))
            && rest.split('/').next() != Some(&fold(task))
        {
            return Decision::Forbid;
        }
        let needs_plan = act.operation.is_some_and(|operation| operation.starts_with("plan."));
        if needs_plan && !act.principal.as_ref().is_some_and(|principal| PAYING.contains(&principal.id)) {
            let body = json!({ "error": "plan_needed", "where": "https://app.example.com/plans" });
            return Decision::Fail { status: 402, body: body.to_string() };
        }
        Decision::Allow
    }
}

/// The users with a plan. A real Worker would read them from its variables or from the token.
const PAYING: &[&str] = &["usr_pays"];

/// Runs when the module starts, before the first request.
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod start {
    use wasm_bindgen::prelude::wasm_bindgen;

    #[wasm_bindgen(start)]
    fn start() {
        vestibule::edge::install(super::CustomPolicy);
    }
}

#[cfg(test)]
mod tests {
    use vestibule::guards::policy::Asking;

    use super::*;

    fn principal(id: &'static str, task_id: Option<&'static str>) -> Asking<'static> {
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
    fn decides_by_task_and_plan() {
        for (path, operation, principal, expected) in [
            ("/api/tasks/7", None, principal("usr_a", Some("7")), None),
            ("/api/tasks/7/notes", None, principal("usr_a", Some("7")), None),
            ("/api/tasks/8", None, principal("usr_a", Some("7")), Some(403)),
            ("/api/tasks/78", None, principal("usr_a", Some("7")), Some(403)),
            ("/api/tasks/8", None, principal("usr_a", None), None),
            ("/api/tasks/7/x", None, principal("usr_a", Some("7")), None),
            ("/api/Tasks/8", None, principal("usr_a", Some("7")), Some(403)),
            ("/api/tasks;x/8", None, principal("usr_a", Some("7")), Some(403)),
            ("/api/plan", Some("plan.export"), principal("usr_a", None), Some(402)),
            ("/api/plan", Some("plan.export"), principal("usr_pays", None), None),
        ] {
            let act = Act {
                policy: None,
                operation,
                method: "GET",
                path,
                query: "",
                principal: Some(principal.clone()),
            };
            let actual = match CustomPolicy.judge(&act) {
                Decision::Allow => None,
                Decision::Forbid => Some(403),
                Decision::Fail { status, .. } => Some(status),
            };
            assert_eq!(actual, expected, "{path} {principal:?}");
        }
    }
}
