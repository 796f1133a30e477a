//! What kinds of object the server has, and how people name them.

use serde_json::Value;

use crate::error::{Error, Result};

/// One kind of object that the server serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ApiResource {
    /// API group; empty for the core.
    pub group: String,
    /// Version.
    pub version: String,
    /// Name in URLs.
    pub plural: String,
    /// Name of one.
    pub singular: String,
    /// Kind in objects.
    pub kind: String,
    /// Abbreviations.
    pub short_names: Vec<String>,
    /// Groups such as `all`.
    pub categories: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// What can be done.
    pub verbs: Vec<String>,
    /// Subresources by name.
    pub subresources: Vec<String>,
}

impl ApiResource {
    /// `apps/v1`, or `v1` for the core.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// URL of the collection, or of one object, in `namespace` when it is namespaced; all namespaces without one.
    pub fn path(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let mut path = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        if let Some(namespace) = namespace.filter(|_| self.namespaced) {
            path.push_str("/namespaces/");
            path.push_str(namespace);
        }
        path.push('/');
        path.push_str(&self.plural);
        if let Some(name) = name {
            path.push('/');
            path.push_str(name);
        }
        path
    }

    /// `deployment.apps`, or `pod` for the core: how one of it is called in messages.
    pub fn label(&self) -> String {
        if self.group.is_empty() {
            self.singular.clone()
        } else {
            format!("{}.{}", self.singular, self.group)
        }
    }

    /// `deployment.apps/NAME`.
    pub fn describe(&self, object: &Value) -> String {
        format!("{}/{}", self.label(), object["metadata"]["name"].as_str().unwrap_or_default())
    }

    /// Whether a verb is served.
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|served| served == verb)
    }
}

/// All kinds of a server, in its order of preference.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Resources(Vec<ApiResource>);

impl Resources {
    /// Reads aggregated discovery documents (`apidiscovery.k8s.io/v2`), the core's first.
    pub fn from_discovery<'a>(documents: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut found = Vec::new();
        for document in documents {
            for group in list(&document["items"]) {
                for version in list(&group["versions"]) {
                    for resource in list(&version["resources"]) {
                        found.push(parse(group, version, resource));
                    }
                }
            }
        }
        Self(found)
    }

    /// Every kind, every version.
    pub fn iter(&self) -> impl Iterator<Item = &ApiResource> {
        self.0.iter()
    }

    /// The kind that a person calls `name`: plural, singular, abbreviation or kind, in any case, with `.GROUP` or
    /// `.VERSION.GROUP` behind it when there are several.
    ///
    /// # Errors
    /// When the server has none.
    pub fn find(&self, name: &str) -> Result<&ApiResource> {
        let lower = name.to_lowercase();
        let (word, rest) = lower.split_once('.').unwrap_or((&lower, ""));
        let fits = |resource: &&ApiResource| {
            let group_fits = rest.is_empty()
                || resource.group == rest
                || rest.split_once('.') == Some((resource.version.as_str(), resource.group.as_str()))
                || (resource.group.is_empty() && rest == resource.version);
            group_fits && resource.is_called(word)
        };
        let exact = self
            .0
            .iter()
            .find(|resource| fits(resource) && !resource.short_names.iter().any(|short| short == word));
        exact
            .or_else(|| self.0.iter().find(fits))
            .ok_or_else(|| Error::Usage(format!("the server doesn't have a resource type {name:?}")))
    }

    /// The kinds that `names` asks for, separated by commas; a category such as `all` stands for its members.
    ///
    /// # Errors
    /// When the server lacks one.
    pub fn find_all(&self, names: &str) -> Result<Vec<&ApiResource>> {
        let mut found = Vec::new();
        for name in names.split(',').filter(|name| !name.is_empty()) {
            let members: Vec<_> = self
                .0
                .iter()
                .filter(|resource| resource.categories.iter().any(|category| category == name))
                .collect();
            if members.is_empty() {
                found.push(self.find(name)?);
            } else {
                for member in members {
                    let known = found.iter().any(|have: &&ApiResource| {
                        have.plural == member.plural && have.group == member.group
                    });
                    if !known {
                        found.push(member);
                    }
                }
            }
        }
        Ok(found)
    }

    /// The kind of an object that carries its own `apiVersion` and `kind`.
    ///
    /// # Errors
    /// When the server lacks it, or the object does not say.
    pub fn of(&self, object: &Value) -> Result<&ApiResource> {
        let kind = object["kind"].as_str().unwrap_or_default();
        let api_version = object["apiVersion"].as_str().unwrap_or_default();
        if kind.is_empty() || api_version.is_empty() {
            return Err(Error::Usage("an object must have apiVersion and kind".into()));
        }
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let fits = |resource: &&ApiResource| {
            resource.group == group && resource.version == version && resource.kind == kind
        };
        self.0.iter().find(fits).ok_or_else(|| {
            Error::Usage(format!(
                "resource mapping not found for name: {:?} namespace: {:?}: no matches for kind {kind:?} in version \
                 {api_version:?}\nensure CRDs are installed first",
                object["metadata"]["name"].as_str().unwrap_or_default(),
                object["metadata"]["namespace"].as_str().unwrap_or_default(),
            ))
        })
    }
}

