//! Custom resource definitions: names, versions, conversion, columns; their schemas are in [`schema`].

pub mod approval;
mod internal;
mod schema;
mod subresources;

use serde_json::Value;

pub use internal::rule as shown_rule;

use super::Validator;
use super::admission::{validate_service, validate_url};
use super::check::{immutable, one_of};
use super::get::{at, flag, get, items, text, texts};
use crate::field::{ErrorList, Path};
use crate::name;

/// Rules of `CustomResourceDefinition`.
pub static CUSTOM_RESOURCE_DEFINITION: Validator = Validator { name: name::subdomain_rule, create, update };

const SPEC: Path<'static> = Path::new("spec");
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 12] = [
    "int32",
    "int64",
    "float",
    "double",
    "byte",
    "binary",
    "date",
    "date-time",
    "password",
    "bool",
    "string",
    "name",
];

fn create(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    let name = text(&object["metadata"], "name");
    let required = format!("{}.{}", text(&spec["names"], "plural"), text(spec, "group"));
    if name != required {
        errors.invalid(&Path::new("metadata.name"), name, "must be spec.names.plural+\".\"+spec.group");
    }
    errors.append(definition(object));
    stored_versions(&mut errors, object);
    approval::validate(&mut errors, object, None);
    errors
}

fn update(new: &Value, old: &Value) -> ErrorList {
    let mut errors = definition(new);
    let (spec, before) = (&new["spec"], &old["spec"]);
    let names = SPEC.child("names");
    let is_established = items(&old["status"], "conditions")
        .iter()
        .any(|c| text(c, "type") == "Established" && text(c, "status") == "True");
    if is_established {
        immutable(&mut errors, &SPEC, spec, before, "scope");
        immutable(&mut errors, &names, &spec["names"], &before["names"], "kind");
    }
    immutable(&mut errors, &SPEC, spec, before, "group");
    immutable(&mut errors, &names, &spec["names"], &before["names"], "plural");
    stored_versions(&mut errors, new);
    approval::validate(&mut errors, new, Some(old));
    errors
}

/// Rules of new and changed definitions alike.
fn definition(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    group(&mut errors, text(spec, "group"));
    one_of(&mut errors, &SPEC.child("scope"), text(spec, "scope"), &["Cluster", "Namespaced"]);
    versions(&mut errors, spec);
    names(&mut errors, &SPEC.child("names"), &spec["names"]);
    hoisted(&mut errors, spec);
    conversion(&mut errors, spec);
    if flag(spec, "preserveUnknownFields") {
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in \
            spec.versions[*].schema instead";
        errors.invalid(&SPEC.child("preserveUnknownFields"), true, detail);
    }
    errors
}

fn group(errors: &mut ErrorList, group: &str) {
    let path = SPEC.child("group");
    if group.is_empty() {
        return errors.required(&path, "");
    }
    let wrong = name::dns1123_subdomain(group);
    if !wrong.is_empty() {
        errors.invalid(&path, group, wrong.join(","));
    } else if !group.contains('.') {
        errors.invalid(&path, group, "should be a domain with at least one dot");
    }
}

/// Schemas, columns and subresources that all versions share are one to upstream, above the versions.
fn shared<'v>(spec: &'v Value, key: &str) -> Option<&'v Value> {
    let versions = items(spec, "versions");
    let first = versions.first().and_then(|v| get(v, key))?;
    versions.iter().all(|v| get(v, key) == Some(first)).then_some(first)
}

/// The schemas of a definition's versions and where upstream reports their faults: at their versions, or above them
/// when they are one.
pub fn schema_places(spec: &Value) -> Vec<(String, &Value)> {
    if let Some(schema) = shared(spec, "schema").and_then(|s| get(s, "openAPIV3Schema")) {
        return vec![("spec.validation.openAPIV3Schema".to_owned(), schema)];
    }
    let versions = items(spec, "versions").iter().enumerate();
    let place = |i| format!("spec.versions[{i}].schema.openAPIV3Schema");
    versions.filter_map(|(i, v)| Some((place(i), at(v, "/schema/openAPIV3Schema")?))).collect()
}

