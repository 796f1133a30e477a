//! `/healthz`, `/livez` and `/readyz`: named checks, each also at `/<endpoint>/<check>`, `?verbose` and `?exclude=`.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use parking_lot::RwLock;

/// Something that may be healthy or not.
#[async_trait]
pub trait Check: Send + Sync + 'static {
    /// `Err` with the reason when unhealthy. The reason is logged; callers see that the check failed.
    async fn check(&self) -> Result<(), String>;
}

/// Which endpoints a check belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct On {
    /// `/healthz`
    pub healthz: bool,
    /// `/livez`
    pub livez: bool,
    /// `/readyz`
    pub readyz: bool,
}

impl On {
    /// All three.
    pub const ALL: Self = Self { healthz: true, livez: true, readyz: true };
    /// `/healthz` and `/readyz`.
    pub const READY: Self = Self { healthz: true, livez: false, readyz: true };
    /// `/readyz` only.
    pub const READYZ: Self = Self { healthz: false, livez: false, readyz: true };
    /// `/healthz` and `/livez`.
    pub const LIVE: Self = Self { healthz: true, livez: true, readyz: false };

    fn has(self, endpoint: &str) -> bool {
        match endpoint {
            "healthz" => self.healthz,
            "livez" => self.livez,
            "readyz" => self.readyz,
            _ => false,
        }
    }
}

/// The checks of a daemon, in the order they were added. Cheap to clone; clones share the checks.
#[derive(Clone, Default)]
pub struct Health {
    checks: Arc<RwLock<Vec<Entry>>>,
}

#[derive(Clone)]
struct Entry {
    name: String,
    on: On,
    check: Arc<dyn Check>,
}

impl Health {
    /// With the `ping` check, which every endpoint has.
    pub fn new() -> Self {
        let health = Self::default();
        health.add_fn("ping", On::ALL, || Ok(()));
        health
    }

    /// Adds a check.
    pub fn add(&self, name: impl Into<String>, on: On, check: impl Check) {
        self.checks.write().push(Entry { name: name.into(), on, check: Arc::new(check) });
    }

    /// Adds a check that needs no I/O.
    pub fn add_fn(
        &self,
        name: impl Into<String>,
        on: On,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.add(name, on, Function(check));
    }

    /// The path of every endpoint and of every check.
    pub fn paths(&self) -> Vec<String> {
        let checks = self.checks.read();
        let of = |endpoint: &'static str| {
            let checks = checks.iter().filter(move |entry| entry.on.has(endpoint));
            let checks = checks.map(move |entry| format!("/{endpoint}/{}", entry.name));
            std::iter::once(format!("/{endpoint}")).chain(checks)
        };
        ["healthz", "livez", "readyz"].into_iter().flat_map(of).collect()
    }

    /// Answers a request for `path`, or `None` when it is not a health path. `query` is the raw query string.
    pub async fn respond(&self, path: &str, query: &str) -> Option<Response<Full<Bytes>>> {
        let mut parts = path.trim_start_matches('/').splitn(2, '/');
        let endpoint = parts.next().filter(|name| ["healthz", "livez", "readyz"].contains(name))?;
        let single = parts.next().filter(|name| !name.is_empty());
        let entries: Vec<Entry> =
            self.checks.read().iter().filter(|entry| entry.on.has(endpoint)).cloned().collect();
        let Some(single) = single else {
            return Some(answer_all(endpoint, &entries, query).await);
        };
        let entry = entries.iter().find(|entry| entry.name == single)?;
        Some(match entry.check.check().await {
            Ok(()) => text(StatusCode::OK, "ok".to_owned()),
            Err(reason) => {
                text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {reason}\n"))
            }
        })
    }
}

async fn answer_all(endpoint: &str, entries: &[Entry], query: &str) -> Response<Full<Bytes>> {
    let mut verbose = false;
    let mut excluded = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("verbose", _) => verbose = true,
            ("exclude", name) => excluded.push(name),
            _ => {}
        }
    }
    let mut lines = String::new();
    let mut failed = Vec::new();
    for entry in entries {
        if let Some(at) = excluded.iter().position(|name| *name == entry.name) {
            excluded.swap_remove(at);
            lines.push_str(&format!("[+]{} excluded: ok\n", entry.name));
            continue;
        }
        match entry.check.check().await {
            Ok(()) => lines.push_str(&format!("[+]{} ok\n", entry.name)),
            Err(reason) => {
                lines.push_str(&format!("[-]{} failed: reason withheld\n", entry.name));
                failed.push(format!("{}: {reason}", entry.name));
            }
        }
    }
    if !excluded.is_empty() {
        let names: Vec<String> = excluded.iter().map(|name| format!("{name:?}")).collect();
        lines.push_str(&format!(
            "warn: some health checks cannot be excluded: no matches for {}\n",
            names.join(",")
        ));
    }
    if !failed.is_empty() {
        tracing::warn!(endpoint, failed = failed.join("; "), "health check failed");
        return text(StatusCode::INTERNAL_SERVER_ERROR, format!("{lines}{endpoint} check failed\n"));
    }
    if verbose {
        return text(StatusCode::OK, format!("{lines}{endpoint} check passed\n"));
    }
    text(StatusCode::OK, "ok".to_owned())
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(http::header::X_CONTENT_TYPE_OPTIONS, http::HeaderValue::from_static("nosniff"));
    response
}

struct Function<F>(F);

#[async_trait]
impl<F: Fn() -> Result<(), String> + Send + Sync + 'static> Check for Function<F> {
    async fn check(&self) -> Result<(), String> {
        (self.0)()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn get(health: &Health, path: &str, query: &str) -> (u16, String) {
        let response = health.respond(path, query).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn endpoints_answer_as_upstream() {
        let health = Health::new();
        health.add_fn("store", On::READY, || Err("gone".into()));
        assert_eq!(get(&health, "/livez", "").await, (200, "ok".into()));
        assert_eq!(get(&health, "/livez", "verbose").await, (200, "[+]ping ok\nlivez check passed\n".into()));
        let failed = "[+]ping ok\n[-]store failed: reason withheld\nreadyz check failed\n";
        assert_eq!(get(&health, "/readyz", "").await, (500, failed.into()));
        assert_eq!(get(&health, "/readyz", "exclude=store").await, (200, "ok".into()));
        assert_eq!(get(&health, "/readyz/ping", "").await, (200, "ok".into()));
        assert!(health.respond("/livez/store", "").await.is_none());
        assert!(health.respond("/other", "").await.is_none());
    }
}
