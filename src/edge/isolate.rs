//! The state that an isolate keeps between requests, with the configuration from the environment.

use std::{
    cell::{Cell, OnceCell},
    rc::Rc,
};

use js_sys::{Array, JSON, Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use worker::{Env, console_error};

use super::{hooks::JavaScriptHook, request_id::RequestIds, sys};
use crate::{
    base::encoding,
    config::{Bindings, Config, read_variables},
    guards::policy::{Hooks, NoHooks},
    platform::{body_budget::BodyBudget, memory::Memory},
};

/// The state that an isolate keeps between requests.
pub(super) struct Isolate {
    /// The configuration. `None` if it is invalid.
    pub(super) config: Option<Config>,
    /// The configuration errors, one per line. Only set in development, because clients may read them.
    pub(super) config_errors: String,
    pub(super) ids: RequestIds,
    pub(super) memory: Memory,
    pub(super) bodies: Rc<BodyBudget>,
}

thread_local! {
    static HOOKS: Cell<&'static dyn Hooks> = const { Cell::new(&NoHooks) };
    static ISOLATE: OnceCell<Rc<Isolate>> = const { OnceCell::new() };
}

/// Installs hooks, so that a Worker's own code also decides about each request. Use it in a Worker that is built on
/// this crate. Call it in a function that is `#[wasm_bindgen(start)]`, so that it applies from the first request on.
pub fn install(hooks: impl Hooks + 'static) {
    HOOKS.with(|installed| installed.set(Box::leak(Box::new(hooks))));
}

/// Returns the installed hooks.
pub(super) fn hooks() -> &'static dyn Hooks {
    HOOKS.with(Cell::get)
}

/// Returns the state of this isolate. The first call reads the configuration and logs its errors.
pub(super) fn isolate(env: &Env) -> Rc<Isolate> {
    ISOLATE.with(|isolate| Rc::clone(isolate.get_or_init(|| Rc::new(configure(env)))))
}

fn configure(env: &Env) -> Isolate {
    sys::log_panic_locations();
    if let Some(decide) = sys::installed_hook() {
        install(JavaScriptHook(decide));
    }
    let mut is_development = false;
    let parsed = read_variables(&variables(env))
        .map_err(|_| vec!["the variables are not JSON".to_owned()])
        .and_then(|variables| {
            is_development = variables.get("ENVIRONMENT").is_some_and(|value| value == "development");
            Config::parse(&variables, &Bindings::named(bindings(env)))
                .map_err(|errors| errors.iter().map(ToString::to_string).collect())
        });
    let (config, errors) = match parsed {
        Ok(config) => {
            let warnings = config.entry_errors.iter().map(ToString::to_string).collect();
            (Some(config), warnings)
        }
        Err(errors) => (None, errors),
    };
    for error in &errors {
        console_error!("misconfigured: {error}");
    }
    Isolate {
        config,
        config_errors: if is_development { errors.join("\n") } else { String::new() },
        ids: RequestIds::new(encoding::hex(&sys::random::<32>())),
        memory: Memory::default(),
        bodies: Rc::default(),
    }
}

/// Returns all variables and secrets as JSON. Leaves out bindings: these are objects with a prototype of their own.
fn variables(env: &Env) -> String {
    let found = Object::new();
    let plain = Object::get_prototype_of(&found);
    for (name, value) in entries(env) {
        let is_plain =
            !value.is_object() || Array::is_array(&value) || Object::get_prototype_of(&value) == plain;
        if is_plain && !value.is_function() {
            // Setting a property fails only on a frozen object.
            let _ = Reflect::set(&found, &name, &value);
        }
    }
    JSON::stringify(&found).map(String::from).unwrap_or_default()
}

/// Returns the names of the bindings: services, namespaces of Durable Objects and of KV, datasets of Analytics Engine.
/// Rate limiters have the prefix `limit:`.
fn bindings(env: &Env) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in entries(env) {
        let Some(name) = name.as_string() else { continue };
        let has = |method| {
            value.is_object() && sys::property(&value, method).is_ok_and(|found| found.is_function())
        };
        if ["fetch", "idFromName", "getWithMetadata", "writeDataPoint"].into_iter().any(has) {
            found.push(name.clone());
        }
        if has("limit") && !has("fetch") {
            found.push(format!("limit:{name}"));
        }
    }
    found
}

/// Returns the names and values of the environment. `worker` can look up a binding only by its name.
fn entries(env: &Env) -> impl Iterator<Item = (JsValue, JsValue)> {
    let entries = Object::entries(env.unchecked_ref());
    entries.into_iter().map(|entry| {
        let entry: Array = entry.unchecked_into();
        (entry.get(0), entry.get(1))
    })
}
