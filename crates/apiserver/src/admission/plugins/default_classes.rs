//! DefaultStorageClass and DefaultIngressClass: what names no class gets the default one.

use std::cmp::Reverse;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::Dependencies;
use super::support::{annotation, fetch_all, text};
use crate::admission::{Operation, Plugin, Reader, Request};
use crate::error::Error;

pub(super) fn make_storage(_: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(DefaultClass {
        name: "DefaultStorageClass",
        of: ("", "persistentvolumeclaims"),
        field: "storageClassName",
        old_annotation: "volume.beta.kubernetes.io/storage-class",
        classes: ("storage.k8s.io", "storageclasses"),
        marks: &[
            "storageclass.kubernetes.io/is-default-class",
            "storageclass.beta.kubernetes.io/is-default-class",
        ],
    })
}

pub(super) fn make_ingress(_: &Dependencies) -> Arc<dyn Plugin> {
    Arc::new(DefaultClass {
        name: "DefaultIngressClass",
        of: ("networking.k8s.io", "ingresses"),
        field: "ingressClassName",
        old_annotation: "kubernetes.io/ingress.class",
        classes: ("networking.k8s.io", "ingressclasses"),
        marks: &["ingressclass.kubernetes.io/is-default-class"],
    })
}

struct DefaultClass {
    name: &'static str,
    of: (&'static str, &'static str),
    field: &'static str,
    /// How the class was named before the field existed.
    old_annotation: &'static str,
    classes: (&'static str, &'static str),
    /// Annotations of the default class.
    marks: &'static [&'static str],
}

#[async_trait]
impl Plugin for DefaultClass {
    fn name(&self) -> &'static str {
        self.name
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, request: &mut Request<'_>, reader: &dyn Reader) -> Result<(), Error> {
        let object = request.is(self.of.0, self.of.1).then_some(request.object.as_mut()).flatten();
        let Some(object) = object else { return Ok(()) };
        // An empty name is a name: no class.
        let named = object["spec"].get(self.field).is_some_and(|v| !v.is_null());
        if named || annotation(object, self.old_annotation).is_some() {
            return Ok(());
        }
        let classes: Vec<Value> = fetch_all(reader, self.classes, "").await?;
        if let Some(class) = newest(classes.iter().filter(|class| self.is_default(class))) {
            object["spec"][self.field] = class.into();
        }
        Ok(())
    }
}

impl DefaultClass {
    fn is_default(&self, class: &Value) -> bool {
        self.marks.iter().any(|mark| annotation(class, mark) == Some("true"))
    }
}

/// The name of the newest class; of equally old ones, the first by name.
fn newest<'c>(classes: impl Iterator<Item = &'c Value>) -> Option<&'c str> {
    let name = |class: &&'c Value| text(class, "/metadata/name");
    classes
        .max_by_key(|c| (text(c, "/metadata/creationTimestamp"), Reverse(name(c))))
        .map(|class| name(&class))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{World, create, dependencies};
    use super::*;

    #[tokio::test]
    async fn the_newest_default_is_taken() {
        let class = |name: &str, created: &str, default: &str| json!({"metadata": {"name": name, "creationTimestamp": created, "annotations": {"storageclass.kubernetes.io/is-default-class": default}}});
        let world = World::with(&[
            ("storage.k8s.io/storageclasses//a", class("a", "2026-01-01T00:00:00Z", "true")),
            ("storage.k8s.io/storageclasses//b", class("b", "2026-01-02T00:00:00Z", "true")),
            ("storage.k8s.io/storageclasses//c", class("c", "2026-01-02T00:00:00Z", "true")),
            ("storage.k8s.io/storageclasses//d", class("d", "2026-01-03T00:00:00Z", "false")),
        ]);
        let plugin = make_storage(&dependencies(&world));
        for (spec, expected) in [
            (json!({}), json!("b")),
            (json!({"storageClassName": ""}), json!("")),
            (json!({"storageClassName": "x"}), json!("x")),
        ] {
            let claim = create("", "persistentvolumeclaims", json!({"spec": spec}));
            let answer = claim.put_to(&*plugin, &world).await.unwrap().object;
            assert_eq!(answer["spec"]["storageClassName"], expected);
        }
    }
}
