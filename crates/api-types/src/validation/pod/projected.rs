//! Projected volumes: several sources in one directory.

use serde_json::Value;

use super::volume::{downward_file, key_to_path};
use crate::field::{ErrorList, Path};
use crate::validation::check;
use crate::validation::get::{get, int, items, text};

const TWICE: &str = "conflicting duplicate paths";
const TOKEN_SECONDS_MIN: i64 = 10 * 60;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;

pub(super) fn validate(errors: &mut ErrorList, path: &Path<'_>, volume: &Value) {
    check::mode(errors, path, volume, "defaultMode");
    let mut taken: Vec<&str> = Vec::new();
    let sources = path.child("sources");
    for (i, source) in items(volume, "sources").iter().enumerate() {
        let at = sources.index(i);
        let mut found = 0;
        for kind in ["secret", "configMap"] {
            if let Some(part) = get(source, kind) {
                found += 1;
                keys(errors, path, &at.child(kind), part, &mut taken);
            }
        }
        if let Some(part) = get(source, "downwardAPI") {
            found += 1;
            for file in items(part, "items") {
                downward_file(errors, &at.child("downwardAPI"), file);
                claim(errors, path, text(file, "path"), text(file, "path"), &mut taken);
            }
        }
        if let Some(token) = get(source, "serviceAccountToken") {
            found += 1;
            token_source(errors, path, &at.child("serviceAccountToken"), token, &mut taken);
        }
        if let Some(bundle) = get(source, "clusterTrustBundle") {
            found += 1;
            trust_bundle(errors, path, &at.child("clusterTrustBundle"), bundle, &mut taken);
        }
        if found > 1 {
            errors.forbidden(&at, "may not specify more than 1 volume type per source");
        }
    }
}

/// Notes a path; a second user of it is an error that shows `shown`.
fn claim<'v>(errors: &mut ErrorList, path: &Path<'_>, file: &'v str, shown: &str, taken: &mut Vec<&'v str>) {
    if file.is_empty() {
        return;
    }
    if taken.contains(&file) {
        errors.invalid(path, shown, TWICE);
    } else {
        taken.push(file);
    }
}

fn keys<'v>(
    errors: &mut ErrorList,
    volume: &Path<'_>,
    path: &Path<'_>,
    part: &'v Value,
    taken: &mut Vec<&'v str>,
) {
    let name = text(part, "name");
    if name.is_empty() {
        errors.required(&path.child("name"), "");
    }
    let at = path.child("items");
    for (i, item) in items(part, "items").iter().enumerate() {
        key_to_path(errors, &at.index(i), item);
        claim(errors, volume, text(item, "path"), name, taken);
    }
}

fn token_source<'v>(
    errors: &mut ErrorList,
    volume: &Path<'_>,
    path: &Path<'_>,
    token: &'v Value,
    taken: &mut Vec<&'v str>,
) {
    let at = path.child("expirationSeconds");
    match int(token, "expirationSeconds").unwrap_or(TOKEN_SECONDS_MIN) {
        s if s < TOKEN_SECONDS_MIN => {
            errors.invalid(&at, s, "may not specify a duration less than 10 minutes")
        }
        s if s > TOKEN_SECONDS_MAX => {
            errors.invalid(&at, s, "may not specify a duration larger than 2^32 seconds")
        }
        _ => {}
    }
    let file = text(token, "path");
    if file.is_empty() {
        errors.required(&volume.child("path"), "");
    } else {
        check::unreserved_path(errors, &volume.child("path"), file);
        claim(errors, volume, file, file, taken);
    }
}

fn trust_bundle<'v>(
    errors: &mut ErrorList,
    volume: &Path<'_>,
    path: &Path<'_>,
    bundle: &'v Value,
    taken: &mut Vec<&'v str>,
) {
    if get(bundle, "name").is_some() == get(bundle, "signerName").is_some() {
        errors.required(path, "either name or signerName must be set");
    }
    let file = text(bundle, "path");
    if file.is_empty() {
        errors.required(&path.child("path"), "");
    } else {
        check::unreserved_path(errors, &path.child("path"), file);
        claim(errors, volume, file, file, taken);
    }
}
