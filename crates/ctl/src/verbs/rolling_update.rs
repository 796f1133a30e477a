//! `ctl rolling-update`: the first tutorials' way to change the image of a ReplicationController's pods.
//!
//! A second controller with the new pods grows by one while the first shrinks by one, until the first is empty; then it is
//! deleted and, where only an image was named, the second takes over its name.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::manifest;
use crate::session::{PatchKind, Session};
use crate::target::Files;

/// Flags of `rolling-update`.
#[derive(clap::Args, Debug)]
pub struct Flags {
    /// The ReplicationController to replace.
    old: String,
    #[command(flatten)]
    files: Files,
    /// The new image; the controller keeps its name.
    #[arg(long)]
    image: Option<String>,
    /// Time between two steps.
    #[arg(long, default_value = "3s", value_parser = super::duration)]
    update_period: Duration,
    /// How long a new pod may take to be ready.
    #[arg(long, default_value = "5m", value_parser = super::duration)]
    timeout: Duration,
}

/// Label that tells the pods of two controllers apart when only the image differs.
const DEPLOYMENT: &str = "deployment";

/// Runs the command.
pub async fn run(session: &Session, flags: &Flags) -> Result<()> {
    let collection = format!("/api/v1/namespaces/{}/replicationcontrollers", session.namespace());
    let old = session.get(&format!("{collection}/{}", flags.old)).await?;
    let wanted = old["spec"]["replicas"].as_i64().unwrap_or(0);
    let (mut new, rename) = match (&flags.image, manifest::read_all(&flags.files)?.as_slice()) {
        (Some(image), []) => (successor(session, &collection, &old, image).await?, true),
        (None, [document]) if document.object["kind"] == "ReplicationController" => {
            (document.object.clone(), false)
        }
        _ => return Err(Error::Usage("give either --image or -f with one ReplicationController".into())),
    };
    let name = new["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if name == flags.old {
        return Err(Error::Usage(format!(
            "the new ReplicationController must have another name than {name}"
        )));
    }
    if old["spec"]["selector"] == new["spec"]["selector"] {
        return Err(Error::Usage(
            "the new ReplicationController must select its pods by at least one other label value".into(),
        ));
    }
    let target = new["spec"]["replicas"].as_i64().unwrap_or(wanted).max(1);
    new["spec"]["replicas"] = json!(0);
    match session.create(&collection, &new).await {
        Ok(_) => println!("Created {name}"),
        Err(Error::Server(status)) if status.code == 409 => {
            println!("Found existing update in progress ({name}), resuming.")
        }
        Err(error) => return Err(error),
    }
    println!(
        "Scaling up {name} from 0 to {target}, scaling down {} from {wanted} to 0 (keep {target} pods available)",
        flags.old
    );
    let mut left = wanted;
    for count in 1..=target {
        scale(session, &collection, &name, count, flags.timeout).await?;
        println!("Scaling {name} up to {count}");
        if left > target - count {
            left = target - count;
            scale(session, &collection, &flags.old, left, flags.timeout).await?;
            println!("Scaling {} down to {left}", flags.old);
        }
        tokio::time::sleep(flags.update_period).await;
    }
    if left > 0 {
        scale(session, &collection, &flags.old, 0, flags.timeout).await?;
    }
    let orphan = json!({"propagationPolicy": "Orphan"});
    session.delete(&format!("{collection}/{}", flags.old), &orphan).await?;
    if rename {
        take_name(session, &collection, &name, &flags.old, &orphan).await?;
        println!("replicationcontroller {:?} rolling updated", flags.old);
    } else {
        println!("replicationcontroller {name:?} rolling updated");
    }
    Ok(())
}

