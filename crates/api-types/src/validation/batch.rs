//! Jobs and cron jobs.

use serde_json::Value;

use super::check::{self, immutable, not_negative};
use super::get::{at, flag, get, int, items, text};
use super::selector::label_selector;
use super::workloads::{MISMATCH, shown_selector};
use super::{Validator, pod};
use crate::field::{BadValue, Error, ErrorList, Path};
use crate::name;
use crate::selector::Selector;

/// Rules of `Job`.
pub static JOB: Validator = Validator { name: name::subdomain_rule, create: job, update: job_update };
/// Rules of `CronJob`.
pub static CRON_JOB: Validator = Validator {
    name: |name, prefix| {
        let mut wrong = name::subdomain_rule(name, prefix);
        // The controller appends eleven characters to the names of jobs.
        wrong.extend(name::max_length(name, CRON_JOB_NAME_MAX));
        wrong
    },
    create: cron_job,
    update: |new, _| cron_job(new),
};

const CRON_JOB_NAME_MAX: usize = 52;
const SPEC: Path<'static> = Path::new("spec");

fn job(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    generated_selector(&mut errors, object);
    errors.append(job_spec(&object["spec"]));
    // Pods of an indexed job are called after it and their index, and that is their host name.
    let (spec, name) = (&object["spec"], text(&object["metadata"], "name"));
    let last = int(spec, "completions").filter(|c| *c > 0 && text(spec, "completionMode") == "Indexed");
    if let Some(completions) = last {
        let longest = format!("{name}-{}", completions - 1);
        if !name::dns1123_label(&longest).is_empty() {
            let detail = format!("will not able to create pod with invalid DNS label: {longest}");
            errors.invalid(&Path::new("metadata.name"), name, detail);
        }
    }
    errors
}

fn job_spec(spec: &Value) -> ErrorList {
    let mut errors = common(&SPEC, spec);
    match get(spec, "selector") {
        None => errors.required(&SPEC.child("selector"), ""),
        selector => label_selector(&mut errors, &SPEC.child("selector"), selector),
    }
    if let Ok(selector) = Selector::from_value(get(spec, "selector").unwrap_or(&Value::Null)) {
        let labels = get(&spec["template"]["metadata"], "labels");
        if !selector.matches(&labels) {
            errors.invalid(&SPEC.child("template.metadata.labels"), BadValue::maybe(labels), MISMATCH);
        }
    }
    errors
}

/// Unless it is manual, the selector is the one that the server made from the job's UID.
fn generated_selector(errors: &mut ErrorList, object: &Value) {
    let spec = &object["spec"];
    let Some(selector) = get(spec, "selector").filter(|_| !flag(spec, "manualSelector")) else { return };
    let uid = text(&object["metadata"], "uid");
    let expected = serde_json::json!({"batch.kubernetes.io/controller-uid": uid});
    let legacy = serde_json::json!({"controller-uid": uid});
    let labels = &selector["matchLabels"];
    if *labels != expected && *labels != legacy {
        errors.invalid(&SPEC.child("selector"), shown_selector(selector), "`selector` not auto-generated");
    }
}

/// What jobs and the templates of cron jobs share.
fn common(path: &Path<'_>, spec: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    for key in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        not_negative(&mut errors, path, spec, key);
    }
    indexed(&mut errors, path, spec);
    if let Some(manager) = get(spec, "managedBy").and_then(Value::as_str) {
        managed_by(&mut errors, &path.child("managedBy"), manager);
    }
    let mode = text(spec, "completionMode");
    check::one_of_if_set(&mut errors, &path.child("completionMode"), mode, &["NonIndexed", "Indexed"]);
    failure_policy(&mut errors, &path.child("podFailurePolicy"), spec);
    super::batch_success::validate(&mut errors, &path.child("successPolicy"), spec);
    replacement_policy(&mut errors, &path.child("podReplacementPolicy"), spec);
    pod::template(&mut errors, &path.child("template"), &spec["template"]);
    restart_policy(&mut errors, &path.child("template.spec.restartPolicy"), spec);
    errors
}

