//! Node selectors and node affinity, parsed once per pod.

use std::sync::Arc;

use api_types::k8s::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod};

use super::term::Labels;

/// A disjunction of terms; a term without requirements matches nothing.
#[derive(Clone, Debug, Default)]
pub struct NodeTerms {
    terms: Vec<NodeTerm>,
}

/// A conjunction of requirements on a node's labels and name.
#[derive(Clone, Debug, Default)]
pub struct NodeTerm {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

#[derive(Clone, Debug)]
struct Requirement {
    key: Arc<str>,
    operator: Operator,
    values: Vec<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Gt,
    Lt,
    /// Not one of the API's; matches nothing.
    Unknown,
}

impl NodeTerms {
    /// Parses a node selector.
    pub fn new(selector: &NodeSelector) -> Self {
        Self { terms: selector.node_selector_terms.iter().map(NodeTerm::new).collect() }
    }

    /// Whether a node with this name and these labels matches one of the terms.
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        self.terms.iter().any(|term| term.matches(name, labels))
    }

    /// The only node names that can match, when every term names some. Terms are ORed, so one term without a name
    /// leaves all nodes possible.
    pub fn names(&self) -> Option<Vec<&str>> {
        let mut names = Vec::new();
        for term in &self.terms {
            let mut of_term: Option<Vec<&str>> = None;
            for field in term.fields.iter().filter(|field| field.operator == Operator::In) {
                let values: Vec<&str> = field.values.iter().map(|value| &**value).collect();
                of_term = Some(match of_term {
                    Some(known) => known.into_iter().filter(|name| values.contains(name)).collect(),
                    None => values,
                });
            }
            names.extend(of_term?);
        }
        names.sort_unstable();
        names.dedup();
        (!self.terms.is_empty()).then_some(names)
    }
}

impl NodeTerm {
    /// Parses a term.
    pub fn new(term: &NodeSelectorTerm) -> Self {
        let parse = |list: &Option<Vec<NodeSelectorRequirement>>| {
            list.iter().flatten().map(Requirement::new).collect::<Vec<_>>()
        };
        Self { labels: parse(&term.match_expressions), fields: parse(&term.match_fields) }
    }

    /// Whether a node matches; a term without requirements never does.
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        if self.labels.is_empty() && self.fields.is_empty() {
            return false;
        }
        self.labels
            .iter()
            .all(|requirement| requirement.matches(labels.get(&*requirement.key).map(String::as_str)))
            && self.fields.iter().all(|requirement| {
                requirement.matches((&*requirement.key == "metadata.name").then_some(name))
            })
    }
}

impl Requirement {
    fn new(requirement: &NodeSelectorRequirement) -> Self {
        let operator = match requirement.operator.as_str() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            "Gt" => Operator::Gt,
            "Lt" => Operator::Lt,
            _ => Operator::Unknown,
        };
        let values = requirement.values.iter().flatten().map(|value| value.as_str().into()).collect();
        Self { key: requirement.key.as_str().into(), operator, values }
    }

    fn matches(&self, found: Option<&str>) -> bool {
        let listed = |value: &str| self.values.iter().any(|known| **known == *value);
        match self.operator {
            Operator::In => found.is_some_and(listed),
            Operator::NotIn => !found.is_some_and(listed),
            Operator::Exists => found.is_some(),
            Operator::DoesNotExist => found.is_none(),
            Operator::Gt | Operator::Lt => {
                let number = |text: &str| text.parse::<i64>().ok();
                match (found.and_then(number), self.values.first().and_then(|value| number(value))) {
                    (Some(found), Some(bound)) if self.operator == Operator::Gt => found > bound,
                    (Some(found), Some(bound)) => found < bound,
                    _ => false,
                }
            }
            Operator::Unknown => false,
        }
    }
}

/// What a pod requires of its node: `nodeSelector` and required node affinity together.
#[derive(Clone, Debug, Default)]
pub struct Required {
    labels: Option<Labels>,
    affinity: Option<NodeTerms>,
}

impl Required {
    /// Parses a pod's requirements.
    pub fn new(pod: &Pod) -> Self {
        let Some(spec) = &pod.spec else { return Self::default() };
        let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        Self {
            labels: spec.node_selector.clone().filter(|labels| !labels.is_empty()),
            affinity: affinity
                .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref())
                .map(NodeTerms::new),
        }
    }

    /// Whether any node will do.
    pub fn is_empty(&self) -> bool {
        self.labels.is_none() && self.affinity.is_none()
    }

    /// Whether a node will do.
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        self.labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value))
            && self.affinity.as_ref().is_none_or(|terms| terms.matches(name, labels))
    }

    /// The required affinity alone.
    pub fn affinity(&self) -> Option<&NodeTerms> {
        self.affinity.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> NodeTerms {
        NodeTerms::new(&serde_yaml::from_str(&format!("nodeSelectorTerms: {text}")).unwrap())
    }

    #[test]
    fn operators_follow_the_api() {
        let labels: Labels =
            [("zone".to_owned(), "a".to_owned()), ("size".to_owned(), "7".to_owned())].into();
        let cases = [
            ("[{matchExpressions: [{key: zone, operator: In, values: [a, b]}]}]", true),
            ("[{matchExpressions: [{key: zone, operator: NotIn, values: [a]}]}]", false),
            ("[{matchExpressions: [{key: none, operator: NotIn, values: [a]}]}]", true),
            ("[{matchExpressions: [{key: none, operator: Exists}]}]", false),
            ("[{matchExpressions: [{key: none, operator: DoesNotExist}]}]", true),
            ("[{matchExpressions: [{key: size, operator: Gt, values: ['6']}]}]", true),
            ("[{matchExpressions: [{key: size, operator: Lt, values: ['7']}]}]", false),
            ("[{matchExpressions: [{key: zone, operator: Gt, values: ['7']}]}]", false),
            ("[{matchFields: [{key: metadata.name, operator: In, values: [n]}]}]", true),
            ("[{}]", false),
            ("[{}, {matchExpressions: [{key: zone, operator: Exists}]}]", true),
            ("[]", false),
        ];
        for (text, expected) in cases {
            assert_eq!(terms(text).matches("n", &labels), expected, "{text}");
        }
    }

    #[test]
    fn names_need_every_term() {
        let field = |values: &str| {
            format!("{{matchFields: [{{key: metadata.name, operator: In, values: {values}}}]}}")
        };
        assert_eq!(terms(&format!("[{}, {}]", field("[b]"), field("[a]"))).names(), Some(vec!["a", "b"]));
        assert_eq!(terms(&format!("[{}, {{}}]", field("[b]"))).names(), None);
    }
}
