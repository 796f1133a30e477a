//! The process's Prometheus registry, process metrics, and the text answer of `/metrics`.

use std::sync::LazyLock;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    CounterVec, Encoder, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

/// Upstream's buckets for work-queue durations, in seconds.
pub const QUEUE_BUCKETS: &[f64] = &[1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0];

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);

/// The registry of this process.
pub fn registry() -> &'static Registry {
    &REGISTRY
}

/// A counter family with upstream's `name`, registered.
///
/// # Panics
/// When the name or labels are not valid; a name registered twice gives the same family's twin and a log line.
pub fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(IntCounterVec::new(Opts::new(name, help), labels))
}

/// A family of float counters; see [`counters`].
pub fn float_counters(name: &str, help: &str, labels: &[&str]) -> CounterVec {
    registered(CounterVec::new(Opts::new(name, help), labels))
}

/// A gauge family; see [`counters`].
pub fn gauges(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(IntGaugeVec::new(Opts::new(name, help), labels))
}

/// A family of float gauges; see [`counters`].
pub fn float_gauges(name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    registered(GaugeVec::new(Opts::new(name, help), labels))
}

/// A histogram family with the given bucket bounds; see [`counters`].
pub fn histograms(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    registered(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
}

/// `count` bounds starting at `start`, each `factor` times the one before.
pub fn exponential_buckets(start: f64, factor: f64, count: usize) -> Vec<f64> {
    std::iter::successors(Some(start), |bound| Some(bound * factor)).take(count).collect()
}

/// Everything registered, in the text exposition format.
pub fn render() -> Vec<u8> {
    let mut text = Vec::with_capacity(32 * 1024);
    if let Err(error) = TextEncoder::new().encode(&REGISTRY.gather(), &mut text) {
        tracing::error!(%error, "cannot encode metrics");
    }
    text
}

/// The answer to `GET /metrics`.
pub fn respond() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(render()));
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}

/// Registers process metrics and `kubernetes_build_info`; a second call changes nothing.
pub fn install_process_metrics(component: &str) {
    if REGISTRY.register(Box::new(Process::new())).is_err() {
        return;
    }
    let build = gauges(
        "kubernetes_build_info",
        "Version, commit and platform of this build.",
        &[
            "build_date",
            "compiler",
            "git_commit",
            "git_tree_state",
            "git_version",
            "go_version",
            "major",
            "minor",
            "platform",
        ],
    );
    let (major, minor) = (crate::version::MAJOR, crate::version::MINOR);
    let platform = format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH);
    build
        .with_label_values(&["", "rustc", "", "", crate::version::GIT_VERSION, "", major, minor, &platform])
        .set(1);
    tracing::debug!(component, "process metrics registered");
}

fn registered<C: Collector + Clone + 'static>(family: prometheus::Result<C>) -> C {
    let family = family.expect("metric names and labels are constants of the program");
    if let Err(error) = REGISTRY.register(Box::new(family.clone())) {
        tracing::warn!(%error, "metric registered twice; only the first is shown");
    }
    family
}

/// Reads `/proc/self` whenever metrics are gathered. Page size and clock ticks are those of every Linux we run on.
struct Process {
    resident: Gauge,
    virtual_memory: Gauge,
    cpu: Gauge,
    start: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
}

impl Process {
    const PAGE: f64 = 4096.0;
    const TICKS: f64 = 100.0;

    fn new() -> Self {
        let gauge = |name, help| Gauge::new(name, help).expect("metric names are constants of the program");
        Self {
            resident: gauge("process_resident_memory_bytes", "Resident memory size in bytes."),
            virtual_memory: gauge("process_virtual_memory_bytes", "Virtual memory size in bytes."),
            cpu: gauge("process_cpu_seconds_total", "Total user and system CPU time spent in seconds."),
            start: gauge(
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
            ),
            open_fds: gauge("process_open_fds", "Number of open file descriptors."),
            max_fds: gauge("process_max_fds", "Maximum number of open file descriptors."),
        }
    }

    fn all(&self) -> [&Gauge; 6] {
        [&self.resident, &self.virtual_memory, &self.cpu, &self.start, &self.open_fds, &self.max_fds]
    }

    /// Fields of `/proc/self/stat` after the command name, so index 0 is field 3 of proc(5).
    fn read(&self) -> Option<()> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let fields: Vec<f64> =
            stat.rsplit_once(')')?.1.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect();
        self.cpu.set((fields.get(11)? + fields.get(12)?) / Self::TICKS);
        self.virtual_memory.set(*fields.get(20)?);
        self.resident.set(fields.get(21)? * Self::PAGE);
        let boot = std::fs::read_to_string("/proc/stat").ok()?;
        let boot: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        self.start.set(boot + fields.get(19)? / Self::TICKS);
        self.open_fds.set(std::fs::read_dir("/proc/self/fd").ok()?.count() as f64);
        let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
        let open = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        self.max_fds.set(open.split_whitespace().next()?.parse().ok()?);
        Some(())
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if self.read().is_none() {
            tracing::debug!("some process metrics cannot be read from /proc");
        }
        let mut families: Vec<MetricFamily> = self.all().into_iter().flat_map(Collector::collect).collect();
        for family in families.iter_mut().filter(|family| family.name() == "process_cpu_seconds_total") {
            family.set_field_type(prometheus::proto::MetricType::COUNTER);
            for metric in family.mut_metric() {
                let value = metric.get_gauge().get_value();
                let mut counter = prometheus::proto::Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
        }
        families
    }
}