fn versions(errors: &mut ErrorList, spec: &Value) {
    let path = SPEC.child("versions");
    let all = items(spec, "versions");
    let schema_shared = shared(spec, "schema").is_some();
    let subresources_shared = shared(spec, "subresources").is_some();
    let columns_shared = shared(spec, "additionalPrinterColumns").is_some();
    for (i, version) in all.iter().enumerate() {
        let path = path.index(i);
        let name = text(version, "name");
        let wrong = name::dns1035_label(name);
        if !wrong.is_empty() {
            errors.invalid(&path.child("name"), name, wrong.join(","));
        }
        match at(version, "/schema/openAPIV3Schema") {
            None => errors.required(&path.child("schema.openAPIV3Schema"), ""),
            Some(found) if !schema_shared => {
                schema::validate(errors, &path.child("schema.openAPIV3Schema"), found);
            }
            Some(_) => {}
        }
        if !subresources_shared {
            subresources::validate(errors, &path.child("subresources"), version);
        }
        if !columns_shared {
            columns(errors, &path.child("additionalPrinterColumns"), version);
        }
    }
    let mut seen: Vec<&str> = all.iter().map(|v| text(v, "name")).collect();
    seen.sort_unstable();
    let unique = seen.windows(2).all(|pair| pair[0] != pair[1]);
    let shown = || internal::versions(spec);
    if !unique {
        errors.invalid(&path, shown(), "must contain unique version names");
    }
    if all.iter().filter(|v| flag(v, "storage")).count() != 1 {
        errors.invalid(&path, shown(), "must have exactly one version marked as storage version");
    }
    if let Some(first) = all.first() {
        let name = text(first, "name");
        let wrong = name::dns1035_label(name);
        if !wrong.is_empty() {
            errors.invalid(&SPEC.child("version"), name, wrong.join(","));
        }
    }
}

fn hoisted(errors: &mut ErrorList, spec: &Value) {
    if let Some(found) = shared(spec, "schema").and_then(|s| get(s, "openAPIV3Schema")) {
        schema::validate(errors, &SPEC.child("validation.openAPIV3Schema"), found);
    }
    if shared(spec, "subresources").is_some()
        && let Some(first) = items(spec, "versions").first()
    {
        subresources::validate(errors, &SPEC.child("subresources"), first);
    }
    if shared(spec, "additionalPrinterColumns").is_some()
        && let Some(first) = items(spec, "versions").first()
    {
        columns(errors, &SPEC.child("additionalPrinterColumns"), first);
    }
}

fn names(errors: &mut ErrorList, path: &Path<'_>, names: &Value) {
    for key in ["plural", "singular", "kind", "listKind"] {
        if text(names, key).is_empty() {
            errors.required(&path.child(key), "");
        }
    }
    let label = |errors: &mut ErrorList, at: &Path<'_>, name: &str| {
        let wrong = name::dns1035_label(name);
        if !name.is_empty() && !wrong.is_empty() {
            errors.invalid(at, name, wrong.join(","));
        }
    };
    label(errors, &path.child("plural"), text(names, "plural"));
    label(errors, &path.child("singular"), text(names, "singular"));
    for key in ["kind", "listKind"] {
        let name = text(names, key);
        let wrong = name::dns1035_label(&name.to_lowercase());
        if !name.is_empty() && !wrong.is_empty() {
            let detail = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
            errors.invalid(&path.child(key), name, detail);
        }
    }
    for key in ["shortNames", "categories"] {
        let path = path.child(key);
        for (i, name) in texts(names, key).enumerate() {
            label(errors, &path.index(i), name);
        }
    }
    let (kind, list) = (text(names, "kind"), text(names, "listKind"));
    if !kind.is_empty() && kind == list {
        errors.invalid(&path.child("listKind"), list, "kind and listKind may not be the same");
    }
}

