//! Writes data points for Workers Analytics Engine.

use js_sys::{Array, Object, Reflect};
use wasm_bindgen::JsValue;
use worker::Env;

use super::sys::{self, Dataset};
use crate::platform::effects::DataPoint;

/// Writes a data point. The platform takes it and sends it later.
pub(super) fn write(env: &Env, point: DataPoint<'_>) -> Result<(), JsValue> {
    let DataPoint { binding, index, blobs, doubles } = point;
    let written = Object::new();
    let lists = [
        ("indexes", Array::of1(&JsValue::from_str(index))),
        ("blobs", blobs.iter().map(|blob| JsValue::from_str(blob)).collect()),
        ("doubles", doubles.iter().map(|number| JsValue::from_f64(*number)).collect()),
    ];
    for (name, list) in lists {
        Reflect::set(&written, &JsValue::from_str(name), &list)?;
    }
    sys::binding::<Dataset>(env, binding)?.write_data_point(&written)
}
