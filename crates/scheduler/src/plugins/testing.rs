//! Small worlds for tests of plugins.

use std::sync::Arc;

use api_types::k8s::api::core::v1::{Node, Pod};
use component::features::Features;

use super::Build;
use crate::cache::{Cache, NodeInfo, PodInfo};
use crate::config::{Args, PluginConfig};
use crate::framework::{Objects, Snapshot};
use crate::queue::Nominated;

/// A world to decide in.
pub struct World {
    pub cache: Cache,
    pub objects: Objects,
    pub nominated: Nominated,
}

impl World {
    pub fn new() -> Self {
        Self { cache: Cache::default(), objects: Objects::detached(), nominated: Nominated::default() }
    }

    pub fn with_snapshot<T>(&self, work: impl FnOnce(&Snapshot<'_>) -> T) -> T {
        work(&Snapshot { cache: &self.cache, objects: &self.objects, nominated: &self.nominated })
    }

    /// Adds a node from YAML.
    pub fn add_node(&mut self, yaml: &str) -> &mut Self {
        self.cache.set_node(Arc::new(serde_yaml::from_str::<Node>(yaml).unwrap()));
        self.cache.settle();
        self
    }

    /// Adds a bound pod from YAML.
    pub fn add_pod(&mut self, yaml: &str) -> &mut Self {
        self.cache.set_pod(pod(yaml));
        self
    }
}

pub fn empty_cache() -> World {
    World::new()
}

pub fn pod(yaml: &str) -> Arc<PodInfo> {
    Arc::new(PodInfo::new(Arc::new(serde_yaml::from_str::<Pod>(yaml).unwrap())))
}

/// A pod with one container that requests, for example, `cpu: 500m`.
pub fn pod_requesting(requests: &str) -> Arc<PodInfo> {
    pod(&format!(
        "metadata: {{name: p, namespace: d, uid: p}}
spec: {{containers: [{{name: c, resources: {{requests: {{{requests}}}}}}}]}}"
    ))
}

/// A node with this allocatable and a pod for each of these requests.
pub fn node(allocatable: &str, pods: &[&str]) -> NodeInfo {
    let text = format!("metadata: {{name: n}}\nstatus: {{allocatable: {allocatable}}}");
    let mut node = NodeInfo::named(0, "n".into());
    node.set_node(Some(Arc::new(serde_yaml::from_str(&text).unwrap())));
    for requests in pods {
        node.add_pod(pod_requesting(requests));
    }
    node
}

/// Makes a plugin with these arguments, whatever its name.
pub fn build<T>(args: &str, make: impl FnOnce(&Build<'_>) -> T) -> T {
    let args: serde_yaml::Value = serde_yaml::from_str(args).unwrap();
    let names = [
        "NodeResourcesFit",
        "NodeResourcesBalancedAllocation",
        "NodeAffinity",
        "InterPodAffinity",
        "PodTopologySpread",
        "DefaultPreemption",
        "VolumeBinding",
        "DynamicResources",
    ];
    let configs: Vec<PluginConfig> =
        names.iter().map(|name| PluginConfig { name: (*name).to_owned(), args: args.clone() }).collect();
    make(&Build { args: Args(&configs), features: &Features::default(), objects: &Objects::detached() })
}
