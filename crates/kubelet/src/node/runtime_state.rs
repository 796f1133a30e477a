//! Asks the container runtime how it is and tells the rest of the kubelet.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::runtime_check::{self, Findings};
use crate::cgroups::Driver;
use crate::cri::relist::Freshness;
use crate::cri::{Error, Runtime, v1};
use crate::host::Host;
use crate::pod_worker::Input;

/// How often, once it is well.
const PERIOD: Duration = Duration::from_secs(5);
/// How often while it is not.
const IMPATIENT: Duration = Duration::from_millis(500);

/// Asks until `stop`.
pub async fn watch(
    runtime: Runtime,
    host: Arc<Host>,
    freshness: Freshness,
    driver: Option<Driver>,
    inputs: mpsc::Sender<Input>,
    stop: CancellationToken,
) {
    let mut said = (Some(String::new()), None);
    let mut settings = None;
    loop {
        let (runtime_problem, network_problem) = match state(&runtime).await {
            Ok((own, network)) => {
                let settings = match &settings {
                    Some(known) => known,
                    None => settings.insert(check_settings(&runtime, driver).await),
                };
                (own.or_else(|| settings.fatal.clone()).or_else(|| freshness.problem()), network)
            }
            Err(error) => {
                // It may come back with other settings.
                settings = None;
                (Some(error.to_string()), Some(error.to_string()))
            }
        };
        let now = (runtime_problem, network_problem);
        if now != said {
            match &now {
                (None, None) => tracing::info!("The container runtime and its network are ready"),
                (Some(problem), _) => tracing::warn!(problem, "Waiting for the container runtime"),
                (None, Some(problem)) => {
                    tracing::warn!(problem, "Waiting for the pod network; pods with hostNetwork start now")
                }
            }
            host.set_runtime(now.0.clone(), now.1.clone());
            said.clone_from(&now);
            if inputs.send(Input::Wake).await.is_err() {
                return;
            }
        }
        let pause = if now == (None, None) { PERIOD } else { IMPATIENT };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn check_settings(runtime: &Runtime, driver: Option<Driver>) -> Findings {
    let findings = runtime_check::check(runtime, driver).await;
    if let Some(warning) = &findings.warning {
        tracing::warn!(warning, "The container runtime does not fit this host");
    }
    findings
}

/// Problems of the runtime and of its network.
async fn state(runtime: &Runtime) -> Result<(Option<String>, Option<String>), Error> {
    let answer = runtime.status(v1::StatusRequest { verbose: false }).await?;
    let conditions = answer.status.unwrap_or_default().conditions;
    let problem = |name: &str| match conditions.iter().find(|condition| condition.r#type == name) {
        Some(condition) if condition.status => None,
        Some(condition) => Some(format!(
            "container runtime network not ready: {name}=false reason:{} message:{}",
            condition.reason, condition.message
        )),
        None => Some(format!("the container runtime does not report {name}")),
    };
    let own = problem("RuntimeReady").map(|text| text.replace("runtime network", "runtime"));
    Ok((own, problem("NetworkReady")))
}
