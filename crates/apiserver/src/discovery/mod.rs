//! Discovery documents, made from the rows that are served.

use std::sync::Arc;

use api_types::resource::{self, ResourceInfo, Subresource};
use serde_json::{Map, Value, json};

use crate::registry::Registry;

/// What is served: groups in order, each with its versions in order, each with its rows.
pub struct Directory {
    groups: Vec<Group>,
}

struct Group {
    name: String,
    versions: Vec<(String, Vec<Arc<ResourceInfo>>)>,
}

impl Directory {
    /// The registry's present state. Built-in groups come in upstream's order, others after them by name.
    pub fn of(registry: &Registry) -> Self {
        let endpoints = registry.endpoints();
        let mut groups: Vec<Group> = Vec::new();
        for group in resource::groups() {
            let versions = group.versions.iter().filter_map(|version| {
                let rows: Vec<_> = version
                    .resources
                    .iter()
                    .filter(|row| registry.endpoint(&row.group, &row.version, &row.plural).is_some())
                    .cloned()
                    .collect();
                (!rows.is_empty()).then(|| (version.version.to_owned(), rows))
            });
            let versions: Vec<_> = versions.collect();
            if !versions.is_empty() {
                groups.push(Group { name: group.name.to_owned(), versions });
            }
        }
        let mut custom: Vec<Arc<ResourceInfo>> = endpoints
            .iter()
            .map(|endpoint| &endpoint.info)
            .filter(|info| info.is_custom())
            .cloned()
            .collect();
        custom.sort_by(|a, b| {
            (&a.group, version_rank(&b.version), &a.plural).cmp(&(
                &b.group,
                version_rank(&a.version),
                &b.plural,
            ))
        });
        for info in custom {
            add(&mut groups, info);
        }
        Directory { groups }
    }

    fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }
}

fn add(groups: &mut Vec<Group>, info: Arc<ResourceInfo>) {
    let at = match groups.iter().position(|group| group.name == info.group) {
        Some(at) => at,
        None => {
            groups.push(Group { name: info.group.to_string(), versions: Vec::new() });
            groups.len() - 1
        }
    };
    let versions = &mut groups[at].versions;
    match versions.iter_mut().find(|(version, _)| *version == info.version) {
        Some((_, rows)) => rows.push(info),
        None => versions.push((info.version.to_string(), vec![info])),
    }
}

/// Whether a group is one of the API's own.
pub fn is_builtin(group: &str) -> bool {
    resource::groups().iter().any(|known| known.name == group)
}

/// The order of versions: `v2` before `v1` before `v1beta2` before `v1alpha1` before anything else. Greater is earlier.
pub fn version_rank(version: &str) -> (u8, u32, u32, String) {
    let parsed = || {
        let rest = version.strip_prefix('v')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major: u32 = rest[..digits].parse().ok()?;
        match &rest[digits..] {
            "" => Some((3, major, 0)),
            tail => {
                let (stage, minor) = match (tail.strip_prefix("beta"), tail.strip_prefix("alpha")) {
                    (Some(minor), _) => (2, minor),
                    (_, Some(minor)) => (1, minor),
                    _ => return None,
                };
                Some((stage, major, minor.parse().ok()?))
            }
        }
    };
    match parsed() {
        Some((stage, major, minor)) => (stage, major, minor, String::new()),
        None => (0, 0, 0, version.to_owned()),
    }
}

/// `/api`.
pub fn core_versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": address }],
    })
}

/// `/apis`.
pub fn group_list(directory: &Directory) -> Value {
    let groups: Vec<Value> =
        directory.groups.iter().filter(|group| !group.name.is_empty()).map(group_entry).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

/// `/apis/GROUP`.
pub fn group(directory: &Directory, name: &str) -> Option<Value> {
    let mut entry = group_entry(directory.group(name).filter(|group| !group.name.is_empty())?);
    entry["kind"] = "APIGroup".into();
    entry["apiVersion"] = "v1".into();
    Some(entry)
}

fn group_entry(group: &Group) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(
            |(version, _)| json!({ "groupVersion": format!("{}/{version}", group.name), "version": version }),
        )
        .collect();
    json!({ "name": group.name, "versions": versions, "preferredVersion": versions[0] })
}

/// `/api/v1` and `/apis/GROUP/VERSION`.
pub fn resource_list(directory: &Directory, group: &str, version: &str) -> Option<Value> {
    let (_, rows) = directory.group(group)?.versions.iter().find(|(v, _)| v == version)?;
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut resources = Vec::new();
    for row in rows {
        resources.push(legacy_resource(row));
        resources.extend(row.subresources.iter().map(|sub| legacy_subresource(row, sub)));
    }
    let mut list =
        json!({ "kind": "APIResourceList", "groupVersion": group_version, "resources": resources });
    if !group.is_empty() {
        list["apiVersion"] = "v1".into();
    }
    Some(list)
}

