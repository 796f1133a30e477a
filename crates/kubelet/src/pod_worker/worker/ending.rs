//! The end of a pod.

use std::time::Duration;

use super::super::{Desired, End};
use super::{Next, Worker};
use crate::cri::view::PodView;
use crate::pod::{PodExt, SharedPod};
use crate::report::chain;

/// How long a terminating pod's containers have at least, seconds.
const LEAST_GRACE: i64 = 1;

impl Worker {
    /// The pod has come to its end but is still wanted: nothing runs, status and logs stay.
    pub(super) async fn stop(&mut self, desired: &Desired, view: PodView) -> Result<Next, String> {
        let pod = &desired.pod;
        let live = view.live().next().is_some() || view.sandboxes.iter().any(|sandbox| sandbox.ready);
        if live {
            self.probes.stop_restarts();
            let grace = desired.verdict.as_ref().map_or(pod.grace_period(), |(_, _, grace)| *grace);
            self.kill(pod, &view, grace).await?;
        }
        let view = self.observe(pod).await?;
        if view.live().next().is_some() {
            return Err("containers are still running".into());
        }
        self.publish(pod, &view, true);
        if !self.tidied {
            let clean_up = &self.tools.steps.clean_up;
            clean_up.node_resources(pod.uid()).map_err(|error| chain(&error))?;
            self.tidied = true;
        }
        Ok(Next::Wait(self.tools.sync_period.max(Duration::from_secs(600))))
    }

    /// The pod has to go: end it, remove everything, and say so.
    pub(super) async fn finish(&mut self, desired: &Desired, view: PodView) -> Result<Next, String> {
        let pod = &desired.pod;
        self.probes.stop_restarts();
        let live = view.live().next().is_some() || view.sandboxes.iter().any(|sandbox| sandbox.ready);
        if live {
            self.publish(pod, &view, false);
            let recorded = view.containers.iter().find_map(|container| container.grace);
            let grace = if pod.spec.is_some() { pod.grace_period() } else { recorded.unwrap_or(30) };
            self.kill(pod, &view, grace.max(LEAST_GRACE)).await?;
        }
        let view = self.observe(pod).await?;
        if view.live().next().is_some() {
            return Err("containers are still running".into());
        }
        self.publish(pod, &view, true);
        let clean_up = &self.tools.steps.clean_up;
        clean_up.runtime_objects(&view).await.map_err(|error| chain(&error))?;
        clean_up.node_resources(pod.uid()).map_err(|error| chain(&error))?;
        clean_up.logs(pod.uid()).map_err(|error| chain(&error))?;
        if desired.end == Some(End::Deleted) {
            self.tools.sink.gone(pod, self.status.clone());
        }
        tracing::info!(pod = pod.display(), uid = pod.uid(), "Pod is gone from this node");
        Ok(Next::Done)
    }

    /// Ends the pod's containers. A deletion with a shorter grace period takes effect at once.
    async fn kill(&mut self, pod: &SharedPod, view: &PodView, mut grace: i64) -> Result<(), String> {
        let tools = self.tools.clone();
        let mut hooks = true;
        loop {
            let kill = tools.steps.kill.pod(pod, view, grace, hooks);
            let desired = &mut self.desired;
            let shorter = async {
                loop {
                    if desired.changed().await.is_err() {
                        return std::future::pending().await;
                    }
                    let now = desired.borrow_and_update().pod.grace_period().max(LEAST_GRACE);
                    if now < grace {
                        return now;
                    }
                }
            };
            tokio::select! {
                result = kill => return result.map_err(|error| error.to_string()),
                now = shorter => {
                    grace = now;
                    // They have been running since the first request.
                    hooks = false;
                }
            }
        }
    }
}