/// A copy of the controller with another image, told apart by a label that its predecessor is given too.
async fn successor(session: &Session, collection: &str, old: &Value, image: &str) -> Result<Value> {
    let containers = old["spec"]["template"]["spec"]["containers"].as_array().map_or(0, Vec::len);
    if containers != 1 {
        return Err(Error::Usage(format!(
            "--image needs pods with exactly one container, these have {containers}; use -f"
        )));
    }
    let name = old["metadata"]["name"].as_str().unwrap_or_default();
    if old["spec"]["selector"][DEPLOYMENT].is_null() {
        mark_old(session, collection, old, name).await?;
    }
    let mark = fingerprint(image);
    let mut new = json!({"apiVersion": "v1", "kind": "ReplicationController", "spec": old["spec"]});
    new["metadata"] = json!({"name": format!("{name}-{mark}"), "labels": old["metadata"]["labels"]});
    new["spec"]["selector"][DEPLOYMENT] = json!(mark);
    new["spec"]["template"]["metadata"]["labels"][DEPLOYMENT] = json!(mark);
    new["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
    Ok(new)
}

/// Gives the existing pods a label of their own, first the pods and then the selector, so that none is orphaned.
async fn mark_old(session: &Session, collection: &str, old: &Value, name: &str) -> Result<()> {
    let mark =
        fingerprint(old["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default());
    let labels = json!({"metadata": {"labels": {DEPLOYMENT: mark}}});
    session
        .patch(&format!("{collection}/{name}"), PatchKind::Merge, &json!({"spec": {"template": labels}}))
        .await?;
    let selector = super::get::labels(&old["spec"]["selector"]);
    let pods = format!("/api/v1/namespaces/{}/pods", session.namespace());
    let list =
        session.get(&crate::session::with_query(pods.clone(), &[("labelSelector", &selector)])).await?;
    for pod in list["items"].as_array().into_iter().flatten() {
        let pod = pod["metadata"]["name"].as_str().unwrap_or_default();
        session.patch(&format!("{pods}/{pod}"), PatchKind::Merge, &labels).await?;
    }
    let patch = json!({"spec": {"selector": {DEPLOYMENT: mark}}});
    session.patch(&format!("{collection}/{name}"), PatchKind::Merge, &patch).await.map(drop)
}

/// A short name for an image, fit for labels and object names (FNV-1a, RFC 9923).
fn fingerprint(image: &str) -> String {
    let hash = image.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// Sets a controller's size and waits until that many pods are ready (growing) or left (shrinking).
async fn scale(session: &Session, collection: &str, name: &str, count: i64, limit: Duration) -> Result<()> {
    let path = format!("{collection}/{name}");
    session.patch(&path, PatchKind::Merge, &json!({"spec": {"replicas": count}})).await?;
    let started = Instant::now();
    loop {
        let status = &session.get(&path).await?["status"];
        let number = |field: &str| status[field].as_i64().unwrap_or(0);
        let settled = number("replicas") == count && number("readyReplicas") >= count;
        if settled {
            return Ok(());
        }
        if started.elapsed() > limit {
            return Err(Error::Usage(format!(
                "{name} has {} of {count} pods ready after {} s; the update stands still, and running it again resumes it. Why: ctl get pods",
                number("readyReplicas"),
                limit.as_secs()
            )));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Replaces a controller by one of another name with the same pods.
async fn take_name(session: &Session, collection: &str, from: &str, to: &str, orphan: &Value) -> Result<()> {
    let current = session.get(&format!("{collection}/{from}")).await?;
    println!("Update succeeded. Deleting old controller: {to}");
    println!("Renaming {from} to {to}");
    session.delete(&format!("{collection}/{from}"), orphan).await?;
    let renamed = json!({
        "apiVersion": "v1", "kind": "ReplicationController",
        "metadata": {"name": to, "labels": current["metadata"]["labels"]},
        "spec": current["spec"],
    });
    let started = Instant::now();
    loop {
        match session.create(collection, &renamed).await {
            // Orphaning the pods keeps the old object for a moment.
            Err(Error::Server(status))
                if status.code == 409 && started.elapsed() < Duration::from_secs(30) =>
            {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            other => return other.map(drop),
        }
    }
}
