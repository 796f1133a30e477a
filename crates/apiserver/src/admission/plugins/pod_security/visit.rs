//! Walking a pod, and naming its parts for the user.

use api_types::field::quote;
use serde_json::Value;

use crate::admission::plugins::support::{list, text};

/// A pod or a pod template.
pub(super) struct Pod<'a> {
    pub(super) metadata: &'a Value,
    pub(super) spec: &'a Value,
}

impl<'a> Pod<'a> {
    /// Init, regular and ephemeral containers, in this order.
    pub(super) fn containers(&self) -> impl Iterator<Item = &'a Value> {
        let spec = self.spec;
        ["/initContainers", "/containers", "/ephemeralContainers"]
            .into_iter()
            .flat_map(move |kind| list(spec, kind))
    }

    /// The names of the containers that `bad` holds for.
    pub(super) fn containers_where(&self, bad: impl Fn(&Value) -> bool) -> Vec<&'a str> {
        self.containers()
            .filter(|container| bad(container))
            .map(|container| text(container, "/name"))
            .collect()
    }

    /// Whether the pod says that it is for Windows.
    pub(super) fn is_windows(&self) -> bool {
        text(self.spec, "/os/name") == "windows"
    }
}

/// `container "a"` or `containers "a", "b"`.
pub(super) fn containers(names: &[&str]) -> String {
    format!("{} {}", plural("container", names.len()), quoted(names))
}

/// A noun with an s when there are several.
pub(super) fn plural(noun: &str, count: usize) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}

/// `"a", "b"`
pub(super) fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ")
}

/// Each once, in order.
pub(super) fn distinct<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut values: Vec<&str> = values.into_iter().collect();
    values.sort_unstable();
    values.dedup();
    values
}
