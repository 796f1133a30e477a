//! Workloads: how many pods they want and have, and the template that they make them from.

use serde_json::Value;

use super::page::{Page, items, joined, or_none, selector, text};
use super::pod::{head, template};
use crate::error::Result;
use crate::output::time::moment;
use crate::session::{Session, with_query};

/// A Deployment, with its ReplicaSets.
pub async fn deployment(session: &Session, object: &Value) -> Result<Page> {
    let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let mut page = Page::default();
    page.known("Name", &metadata["name"]);
    page.known("Namespace", &metadata["namespace"]);
    page.field("CreationTimestamp", moment(&metadata["creationTimestamp"]));
    page.pairs("Labels", &metadata["labels"]);
    page.annotations("Annotations", &metadata["annotations"]);
    page.field("Selector", selector(&spec["selector"]));
    page.field(
        "Replicas",
        format!(
            "{} desired | {} updated | {} total | {} available | {} unavailable",
            number(&spec["replicas"]),
            number(&status["updatedReplicas"]),
            number(&status["replicas"]),
            number(&status["availableReplicas"]),
            number(&status["unavailableReplicas"])
        ),
    );
    page.field("StrategyType", text(&spec["strategy"]["type"]));
    page.field("MinReadySeconds", number(&spec["minReadySeconds"]));
    let rolling = &spec["strategy"]["rollingUpdate"];
    if rolling.is_object() {
        let (unavailable, surge) = (text(&rolling["maxUnavailable"]), text(&rolling["maxSurge"]));
        page.field("RollingUpdateStrategy", format!("{unavailable} max unavailable, {surge} max surge"));
    }
    page.append(template(&spec["template"]));
    conditions(&mut page, status);
    replica_sets(session, object, &mut page).await?;
    Ok(page)
}

fn conditions(page: &mut Page, status: &Value) {
    if items(&status["conditions"]).is_empty() {
        return;
    }
    page.line("Conditions:\n  Type\tStatus\tReason\n  ----\t------\t------");
    for condition in items(&status["conditions"]) {
        let field = |field: &str| text(&condition[field]);
        page.line(format!("  {} \t{}\t{}", field("type"), field("status"), field("reason")));
    }
}

async fn replica_sets(session: &Session, deployment: &Value, page: &mut Page) -> Result<()> {
    let metadata = &deployment["metadata"];
    let path = format!("/apis/apps/v1/namespaces/{}/replicasets", text(&metadata["namespace"]));
    let found = owned(session, path, deployment).await?;
    if found.is_empty() {
        return Ok(());
    }
    let revision =
        |object: &Value| text(&object["metadata"]["annotations"]["deployment.kubernetes.io/revision"]);
    let current = revision(deployment);
    let shown = |of_current: bool| {
        let sets = found.iter().filter(|set| (revision(set) == current) == of_current);
        let sets = sets.filter(|set| of_current || set["spec"]["replicas"].as_i64().unwrap_or(0) > 0);
        let line = |set: &Value| {
            let (have, want) = (set["status"]["replicas"].as_i64().unwrap_or(0), &set["spec"]["replicas"]);
            format!("{} ({have}/{want} replicas created)", text(&set["metadata"]["name"]))
        };
        let lines: Vec<String> = sets.map(line).collect();
        if lines.is_empty() { "<none>".to_owned() } else { lines.join(", ") }
    };
    page.field("OldReplicaSets", shown(false));
    page.field("NewReplicaSet", shown(true));
    Ok(())
}

