//! What an isolate keeps between requests, and its configuration out of the environment.

use std::{
    cell::{Cell, OnceCell},
    rc::Rc,
};

use js_sys::{Array, JSON, Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use worker::{Env, console_error};

use super::{request_id::RequestIds, sys};
use crate::{
    body_budget::BodyBudget,
    config::{Bindings, Config, read_variables},
    effects::Memory,
    encoding,
    policy::{Hooks, NoHooks},
};

/// What one isolate keeps between requests.
pub(super) struct Gate {
    /// `None` where the configuration is not valid.
    pub(super) config: Option<Config>,
    /// Its mistakes, one a line, if a visitor may read them: only in development.
    pub(super) mistakes: String,
    pub(super) ids: RequestIds,
    pub(super) memory: Memory,
    pub(super) bodies: Rc<BodyBudget>,
}

thread_local! {
    static HOOKS: Cell<&'static dyn Hooks> = const { Cell::new(&NoHooks) };
    static GATE: OnceCell<Rc<Gate>> = const { OnceCell::new() };
}

/// Has a Worker's own code decide too, from the first request on. For those who build their own Worker on this crate:
/// call it in a function that is `#[wasm_bindgen(start)]`.
pub fn install(hooks: impl Hooks + 'static) {
    HOOKS.with(|known| known.set(Box::leak(Box::new(hooks))));
}

/// Returns what the Worker's own code decides by.
pub(super) fn hooks() -> &'static dyn Hooks {
    HOOKS.with(Cell::get)
}

/// Returns what this isolate keeps; the first time, it reads its configuration. Mistakes go to the log.
pub(super) fn gate(env: &Env) -> Rc<Gate> {
    GATE.with(|gate| Rc::clone(gate.get_or_init(|| Rc::new(configure(env)))))
}

fn configure(env: &Env) -> Gate {
    sys::log_panics_briefly();
    let mut is_development = false;
    let parsed = read_variables(&variables(env))
        .map_err(|_| vec!["the variables are not JSON".to_owned()])
        .and_then(|variables| {
            is_development = variables.get("ENVIRONMENT").is_some_and(|value| value == "development");
            Config::parse(&variables, &Bindings::named(bindings(env)))
                .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
        });
    let (config, mistakes) = match parsed {
        Ok(config) => {
            let complaints = config.complaints.iter().map(ToString::to_string).collect();
            (Some(config), complaints)
        }
        Err(mistakes) => (None, mistakes),
    };
    for mistake in &mistakes {
        console_error!("misconfigured: {mistake}");
    }
    Gate {
        config,
        mistakes: if is_development { mistakes.join("\n") } else { String::new() },
        ids: RequestIds::new(encoding::hex(&sys::random::<32>())),
        memory: Memory::default(),
        bodies: Rc::default(),
    }
}

/// Every variable and secret as JSON. Bindings are objects with a prototype of their own.
fn variables(env: &Env) -> String {
    let found = Object::new();
    let plain = Object::get_prototype_of(&found);
    for (name, value) in entries(env) {
        let is_plain =
            !value.is_object() || Array::is_array(&value) || Object::get_prototype_of(&value) == plain;
        if is_plain && !value.is_function() {
            // It fails on a frozen object.
            let _ = Reflect::set(&found, &name, &value);
        }
    }
    JSON::stringify(&found).map(String::from).unwrap_or_default()
}

/// Names of what can be fetched from, of namespaces of objects and of KV, and marked as such, of counters.
fn bindings(env: &Env) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in entries(env) {
        let Some(name) = name.as_string() else { continue };
        let has =
            |mark| value.is_object() && sys::member(&value, mark).is_ok_and(|member| member.is_function());
        if ["fetch", "idFromName", "getWithMetadata"].into_iter().any(has) {
            found.push(name.clone());
        }
        if has("limit") && !has("fetch") {
            found.push(format!("limit:{name}"));
        }
    }
    found
}

/// Names and values. `worker` looks bindings up by their names alone.
fn entries(env: &Env) -> impl Iterator<Item = (JsValue, JsValue)> {
    let entries = Object::entries(env.unchecked_ref());
    entries.into_iter().map(|entry| {
        let entry: Array = entry.unchecked_into();
        (entry.get(0), entry.get(1))
    })
}
