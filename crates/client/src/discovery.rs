//! What the server serves: every resource with its verbs, in two requests (aggregated discovery, KEP-3352).

use kube::api::ApiResource;
use kube::{Client, Error};
use serde::Deserialize;

/// A served resource in the group's preferred version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Served {
    /// Group, version, kind and plural, as dynamic clients want them.
    pub resource: ApiResource,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Verbs it supports.
    pub verbs: Vec<String>,
}

impl Served {
    /// Whether all of `verbs` are supported.
    pub fn can(&self, verbs: &[&str]) -> bool {
        verbs.iter().all(|verb| self.verbs.iter().any(|known| known == verb))
    }
}

/// All served resources, without subresources. `complete` is false when an aggregated server did not answer, so that
/// resources may be missing.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// The resources.
    pub resources: Vec<Served>,
    /// Whether nothing is missing.
    pub complete: bool,
}

/// Asks the server.
///
/// # Errors
/// When the server does not answer or refuses.
pub async fn discover(client: &Client) -> Result<Discovery, Error> {
    let mut found = Discovery { resources: Vec::new(), complete: true };
    for root in ["/api", "/apis"] {
        let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let request = http::Request::get(root)
            .header(http::header::ACCEPT, accept)
            .body(Vec::new())
            .map_err(Error::HttpError)?;
        let list: Groups = client.request(request).await?;
        for group in list.items {
            found.add(group);
        }
    }
    Ok(found)
}

impl Discovery {
    fn add(&mut self, group: Group) {
        let mut seen: Vec<String> = Vec::new();
        for version in group.versions {
            self.complete &= version.freshness != "Stale";
            for resource in version.resources {
                // Versions come preferred first; a resource that only a lower one has is taken from there.
                if seen.contains(&resource.resource) {
                    continue;
                }
                seen.push(resource.resource.clone());
                let kind = resource.response_kind.unwrap_or_default();
                let kind_group = if kind.group.is_empty() { group.metadata.name.clone() } else { kind.group };
                let api_version = if kind_group.is_empty() {
                    version.version.clone()
                } else {
                    format!("{kind_group}/{}", version.version)
                };
                self.resources.push(Served {
                    resource: ApiResource {
                        group: group.metadata.name.clone(),
                        version: version.version.clone(),
                        api_version,
                        kind: kind.kind,
                        plural: resource.resource,
                    },
                    namespaced: resource.scope == "Namespaced",
                    verbs: resource.verbs,
                });
            }
        }
    }
}

#[derive(Deserialize)]
struct Groups {
    #[serde(default)]
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: Name,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Default, Deserialize)]
struct Name {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    freshness: String,
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    resource: String,
    response_kind: Option<Kind>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    verbs: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Kind {
    #[serde(default)]
    group: String,
    #[serde(default)]
    kind: String,
}