fn legacy_resource(row: &ResourceInfo) -> Value {
    let mut entry = Map::new();
    entry.insert("name".into(), row.plural.to_string().into());
    entry.insert("singularName".into(), row.singular.to_string().into());
    entry.insert("namespaced".into(), row.namespaced.into());
    entry.insert("kind".into(), row.kind.to_string().into());
    entry.insert("verbs".into(), verbs(row));
    if !row.short_names.is_empty() {
        entry.insert("shortNames".into(), strings(&row.short_names));
    }
    if !row.categories.is_empty() {
        entry.insert("categories".into(), strings(&row.categories));
    }
    if !row.storage_version_hash.is_empty() {
        entry.insert("storageVersionHash".into(), row.storage_version_hash.to_string().into());
    }
    entry.into()
}

fn legacy_subresource(row: &ResourceInfo, sub: &Subresource) -> Value {
    let mut entry = Map::new();
    entry.insert("name".into(), format!("{}/{}", row.plural, sub.name).into());
    entry.insert("singularName".into(), "".into());
    entry.insert("namespaced".into(), row.namespaced.into());
    if (&sub.group, &sub.version) != (&row.group, &row.version) {
        if !sub.group.is_empty() {
            entry.insert("group".into(), sub.group.to_string().into());
        }
        entry.insert("version".into(), sub.version.to_string().into());
    }
    entry.insert("kind".into(), sub.kind.to_string().into());
    entry.insert("verbs".into(), strings(&sub.verbs));
    entry.into()
}

/// The aggregated document of the core group or of all others.
pub fn aggregated(directory: &Directory, core: bool, version: &str) -> Value {
    let items: Vec<Value> = directory
        .groups
        .iter()
        .filter(|group| group.name.is_empty() == core)
        .map(|group| {
            let versions: Vec<Value> = group
                .versions
                .iter()
                .map(|(version, rows)| {
                    let resources: Vec<Value> = rows.iter().map(|row| aggregated_resource(row)).collect();
                    json!({ "version": version, "freshness": "Current", "resources": resources })
                })
                .collect();
            let metadata = if core { json!({}) } else { json!({ "name": group.name }) };
            json!({ "metadata": metadata, "versions": versions })
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": items,
    })
}

fn aggregated_resource(row: &ResourceInfo) -> Value {
    let custom = row.is_custom();
    let kind = |group: &str, version: &str, kind: &str| {
        // Built-in rows name the group and version only where they differ from the document's own.
        let same = !custom && (group, version) == (&*row.group, &*row.version);
        match same {
            true => json!({ "group": "", "version": "", "kind": kind }),
            false => json!({ "group": group, "version": version, "kind": kind }),
        }
    };
    let mut entry = Map::new();
    entry.insert("resource".into(), row.plural.to_string().into());
    entry.insert("responseKind".into(), kind(&row.group, &row.version, &row.kind));
    entry.insert("scope".into(), if row.namespaced { "Namespaced" } else { "Cluster" }.into());
    entry.insert("singularResource".into(), row.singular.to_string().into());
    entry.insert("verbs".into(), verbs(row));
    if !row.short_names.is_empty() {
        entry.insert("shortNames".into(), strings(&row.short_names));
    }
    if !row.categories.is_empty() {
        entry.insert("categories".into(), strings(&row.categories));
    }
    if !row.subresources.is_empty() {
        let subresources = row.subresources.iter().map(|sub| {
            json!({
                "subresource": sub.name,
                "responseKind": kind(&sub.group, &sub.version, &sub.kind),
                "verbs": strings(&sub.verbs),
            })
        });
        entry.insert("subresources".into(), subresources.collect());
    }
    entry.into()
}

/// What may be done; nothing is created or changed any more when the definition is being deleted.
fn verbs(row: &ResourceInfo) -> Value {
    match row.custom.as_ref().is_some_and(|custom| custom.is_terminating()) {
        true => json!(["delete", "deletecollection", "get", "list", "watch"]),
        false => strings(&row.verbs),
    }
}

fn strings(list: &[resource::Text]) -> Value {
    list.iter().map(|text| Value::from(text.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::version_rank;

    #[test]
    fn versions_are_ordered() {
        let mut versions = ["v1alpha1", "foo", "v1", "v2beta1", "v10", "v1beta2"];
        versions.sort_by_key(|version| std::cmp::Reverse(version_rank(version)));
        assert_eq!(versions, ["v10", "v1", "v2beta1", "v1beta2", "v1alpha1", "foo"]);
    }
}
