//! What the storage costs, against a real etcd: memory for 10,000 pods of about 7 KB, then CPU per write, read, list and
//! delivered event. `cargo bench -p storage`; prints a table. Memory is measured in a process that only reads.

// A failed step ends the measurement; there is nothing to recover.
#![allow(clippy::unwrap_used)]

// The tests kill and restart theirs.
#[allow(dead_code)]
#[path = "../tests/it/etcd.rs"]
mod etcd;

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};
use storage::{
    Field, Freshness, ListQuery, Object, Options, ResourceConfig, ResourceStore, Selection, Store, WatchFrom,
    WatchQuery,
};

const PODS: usize = 10_000;
const NODES: usize = 1_000;

#[tokio::main(worker_threads = 2)]
async fn main() {
    // Cargo passes --bench; the second process gets the endpoint.
    if let Ok(endpoint) = std::env::var("STORAGE_BENCH_ENDPOINT") {
        return read(&endpoint).await;
    }
    let etcd = etcd::Etcd::start();
    write(&etcd.endpoint()).await;
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .env("STORAGE_BENCH_ENDPOINT", etcd.endpoint())
        .status()
        .unwrap();
    assert!(status.success());
}

async fn connect(endpoint: &str) -> (Store, ResourceStore) {
    let options = Options {
        endpoints: vec![endpoint.to_owned()],
        compaction_interval: Duration::ZERO,
        ..Options::default()
    };
    let store = Store::connect(options).await.unwrap();
    let pods = ResourceConfig::new("pods", true, "v1", "Pod")
        .field(Field::new("spec.nodeName").indexed())
        .field(Field::new("spec.restartPolicy"))
        .field(Field::new("spec.schedulerName"))
        .field(Field::new("spec.serviceAccountName"))
        .field(Field::new("spec.hostNetwork").default_value("false"))
        .field(Field::new("status.phase"))
        .field(Field::new("status.podIP"))
        .field(Field::new("status.nominatedNodeName"));
    let pods = store.resource(pods).unwrap();
    (store, pods)
}

async fn write(endpoint: &str) {
    let (_store, pods) = connect(endpoint).await;
    pods.ready().await.unwrap();
    let values: Vec<Value> = (0..PODS).map(pod).collect();
    let meter = Meter::start();
    stream::iter(values.iter().enumerate())
        .for_each_concurrent(64, |(i, value)| {
            let pods = &pods;
            async move {
                pods.create(&namespace(i), &name(i), value).await.unwrap();
            }
        })
        .await;
    meter.report("create, 64 at a time", PODS);
}

async fn read(endpoint: &str) {
    let empty = rss();
    let meter = Meter::start();
    let (store, pods) = connect(endpoint).await;
    pods.ready().await.unwrap();
    meter.report("load and decode a pod", PODS);
    let page = pods.list(&ListQuery::default()).await.unwrap();
    let json: usize = page.items.iter().map(|object| object.json().len()).sum();
    let loaded = rss() - empty;
    line("JSON per pod", format_args!("{} B", json / PODS));
    line(
        "resident memory per pod",
        format_args!("{} B, {:.2} x its JSON", loaded / PODS, ratio(loaded, json)),
    );
    gets(&pods).await;
    lists(&pods).await;
    let wide = (0..1_000).map(|_| Selection::all());
    fan_out(&pods, "event to 1,000 watchers of all, per delivery", wide, 100, 1_000).await;
    let slot = pods.config().field_slot("spec.nodeName").unwrap();
    let narrow = (0..5_000).map(|i| Selection::all().indexed(slot, &node(i)));
    fan_out(&pods, "event among 5,000 node watchers, per update", narrow, 2_000, 5).await;
    after_write(&store, &pods).await;
}

async fn gets(pods: &ResourceStore) {
    let meter = Meter::start();
    for i in 0..1_000 {
        pods.get(&namespace(i), &name(i), Freshness::Latest).await.unwrap().unwrap();
    }
    meter.report("consistent get, one at a time", 1_000);
    let meter = Meter::start();
    stream::iter(0..20_000)
        .for_each_concurrent(64, |i| async move {
            pods.get(&namespace(i % PODS), &name(i % PODS), Freshness::Latest).await.unwrap().unwrap();
        })
        .await;
    meter.report("consistent get, 64 at a time", 20_000);
}

async fn lists(pods: &ResourceStore) {
    let meter = Meter::start();
    for _ in 0..20 {
        assert_eq!(pods.list(&ListQuery::default()).await.unwrap().items.len(), PODS);
    }
    meter.report("list of 10,000", 20);
    let meter = Meter::start();
    for _ in 0..20 {
        let mut query = ListQuery { limit: 500, ..ListQuery::default() };
        loop {
            query.continue_token = pods.list(&query).await.unwrap().continue_token;
            if query.continue_token.is_none() {
                break;
            }
        }
    }
    meter.report("page of 500", 400);
    let slot = pods.config().field_slot("spec.nodeName").unwrap();
    let meter = Meter::start();
    for i in 0..1_000 {
        let selection = Selection::all().indexed(slot, &node(i));
        let page = pods.list(&ListQuery { selection, ..ListQuery::default() }).await.unwrap();
        assert_eq!(page.items.len(), PODS / NODES);
    }
    meter.report("list of one node's pods", 1_000);
}

