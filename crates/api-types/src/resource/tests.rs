use serde_json::Value;

use super::*;

fn facts(name: &str) -> Value {
    let shared = std::env::var_os("COXSWAIN_SHARED").map_or_else(
        || std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests"),
        std::path::PathBuf::from,
    );
    let path = shared.join("facts/discovery").join(name);
    let text =
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; set COXSWAIN_SHARED", path.display()));
    serde_json::from_slice(&text).unwrap()
}

/// Aggregated discovery of groups as the rows tell it.
fn rendered(groups: impl Iterator<Item = &'static Group>) -> Vec<Value> {
    groups
        .map(|group| {
            let versions: Vec<Value> = group
                .versions
                .iter()
                .filter(|v| v.served_by_default)
                .map(|version| {
                    let served = version.resources.iter().filter(|r| r.served_by_default);
                    serde_json::json!({
                        "version": version.version,
                        "freshness": "Current",
                        "resources": served.map(|r| entry(r)).collect::<Vec<_>>(),
                    })
                })
                .collect();
            let metadata = if group.name.is_empty() {
                serde_json::json!({})
            } else {
                serde_json::json!({"name": group.name})
            };
            serde_json::json!({"metadata": metadata, "versions": versions})
        })
        .filter(|g| g["versions"] != serde_json::json!([]))
        .collect()
}

fn entry(row: &ResourceInfo) -> Value {
    let kind = |group: &str, version: &str, kind: &str| {
        let own = group == row.group && version == row.version;
        let (group, version) = if own { ("", "") } else { (group, version) };
        serde_json::json!({"group": group, "version": version, "kind": kind})
    };
    let mut entry = serde_json::json!({
        "resource": row.plural, "responseKind": kind(&row.group, &row.version, &row.kind),
        "scope": if row.namespaced { "Namespaced" } else { "Cluster" }, "singularResource": row.singular, "verbs": row.verbs,
    });
    let subresources: Vec<Value> = row
        .subresources
        .iter()
        .map(|s| serde_json::json!({"subresource": s.name, "responseKind": kind(&s.group, &s.version, &s.kind), "verbs": s.verbs}))
        .collect();
    for (name, list) in [
        ("shortNames", serde_json::json!(row.short_names)),
        ("categories", serde_json::json!(row.categories)),
        ("subresources", Value::Array(subresources)),
    ] {
        if list != serde_json::json!([]) {
            entry[name] = list;
        }
    }
    entry
}

#[test]
fn rows_render_the_discovery_documents() {
    for (document, core) in [("api_aggregated_v2.json", true), ("apis_aggregated_v2.json", false)] {
        let wanted = facts(document);
        let got = rendered(groups().iter().filter(|g| g.name.is_empty() == core));
        let wanted = wanted["items"].as_array().unwrap();
        assert_eq!(got.len(), wanted.len());
        for (got, want) in got.iter().zip(wanted) {
            assert_eq!(got, want, "{}", want["metadata"]["name"]);
        }
    }
}

#[test]
fn rows_are_complete() {
    assert_eq!(builtin().len(), 95);
    for row in builtin() {
        assert!(!row.schema.type_name.is_empty(), "{}", row.group_resource());
        assert_eq!(row.has_verb("watch"), !row.key_prefix.is_empty(), "{}", row.group_resource());
        assert_eq!(row.key_prefix.is_empty(), row.stored_kind.is_empty(), "{}", row.group_resource());
        for field in &row.selectable_fields {
            let known = field.path.starts_with("metadata.") || row.schema.at(&field.path).is_some();
            assert!(known, "{}: {}", row.group_resource(), field.path);
        }
        assert!(find(&row.group, &row.version, &row.plural).is_some());
    }
    let nodes = find("", "v1", "nodes").unwrap();
    assert_eq!(
        (&*nodes.key_prefix, &*nodes.api_version(), nodes.namespaced),
        ("/registry/minions", "v1", false)
    );
    assert_eq!(find_kind("apps", "v1", "Deployment").unwrap().group_resource(), "deployments.apps");
    assert!(find("apps", "v1", "pods").is_none());
}