fn managed_by(errors: &mut ErrorList, path: &Path<'_>, manager: &str) {
    const MAX: usize = 63;
    if !manager.contains('/') {
        errors.invalid(path, manager, "must be a domain-prefixed path (such as \"acme.io/foo\")");
    }
    if manager.len() > MAX {
        errors.too_long(path, MAX);
    }
}

fn indexed(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    let is_indexed = text(spec, "completionMode") == "Indexed";
    let (per_index, failed) = (int(spec, "backoffLimitPerIndex"), int(spec, "maxFailedIndexes"));
    if failed.is_some() && per_index.is_none() {
        errors.required(&path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    for (key, value) in [("backoffLimitPerIndex", per_index), ("maxFailedIndexes", failed)] {
        if let Some(value) = value.filter(|_| !is_indexed) {
            errors.invalid(&path.child(key), value, "requires indexed completion mode");
        }
    }
    if is_indexed {
        index_counts(errors, path, spec);
    }
}

/// How many indexes a job may have, run at once, and see fail (KEP-3850).
fn index_counts(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    const PARALLEL_MAX: i64 = 100_000;
    const FAILED_MAX: i64 = 100_000;
    const MANY: i64 = 100_000;
    const FEW: i64 = 10_000;
    let (completions, failed) = (int(spec, "completions"), int(spec, "maxFailedIndexes"));
    let parallel = int(spec, "parallelism");
    if completions.is_none() {
        errors.required(&path.child("completions"), "when completion mode is Indexed");
    }
    if let Some(parallel) = parallel.filter(|p| *p > PARALLEL_MAX) {
        let detail = format!("must be less than or equal to {PARALLEL_MAX} when completion mode is Indexed");
        errors.invalid(&path.child("parallelism"), parallel, detail);
    }
    let at = path.child("maxFailedIndexes");
    if let (Some(failed), Some(completions)) = (failed, completions)
        && failed > completions
    {
        errors.invalid(&at, failed, "must be less than or equal to completions");
    }
    if let Some(failed) = failed.filter(|f| *f > FAILED_MAX) {
        errors.invalid(&at, failed, format!("must be less than or equal to {FAILED_MAX}"));
    }
    if completions.is_none_or(|c| c <= MANY) || int(spec, "backoffLimitPerIndex").is_none() {
        return;
    }
    let few = format!(
        "must be less than or equal to {FEW} when completions are above {MANY} and used with backoff limit per index"
    );
    if failed.is_none() {
        errors.required(&at, &format!("must be specified when completions is above {MANY}"));
    }
    for (key, count) in [("parallelism", parallel), ("maxFailedIndexes", failed)] {
        if let Some(count) = count.filter(|c| *c > FEW) {
            errors.invalid(&path.child(key), count, few.as_str());
        }
    }
}

fn restart_policy(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    let policy = text(&spec["template"]["spec"], "restartPolicy");
    if matches!(policy, "" | "Always") {
        errors.required(path, "valid values: \"OnFailure\", \"Never\"");
    } else if !matches!(policy, "OnFailure" | "Never") {
        errors.not_supported(path, policy, &["OnFailure", "Never"]);
    } else if get(spec, "podFailurePolicy").is_some() && policy != "Never" {
        errors.invalid(path, policy, "only \"Never\" is supported when podFailurePolicy is specified");
    }
}

fn replacement_policy(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    let Some(policy) = get(spec, "podReplacementPolicy").and_then(Value::as_str) else { return };
    if get(spec, "podFailurePolicy").is_some() {
        if policy != "Failed" {
            errors.not_supported(path, policy, &["Failed"]);
        }
    } else {
        check::one_of(errors, path, policy, &["Failed", "TerminatingOrFailed"]);
    }
}

fn failure_policy(errors: &mut ErrorList, path: &Path<'_>, spec: &Value) {
    const MAX_RULES: usize = 20;
    let Some(policy) = get(spec, "podFailurePolicy") else { return };
    let pod = &spec["template"]["spec"];
    let names: Vec<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|l| items(pod, l))
        .map(|c| text(c, "name"))
        .collect();
    let at = path.child("rules");
    let rules = items(policy, "rules");
    if rules.len() > MAX_RULES {
        errors.too_many(&at, rules.len(), MAX_RULES);
    }
    for (i, rule) in rules.iter().enumerate() {
        failure_rule(errors, &at.index(i), spec, rule, &names);
    }
}

fn failure_rule(errors: &mut ErrorList, path: &Path<'_>, spec: &Value, rule: &Value, names: &[&str]) {
    let action = text(rule, "action");
    if action == "FailIndex" && int(spec, "backoffLimitPerIndex").is_none() {
        let detail = "requires the backoffLimitPerIndex to be set";
        errors.invalid(&path.child("action"), action, detail);
    }
    check::one_of(errors, &path.child("action"), action, &["Count", "FailIndex", "FailJob", "Ignore"]);
    let codes = get(rule, "onExitCodes");
    if let Some(codes) = codes {
        exit_codes(errors, &path.child("onExitCodes"), codes, names);
    }
    let conditions = items(rule, "onPodConditions");
    let at = path.child("onPodConditions");
    for (i, condition) in conditions.iter().enumerate() {
        let at = at.index(i);
        let kind = text(condition, "type");
        errors.invalid_each(&at.child("type"), kind, name::qualified_name(kind));
        let status = text(condition, "status");
        check::one_of(errors, &at.child("status"), status, &["False", "True", "Unknown"]);
    }
    match (codes.is_some(), conditions.is_empty()) {
        (true, false) => {
            let detail = "specifying both OnExitCodes and OnPodConditions is not supported";
            errors.push(Error::invalid(path, BadValue::Omitted, detail));
        }
        (false, true) => {
            let detail = "specifying one of OnExitCodes and OnPodConditions is required";
            errors.push(Error::invalid(path, BadValue::Omitted, detail));
        }
        _ => {}
    }
}

fn exit_codes(errors: &mut ErrorList, path: &Path<'_>, codes: &Value, names: &[&str]) {
    const MAX_VALUES: usize = 255;
    let operator = text(codes, "operator");
    check::one_of(errors, &path.child("operator"), operator, &["In", "NotIn"]);
    if let Some(container) = get(codes, "containerName").and_then(Value::as_str)
        && !names.contains(&container)
    {
        let detail = "must be one of the container or initContainer names in the pod template";
        errors.invalid(&path.child("containerName"), container, detail);
    }
    let at = path.child("values");
    let values: Vec<i64> = items(codes, "values").iter().filter_map(Value::as_i64).collect();
    if values.is_empty() {
        errors.invalid(&at, Value::Array(Vec::new()), "at least one value is required");
    } else if values.len() > MAX_VALUES {
        errors.too_many(&at, values.len(), MAX_VALUES);
    }
    let mut is_ordered = true;
    for (i, value) in values.iter().enumerate() {
        if operator == "In" && *value == 0 {
            errors.invalid(&at.index(i), *value, "must not be 0 for the In operator");
        }
        if values[..i].contains(value) {
            errors.duplicate(&at.index(i), *value);
        }
        is_ordered &= i == 0 || values[i - 1] <= *value;
    }
    if !is_ordered {
        errors.invalid(&at, codes["values"].clone(), "must be ordered");
    }
}

fn job_update(new: &Value, old: &Value) -> ErrorList {
    // Upstream checks the spec once as a new one and once as a changed one.
    let mut errors = job(new);
    errors.append(job_spec(&new["spec"]));
    let (spec, before) = (&new["spec"], &old["spec"]);
    let elastic = text(spec, "completionMode") == "Indexed"
        && int(spec, "completions") == int(spec, "parallelism")
        && int(before, "completions") == int(before, "parallelism");
    if !elastic {
        immutable(&mut errors, &SPEC, spec, before, "completions");
    }
    if get(spec, "selector") != get(before, "selector") {
        let shown = get(spec, "selector").map_or(BadValue::Json(Value::Null), shown_selector);
        errors.invalid(&SPEC.child("selector"), shown, check::IMMUTABLE);
    }
    if fixed_template(spec, before) != fixed_template(before, before) {
        let shown = check::internal("core/v1.PodTemplateSpec", get(spec, "template"));
        errors.invalid(&SPEC.child("template"), shown, check::IMMUTABLE);
    }
    for key in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
        if key == "podFailurePolicy" && get(spec, key) != get(before, key) {
            let shown = get(spec, key).map_or(BadValue::Json(Value::Null), shown_failure_policy);
            errors.invalid(&SPEC.child(key), shown, check::IMMUTABLE);
        } else {
            immutable(&mut errors, &SPEC, spec, before, key);
        }
    }
    errors
}

