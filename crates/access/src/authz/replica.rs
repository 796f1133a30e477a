//! State that authorizers keep in memory, fed from a list and a watch.

use std::collections::HashSet;

/// Namespace and name of an object.
pub type ObjectKey = (String, String);

/// Takes in the objects of some resources: first all of them, ended by [`Replica::retain`], then each change.
pub trait Replica: Send + Sync + 'static {
    /// The present form of an object.
    ///
    /// # Errors
    /// The JSON is not such an object; what was known under that name is forgotten then, so that no stale grant
    /// lives on.
    fn upsert(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        json: &[u8],
    ) -> Result<(), serde_json::Error>;

    /// Forgets an object.
    fn remove(&self, resource: &str, namespace: &str, name: &str);

    /// Forgets all objects of a resource but these: the others were deleted while nobody watched.
    fn retain(&self, resource: &str, present: &HashSet<ObjectKey>);
}
