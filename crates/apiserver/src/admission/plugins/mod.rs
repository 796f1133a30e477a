//! The admission plug-ins, and which of them run.
//!
//! Order and defaults are upstream's. A name that upstream knows and this server does not is refused when it
//! is asked for, and named in the log at start when it would be on by default.

mod always;
mod always_pull_images;
mod anti_affinity_topology;
mod certificates;
mod default_classes;
mod default_toleration_seconds;
mod deny_service_external_ips;
mod extended_resource_toleration;
mod limit_ranger;
mod namespace_auto_provision;
mod namespace_exists;
mod namespace_lifecycle;
mod node_restriction;
mod owner_references;
mod pod_node_selector;
mod pod_resources;
mod pod_security;
mod pod_topology_labels;
mod priority;
mod pvc_resize;
mod rbac_escalation;
mod references;
mod resource_quota;
mod runtime_class;
mod service_account;
mod storage_protection;
mod support;
mod taint_nodes;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use access::authz::{Authorizer, Rbac};

use super::policy::Policies;
use super::webhook::Webhooks;
use super::{Chain, Plugin};
use crate::loopback::Objects;

/// What plug-ins need besides the objects that they read.
#[derive(Clone)]
pub struct Dependencies {
    /// For permissions that are more than the request's own.
    pub authorizer: Arc<Authorizer>,
    /// The rules behind roles, for escalation checks.
    pub rbac: Arc<Rbac>,
    /// Writes in the server's own name: used quota.
    pub objects: Arc<dyn Objects>,
    /// The policies that administrators have bound.
    pub policies: Arc<Policies>,
    /// The webhooks that administrators have registered.
    pub webhooks: Arc<Webhooks>,
    /// The audiences that identify this server.
    pub api_audiences: Vec<String>,
}

/// An `--enable-admission-plugins` or `--disable-admission-plugins` that cannot be obeyed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PluginError {
    /// Nobody has it.
    #[error("{flag} names {name:?}, which is no admission plug-in")]
    Unknown {
        /// The flag.
        flag: &'static str,
        /// The name.
        name: String,
    },
    /// Upstream has it; this server does not.
    #[error("--enable-admission-plugins names {0}, which this apiserver does not serve; leave it out")]
    NotServed(String),
    /// Asked for and forbidden at once.
    #[error("{0} is in both --enable-admission-plugins and --disable-admission-plugins; remove it from one")]
    Both(String),
}

/// How a plug-in comes to be.
enum Make {
    /// Served.
    Plugin(fn(&Dependencies) -> Arc<dyn Plugin>),
    /// Nothing to do, because the API that it is about is not served (alpha kinds).
    Nothing,
    /// Not served. On by default, it is named in the log.
    Absent,
}

/// Every name, in the order in which they run, with whether it is on by default.
const ALL: &[(&str, bool, Make)] = &[
    ("AlwaysAdmit", false, Make::Nothing),
    ("NamespaceAutoProvision", false, Make::Plugin(namespace_auto_provision::make)),
    ("NamespaceLifecycle", true, Make::Plugin(namespace_lifecycle::make)),
    ("NamespaceExists", false, Make::Plugin(namespace_exists::make)),
    ("LimitPodHardAntiAffinityTopology", false, Make::Plugin(anti_affinity_topology::make)),
    ("LimitRanger", true, Make::Plugin(limit_ranger::make)),
    ("ServiceAccount", true, Make::Plugin(service_account::make)),
    ("NodeRestriction", false, Make::Plugin(node_restriction::make)),
    ("TaintNodesByCondition", true, Make::Plugin(taint_nodes::make)),
    ("AlwaysPullImages", false, Make::Plugin(always_pull_images::make)),
    ("ImagePolicyWebhook", false, Make::Absent),
    ("PodSecurity", true, Make::Plugin(pod_security::make)),
    ("PodNodeSelector", false, Make::Plugin(pod_node_selector::make)),
    ("Priority", true, Make::Plugin(priority::make)),
    ("DefaultTolerationSeconds", true, Make::Plugin(default_toleration_seconds::make)),
    ("PodTolerationRestriction", false, Make::Absent),
    ("EventRateLimit", false, Make::Absent),
    ("ExtendedResourceToleration", false, Make::Plugin(extended_resource_toleration::make)),
    ("DefaultStorageClass", true, Make::Plugin(default_classes::make_storage)),
    ("StorageObjectInUseProtection", true, Make::Plugin(storage_protection::make)),
    ("PodGroupProtection", true, Make::Nothing),
    ("OwnerReferencesPermissionEnforcement", false, Make::Plugin(owner_references::make)),
    ("PersistentVolumeClaimResize", true, Make::Plugin(pvc_resize::make)),
    ("RuntimeClass", true, Make::Plugin(runtime_class::make)),
    ("CertificateApproval", true, Make::Plugin(certificates::make_approval)),
    ("CertificateSigning", true, Make::Plugin(certificates::make_signing)),
    ("ClusterTrustBundleAttest", true, Make::Nothing),
    ("CertificateSubjectRestriction", true, Make::Plugin(certificates::make_subject)),
    ("DefaultIngressClass", true, Make::Plugin(default_classes::make_ingress)),
    ("DenyServiceExternalIPs", false, Make::Plugin(deny_service_external_ips::make)),
    ("PodTopologyLabels", true, Make::Plugin(pod_topology_labels::make)),
    ("PodGroupWorkloadExists", true, Make::Nothing),
    ("NodeDeclaredFeatureValidator", true, Make::Absent),
    ("JobValidation", true, Make::Absent),
    ("PodResizeValidator", true, Make::Absent),
    ("MutatingAdmissionPolicy", true, Make::Plugin(|with| with.policies.mutating_plugin())),
    ("MutatingAdmissionWebhook", true, Make::Plugin(|with| with.webhooks.mutating_plugin())),
    ("ValidatingAdmissionPolicy", true, Make::Plugin(|with| with.policies.validating_plugin())),
    ("ValidatingAdmissionWebhook", true, Make::Plugin(|with| with.webhooks.validating_plugin())),
    ("ResourceQuota", true, Make::Plugin(resource_quota::make)),
    ("AlwaysDeny", false, Make::Plugin(always::make_deny)),
];

