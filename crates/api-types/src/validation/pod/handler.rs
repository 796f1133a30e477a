//! Probes and lifecycle hooks.

use serde_json::Value;

use crate::field::{ErrorList, Path};
use crate::name;
use crate::validation::check;
use crate::validation::get::{get, int, items, text};

const ONE_HANDLER: &str = "may not specify more than 1 handler type";

pub(super) fn probes(errors: &mut ErrorList, path: &Path<'_>, container: &Value, grace_seconds: i64) {
    for key in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = get(container, key) else { continue };
        let path = path.child(key);
        validate_probe(errors, &path, probe, grace_seconds);
        if key == "readinessProbe" {
            if let Some(seconds) = int(probe, "terminationGracePeriodSeconds") {
                let at = path.child("terminationGracePeriodSeconds");
                errors.invalid(&at, seconds, "must not be set for readinessProbes");
            }
        } else if let Some(threshold) = int(probe, "successThreshold").filter(|t| *t != 1) {
            errors.invalid(&path.child("successThreshold"), threshold, "must be 1");
        }
    }
}

fn validate_probe(errors: &mut ErrorList, path: &Path<'_>, probe: &Value, grace_seconds: i64) {
    handler(errors, path, probe, grace_seconds);
    let numbers =
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"];
    for key in numbers {
        check::not_negative(errors, path, probe, key);
    }
    if let Some(seconds) = int(probe, "terminationGracePeriodSeconds").filter(|s| *s <= 0) {
        errors.invalid(&path.child("terminationGracePeriodSeconds"), seconds, "must be greater than 0");
    }
}

pub(super) fn lifecycle(errors: &mut ErrorList, path: &Path<'_>, container: &Value, grace_seconds: i64) {
    let Some(lifecycle) = get(container, "lifecycle") else { return };
    let path = path.child("lifecycle");
    for key in ["postStart", "preStop"] {
        if let Some(hook) = get(lifecycle, key) {
            handler(errors, &path.child(key), hook, grace_seconds);
        }
    }
}

fn handler(errors: &mut ErrorList, path: &Path<'_>, owner: &Value, grace_seconds: i64) {
    let mut found = false;
    for key in ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] {
        let Some(action) = get(owner, key) else { continue };
        let path = path.child(key);
        if found {
            errors.forbidden(&path, ONE_HANDLER);
            continue;
        }
        found = true;
        match key {
            "exec" => {
                if items(action, "command").is_empty() {
                    errors.required(&path.child("command"), "");
                }
            }
            "httpGet" => http_get(errors, &path, action),
            "tcpSocket" => check::port(errors, &path.child("port"), get(action, "port")),
            "grpc" => {
                let port = int(action, "port").unwrap_or(0);
                errors.invalid_each(&path.child("port"), port, name::port_number(port));
            }
            _ => {
                let seconds = int(action, "seconds").unwrap_or(0);
                if seconds < 0 || seconds > grace_seconds {
                    let detail = format!(
                        "must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})"
                    );
                    errors.invalid(&path, seconds, detail);
                }
            }
        }
    }
    if !found {
        errors.required(path, "must specify a handler type");
    }
}

fn http_get(errors: &mut ErrorList, path: &Path<'_>, action: &Value) {
    if text(action, "path").is_empty() {
        errors.required(&path.child("path"), "");
    }
    check::port(errors, &path.child("port"), get(action, "port"));
    let scheme = text(action, "scheme");
    if !matches!(scheme, "HTTP" | "HTTPS") {
        errors.not_supported(&path.child("scheme"), scheme, &["HTTP", "HTTPS"]);
    }
    for header in items(action, "httpHeaders") {
        let name = text(header, "name");
        errors.invalid_each(&path.child("httpHeaders"), name, name::http_header(name));
    }
}
