//! What makes pods: deployments, replica sets, stateful sets, daemon sets, jobs, and their templates and revisions.

use api_types::time;
use serde_json::Value;

use super::PrinterRow;
use super::view::{self, NONE, UNSET, View, cells, containers, is_true, labels, seconds_between, selector};

pub const PRINTERS: &[PrinterRow] = &[
    ("apps", "deployments", deployment),
    ("apps", "replicasets", replica_set),
    ("", "replicationcontrollers", replication_controller),
    ("apps", "statefulsets", stateful_set),
    ("apps", "daemonsets", daemon_set),
    ("apps", "controllerrevisions", controller_revision),
    ("batch", "jobs", job),
    ("batch", "cronjobs", cron_job),
    ("", "podtemplates", pod_template),
];

fn deployment(view: &View<'_>) -> Vec<Value> {
    let (names, images) = containers(view.get("spec.template.spec"));
    cells![
        view.name(),
        format!("{}/{}", view.int("status.readyReplicas"), view.int("spec.replicas")),
        view.int("status.updatedReplicas"),
        view.int("status.availableReplicas"),
        view.age(),
        names,
        images,
        selector(view.get("spec.selector")),
    ]
}

fn replica_set(view: &View<'_>) -> Vec<Value> {
    replicas(view, selector(view.get("spec.selector")))
}

fn replication_controller(view: &View<'_>) -> Vec<Value> {
    replicas(view, labels(view.get("spec.selector")))
}

fn replicas(view: &View<'_>, selector: String) -> Vec<Value> {
    let (names, images) = containers(view.get("spec.template.spec"));
    cells![
        view.name(),
        view.int("spec.replicas"),
        view.int("status.replicas"),
        view.int("status.readyReplicas"),
        view.age(),
        names,
        images,
        selector,
    ]
}

fn stateful_set(view: &View<'_>) -> Vec<Value> {
    let (names, images) = containers(view.get("spec.template.spec"));
    let ready = format!("{}/{}", view.int("status.readyReplicas"), view.int("spec.replicas"));
    cells![view.name(), ready, view.age(), names, images]
}

fn daemon_set(view: &View<'_>) -> Vec<Value> {
    let (names, images) = containers(view.get("spec.template.spec"));
    cells![
        view.name(),
        view.int("status.desiredNumberScheduled"),
        view.int("status.currentNumberScheduled"),
        view.int("status.numberReady"),
        view.int("status.updatedNumberScheduled"),
        view.int("status.numberAvailable"),
        labels(view.get("spec.template.spec.nodeSelector")),
        view.age(),
        names,
        images,
        selector(view.get("spec.selector")),
    ]
}

fn controller_revision(view: &View<'_>) -> Vec<Value> {
    let owner = view.list("metadata.ownerReferences").iter().find(|owner| owner["controller"] == true);
    let controller = owner.map_or_else(
        || NONE.to_owned(),
        |owner| {
            let kind = view::text(owner, "kind").to_lowercase();
            let group = view::text(owner, "apiVersion").split_once('/').map(|(group, _)| group);
            let kind = group.map_or_else(|| kind.clone(), |group| format!("{kind}.{group}"));
            format!("{kind}/{}", view::text(owner, "name"))
        },
    );
    cells![view.name(), controller, view.int("revision"), view.age()]
}

fn job(view: &View<'_>) -> Vec<Value> {
    let (names, images) = containers(view.get("spec.template.spec"));
    let succeeded = view.int("status.succeeded");
    let completions = match view.get("spec.completions").as_i64() {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None => match view.int("spec.parallelism") {
            parallel @ 2.. => format!("{succeeded}/1 of {parallel}"),
            _ => format!("{succeeded}/1"),
        },
    };
    cells![
        view.name(),
        job_status(view),
        completions,
        job_duration(view),
        view.age(),
        names,
        images,
        selector(view.get("spec.selector")),
    ]
}

fn job_status(view: &View<'_>) -> &'static str {
    let is = |type_| is_true(view.object, type_);
    match () {
        () if is("Complete") => "Complete",
        () if is("Failed") => "Failed",
        () if view.is_deleted() => "Terminating",
        () if is("Suspended") => "Suspended",
        () if is("FailureTarget") => "FailureTarget",
        () if is("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

fn job_duration(view: &View<'_>) -> String {
    let moment = |path| view.get(path).as_str().and_then(time::parse);
    let Some(start) = moment("status.startTime") else { return String::new() };
    let end = moment("status.completionTime").unwrap_or(view.now);
    time::human_duration(seconds_between(start, end))
}

fn cron_job(view: &View<'_>) -> Vec<Value> {
    let (names, images) = containers(view.get("spec.jobTemplate.spec.template.spec"));
    let suspend = match view.get("spec.suspend").as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => UNSET,
    };
    let last = match view.get("status.lastScheduleTime") {
        Value::Null => NONE.to_owned(),
        moment => view.since(moment),
    };
    cells![
        view.name(),
        view.text("spec.schedule"),
        view.text_or("spec.timeZone", NONE),
        suspend,
        view.count("status.active"),
        last,
        view.age(),
        names,
        images,
        selector(view.get("spec.jobTemplate.spec.selector")),
    ]
}

fn pod_template(view: &View<'_>) -> Vec<Value> {
    let (names, images) = containers(view.get("template.spec"));
    cells![view.name(), names, images, labels(view.get("template.metadata.labels"))]
}