/// The plug-ins that the flags ask for, after the ones that are not plug-ins on upstream but part of every
/// write.
///
/// # Errors
/// A flag names what does not exist or is not served.
pub fn chain(
    enable: &[String],
    disable: &[String],
    dependencies: &Dependencies,
) -> Result<Chain, PluginError> {
    check_names("--enable-admission-plugins", enable)?;
    check_names("--disable-admission-plugins", disable)?;
    if let Some(both) = enable.iter().find(|name| disable.contains(name)) {
        return Err(PluginError::Both(both.clone()));
    }
    let mut plugins = Vec::new();
    let mut absent = Vec::new();
    for (name, default, make) in ALL {
        let asked = enable.iter().any(|n| n == name);
        if !(asked || *default) || disable.iter().any(|n| n == name) {
            continue;
        }
        match make {
            Make::Plugin(make) => plugins.push(make(dependencies)),
            Make::Nothing => {}
            Make::Absent if asked && !default => return Err(PluginError::NotServed((*name).to_owned())),
            Make::Absent => absent.push(*name),
        }
    }
    plugins.push(rbac_escalation::make(dependencies));
    tracing::info!(
        plugins = ?plugins.iter().map(|p| p.name()).collect::<Vec<_>>(),
        "admission plug-ins are enabled"
    );
    if !absent.is_empty() {
        tracing::warn!(
            plugins = ?absent,
            "these admission plug-ins are on by default but not enforced by this apiserver yet"
        );
    }
    Ok(Chain::new(plugins))
}

fn check_names(flag: &'static str, names: &[String]) -> Result<(), PluginError> {
    match names.iter().find(|name| !ALL.iter().any(|(known, ..)| known == name)) {
        Some(name) => Err(PluginError::Unknown { flag, name: name.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{World, dependencies};
    use super::*;

    #[test]
    fn flags_choose_plugins() {
        let dependencies = dependencies(&World::with(&[]));
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let chosen =
            |enable: &[&str], disable: &[&str]| chain(&names(enable), &names(disable), &dependencies);
        for (enable, disable, refusal) in [
            (&[][..], &[][..], None),
            (&["NodeRestriction"], &["PodSecurity"], None),
            (
                &["Nonsense"],
                &[],
                Some("--enable-admission-plugins names \"Nonsense\", which is no admission plug-in"),
            ),
            (&[], &["x"], Some("--disable-admission-plugins names \"x\", which is no admission plug-in")),
            (
                &["EventRateLimit"],
                &[],
                Some(
                    "--enable-admission-plugins names EventRateLimit, which this apiserver does not serve; leave it out",
                ),
            ),
            (
                &["Priority"],
                &["Priority"],
                Some(
                    "Priority is in both --enable-admission-plugins and --disable-admission-plugins; remove it from one",
                ),
            ),
            // On by default and named by kubeadm-made manifests: not enforced is said in the log, not refused.
            (&["JobValidation"], &[], None),
        ] {
            assert_eq!(chosen(enable, disable).err().map(|e| e.to_string()).as_deref(), refusal);
        }
    }

    #[test]
    fn every_plugin_is_known_by_the_name_it_runs_under() {
        let dependencies = dependencies(&World::with(&[]));
        for (name, _, make) in ALL {
            if let Make::Plugin(make) = make {
                assert_eq!(make(&dependencies).name(), *name);
            }
        }
    }
}