impl ApiResource {
    fn is_called(&self, word: &str) -> bool {
        self.plural == word
            || self.singular == word
            || self.kind.to_lowercase() == word
            || self.short_names.iter().any(|short| short == word)
    }
}

fn parse(group: &Value, version: &Value, resource: &Value) -> ApiResource {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let texts = |value: &Value| list(value).iter().map(text).collect();
    let kind = text(&resource["responseKind"]["kind"]);
    let singular = text(&resource["singularResource"]);
    ApiResource {
        group: text(&group["metadata"]["name"]),
        version: text(&version["version"]),
        plural: text(&resource["resource"]),
        singular: if singular.is_empty() { kind.to_lowercase() } else { singular },
        kind,
        short_names: texts(&resource["shortNames"]),
        categories: texts(&resource["categories"]),
        namespaced: resource["scope"] == "Namespaced",
        verbs: texts(&resource["verbs"]),
        subresources: list(&resource["subresources"]).iter().map(|sub| text(&sub["subresource"])).collect(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resources() -> Resources {
        let resource = |plural: &str, singular: &str, kind: &str, short: &[&str], categories: &[&str]| {
            json!({"resource": plural, "singularResource": singular, "responseKind": {"kind": kind}, "scope": "Namespaced",
                   "shortNames": short, "categories": categories, "verbs": ["get"]})
        };
        let core = json!({"items": [{"metadata": {}, "versions": [{"version": "v1", "resources": [
            resource("pods", "pod", "Pod", &["po"], &["all"]), resource("events", "event", "Event", &["ev"], &[])]}]}]});
        let groups = json!({"items": [
            {"metadata": {"name": "apps"}, "versions": [{"version": "v1", "resources": [
                resource("deployments", "deployment", "Deployment", &["deploy"], &["all"])]}]},
            {"metadata": {"name": "events.k8s.io"}, "versions": [{"version": "v1", "resources": [
                resource("events", "event", "Event", &["ev"], &[])]}]}]});
        Resources::from_discovery([&core, &groups])
    }

    #[test]
    fn every_way_to_name_a_kind() {
        let resources = resources();
        for name in
            ["deployments", "deployment", "deploy", "Deployment", "deployments.apps", "deploy.v1.apps"]
        {
            assert_eq!(resources.find(name).unwrap().plural, "deployments", "{name}");
        }
        assert_eq!(resources.find("ev").unwrap().group, "");
        assert_eq!(resources.find("events.events.k8s.io").unwrap().group, "events.k8s.io");
        assert_eq!(resources.find("pods.v1").unwrap().kind, "Pod");
        assert!(resources.find("nonsense").is_err());
    }

    #[test]
    fn a_category_stands_for_its_members() {
        let resources = resources();
        let names: Vec<_> =
            resources.find_all("all").unwrap().iter().map(|found| found.plural.clone()).collect();
        assert_eq!(names, ["pods", "deployments"]);
    }

    #[test]
    fn paths() {
        let resources = resources();
        assert_eq!(
            resources.find("po").unwrap().path(Some("default"), Some("a")),
            "/api/v1/namespaces/default/pods/a"
        );
        assert_eq!(resources.find("deploy").unwrap().path(None, None), "/apis/apps/v1/deployments");
    }
}
