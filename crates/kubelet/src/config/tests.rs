use super::*;

fn read(body: &str) -> Result<(Configuration, Vec<String>), Error> {
    let head = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
    parse(Path::new("/k.yaml"), &format!("{head}{body}"))
}

#[test]
fn files_written_by_kubeadm_are_taken() {
    let (mut configuration, problems) = read(
        "authentication: {anonymous: {enabled: false}, webhook: {cacheTTL: 0s, enabled: true}, x509: {clientCAFile: /ca}}
authorization: {mode: Webhook, webhook: {cacheAuthorizedTTL: 0s, cacheUnauthorizedTTL: 0s}}
cgroupDriver: systemd
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
containerRuntimeEndpoint: ''
cpuManagerReconcilePeriod: 0s
crashLoopBackOff: {}
evictionPressureTransitionPeriod: 0s
fileCheckFrequency: 0s
imageMaximumGCAge: 0s
logging: {flushFrequency: 0, options: {json: {infoBufferSize: '0'}}, verbosity: 0}
memorySwap: {}
rotateCertificates: true
runtimeRequestTimeout: 0s
staticPodPath: /etc/kubernetes/manifests
syncFrequency: 0s
volumeStatsAggPeriod: 0s
",
    )
    .unwrap();
    configuration.fill_zeroes();
    let mut all = problems;
    configuration.check(&mut all);
    assert!(all.is_empty(), "{all:?}");
    assert_eq!(configuration.sync_frequency.0.as_secs(), 60);
}

#[test]
fn what_cannot_be_obeyed_is_named() {
    let (_, problems) = read("cpuManagerPolicy: static\nmemorySwap: {swapBehavior: LimitedSwap}\n").unwrap();
    assert_eq!(problems.len(), 2);
    assert!(problems[0].starts_with("cpuManagerPolicy: \"static\""), "{problems:?}");
    let error = read("clusterDnS: x\n").unwrap_err().to_string();
    assert!(error.contains("clusterDnS"), "{error}");
}

#[test]
fn bad_values_are_reported_together() {
    let (configuration, _) = read(
        "cgroupDriver: none\nclusterDNS: [x]\ncontainerLogMaxSize: big\nimageGCLowThresholdPercent: 90\n",
    )
    .unwrap();
    let mut problems = Vec::new();
    configuration.check(&mut problems);
    assert_eq!(problems.len(), 4, "{problems:?}");
}

#[test]
fn defaults_are_upstreams() {
    let shared = std::env::var("COXSWAIN_SHARED")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests").into());
    let path = Path::new(&shared).join("facts/config_defaults/kubelet.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (upstream, problems) = parse(&path, &text).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    let (mut upstream, mut ours) =
        (serde_json::to_value(upstream).unwrap(), serde_json::to_value(Configuration::default()).unwrap());
    for value in [&mut upstream, &mut ours] {
        // Cache times of the server's own authorization; the client crate has its own.
        value["authorization"]["webhook"].take();
    }
    assert_eq!(upstream, ours);
}
