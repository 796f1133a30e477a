//! Volumes: which kind, and the fields of it that matter.

use serde_json::Value;

use super::generic::{heading, tree};
use super::page::{Page, items, or_none, text};

/// All volumes of a pod or template.
pub fn volumes(list: &Value, indent: &str) -> Page {
    let mut page = Page::default();
    if items(list).is_empty() {
        page.field(&format!("{indent}Volumes"), "<none>");
        return page;
    }
    page.line(format!("{indent}Volumes:"));
    for volume in items(list) {
        page.line(format!("{}  {}:", if indent.is_empty() { "" } else { " " }, text(&volume["name"])));
        let source = volume.as_object().into_iter().flatten().find(|(key, _)| *key != "name");
        match source {
            None => page.field("    Type", "EmptyDir"),
            Some((kind, source)) => source_of(&mut page, kind, source),
        }
    }
    page
}

/// Heading, field, and what stands for nothing.
type Shown = (&'static str, &'static str, &'static str);

/// Kinds that people meet daily, and what is shown of them.
const KNOWN: [(&str, &[Shown]); 6] = [
    ("emptyDir", &[("Medium", "medium", ""), ("SizeLimit", "sizeLimit", "<unset>")]),
    ("hostPath", &[("Path", "path", ""), ("HostPathType", "type", "")]),
    ("configMap", &[("Name", "name", ""), ("Optional", "optional", "false")]),
    ("secret", &[("SecretName", "secretName", ""), ("Optional", "optional", "false")]),
    ("persistentVolumeClaim", &[("ClaimName", "claimName", ""), ("ReadOnly", "readOnly", "false")]),
    ("nfs", &[("Server", "server", ""), ("Path", "path", ""), ("ReadOnly", "readOnly", "false")]),
];

fn source_of(page: &mut Page, kind: &str, source: &Value) {
    let mut capital = kind.to_owned();
    capital[..1].make_ascii_uppercase();
    page.field("    Type", capital);
    if let Some((_, fields)) = KNOWN.iter().find(|(known, _)| *known == kind) {
        for (key, field, unset) in *fields {
            let value = text(&source[*field]);
            page.field(&format!("    {key}"), if value.is_empty() { unset } else { value.as_str() });
        }
        return;
    }
    match kind {
        "projected" => items(&source["sources"]).iter().for_each(|source| projection(page, source)),
        "downwardAPI" => {
            page.line("    Items:");
            for item in items(&source["items"]) {
                let from = &item["fieldRef"]["fieldPath"];
                let from = if from.is_null() { &item["resourceFieldRef"]["resource"] } else { from };
                page.line(format!("      {} -> {}", text(from), text(&item["path"])));
            }
        }
        _ => {
            for (key, value) in source.as_object().into_iter().flatten() {
                tree(page, &heading(key), value, 2);
            }
        }
    }
}

fn projection(page: &mut Page, source: &Value) {
    for (kind, source) in source.as_object().into_iter().flatten() {
        match kind.as_str() {
            "serviceAccountToken" => {
                page.field("    TokenExpirationSeconds", or_none(&source["expirationSeconds"]));
            }
            "configMap" => {
                page.field("    ConfigMapName", text(&source["name"]));
                page.field("    Optional", source["optional"] == true);
            }
            "secret" => {
                page.field("    SecretName", text(&source["name"]));
                page.field("    Optional", source["optional"] == true);
            }
            "downwardAPI" => page.field("    DownwardAPI", true),
            other => tree(page, &heading(other), source, 2),
        }
    }
}