/// Updates one pod after the other while watchers with these selections drain their streams and touch every frame.
async fn fan_out(
    pods: &ResourceStore,
    what: &str,
    selections: impl Iterator<Item = Selection>,
    updates: usize,
    audience: usize,
) {
    let mut drains = Vec::new();
    let before = rss();
    for selection in selections {
        let watch =
            pods.watch(WatchQuery { selection, from: WatchFrom::Now, bookmarks: true }).await.unwrap();
        drains.push(tokio::spawn(watch.for_each(|event| async move {
            assert!(event.unwrap().frame().len() > 100);
        })));
    }
    line("resident memory per watcher", format_args!("{} B", rss().saturating_sub(before) / drains.len()));
    let current: Vec<Arc<Object>> = pods.list(&ListQuery::default()).await.unwrap().items;
    let values: Vec<Value> = current.iter().take(updates).map(|object| touched(object)).collect();
    let meter = Meter::start();
    for (object, value) in current.iter().zip(&values) {
        pods.update(object, value).await.unwrap();
    }
    pods.get("none", "none", Freshness::Latest).await.unwrap();
    tokio::task::yield_now().await;
    let deliveries = if audience == 1_000 { updates * audience } else { updates };
    meter.report(what, deliveries);
    for drain in drains {
        drain.abort();
    }
}

async fn after_write(store: &Store, pods: &ResourceStore) {
    let mut waits = Vec::new();
    let current: Vec<Arc<Object>> = pods.list(&ListQuery::default()).await.unwrap().items;
    for object in current.iter().take(2_000) {
        let written = pods.update(object, &touched(object)).await.unwrap();
        let started = Instant::now();
        let read = pods.get(written.namespace(), written.name(), Freshness::Latest).await.unwrap().unwrap();
        waits.push(started.elapsed());
        assert_eq!(read.revision(), written.revision());
    }
    waits.sort_unstable();
    line("consistent read after a write, p50", format_args!("{:?}", waits[waits.len() / 2]));
    line("consistent read after a write, p99", format_args!("{:?}", waits[waits.len() * 99 / 100]));
    line("revision", store.revision());
}

fn touched(object: &Object) -> Value {
    let mut value = object.value();
    let revision = object.revision().to_string();
    value["status"]["message"] = revision.into();
    value
}

fn namespace(i: usize) -> String {
    format!("team-{}", i % 50)
}

fn name(i: usize) -> String {
    format!("web-frontend-{:05}-7c9d6b5f4-x{:04}", i, i % 9973)
}

fn node(i: usize) -> String {
    format!("node-{:04}.example.internal", i % NODES)
}

/// A pod as a Deployment of a mid-sized company makes it: about 7 KB with managed fields and status.
fn pod(i: usize) -> Value {
    let env: Vec<Value> = (0..24)
        .map(|e| json!({"name": format!("SETTING_{e}"), "value": format!("value-{}-{e}", i * 31 % 997)}))
        .collect();
    let container = |name: &str| {
        json!({
            "name": name, "image": format!("registry.example.com/team/{name}:v1.{}", i % 40), "env": env,
            "ports": [{"containerPort": 8080, "protocol": "TCP", "name": "http"}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "timeoutSeconds": 1,
                "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/app"},
                {"name": "kube-api-access-abcde", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent",
        })
    };
    let managed: Vec<Value> = (0..2)
        .map(|m| {
            let fields: serde_json::Map<String, Value> =
                (0..24).map(|f| (format!("k:{{\"name\":\"SETTING_{f}\"}}"), json!({".": {}, "f:name": {}, "f:value": {}}))).collect();
            json!({"manager": format!("manager-{m}"), "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
                "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:containers": fields}}})
        })
        .collect();
    json!({
        "metadata": {
            "name": name(i), "namespace": namespace(i), "uid": format!("{:08x}-1111-4222-8333-{:012x}", i, i),
            "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": managed,
            "labels": {"app": format!("app-{}", i % 200), "pod-template-hash": format!("{:x}", i % 200), "tier": "web"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": true,
                "blockOwnerDeletion": true}],
        },
        "spec": {"nodeName": node(i), "containers": [container("app"), container("sidecar")], "restartPolicy": "Always",
            "serviceAccountName": "default", "schedulerName": "default-scheduler", "dnsPolicy": "ClusterFirst"},
        "status": {"phase": "Running", "podIP": format!("10.{}.{}.{}", i / 65536, i / 256 % 256, i % 256), "qosClass": "Burstable",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
    })
}

/// Wall and CPU time of this process between two moments.
struct Meter {
    wall: Instant,
    cpu: Duration,
}

impl Meter {
    fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu() }
    }

    fn report(&self, what: &str, times: usize) {
        let times = u32::try_from(times).unwrap();
        let (wall, cpu) = (self.wall.elapsed(), cpu() - self.cpu);
        line(what, format_args!("{:>10.2?} CPU, {:>10.2?} wall", cpu / times, wall / times));
    }
}

fn line(what: &str, figure: impl Display) {
    println!("{what:<48} {figure}");
}

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    [usage.user_time(), usage.system_time()]
        .map(|time| {
            Duration::from_secs(time.tv_sec().unsigned_abs())
                + Duration::from_micros(time.tv_usec().unsigned_abs())
        })
        .iter()
        .sum()
}

fn rss() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn ratio(a: usize, b: usize) -> f64 {
    // Both are far below 2^52.
    #[allow(clippy::cast_precision_loss)]
    let ratio = a as f64 / b as f64;
    ratio
}
