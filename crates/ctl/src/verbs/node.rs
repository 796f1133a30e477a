//! `ctl cordon`, `ctl uncordon`, `ctl drain` and `ctl taint`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::session::{PatchKind, Session, with_query};
use crate::target::{self, Selection, Target};
use crate::verbs::delete::wait_gone;

/// Flags of `cordon` and `uncordon`.
#[derive(clap::Args, Debug)]
pub struct CordonFlags {
    /// The nodes.
    nodes: Vec<String>,
    #[command(flatten)]
    selection: Selection,
}

/// Flags of `drain`.
#[derive(clap::Args, Debug)]
pub struct DrainFlags {
    #[command(flatten)]
    nodes: CordonFlags,
    /// Leave pods of DaemonSets alone; they come back anyway.
    #[arg(long)]
    ignore_daemonsets: bool,
    /// Go on when pods use emptyDir, whose data is lost.
    #[arg(long)]
    delete_emptydir_data: bool,
    /// Go on when pods have no controller, which are lost.
    #[arg(long)]
    force: bool,
    /// Seconds that pods get to end; -1 for what they ask for themselves.
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    grace_period: i64,
    /// How long to try; 0 for as long as it takes.
    #[arg(long, default_value = "0s", value_parser = super::duration)]
    timeout: Duration,
}

/// Flags of `taint`.
#[derive(clap::Args, Debug)]
pub struct TaintFlags {
    /// `node` or `nodes`, then the nodes, then KEY[=VALUE]:EFFECT to add and KEY[:EFFECT]- to remove.
    #[arg(required = true)]
    arguments: Vec<String>,
    #[command(flatten)]
    selection: Selection,
    /// Change the value of a taint that exists.
    #[arg(long)]
    overwrite: bool,
}

async fn nodes(session: &Session, names: &[String], selection: &Selection) -> Result<Vec<(Target, Value)>> {
    let mut arguments = vec!["nodes".to_owned()];
    arguments.extend(names.iter().map(|name| name.trim_start_matches("node/").to_owned()));
    target::objects(session, &arguments, &target::Files::default(), selection, false).await
}

/// Runs `cordon` or `uncordon`.
pub async fn cordon(session: &Session, flags: &CordonFlags, unschedulable: bool) -> Result<()> {
    for (target, node) in nodes(session, &flags.nodes, &flags.selection).await? {
        let word = if unschedulable { "cordoned" } else { "uncordoned" };
        if (node["spec"]["unschedulable"] == true) == unschedulable {
            println!("{} already {word}", target.label());
            continue;
        }
        let value = if unschedulable { json!(true) } else { Value::Null };
        session.patch(&target.path(), PatchKind::Merge, &json!({"spec": {"unschedulable": value}})).await?;
        println!("{} {word}", target.label());
    }
    Ok(())
}

/// Runs `drain`.
pub async fn drain(session: &Session, flags: &DrainFlags) -> Result<()> {
    cordon(session, &flags.nodes, true).await?;
    for (target, _) in nodes(session, &flags.nodes.nodes, &flags.nodes.selection).await? {
        let node = target.name.clone().unwrap_or_default();
        let evict = evictable(session, flags, &node).await?;
        let started = Instant::now();
        for pod in &evict {
            evict_one(session, flags, pod, started).await?;
        }
        for pod in &evict {
            let limit = if flags.timeout.is_zero() {
                Duration::MAX
            } else {
                flags.timeout.saturating_sub(started.elapsed())
            };
            wait_gone(session, &pod.0, pod.1["metadata"]["uid"].as_str(), limit).await?;
            println!("{} evicted", pod.0.label());
        }
        println!("{} drained", target.label());
    }
    Ok(())
}

/// The pods to evict from a node; refuses when one needs the user's word first.
async fn evictable(session: &Session, flags: &DrainFlags, node: &str) -> Result<Vec<(Target, Value)>> {
    let resource = session.look_up(|resources| resources.find("pods")).await?.clone();
    let all = Target { resource, name: None, namespace: None };
    let selection = Selection { field_selector: format!("spec.nodeName={node}"), ..Selection::default() };
    let mut evict = Vec::new();
    let mut objections = Vec::new();
    for (target, pod) in target::list(session, &all, &selection).await? {
        let name = format!(
            "{}/{}",
            target.namespace.as_deref().unwrap_or_default(),
            target.name.as_deref().unwrap_or_default()
        );
        match objection(flags, &pod) {
            Verdict::Evict => evict.push((target, pod)),
            Verdict::Leave => {}
            Verdict::Refuse(why, flag) => {
                objections.push(format!("cannot delete {why} (use {flag} to override): {name}"))
            }
        }
    }
    if objections.is_empty() { Ok(evict) } else { Err(Error::Usage(objections.join("\n"))) }
}

enum Verdict {
    Evict,
    Leave,
    Refuse(&'static str, &'static str),
}

