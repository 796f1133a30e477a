//! The identity of a requester.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Who a request is from, in the JSON form of `authentication.k8s.io/v1 UserInfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct UserInfo {
    /// The user name that authorization goes by.
    #[serde(rename = "username", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Tells apart users who had the same name at different times.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Groups, in the order the authenticator gave them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Additional attributes, such as `authentication.kubernetes.io/node-name`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    /// A user with a name and groups, and nothing else.
    pub fn new<G: Into<String>>(name: impl Into<String>, groups: impl IntoIterator<Item = G>) -> Self {
        Self { name: name.into(), groups: groups.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Whether the user is in a group.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// The node name when this user is a kubelet: `system:node:<name>` in group `system:nodes`.
    pub fn node_name(&self) -> Option<&str> {
        let name = self.name.strip_prefix(names::NODE_USER_PREFIX)?;
        self.in_group(names::NODES).then_some(name)
    }

    /// Namespace and name when this user is a service account.
    pub fn service_account(&self) -> Option<(&str, &str)> {
        split_service_account(&self.name)
    }

    /// The single value of an extra attribute, when there is exactly one.
    pub fn extra_value(&self, key: &str) -> Option<&str> {
        match self.extra.get(key).map(Vec::as_slice) {
            Some([value]) => Some(value),
            _ => None,
        }
    }
}

/// Splits `system:serviceaccount:<namespace>:<name>`.
pub(crate) fn split_service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(names::SERVICE_ACCOUNT_USER_PREFIX)?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}

/// Names with a meaning of their own.
pub mod names {
    /// Members bypass authorization.
    pub const MASTERS: &str = "system:masters";
    /// Everyone who proved an identity.
    pub const AUTHENTICATED: &str = "system:authenticated";
    /// Everyone who did not.
    pub const UNAUTHENTICATED: &str = "system:unauthenticated";
    /// The user of requests without credentials.
    pub const ANONYMOUS: &str = "system:anonymous";
    /// Kubelets.
    pub const NODES: &str = "system:nodes";
    /// Before a kubelet's node name.
    pub const NODE_USER_PREFIX: &str = "system:node:";
    /// Holders of a bootstrap token.
    pub const BOOTSTRAPPERS: &str = "system:bootstrappers";
    /// Before a bootstrap token's id.
    pub const BOOTSTRAP_USER_PREFIX: &str = "system:bootstrap:";
    /// All service accounts.
    pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
    /// Before the namespace of a service account's own group.
    pub const SERVICE_ACCOUNTS_PREFIX: &str = "system:serviceaccounts:";
    /// Before `<namespace>:<name>` of a service account's user name.
    pub const SERVICE_ACCOUNT_USER_PREFIX: &str = "system:serviceaccount:";
    /// Extra key: the pod a token is bound to.
    pub const EXTRA_POD_NAME: &str = "authentication.kubernetes.io/pod-name";
    /// Extra key: the uid of the pod a token is bound to.
    pub const EXTRA_POD_UID: &str = "authentication.kubernetes.io/pod-uid";
    /// Extra key: the node a token, or its pod, is bound to.
    pub const EXTRA_NODE_NAME: &str = "authentication.kubernetes.io/node-name";
    /// Extra key: the uid of the node a token, or its pod, is bound to.
    pub const EXTRA_NODE_UID: &str = "authentication.kubernetes.io/node-uid";
    /// Extra key: what credential was used (`JTI=<uuid>` or `X509SHA256=<hex>`).
    pub const EXTRA_CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
}
