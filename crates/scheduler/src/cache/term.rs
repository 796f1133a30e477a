//! Pod affinity terms with their selectors already parsed.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::k8s::api::core::v1::PodAffinityTerm;
use api_types::selector::Selector;

use super::pod::PodInfo;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// Which pods a term speaks of, and within which kind of domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    /// Node label whose values are the domains.
    pub topology_key: Arc<str>,
    /// Namespaces named by the term, sorted; the pod's own when the term names none.
    pub namespaces: Vec<Arc<str>>,
    /// Further namespaces, by label; none when the term has no namespace selector.
    pub namespace_selector: Selector,
    /// Pods in those namespaces.
    pub selector: Selector,
}

impl Term {
    /// Parses a term of a pod in `namespace`. Selectors that cannot be parsed match nothing; the apiserver refuses them.
    pub fn new(term: &PodAffinityTerm, namespace: &Arc<str>) -> Self {
        let mut namespaces: Vec<Arc<str>> =
            term.namespaces.iter().flatten().map(|name| name.as_str().into()).collect();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.push(Arc::clone(namespace));
        }
        namespaces.sort_unstable();
        namespaces.dedup();
        let parse =
            |selector| Selector::from_label_selector(selector).unwrap_or_else(|_| Selector::nothing());
        Self {
            topology_key: term.topology_key.as_str().into(),
            namespaces,
            namespace_selector: parse(term.namespace_selector.as_ref()),
            selector: parse(term.label_selector.as_ref()),
        }
    }

    /// Whether the term speaks of `pod`, whose namespace has the given labels.
    pub fn matches(&self, pod: &PodInfo, namespace_labels: &Labels) -> bool {
        (self.namespaces.contains(&pod.namespace) || self.namespace_selector.matches(namespace_labels))
            && self.selector.matches(pod.labels())
    }
}
