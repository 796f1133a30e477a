//! EndpointSlices: a field of the first version is read and no longer taken in.

use access::UserInfo;
use serde_json::Value;

use crate::registry::strategy::{Base, Strategy};

/// EndpointSlices.
pub struct EndpointSlices {
    base: Base,
}

impl EndpointSlices {
    /// The strategy of endpoint slices.
    pub fn new(base: Base) -> Self {
        EndpointSlices { base }
    }
}

impl Strategy for EndpointSlices {
    fn base(&self) -> &Base {
        &self.base
    }

    fn prepare_create(&self, object: &mut Value, _user: &UserInfo) {
        drop_topology(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        if object["endpoints"] != old["endpoints"] {
            drop_topology(object);
        }
    }
}

fn drop_topology(slice: &mut Value) {
    for endpoint in slice.get_mut("endpoints").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(endpoint) = endpoint.as_object_mut() {
            endpoint.remove("deprecatedTopology");
        }
    }
}
