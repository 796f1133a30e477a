//! `matchConstraints` of a policy and `matchResources` of a binding.

use std::sync::Arc;

use api_types::resource::ResourceInfo;
use api_types::selector::Selector;
use serde_json::{Value, json};

use crate::admission::webhook::{Rule, selects_namespace, selects_object};
use crate::admission::{Reader, Request, Versions};
use crate::error::Result;

/// Which requests are meant.
#[derive(Debug)]
pub struct Constraints {
    /// `resourceRules`; a binding without any takes all of its policy's requests.
    rules: Vec<NamedRule>,
    excluded: Vec<NamedRule>,
    exact: bool,
    namespaces: Selector,
    objects: Selector,
}

#[derive(Debug)]
struct NamedRule {
    rule: Rule,
    /// `resourceNames`; none means all.
    names: Vec<String>,
}

impl NamedRule {
    fn read(value: &Value) -> Self {
        let names = value["resourceNames"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Self { rule: Rule::read(value), names: names.map(str::to_owned).collect() }
    }

    fn takes(&self, request: &Request<'_>, row: &ResourceInfo) -> bool {
        self.takes_name(request) && self.rule.takes(request, row)
    }

    fn takes_name(&self, request: &Request<'_>) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| name == request.name)
    }
}

impl Constraints {
    /// Reads `MatchResources`; null takes everything.
    pub fn read(value: &Value) -> Self {
        let rules = |key: &str| value[key].as_array().into_iter().flatten().map(NamedRule::read).collect();
        let selector = |key: &str| {
            let everything = json!({});
            Selector::from_value(value.get(key).unwrap_or(&everything)).unwrap_or_else(|_| nothing())
        };
        Self {
            rules: rules("resourceRules"),
            excluded: rules("excludeResourceRules"),
            exact: value["matchPolicy"] == "Exact",
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
        }
    }

    /// The plural names that the rules are about; `None` for all.
    pub fn plurals(&self) -> Option<Vec<&str>> {
        let mut plurals = Vec::new();
        for named in &self.rules {
            plurals.extend(named.rule.plurals()?);
        }
        Some(plurals)
    }

    /// The row under which the request is meant: its own, or an equivalent one that a rule names; `None` when it is not
    /// meant at all.
    ///
    /// # Errors
    /// The request's namespace cannot be read.
    pub async fn row(
        &self,
        request: &Request<'_>,
        versions: &dyn Versions,
        reader: &dyn Reader,
    ) -> Result<Option<Arc<ResourceInfo>>> {
        if !selects_namespace(&self.namespaces, request, reader).await?
            || !selects_object(&self.objects, request)
        {
            return Ok(None);
        }
        let equivalents = || if self.exact { Vec::new() } else { versions.equivalents(request.resource) };
        if found(&self.excluded, request, equivalents).is_some() {
            return Ok(None);
        }
        if self.rules.is_empty() {
            return Ok(Some(Arc::clone(request.resource)));
        }
        Ok(found(&self.rules, request, equivalents))
    }
}

/// The row under which one of the rules takes the request.
fn found(
    rules: &[NamedRule],
    request: &Request<'_>,
    equivalents: impl FnOnce() -> Vec<Arc<ResourceInfo>>,
) -> Option<Arc<ResourceInfo>> {
    if rules.iter().any(|rule| rule.takes(request, request.resource)) {
        return Some(Arc::clone(request.resource));
    }
    // Other versions only matter where a rule takes the resource and the operation at all.
    if !rules.iter().any(|rule| rule.takes_name(request) && rule.rule.could_take(request)) {
        return None;
    }
    equivalents().into_iter().find(|row| rules.iter().any(|rule| rule.takes(request, row)))
}

/// A selector that selects nothing, in place of one that cannot be read; validation lets none pass.
fn nothing() -> Selector {
    let never = json!({"matchExpressions": [
        {"key": "a", "operator": "Exists"}, {"key": "a", "operator": "DoesNotExist"},
    ]});
    Selector::from_value(&never).expect("a well-formed selector")
}
