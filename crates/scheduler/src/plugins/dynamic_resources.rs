//! DynamicResources: devices claimed through the resource.k8s.io API (KEP-4381).

use std::sync::Arc;

use super::Build;
use crate::cache::{NodeInfo, PodInfo};
use crate::config::ArgsError;
use crate::framework::{
    CycleState, Diagnosis, NoRemedy, Plugin, PostFilter, PreFilter, PreFiltered, Profile, Rejection, Remedy, Snapshot,
};

/// The plugin.
pub struct DynamicResources;

/// Tells PostFilter that PreFilter has run.
#[derive(Clone)]
struct Prepared;

impl DynamicResources {
    /// From the configuration.
    ///
    /// # Errors
    /// When the arguments cannot be read.
    pub fn new(build: &Build<'_>) -> Result<Self, ArgsError> {
        build.args.of::<crate::config::DynamicResourcesArgs>("DynamicResources")?;
        Ok(Self)
    }
}

/// Whether devices of a class stand in for an extended resource on a node.
pub fn provides(_: &CycleState, _: &str, _: &NodeInfo) -> bool {
    false
}

impl Plugin for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }
    fn pre_filter(self: Arc<Self>) -> Option<Arc<dyn PreFilter>> {
        Some(self)
    }
    fn post_filter(self: Arc<Self>) -> Option<Arc<dyn PostFilter>> {
        Some(self)
    }
}

impl PreFilter for DynamicResources {
    fn pre_filter(
        &self,
        _: &Snapshot<'_>,
        state: &mut CycleState,
        pod: &PodInfo,
    ) -> Result<PreFiltered, Rejection> {
        state.put(Prepared);
        if pod.spec().resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
            return Err(Rejection::unresolvable("claims of devices are not served yet"));
        }
        Ok(PreFiltered::Skip)
    }
}

impl PostFilter for DynamicResources {
    fn post_filter(
        &self,
        _: &Profile,
        _: &Snapshot<'_>,
        state: &CycleState,
        _: &Arc<PodInfo>,
        _: &Diagnosis,
    ) -> Result<Remedy, NoRemedy> {
        if state.get::<Prepared>().is_none() {
            // Another PreFilter plugin has ended the decision before this one was asked.
            return Err(Rejection::error("not found").into());
        }
        Err(Rejection::unschedulable("no new claims to deallocate").into())
    }
}
