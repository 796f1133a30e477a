//! What is asked, in the terms that authorizers decide by.

use crate::UserInfo;

/// One request, as authorizers see it.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    /// Who asks.
    pub user: &'a UserInfo,
    /// `get`, `list`, `watch`, `create`, … or, for non-resource requests, the lower-case HTTP method.
    pub verb: &'a str,
    /// Namespace, `""` for cluster-scoped requests and lists over all namespaces.
    pub namespace: &'a str,
    /// API group, `""` for core.
    pub group: &'a str,
    /// API version.
    pub version: &'a str,
    /// Plural resource, without the subresource.
    pub resource: &'a str,
    /// Subresource, or `""`.
    pub subresource: &'a str,
    /// Object name, or `""` when none is named.
    pub name: &'a str,
    /// Whether the request is for a resource; when not, only `verb` and `path` count.
    pub resource_request: bool,
    /// URL path.
    pub path: &'a str,
    /// The field selector of a list, watch or deletecollection, when it parsed.
    pub field_selector: Vec<SelectorRequirement>,
    /// The label selector likewise.
    pub label_selector: Vec<SelectorRequirement>,
}

impl<'a> Attributes<'a> {
    /// A resource request with nothing but the verb, group and resource set.
    pub fn resource(user: &'a UserInfo, verb: &'a str, group: &'a str, resource: &'a str) -> Self {
        Self {
            user,
            verb,
            namespace: "",
            group,
            version: "",
            resource,
            subresource: "",
            name: "",
            resource_request: true,
            path: "",
            field_selector: Vec::new(),
            label_selector: Vec::new(),
        }
    }

    /// A non-resource request.
    pub fn path(user: &'a UserInfo, verb: &'a str, path: &'a str) -> Self {
        Self { resource_request: false, path, ..Self::resource(user, verb, "", "") }
    }

    /// With a namespace.
    pub fn in_namespace(self, namespace: &'a str) -> Self {
        Self { namespace, ..self }
    }

    /// With an object name.
    pub fn named(self, name: &'a str) -> Self {
        Self { name, ..self }
    }

    /// With a subresource.
    pub fn of_subresource(self, subresource: &'a str) -> Self {
        Self { subresource, ..self }
    }

    /// Whether nothing is changed by the request.
    pub fn read_only(&self) -> bool {
        matches!(self.verb, "get" | "list" | "watch")
    }
}

/// One requirement of a selector (KEP-4601, authorize with selectors).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorRequirement {
    /// Label key or field path.
    pub key: String,
    /// How the values are compared.
    pub operator: SelectorOperator,
    /// The values; empty for the existence operators.
    pub values: Vec<String>,
}

/// Operators of selectors, label and field alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectorOperator {
    /// Equal to one of the values.
    In,
    /// Equal to none of them.
    NotIn,
    /// Present.
    Exists,
    /// Absent.
    DoesNotExist,
}
