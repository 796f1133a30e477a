//! Calls that this server makes to extensions: admission and review webhooks, aggregated servers.
//!
//! ```text
//!  Destination (URL or service) ─► services: host and port ─► TCP ─► tls: whom to trust, who we are ─► HTTP/1.1, pooled
//! ```
//!
//! Connections are kept and used again; names are resolved when a connection is made. Redirects are never followed: a
//! webhook's answer must come from where its CA says. Failures are worded as Go's HTTP client words them, because
//! administrators search for those words.

mod client;
mod connect;
mod services;
pub mod tls;
mod words;

pub use client::{CallError, Client};
pub use connect::{ConnectError, Stream, connect};
pub use services::{NoServices, Resolve, Resolver};

/// Where calls lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A URL: `https://host[:port][/path]`.
    Url(http::Uri),
    /// A service of this cluster; TLS is spoken to `NAME.NAMESPACE.svc`.
    Service {
        /// The service's namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// One of its ports.
        port: u16,
        /// The path of calls, "" or absolute.
        path: String,
    },
}

impl Destination {
    /// Reads a `clientConfig` of a webhook; `None` when it names neither or an unreadable URL.
    pub fn of_client_config(config: &serde_json::Value) -> Option<Self> {
        if let Some(url) = config["url"].as_str() {
            return url.parse().ok().map(Destination::Url);
        }
        let service = config.get("service")?;
        let text = |key: &str| service[key].as_str().unwrap_or_default().to_owned();
        Some(Destination::Service {
            namespace: text("namespace"),
            name: text("name"),
            port: service["port"].as_u64().and_then(|port| port.try_into().ok()).unwrap_or(443),
            path: text("path"),
        })
    }

    /// The name that the peer's certificate must have.
    pub fn server_name(&self) -> String {
        match self {
            Destination::Url(url) => url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
            Destination::Service { namespace, name, .. } => format!("{name}.{namespace}.svc"),
        }
    }

    /// `https://host:port`, as it is written in messages.
    pub fn origin(&self) -> String {
        match self {
            Destination::Url(url) => {
                format!(
                    "{}://{}",
                    url.scheme_str().unwrap_or("https"),
                    url.authority().map_or("", |a| a.as_str())
                )
            }
            Destination::Service { port, .. } => format!("https://{}:{port}", self.server_name()),
        }
    }

    /// The path of calls; never empty.
    pub fn path(&self) -> &str {
        let path = match self {
            Destination::Url(url) => url.path(),
            Destination::Service { path, .. } => path,
        };
        match path.trim_end_matches('/') {
            "" => "/",
            path => path,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn client_configs_lead_somewhere() {
        for (config, origin, path, name) in [
            (json!({"url": "https://a.b:8443/x/y"}), "https://a.b:8443", "/x/y", "a.b"),
            (json!({"url": "https://[::1]:8443"}), "https://[::1]:8443", "/", "::1"),
            (
                json!({"service": {"namespace": "n", "name": "s", "port": 444, "path": "/v"}}),
                "https://s.n.svc:444",
                "/v",
                "s.n.svc",
            ),
            (json!({"service": {"namespace": "n", "name": "s"}}), "https://s.n.svc:443", "/", "s.n.svc"),
        ] {
            let destination = Destination::of_client_config(&config).expect("a destination");
            assert_eq!(
                (destination.origin().as_str(), destination.path(), destination.server_name().as_str()),
                (origin, path, name)
            );
        }
        assert_eq!(Destination::of_client_config(&json!({})), None);
    }
}