fn objection(flags: &DrainFlags, pod: &Value) -> Verdict {
    let mirror = !pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null();
    let finished = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if mirror {
        return Verdict::Leave;
    }
    let owners = pod["metadata"]["ownerReferences"].as_array();
    let controller = owners.into_iter().flatten().find(|owner| owner["controller"] == true);
    match controller.and_then(|owner| owner["kind"].as_str()) {
        Some("DaemonSet") if flags.ignore_daemonsets => return Verdict::Leave,
        Some("DaemonSet") => return Verdict::Refuse("DaemonSet-managed Pods", "--ignore-daemonsets"),
        None if !flags.force && !finished => {
            return Verdict::Refuse("Pods that declare no controller", "--force");
        }
        _ => {}
    }
    let volumes = pod["spec"]["volumes"].as_array();
    let keeps_data = volumes.into_iter().flatten().any(|volume| !volume["emptyDir"].is_null());
    if keeps_data && !flags.delete_emptydir_data && !finished {
        return Verdict::Refuse("Pods with local storage", "--delete-emptydir-data");
    }
    Verdict::Evict
}

/// Asks for one eviction until the disruption budget allows it.
async fn evict_one(
    session: &Session,
    flags: &DrainFlags,
    pod: &(Target, Value),
    started: Instant,
) -> Result<()> {
    let (target, _) = pod;
    let name = target.name.as_deref().unwrap_or_default();
    let mut eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": name, "namespace": target.namespace},
    });
    if flags.grace_period >= 0 {
        eviction["deleteOptions"] = json!({"gracePeriodSeconds": flags.grace_period});
    }
    println!("evicting pod {}/{name}", target.namespace.as_deref().unwrap_or_default());
    loop {
        let outcome = session.create(&format!("{}/eviction", target.path()), &eviction).await;
        let refusal = match outcome {
            Ok(_) => return Ok(()),
            Err(error) if error.is_not_found() => return Ok(()),
            Err(Error::Server(status)) if status.code == 429 => status.message.clone(),
            Err(error) => return Err(error),
        };
        if !flags.timeout.is_zero() && started.elapsed() > flags.timeout {
            return Err(Error::Usage(format!(
                "{} cannot be evicted within {} s: {refusal}",
                target.label(),
                flags.timeout.as_secs()
            )));
        }
        eprintln!("error when evicting {} (will retry after 5s): {refusal}", target.label());
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

/// Runs `taint`.
pub async fn taint(session: &Session, flags: &TaintFlags) -> Result<()> {
    let is_taint = |argument: &&String| argument.contains(':') || argument.ends_with('-');
    let changes: Vec<&String> = flags.arguments.iter().filter(is_taint).collect();
    let names: Vec<String> =
        flags.arguments.iter().skip(1).filter(|argument| !is_taint(argument)).cloned().collect();
    if changes.is_empty() {
        return Err(Error::Usage("at least one taint update is required".into()));
    }
    for (target, node) in nodes(session, &names, &flags.selection).await? {
        let name = target.name.as_deref().unwrap_or_default();
        let taints = tainted(name, &node["spec"]["taints"], &changes, flags.overwrite)?;
        let version = &node["metadata"]["resourceVersion"];
        let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"taints": taints}});
        session.patch(&with_query(target.path(), &[]), PatchKind::Merge, &patch).await?;
        println!(
            "{} {}",
            target.label(),
            if changes.iter().all(|change| change.ends_with('-')) { "untainted" } else { "tainted" }
        );
    }
    Ok(())
}

fn tainted(node: &str, current: &Value, changes: &[&String], overwrite: bool) -> Result<Vec<Value>> {
    let mut taints = current.as_array().cloned().unwrap_or_default();
    for change in changes {
        if let Some(removed) = change.strip_suffix('-') {
            let (key, effect) = removed.split_once(':').unwrap_or((removed, ""));
            let before = taints.len();
            taints.retain(|taint| !(taint["key"] == key && (effect.is_empty() || taint["effect"] == effect)));
            if taints.len() == before {
                return Err(Error::Usage(format!("taint {removed:?} not found")));
            }
            continue;
        }
        let (pair, effect) = change.rsplit_once(':').unwrap_or((change, ""));
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
            return Err(Error::Usage(format!("invalid taint effect: {effect}, unsupported taint effect")));
        }
        let mut taint = json!({"key": key, "effect": effect});
        if !value.is_empty() {
            taint["value"] = json!(value);
        }
        let existing = taints.iter_mut().find(|taint| taint["key"] == key && taint["effect"] == effect);
        match existing {
            Some(_) if !overwrite => {
                return Err(Error::Usage(format!(
                    "node {node} already has {key} taint(s) with same effect(s) and --overwrite is false"
                )));
            }
            Some(existing) => *existing = taint,
            None => taints.push(taint),
        }
    }
    Ok(taints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_are_added_changed_and_removed() {
        let current = json!([{"key": "a", "value": "1", "effect": "NoSchedule"}]);
        let change = |change: &str, overwrite| tainted("n1", &current, &[&change.to_owned()], overwrite);
        assert_eq!(change("b:NoExecute", false).unwrap().len(), 2);
        assert_eq!(change("a-", false).unwrap(), Vec::<Value>::new());
        assert_eq!(change("a:NoSchedule-", false).unwrap(), Vec::<Value>::new());
        assert_eq!(
            change("a=2:NoSchedule", true).unwrap(),
            vec![json!({"key": "a", "value": "2", "effect": "NoSchedule"})]
        );
        assert!(change("a=2:NoSchedule", false).is_err());
        assert!(change("a=2:Never", true).is_err());
        assert!(change("c-", true).is_err());
    }
}
