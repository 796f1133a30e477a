//! One request to a resource, and what comes of it.

use std::sync::Arc;

use access::UserInfo;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use serde_json::Value;
use storage::{Object, Page, Watch};

use super::Endpoint;
use crate::admission::Annotations;
use crate::http::query::Query;

/// One authenticated and authorized request to a resource.
pub struct Request {
    /// The resource.
    pub endpoint: Arc<Endpoint>,
    /// The namespace in the path, "" for cluster-scoped resources and requests across namespaces.
    pub namespace: String,
    /// The object's name, "" for collections.
    pub name: String,
    /// The subresource, or "".
    pub subresource: String,
    /// Who asks.
    pub user: UserInfo,
    /// Query parameters.
    pub query: Query,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, empty where there is none.
    pub body: Bytes,
    /// The server's own doing: admission is not asked.
    pub internal: bool,
    /// Texts for Warning headers, collected on the way.
    pub warnings: Mutex<Vec<String>>,
    /// What the audit log is to remember of the decisions on the way.
    pub annotations: Annotations,
}

impl Request {
    /// A request of the server's own, as user `system:apiserver`.
    pub fn internal(endpoint: Arc<Endpoint>, namespace: &str, name: &str, subresource: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::USER_AGENT, http::HeaderValue::from_static("kube-apiserver"));
        Request {
            endpoint,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
            user: UserInfo::new("system:apiserver", ["system:masters"]),
            query: Query::default(),
            headers,
            body: Bytes::new(),
            internal: true,
            warnings: Mutex::default(),
            annotations: Annotations::default(),
        }
    }

    /// Adds Warning texts.
    pub fn warn(&self, texts: impl IntoIterator<Item = String>) {
        self.warnings.lock().extend(texts);
    }

    /// The name under which this request's changes are recorded: the field manager that it names, else the first part
    /// of the user agent.
    pub fn manager(&self, field_manager: &str) -> String {
        if !field_manager.is_empty() {
            return field_manager.to_owned();
        }
        let agent =
            self.headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let prefix = agent.split('/').next().unwrap_or_default();
        prefix.chars().filter(|c| !c.is_control()).take(128).collect()
    }
}

/// One object on its way out.
pub enum Item {
    /// As the cache holds it.
    Stored(Arc<Object>),
    /// Made for this answer (dry run, virtual resources); in the served version, without `kind` and `apiVersion`.
    Made(Value),
}

/// What comes of a request to a resource.
pub enum Outcome {
    /// One object.
    Object(StatusCode, Item),
    /// One object of another kind than the resource's own (Scale, TokenRequest); with `kind` and `apiVersion`.
    Foreign(StatusCode, Value),
    /// One page of objects.
    List(Page),
    /// Objects that are not stored, as a list.
    MadeList(Vec<Value>),
    /// Events until the client goes or the time is up.
    Watch(Box<WatchOutcome>),
    /// A Status that reports a success.
    Status(StatusCode, Value),
}

/// An open watch.
pub struct WatchOutcome {
    /// The events; an error ends them and is told to the client as an ERROR event.
    pub events: std::result::Result<Watch, crate::error::Error>,
    /// When the watch ends by itself.
    pub timeout: std::time::Duration,
    /// Whether the client wants bookmarks.
    pub bookmarks: bool,
}