fn columns(errors: &mut ErrorList, path: &Path<'_>, version: &Value) {
    for (i, column) in items(version, "additionalPrinterColumns").iter().enumerate() {
        let path = path.index(i);
        if text(column, "name").is_empty() {
            errors.required(&path.child("name"), "");
        }
        let (kind, format, json_path) =
            (text(column, "type"), text(column, "format"), text(column, "jsonPath"));
        if kind.is_empty() {
            errors.required(&path.child("type"), &format!("must be one of {}", COLUMN_TYPES.join(",")));
        } else if !COLUMN_TYPES.contains(&kind) {
            errors.invalid(&path.child("type"), kind, format!("must be one of {}", COLUMN_TYPES.join(",")));
        }
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            errors.invalid(
                &path.child("format"),
                format,
                format!("must be one of {}", COLUMN_FORMATS.join(",")),
            );
        }
        if json_path.is_empty() {
            errors.required(&path.child("JSONPath"), "");
        } else if !json_path.starts_with('.') {
            errors.invalid(&path.child("JSONPath"), json_path, "must be a simple json path starting with .");
        }
    }
}

fn conversion(errors: &mut ErrorList, spec: &Value) {
    let Some(conversion) = get(spec, "conversion") else { return };
    let path = SPEC.child("conversion");
    let strategy = text(conversion, "strategy");
    let webhook = get(conversion, "webhook");
    one_of(errors, &path.child("strategy"), strategy, &["None", "Webhook"]);
    if strategy != "Webhook" {
        if webhook.is_some() {
            let detail = "should not be set when strategy is not set to Webhook";
            errors.forbidden(&path.child("webhookClientConfig"), detail);
        }
        return;
    }
    let at = path.child("webhookClientConfig");
    match webhook.and_then(|w| get(w, "clientConfig")) {
        None => errors.required(&at, "required when strategy is set to Webhook"),
        Some(config) => match (get(config, "url").and_then(Value::as_str), get(config, "service")) {
            (Some(url), None) => validate_url(errors, &at.child("url"), url),
            (None, Some(service)) => validate_service(errors, &at.child("service"), service),
            _ => errors.required(&at, "exactly one of url or service is required"),
        },
    }
    let at = path.child("conversionReviewVersions");
    let versions: Vec<&str> =
        webhook.map(|w| texts(w, "conversionReviewVersions").collect()).unwrap_or_default();
    if versions.is_empty() {
        errors.required(&at, "");
        return;
    }
    for (i, version) in versions.iter().enumerate() {
        if versions[..i].contains(version) {
            errors.invalid(&at.index(i), *version, "duplicate version");
        } else {
            errors.invalid_each(&at.index(i), *version, name::dns1035_label(version));
        }
    }
    if !versions.iter().any(|v| matches!(*v, "v1" | "v1beta1")) {
        let shown = webhook.map(|w| w["conversionReviewVersions"].clone()).unwrap_or_default();
        errors.invalid(&at, shown, "must include at least one of v1, v1beta1");
    }
}

/// `status.storedVersions` are versions of the spec; the strategy adds the storage version before.
fn stored_versions(errors: &mut ErrorList, object: &Value) {
    let path = Path::new("status.storedVersions");
    let stored: Vec<&str> = texts(&object["status"], "storedVersions").collect();
    if stored.is_empty() {
        return errors.invalid(&path, Value::Null, "must have at least one stored version");
    }
    let versions = items(&object["spec"], "versions");
    for version in versions.iter().filter(|v| flag(v, "storage") && !stored.contains(&text(v, "name"))) {
        let detail = format!("must have the storage version {}", text(version, "name"));
        errors.invalid(&path, object["status"]["storedVersions"].clone(), detail);
    }
    for (i, version) in stored.iter().enumerate() {
        if !items(&object["spec"], "versions").iter().any(|v| text(v, "name") == *version) {
            let detail = format!(
                "missing from spec.versions; {version} was previously a storage version, and must remain in \
                 spec.versions until a storage migration ensures no data remains persisted in {version} and removes \
                 {version} from status.storedVersions"
            );
            errors.invalid(&path.index(i), *version, detail);
        }
    }
}