/// The template without what a suspended job that never started may change.
fn fixed_template(spec: &Value, old: &Value) -> Value {
    let mut template = spec["template"].clone();
    if flag(old, "suspend") {
        for key in ["nodeSelector", "tolerations", "schedulingGates", "affinity"] {
            if let Some(pod) = template.get_mut("spec").and_then(Value::as_object_mut) {
                pod.remove(key);
            }
        }
        for list in ["containers", "initContainers"] {
            let path = format!("/spec/{list}");
            for container in template.pointer_mut(&path).and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(container) = container.as_object_mut() {
                    container.remove("resources");
                }
            }
        }
        if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("labels");
            metadata.remove("annotations");
        }
    }
    template
}

fn shown_failure_policy(policy: &Value) -> BadValue {
    let rules: Vec<String> = items(policy, "rules")
        .iter()
        .map(|rule| {
            let conditions: Vec<String> = items(rule, "onPodConditions")
                .iter()
                .map(|c| check::go_struct_text(c, &[("Type", "type"), ("Status", "status")]))
                .collect();
            let conditions =
                if conditions.is_empty() { "null".to_owned() } else { format!("[{}]", conditions.join(",")) };
            let codes = get(rule, "onExitCodes").map_or("null".to_owned(), |c| {
                let fields =
                    [("ContainerName", "containerName"), ("Operator", "operator"), ("Values", "values")];
                check::go_struct_text(c, &fields)
            });
            format!(
                "{{\"Action\":{},\"OnExitCodes\":{codes},\"OnPodConditions\":{conditions}}}",
                get(rule, "action").unwrap_or(&Value::Null)
            )
        })
        .collect();
    BadValue::Raw(format!("{{\"Rules\":[{}]}}", rules.join(",")))
}

fn cron_job(object: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &object["spec"];
    super::cron::validate(&mut errors, &SPEC, spec);
    not_negative(&mut errors, &SPEC, spec, "startingDeadlineSeconds");
    let policy = text(spec, "concurrencyPolicy");
    check::one_of(&mut errors, &SPEC.child("concurrencyPolicy"), policy, &["Allow", "Forbid", "Replace"]);
    let job = &spec["jobTemplate"];
    let path = SPEC.child("jobTemplate.spec");
    if let Some(selector) = at(job, "/spec/selector") {
        errors.invalid(
            &path.child("selector"),
            shown_selector(selector),
            "`selector` will be auto-generated",
        );
    }
    if at(job, "/spec/manualSelector").and_then(Value::as_bool) == Some(true) {
        errors.not_supported(&path.child("manualSelector"), true, &["nil", "false"]);
    }
    errors.append(common(&path, &job["spec"]));
    not_negative(&mut errors, &SPEC, spec, "successfulJobsHistoryLimit");
    not_negative(&mut errors, &SPEC, spec, "failedJobsHistoryLimit");
    errors
}