/// The objects of a collection that `owner` controls.
async fn owned(session: &Session, path: String, owner: &Value) -> Result<Vec<Value>> {
    let labels = selector(&owner["spec"]["selector"]);
    let labels = if labels == "<none>" { String::new() } else { labels };
    let mut list = session.get(&with_query(path, &[("labelSelector", &labels)])).await?;
    let mut found = list["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
    found.retain(|object| {
        items(&object["metadata"]["ownerReferences"])
            .iter()
            .any(|reference| reference["uid"] == owner["metadata"]["uid"] && reference["controller"] == true)
    });
    Ok(found)
}

/// `1 Running / 0 Waiting / 0 Succeeded / 0 Failed`.
async fn pods_status(session: &Session, owner: &Value) -> Result<String> {
    let path = format!("/api/v1/namespaces/{}/pods", text(&owner["metadata"]["namespace"]));
    let pods = owned(session, path, owner).await?;
    let count = |phase: &str| pods.iter().filter(|pod| pod["status"]["phase"] == phase).count();
    Ok(format!(
        "{} Running / {} Waiting / {} Succeeded / {} Failed",
        count("Running"),
        count("Pending"),
        count("Succeeded"),
        count("Failed")
    ))
}

/// A ReplicaSet or ReplicationController.
pub async fn replicas(session: &Session, object: &Value) -> Result<Page> {
    let (metadata, spec) = (&object["metadata"], &object["spec"]);
    let mut page = Page::default();
    page.known("Name", &metadata["name"]);
    page.known("Namespace", &metadata["namespace"]);
    page.field("Selector", selector(&spec["selector"]));
    page.pairs("Labels", &metadata["labels"]);
    page.annotations("Annotations", &metadata["annotations"]);
    super::controlled_by(&mut page, metadata);
    let current = object["status"]["replicas"].as_i64().unwrap_or(0);
    page.field("Replicas", format!("{current} current / {} desired", spec["replicas"]));
    page.field("Pods Status", pods_status(session, object).await?);
    page.append(template(&spec["template"]));
    conditions(&mut page, &object["status"]);
    Ok(page)
}

/// A DaemonSet.
pub async fn daemon_set(session: &Session, object: &Value) -> Result<Page> {
    const COUNTS: [(&str, &str); 5] = [
        ("Desired Number of Nodes Scheduled", "desiredNumberScheduled"),
        ("Current Number of Nodes Scheduled", "currentNumberScheduled"),
        ("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
        ("Number of Nodes Scheduled with Available Pods", "numberAvailable"),
        ("Number of Nodes Misscheduled", "numberMisscheduled"),
    ];
    let (metadata, spec) = (&object["metadata"], &object["spec"]);
    let mut page = Page::default();
    page.known("Name", &metadata["name"]);
    page.known("Namespace", &metadata["namespace"]);
    page.field("Selector", selector(&spec["selector"]));
    page.field("Node-Selector", selector(&spec["template"]["spec"]["nodeSelector"]));
    page.pairs("Labels", &metadata["labels"]);
    page.annotations("Annotations", &metadata["annotations"]);
    for (key, field) in COUNTS {
        page.line(format!("{key}: {}", object["status"][field].as_i64().unwrap_or(0)));
    }
    page.field("Pods Status", pods_status(session, object).await?);
    page.append(template(&spec["template"]));
    Ok(page)
}

/// A StatefulSet.
pub async fn stateful_set(session: &Session, object: &Value) -> Result<Page> {
    let (metadata, spec) = (&object["metadata"], &object["spec"]);
    let mut page = Page::default();
    page.known("Name", &metadata["name"]);
    page.known("Namespace", &metadata["namespace"]);
    page.field("CreationTimestamp", moment(&metadata["creationTimestamp"]));
    page.field("Selector", selector(&spec["selector"]));
    page.pairs("Labels", &metadata["labels"]);
    page.annotations("Annotations", &metadata["annotations"]);
    let total = object["status"]["replicas"].as_i64().unwrap_or(0);
    page.field("Replicas", format!("{} desired | {total} total", spec["replicas"]));
    page.field("Update Strategy", text(&spec["updateStrategy"]["type"]));
    page.known("  Partition", &spec["updateStrategy"]["rollingUpdate"]["partition"]);
    page.field("Pods Status", pods_status(session, object).await?);
    page.append(template(&spec["template"]));
    let claims = items(&spec["volumeClaimTemplates"]);
    if claims.is_empty() {
        page.field("Volume Claims", "<none>");
    } else {
        page.line("Volume Claims:");
    }
    for claim in claims {
        page.field("  Name", text(&claim["metadata"]["name"]));
        page.field("  StorageClass", text(&claim["spec"]["storageClassName"]));
        page.field("  Capacity", text(&claim["spec"]["resources"]["requests"]["storage"]));
        page.field("  Access Modes", joined(&claim["spec"]["accessModes"], ","));
    }
    Ok(page)
}

/// A Job.
pub fn job(object: &Value) -> Page {
    let (spec, status) = (&object["spec"], &object["status"]);
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let mut page = Page::default();
    page.known("Name", &object["metadata"]["name"]);
    page.known("Namespace", &object["metadata"]["namespace"]);
    page.field("Selector", selector(&spec["selector"]));
    page.pairs("Labels", &object["metadata"]["labels"]);
    page.annotations("Annotations", &object["metadata"]["annotations"]);
    super::controlled_by(&mut page, &object["metadata"]);
    page.known("Parallelism", &spec["parallelism"]);
    page.field(
        "Completions",
        if spec["completions"].is_null() { "<unset>".into() } else { text(&spec["completions"]) },
    );
    page.known("Completion Mode", &spec["completionMode"]);
    page.known("Suspend", &spec["suspend"]);
    page.known("Backoff Limit", &spec["backoffLimit"]);
    page.known("TTL Seconds After Finished", &spec["ttlSecondsAfterFinished"]);
    for (key, field) in [("Start Time", "startTime"), ("Completed At", "completionTime")] {
        if status[field].is_string() {
            page.field(key, moment(&status[field]));
        }
    }
    if let Some(seconds) = spec["activeDeadlineSeconds"].as_i64() {
        page.field("Active Deadline Seconds", format!("{seconds}s"));
    }
    let counts = [number(&status["active"]), number(&status["succeeded"]), number(&status["failed"])];
    page.field(
        "Pods Statuses",
        format!("{} Active / {} Succeeded / {} Failed", counts[0], counts[1], counts[2]),
    );
    page.known("Completed Indexes", &status["completedIndexes"]);
    page.append(template(&spec["template"]));
    page
}

/// A CronJob.
pub fn cron_job(object: &Value) -> Page {
    let (spec, job) = (&object["spec"], &object["spec"]["jobTemplate"]["spec"]);
    let unset = |value: &Value| if value.is_null() { "<unset>".to_owned() } else { text(value) };
    let mut page = head(object);
    page.field("Schedule", text(&spec["schedule"]));
    page.field("Concurrency Policy", text(&spec["concurrencyPolicy"]));
    page.field("Suspend", super::page::capital(&spec["suspend"]));
    page.field("Time Zone", unset(&spec["timeZone"]));
    page.field("Successful Job History Limit", unset(&spec["successfulJobsHistoryLimit"]));
    page.field("Failed Job History Limit", unset(&spec["failedJobsHistoryLimit"]));
    let deadline = &spec["startingDeadlineSeconds"];
    page.field(
        "Starting Deadline Seconds",
        deadline.as_i64().map_or("<unset>".into(), |seconds| format!("{seconds}s")),
    );
    page.field(
        "Selector",
        if job["selector"].is_null() { "<unset>".into() } else { selector(&job["selector"]) },
    );
    page.field("Parallelism", unset(&job["parallelism"]));
    page.field("Completions", unset(&job["completions"]));
    page.append(template(&job["template"]));
    let last = &object["status"]["lastScheduleTime"];
    page.field("Last Schedule Time", if last.is_null() { "<unset>".into() } else { moment(last) });
    let active: Vec<String> =
        items(&object["status"]["active"]).iter().map(|job| or_none(&job["name"])).collect();
    page.field("Active Jobs", if active.is_empty() { "<none>".into() } else { active.join(", ") });
    page
}
