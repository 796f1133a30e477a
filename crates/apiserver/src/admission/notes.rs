//! What plug-ins say about a request besides yes and no. Both phases may speak, the second of them side by side.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// Texts for Warning headers.
#[derive(Default)]
pub struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    /// Adds one.
    pub fn push(&self, text: String) {
        self.0.lock().push(text);
    }

    /// Adds several.
    pub fn extend(&self, texts: impl IntoIterator<Item = String>) {
        self.0.lock().extend(texts);
    }

    /// All, in the order in which they were added.
    pub fn into_inner(self) -> Vec<String> {
        self.0.into_inner()
    }
}

/// Annotations for the audit log: qualified keys and their values. The first value of a key stays.
#[derive(Default)]
pub struct Annotations(Mutex<BTreeMap<String, String>>);

impl Annotations {
    /// Adds one.
    pub fn add(&self, key: impl Into<String>, value: impl Into<String>) {
        self.0.lock().entry(key.into()).or_insert_with(|| value.into());
    }

    /// All.
    pub fn into_inner(self) -> BTreeMap<String, String> {
        self.0.into_inner()
    }
}
