//! What a request is about, read from its method, path and query alone.
//!
//! Everything behind this layer (authorization, admission, handlers, metrics) works on [`RequestInfo`], so a path is
//! taken apart once. The rules are those of the API conventions: `/api/v1/…` and `/apis/GROUP/VERSION/…`, optional
//! `namespaces/NS/`, then resource, name and subresource.

use http::Method;

use crate::http::query::Query;

/// What a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Whether the path is below `/api/v…` or `/apis/G/V` and names a resource.
    pub is_resource: bool,
    /// The API verb for resources (`get`, `list`, `deletecollection`, …), else the lower-case method.
    pub verb: String,
    /// The whole path.
    pub path: String,
    /// "api" or "apis" for resource requests.
    pub prefix: String,
    /// API group, "" for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// The namespace named in the path, or "". A request for a Namespace object itself names that namespace.
    pub namespace: String,
    /// Plural name of the resource.
    pub resource: String,
    /// The subresource, or "".
    pub subresource: String,
    /// The object's name, or "" for collections.
    pub name: String,
    /// Path segments after namespace, resource and subresource that remain (proxy paths).
    pub rest: Vec<String>,
    /// Whether the path went through `namespaces/NS/`.
    pub in_namespace_path: bool,
}

impl RequestInfo {
    /// Takes a request apart.
    pub fn parse(method: &Method, path: &str, query: &Query) -> Self {
        let mut info = RequestInfo {
            path: path.to_owned(),
            verb: method.as_str().to_lowercase(),
            ..RequestInfo::default()
        };
        // An empty part is one: `namespaces//pods` are the pods of all namespaces.
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let mut rest = match parts.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => {
                info.version = (*version).to_owned();
                rest
            }
            ["apis", group, version, rest @ ..] if !rest.is_empty() => {
                info.group = (*group).to_owned();
                info.version = (*version).to_owned();
                rest
            }
            _ => return info,
        };
        info.is_resource = true;
        info.prefix = parts[0].to_owned();
        info.verb = match *method {
            Method::POST => "create",
            Method::GET | Method::HEAD => "get",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "",
        }
        .to_owned();
        // Verbs in the path: the old forms of watch and proxy.
        if let ["watch", more @ ..] = rest
            && !more.is_empty()
        {
            info.verb = "watch".to_owned();
            rest = more;
        }
        rest = info.take_namespace(rest);
        info.take_resource(rest);
        info.collection_verb(query);
        info
    }

    /// `namespaces/NS/resource…` is a namespaced resource; `namespaces/NS` and its own subresources are not.
    fn take_namespace<'a>(&mut self, rest: &'a [&'a str]) -> &'a [&'a str] {
        let ["namespaces", namespace, more @ ..] = rest else { return rest };
        self.namespace = (*namespace).to_owned();
        match more {
            [] => rest,
            ["status" | "finalize"] => rest,
            more => {
                self.in_namespace_path = true;
                more
            }
        }
    }

    fn take_resource(&mut self, rest: &[&str]) {
        let mut parts = rest.iter().map(|part| (*part).to_owned());
        self.resource = parts.next().unwrap_or_default();
        self.name = parts.next().unwrap_or_default();
        self.subresource = parts.next().unwrap_or_default();
        self.rest = parts.collect();
    }

    /// A request without a name is about the collection; a field selector on the name makes it about one object for
    /// authorization.
    fn collection_verb(&mut self, query: &Query) {
        if !self.name.is_empty() {
            return;
        }
        match self.verb.as_str() {
            "get" if query.flag("watch") => self.verb = "watch".to_owned(),
            "get" => self.verb = "list".to_owned(),
            "delete" => self.verb = "deletecollection".to_owned(),
            _ => return,
        }
        if matches!(self.verb.as_str(), "list" | "watch" | "deletecollection")
            && let Some(selector) = query.get("fieldSelector")
            && let Some(name) = selector.split(',').find_map(|term| {
                let (field, value) = term.split_once('=')?;
                (field == "metadata.name").then(|| value.trim_start_matches('='))
            })
            && is_path_segment(name)
        {
            self.name = name.to_owned();
        }
    }
}

fn is_path_segment(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '%'])
}

#[cfg(test)]
mod tests;
