//! The rows that a definition makes: the same that built-in resources have.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use api_types::resource::{self, ResourceInfo, ScalePaths, SelectableField, Subresource, Text};
use api_types::schema::{self, SchemaRef};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::definition::{Definition, Version};

/// What may be done with the objects, in the order of discovery documents.
const VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

/// Rows of the served versions, each with the row of the stored version.
pub fn of(
    definition: &Arc<Definition>,
    terminating: &Arc<AtomicBool>,
) -> Vec<(Arc<ResourceInfo>, Arc<ResourceInfo>)> {
    let Some(stored) = definition.storage_version() else { return Vec::new() };
    let versions = &definition.spec.versions;
    let mut hub = row(definition, stored, terminating);
    // The cache extracts selectable fields once, for the users of all versions.
    for version in versions {
        for field in selectable_fields(version) {
            if !hub.selectable_fields.contains(&field) {
                hub.selectable_fields.push(field);
            }
        }
    }
    let hub = Arc::new(hub);
    let served = versions.iter().filter(|version| version.served);
    served.map(|version| (Arc::new(row(definition, version, terminating)), Arc::clone(&hub))).collect()
}

fn row(definition: &Arc<Definition>, version: &Version, terminating: &Arc<AtomicBool>) -> ResourceInfo {
    let Definition { metadata, spec, status, .. } = &**definition;
    let names = &status.accepted_names;
    let owned = |text: &str| Text::Owned(text.to_owned());
    let stored = definition.storage_version().map_or("", |stored| stored.name.as_str());
    ResourceInfo {
        group: owned(&spec.group),
        version: owned(&version.name),
        plural: owned(&names.plural),
        singular: owned(&names.singular),
        kind: owned(&names.kind),
        list_kind: owned(&names.list_kind),
        namespaced: spec.scope == "Namespaced",
        verbs: VERBS.map(Text::Borrowed).to_vec(),
        short_names: names.short_names.iter().map(|name| owned(name)).collect(),
        categories: names.categories.iter().map(|name| owned(name)).collect(),
        subresources: subresources(definition, version),
        key_prefix: Text::Owned(format!("/registry/{}/{}", spec.group, names.plural)),
        stored_api_version: Text::Owned(format!("{}/{stored}", spec.group)),
        stored_kind: owned(&names.kind),
        selectable_fields: selectable_fields(version),
        columns: version.additional_printer_columns.iter().map(column).collect(),
        schema: schema_of(definition, version),
        served_by_default: true,
        storage_version_hash: Text::Owned(version_hash(&spec.group, stored, &names.kind)),
        custom: Some(Arc::new(resource::Custom {
            revision: format!("{}/{}", metadata.uid, metadata.generation),
            deprecation: deprecation(definition, version),
            converted: spec.conversion.as_ref().is_some_and(|found| found.strategy == "Webhook"),
            scale: scale_paths(version),
            terminating: Arc::clone(terminating),
        })),
    }
}

fn subresources(definition: &Definition, version: &Version) -> Vec<Subresource> {
    let row = |name, group: &str, version: &str, kind: &str| Subresource {
        name: Text::Borrowed(name),
        group: Text::Owned(group.to_owned()),
        version: Text::Owned(version.to_owned()),
        kind: Text::Owned(kind.to_owned()),
        verbs: ["get", "patch", "update"].map(Text::Borrowed).to_vec(),
    };
    let declared = version.subresources.as_ref();
    let status = declared.and_then(|subresources| subresources.status.as_ref());
    let scale = declared.and_then(|subresources| subresources.scale.as_ref());
    let kind = &definition.status.accepted_names.kind;
    let status = status.map(|_| row("status", &definition.spec.group, &version.name, kind));
    status.into_iter().chain(scale.map(|_| row("scale", "autoscaling", "v1", "Scale"))).collect()
}

fn scale_paths(version: &Version) -> Option<ScalePaths> {
    let scale = version.subresources.as_ref()?.scale.as_ref()?;
    let dotted = |path: &str| path.trim_start_matches('.').to_owned();
    Some(ScalePaths {
        spec_replicas: dotted(&scale.spec_replicas_path),
        status_replicas: dotted(&scale.status_replicas_path),
        label_selector: scale.label_selector_path.as_deref().map(dotted).unwrap_or_default(),
    })
}

fn selectable_fields(version: &Version) -> Vec<SelectableField> {
    let always = ["metadata.name", "metadata.namespace"];
    let declared = version.selectable_fields.iter().map(|field| field.json_path.trim_start_matches('.'));
    let field = |path: &str| SelectableField {
        label: Text::Owned(path.to_owned()),
        path: Text::Owned(path.to_owned()),
    };
    always.into_iter().chain(declared).map(field).collect()
}

fn column(column: &super::definition::Column) -> resource::Column {
    let owned = |text: &str| Text::Owned(text.to_owned());
    resource::Column {
        name: owned(&column.name),
        type_: owned(&column.type_),
        format: owned(&column.format),
        priority: column.priority,
        json_path: owned(&column.json_path),
        description: owned(&column.description),
    }
}

fn deprecation(definition: &Definition, version: &Version) -> String {
    let standard = || {
        let kind = &definition.status.accepted_names.kind;
        format!("{}/{} {kind} is deprecated", definition.spec.group, version.name)
    };
    match (version.deprecated, &version.deprecation_warning) {
        (false, _) => String::new(),
        (true, Some(own)) => own.clone(),
        (true, None) => standard(),
    }
}

/// The schema's tree, made when somebody uses the resource. A schema that cannot be read was refused when the definition
/// was written; one that was stored by others is told of in the log, and objects are kept as they are.
fn schema_of(definition: &Arc<Definition>, version: &Version) -> SchemaRef {
    let (definition, version) = (Arc::clone(definition), version.name.clone());
    SchemaRef::deferred(move || {
        let name = &definition.metadata.name;
        let written = definition.schema(&version).unwrap_or_else(|error| {
            tracing::error!(definition = name, version, %error, "reading the schema of a custom resource");
            None
        });
        schema::custom_root(written.as_ref()).unwrap_or_else(|error| {
            tracing::error!(definition = name, version, %error, "the schema cannot be used; nothing is checked");
            schema::custom_root(None).unwrap_or_default()
        })
    })
}

/// Discovery's `storageVersionHash`: the beginning of a hash of what is stored.
fn version_hash(group: &str, version: &str, kind: &str) -> String {
    let hash = Sha256::digest(format!("{group}/{version}/{kind}"));
    STANDARD.encode(&hash[..8])
}
