//! Which objects a controller owns: adoption of matching orphans, release of what no longer matches.

use std::sync::Arc;

use api_types::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use api_types::selector::Selector;
use client::kube::Resource;
use client::{Change, Error, ErrorExt, Informer, Key, Object, Patch, Writer, Writes, owner};
use serde_json::json;

use super::selector;

/// Name of the index that [`by_owner`] makes.
pub const OWNER: &str = "owner";

/// Index function: uid of the controller, or `/<namespace>` for objects without one.
pub fn by_owner<K: Resource>(object: &K) -> Vec<String> {
    let meta = object.meta();
    match owner::controller_of(meta) {
        Some(reference) => vec![reference.uid.clone()],
        None => vec![orphans(meta.namespace.as_deref().unwrap_or_default())],
    }
}

/// The index value of a namespace's orphans.
pub fn orphans(namespace: &str) -> String {
    format!("/{namespace}")
}

/// The owners that a change of a dependent concerns: its controllers before and after, and for an orphan all whose selector it
/// meets.
pub fn concerned<K: Resource, O: Object<DynamicType = ()>>(
    change: &Change<K>,
    owners: &Informer<O>,
    selector_of: impl Fn(&O) -> Selector,
) -> Vec<Key> {
    let mut keys = Vec::new();
    for dependent in change.states() {
        match owner::controller_of(dependent.meta()) {
            Some(reference) if reference.kind == O::kind(&()) => {
                keys.push(Key::new(&change.key.namespace, &reference.name));
            }
            Some(_) => {}
            None => {
                let candidates = owners.store().list_namespace(&change.key.namespace);
                let matching = candidates
                    .iter()
                    .filter(|owner| selector::matches(&selector_of(owner), dependent.meta()));
                keys.extend(matching.map(|owner| Key::of(&**owner)));
            }
        }
    }
    keys.dedup();
    keys
}

/// What is to be done about ownership, and what is owned already.
#[derive(Debug)]
pub struct Claims<K> {
    /// Owned and matching: the controller works with these.
    pub owned: Vec<Arc<K>>,
    /// Orphans that match.
    pub adopt: Vec<Arc<K>>,
    /// Owned, but no longer matching.
    pub release: Vec<Arc<K>>,
}

/// Sorts candidates out. A controller that is being deleted neither adopts nor releases.
pub fn claim<K: Resource>(
    owner: &ObjectMeta,
    selector: &Selector,
    candidates: impl IntoIterator<Item = Arc<K>>,
) -> Claims<K> {
    let uid = owner.uid.as_deref().unwrap_or_default();
    let deleting = owner.deletion_timestamp.is_some();
    let mut claims = Claims { owned: Vec::new(), adopt: Vec::new(), release: Vec::new() };
    for object in candidates {
        let meta = object.meta();
        let matches = selector::matches(selector, meta);
        match owner::controller_of(meta) {
            Some(reference) if reference.uid == uid => {
                if matches {
                    claims.owned.push(object);
                } else if !deleting {
                    claims.release.push(object);
                }
            }
            Some(_) => {}
            None if matches && !deleting && meta.deletion_timestamp.is_none() => claims.adopt.push(object),
            None => {}
        }
    }
    claims
}

/// Writes ownership changes and gives everything owned afterwards. Adoption asks the server first whether `owner` is
/// still the same and not being deleted.
///
/// # Errors
/// When the server refuses; objects that have gone meanwhile are nobody's error.
pub async fn settle<O: Object<DynamicType = ()>, K: Object>(
    owner: &O,
    owners: &Writer<O>,
    dependents: &Writer<K>,
    claims: Claims<K>,
    writes: &Writes,
) -> Result<Vec<Arc<K>>, Error> {
    let mut owned = claims.owned;
    if !claims.adopt.is_empty() {
        let fresh = owners.get(&Key::of(owner)).await?;
        let same = fresh.meta().uid == owner.meta().uid && fresh.meta().deletion_timestamp.is_none();
        if same {
            let reference = owner::controller_ref(owner);
            for object in claims.adopt {
                match dependents.patch(writes, &Key::of(&*object), &adoption(&reference, object.meta())).await
                {
                    Ok(adopted) => owned.push(Arc::new(adopted)),
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    for object in claims.release {
        let patch = release(owner.meta(), object.meta());
        match dependents.patch(writes, &Key::of(&*object), &patch).await {
            // 422: the object was recreated under the same name, so the uid in the patch does not fit.
            Err(error) if !error.is_not_found() && error.status() != Some(422) => return Err(error),
            _ => {}
        }
    }
    Ok(owned)
}

fn adoption(reference: &OwnerReference, object: &ObjectMeta) -> Patch<serde_json::Value> {
    Patch::Strategic(json!({ "metadata": { "ownerReferences": [reference], "uid": object.uid } }))
}

fn release(owner: &ObjectMeta, object: &ObjectMeta) -> Patch<serde_json::Value> {
    let reference = json!({ "$patch": "delete", "uid": owner.uid });
    Patch::Strategic(json!({ "metadata": { "ownerReferences": [reference], "uid": object.uid } }))
}
