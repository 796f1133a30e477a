//! Keys of upstream's configuration that this kubelet does not act on.
//!
//! A default value is fine, and so is a zero, which stands for the default in files written by kubeadm. Any other value would
//! silently not be obeyed, so it is refused. Keys whose every value is met by what this kubelet does anyway are listed with
//! `ANY`.

use serde_yaml::Value;

/// Marks keys whose values need no action.
const ANY: &str = "";

/// Key, default as YAML.
const KEYS: &[(&str, &str)] = &[
    ("configMapAndSecretChangeDetectionStrategy", ANY),
    ("containerLogMaxWorkers", ANY),
    ("contentType", ANY),
    ("cpuManagerPolicy", "none"),
    ("cpuManagerPolicyOptions", "{}"),
    ("cpuManagerReconcilePeriod", ANY),
    ("enableContentionProfiling", "false"),
    ("enableControllerAttachDetach", "true"),
    ("enableDebugFlagsHandler", ANY),
    ("enableProfilingHandler", ANY),
    ("enableSystemLogHandler", ANY),
    ("enableSystemLogQuery", "false"),
    ("eventBurst", ANY),
    ("eventRecordQPS", ANY),
    ("evictionMinimumReclaim", "{}"),
    ("hairpinMode", ANY),
    ("httpCheckFrequency", ANY),
    ("imagePullCredentialsVerificationPolicy", "NeverVerifyPreloadedImages"),
    ("imageServiceEndpoint", ""),
    ("iptablesDropBit", ANY),
    ("iptablesMasqueradeBit", ANY),
    ("kernelMemcgNotification", ANY),
    ("kubeAPIBurst", ANY),
    ("kubeAPIQPS", ANY),
    ("kubeletCgroups", "''"),
    ("kubeReservedCgroup", "''"),
    ("localStorageCapacityIsolation", "true"),
    ("logging", ANY),
    ("makeIPTablesUtilChains", ANY),
    ("maxOpenFiles", ANY),
    ("memoryManagerPolicy", "None"),
    ("memoryReservationPolicy", "None"),
    ("memorySwap", "{}"),
    ("memoryThrottlingFactor", ANY),
    ("mergeDefaultEvictionSettings", "false"),
    ("preloadedImagesVerificationAllowlist", "[]"),
    ("protectKernelDefaults", "false"),
    ("qosReserved", "{}"),
    ("registryBurst", ANY),
    ("registryPullQPS", ANY),
    ("reservedMemory", "[]"),
    ("reservedSystemCPUs", "''"),
    ("runOnce", "false"),
    ("showHiddenMetricsForVersion", "''"),
    ("shutdownGracePeriodByPodPriority", "[]"),
    ("singleProcessOOMKill", ANY),
    ("staticPodURL", "''"),
    ("staticPodURLHeader", "{}"),
    ("streamingConnectionIdleTimeout", ANY),
    ("systemCgroups", "''"),
    ("systemReservedCgroup", "''"),
    ("tlsCurvePreferences", "[]"),
    ("topologyManagerPolicy", "none"),
    ("topologyManagerPolicyOptions", "{}"),
    ("topologyManagerScope", "container"),
    ("tracing", "null"),
    ("userNamespaces", "null"),
    ("volumePluginDir", ANY),
    ("volumeStatsAggPeriod", ANY),
];

/// The document without these keys, and a line for each value that cannot be obeyed. A text that is not a mapping is
/// returned as it is, for the parser proper to complain about.
pub fn take(text: &str) -> (String, Vec<String>) {
    let Ok(Value::Mapping(mut map)) = serde_yaml::from_str::<Value>(text) else {
        return (text.to_owned(), Vec::new());
    };
    let mut problems = Vec::new();
    for (key, default) in KEYS {
        let Some(value) = map.remove(*key) else { continue };
        let default: Value =
            if *default == ANY { value.clone() } else { serde_yaml::from_str(default).unwrap_or_default() };
        if value != default && !is_zero(&value) {
            let shown = serde_json::to_string(&value).unwrap_or_default();
            problems.push(format!(
                "{key}: {shown} is not served by this kubelet; remove the key to get its default"
            ));
        }
    }
    match serde_yaml::to_string(&Value::Mapping(map)) {
        Ok(rest) => (rest, problems),
        Err(_) => (text.to_owned(), problems),
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == "0s" || text == "0",
        Value::Sequence(list) => list.is_empty(),
        Value::Mapping(map) => map.is_empty(),
        Value::Bool(_) | Value::Tagged(_) => false,
    }
}
