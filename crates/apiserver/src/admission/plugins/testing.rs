//! A reader over objects given by a test, and requests to put to a plug-in.

use std::collections::BTreeMap;
use std::sync::Arc;

use access::UserInfo;
use access::authz::{Authorizer, Mode, Rbac};
use api_types::resource::ResourceInfo;
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::Dependencies;
use crate::admission::policy::Policies;
use crate::admission::webhook::Webhooks;
use crate::admission::{Operation, Plugin, Reader, Request, Versions};
use crate::error::Result;
use crate::loopback::{Objects, Target};
use crate::outbound::Resolve;

/// Objects by `group/resource/namespace/name`.
#[derive(Default)]
pub(super) struct World(pub(super) Mutex<BTreeMap<String, Value>>);

impl World {
    pub(super) fn with(objects: &[(&str, Value)]) -> Arc<Self> {
        let objects = objects.iter().map(|(path, object)| ((*path).to_owned(), object.clone()));
        Arc::new(Self(Mutex::new(objects.collect())))
    }

    fn at(&self, path: &str) -> Option<Value> {
        self.0.lock().get(path).cloned()
    }
}

#[async_trait]
impl Reader for World {
    async fn get(
        &self,
        group: &str,
        resource: &str,
        namespace: &str,
        name: &str,
        _: bool,
    ) -> Result<Option<Bytes>> {
        Ok(self.at(&format!("{group}/{resource}/{namespace}/{name}")).map(|o| o.to_string().into()))
    }

    async fn list(&self, group: &str, resource: &str, namespace: &str) -> Result<Vec<Bytes>> {
        let prefix = match namespace {
            "" => format!("{group}/{resource}/"),
            _ => format!("{group}/{resource}/{namespace}/"),
        };
        let objects = self.0.lock();
        Ok(objects
            .iter()
            .filter(|(p, _)| p.starts_with(&prefix))
            .map(|(_, o)| o.to_string().into())
            .collect())
    }
}

#[async_trait]
impl Versions for World {
    fn equivalents(&self, _: &ResourceInfo) -> Vec<Arc<ResourceInfo>> {
        Vec::new()
    }

    async fn convert(&self, _: &ResourceInfo, _: &ResourceInfo, object: &Value) -> Result<Value> {
        Ok(object.clone())
    }

    fn of_kind(&self, group: &str, version: &str, kind: &str) -> Option<Arc<ResourceInfo>> {
        api_types::resource::find_kind(group, version, kind)
    }

    async fn get(&self, row: &ResourceInfo, namespace: &str, name: &str) -> Result<Option<Value>> {
        Ok(self.at(&format!("{}/{}/{namespace}/{name}", row.group, row.plural)))
    }

    async fn list(&self, row: &ResourceInfo, namespace: &str) -> Result<Vec<Value>> {
        let prefix = format!("{}/{}/{namespace}", row.group, row.plural);
        Ok(self
            .0
            .lock()
            .iter()
            .filter(|(path, _)| path.starts_with(&prefix))
            .map(|(_, o)| o.clone())
            .collect())
    }
}

#[async_trait]
impl Resolve for World {
    async fn resolve(&self, _: &str, name: &str, _: u16) -> std::result::Result<(String, u16), String> {
        Err(format!("service {name:?} not found"))
    }
}

fn path(t: Target<'_>) -> String {
    format!("{}/{}/{}/{}", t.group, t.resource, t.namespace, t.name)
}

#[async_trait]
impl Objects for World {
    async fn get(&self, target: Target<'_>) -> Result<Option<Value>> {
        Ok(self.at(&path(target)))
    }

    async fn create(&self, target: Target<'_>, object: Value) -> Result<Value> {
        self.update(target, object).await
    }

    async fn update(&self, target: Target<'_>, object: Value) -> Result<Value> {
        self.0.lock().insert(path(target), object.clone());
        Ok(object)
    }

    async fn delete(&self, target: Target<'_>) -> Result<()> {
        self.0.lock().remove(&path(target));
        Ok(())
    }
}

/// Dependencies over a world, with an empty RBAC: only `system:masters` may do anything more.
pub(super) fn dependencies(world: &Arc<World>) -> Dependencies {
    let rbac = Arc::new(Rbac::new());
    Dependencies {
        authorizer: Arc::new(Authorizer::new(vec![Mode::Rbac(rbac.clone())])),
        rbac,
        objects: world.clone(),
        policies: Policies::new(
            world.clone(),
            Arc::new(Authorizer::new(vec![Mode::Rbac(Arc::new(Rbac::new()))])),
        ),
        webhooks: Webhooks::new(
            world.clone(),
            world.clone(),
            world.clone(),
            Arc::new(Authorizer::new(Vec::new())),
        ),
        api_audiences: vec!["api".into()],
    }
}

/// A request under construction.
pub(super) struct Ask {
    pub(super) operation: Operation,
    pub(super) group: &'static str,
    pub(super) resource: &'static str,
    pub(super) subresource: &'static str,
    pub(super) namespace: &'static str,
    pub(super) name: &'static str,
    pub(super) user: UserInfo,
    pub(super) dry_run: bool,
    pub(super) object: Option<Value>,
    pub(super) old_object: Option<Value>,
}

/// What a plug-in made of a request.
pub(super) struct Answer {
    pub(super) object: Value,
    pub(super) warnings: Vec<String>,
}

/// The creation of an object in namespace `ns`.
pub(super) fn create(group: &'static str, resource: &'static str, object: Value) -> Ask {
    Ask {
        operation: Operation::Create,
        group,
        resource,
        subresource: "",
        namespace: "ns",
        name: "x",
        user: UserInfo::new("alice", ["system:authenticated"]),
        dry_run: false,
        object: Some(object),
        old_object: None,
    }
}

/// An update of an object in namespace `ns`.
pub(super) fn update(group: &'static str, resource: &'static str, old: Value, new: Value) -> Ask {
    Ask { operation: Operation::Update, old_object: Some(old), ..create(group, resource, new) }
}

impl Ask {
    /// As a kubelet asks.
    pub(super) fn by_node(self, node: &str) -> Self {
        Self { user: UserInfo::new(format!("system:node:{node}"), ["system:nodes"]), ..self }
    }

    pub(super) fn on(self, subresource: &'static str) -> Self {
        Self { subresource, ..self }
    }

    pub(super) fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// Runs one plug-in, both phases.
    pub(super) async fn put_to(
        self,
        plugin: &dyn Plugin,
        world: &Arc<World>,
    ) -> std::result::Result<Answer, String> {
        let info = api_types::resource::builtin()
            .iter()
            .find(|info| info.group == self.group && info.plural == self.resource)
            .expect("a built-in resource");
        let options = json!({});
        let mut request = Request {
            subresource: self.subresource,
            namespace: if info.namespaced { self.namespace } else { "" },
            name: self.name,
            dry_run: self.dry_run,
            object: self.object,
            old_object: self.old_object.as_ref(),
            ..Request::new(self.operation, info, &self.user, &options)
        };
        if plugin.handles(request.operation) {
            plugin.mutate(&mut request, &**world).await.map_err(|e| e.to_string())?;
            plugin.validate(&request, &**world).await.map_err(|e| e.to_string())?;
        }
        Ok(Answer { object: request.object.unwrap_or_default(), warnings: request.warnings.into_inner() })
    }
}
