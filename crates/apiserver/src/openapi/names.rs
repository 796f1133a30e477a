//! Names in the documents: operations, tags, definitions.

use api_types::resource::ResourceInfo;

/// A group version and the forms in which its name appears.
pub struct GroupVersion {
    group: String,
    version: String,
}

impl GroupVersion {
    /// Of a group (empty for the core group) and a version.
    pub fn new(group: &str, version: &str) -> Self {
        GroupVersion { group: group.to_owned(), version: version.to_owned() }
    }

    /// `/api/v1`, `/apis/apps/v1`
    pub fn base(&self) -> String {
        match &*self.group {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        }
    }

    /// `core_v1`, `rbacAuthorization_v1`
    pub fn tag(&self) -> String {
        format!("{}_{}", group_tag(&self.group), self.version)
    }

    /// `listCoreV1NamespacedPod`. In `deleteCollection` the group stands between the two words.
    pub fn operation(&self, verb: &str, scope: &str, kind: &str) -> String {
        let group = format!("{}{}", capital_group(&self.group), capital(&self.version));
        match verb {
            "deleteCollection" => format!("delete{group}Collection{scope}{kind}"),
            _ => format!("{verb}{group}{scope}{kind}"),
        }
    }
}

/// `Core`, `Apps`, `RbacAuthorization`; groups of others keep their whole name.
pub fn capital_group(group: &str) -> String {
    let group = if group.is_empty() { "core" } else { group };
    let short = group.strip_suffix(".k8s.io").unwrap_or(group);
    short.split(['.', '-']).map(capital).collect()
}

/// `core`, `apps`, `rbacAuthorization`
pub fn group_tag(group: &str) -> String {
    let capital = capital_group(group);
    let mut letters = capital.chars();
    letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect()
}

/// With a capital first letter.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// The definition of a custom resource: `com.example.stable.v1.CronTab`.
pub fn custom_definition(info: &ResourceInfo) -> String {
    let mut parts: Vec<&str> = info.group.split('.').collect();
    parts.reverse();
    format!("{}.{}.{}", parts.join("."), info.version, info.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_clients() {
        let rbac = GroupVersion::new("rbac.authorization.k8s.io", "v1");
        assert_eq!(rbac.tag(), "rbacAuthorization_v1");
        assert_eq!(rbac.operation("list", "", "ClusterRole"), "listRbacAuthorizationV1ClusterRole");
        let core = GroupVersion::new("", "v1");
        assert_eq!(
            core.operation("deleteCollection", "Namespaced", "Pod"),
            "deleteCoreV1CollectionNamespacedPod"
        );
        assert_eq!(capital_group("stable.example.com"), "StableExampleCom");
    }
}
