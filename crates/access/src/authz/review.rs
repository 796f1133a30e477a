//! Access reviews: the same decisions, asked as objects of `authorization.k8s.io/v1`.
//!
//! Each function takes the decoded review, checks it as upstream does, and sets its `status`.

use api_types::field::{BadValue, Error, ErrorList, Path};
use api_types::status::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Attributes, Authorizer, Decision, PolicyRule, SelectorOperator, SelectorRequirement, Verdict};
use crate::UserInfo;

const GROUP: &str = "authorization.k8s.io";
const SPEC: Path<'static> = Path::new("spec");

/// Evaluates a SubjectAccessReview.
///
/// # Errors
/// The review is not well formed.
pub async fn subject_access_review(authorizer: &Authorizer, review: &mut Value) -> Result<(), ApiError> {
    let spec = parse(review)?;
    let mut errors = metadata_must_be_empty(review, false);
    errors.append(spec.check(true));
    refuse(errors)?;
    answer(authorizer, &spec.user(), &spec, review).await;
    Ok(())
}

/// Evaluates a LocalSubjectAccessReview posted in `namespace`.
///
/// # Errors
/// The review is not well formed, or is about something outside the namespace.
pub async fn local_subject_access_review(
    authorizer: &Authorizer,
    namespace: &str,
    review: &mut Value,
) -> Result<(), ApiError> {
    let spec = parse(review)?;
    let mut errors = spec.check(true);
    errors.append(metadata_must_be_empty(review, true));
    if let Some(attributes) = &spec.resource_attributes
        && attributes.namespace != namespace
    {
        let path = SPEC.child("resourceAttributes.namespace");
        errors.push(Error::invalid(&path, attributes.namespace.as_str(), "must match metadata.namespace"));
    }
    if let Some(attributes) = &spec.non_resource_attributes {
        let shown = json!({"Path": attributes.path, "Verb": attributes.verb});
        let path = SPEC.child("nonResourceAttributes");
        errors.push(Error::invalid(&path, shown, "disallowed on this kind of request"));
    }
    refuse(errors)?;
    answer(authorizer, &spec.user(), &spec, review).await;
    Ok(())
}

/// Evaluates a SelfSubjectAccessReview of `user`.
///
/// # Errors
/// The review is not well formed.
pub async fn self_subject_access_review(
    authorizer: &Authorizer,
    user: &UserInfo,
    review: &mut Value,
) -> Result<(), ApiError> {
    let spec = parse(review)?;
    let mut errors = metadata_must_be_empty(review, false);
    errors.append(spec.check(false));
    refuse(errors)?;
    answer(authorizer, user, &spec, review).await;
    Ok(())
}

/// Lists the rules of `user` in the review's namespace.
///
/// # Errors
/// The review names no namespace.
pub fn self_subject_rules_review(
    authorizer: &Authorizer,
    user: &UserInfo,
    review: &mut Value,
) -> Result<(), ApiError> {
    let namespace = review.pointer("/spec/namespace").and_then(Value::as_str).unwrap_or_default();
    if namespace.is_empty() {
        return Err(ApiError::bad_request("no namespace on request"));
    }
    let grants = authorizer.rules_for(user, namespace);
    let (paths, resources): (Vec<_>, Vec<_>) =
        grants.rules.into_iter().partition(|rule| !rule.non_resource_urls.is_empty());
    let path_rule = |r: PolicyRule| json!({"verbs": r.verbs, "nonResourceURLs": r.non_resource_urls});
    let mut status = json!({
        "resourceRules": resources,
        "nonResourceRules": paths.into_iter().map(path_rule).collect::<Vec<_>>(),
        "incomplete": grants.incomplete || !grants.errors.is_empty(),
    });
    if !grants.errors.is_empty() {
        status["evaluationError"] = grants.errors.join(", ").into();
    }
    review["status"] = status;
    Ok(())
}

async fn answer(authorizer: &Authorizer, user: &UserInfo, spec: &Spec, review: &mut Value) {
    let verdict = authorizer.authorize(&spec.attributes(user)).await;
    review["status"] = status(verdict);
}

fn status(verdict: Verdict) -> Value {
    let mut status = Map::new();
    status.insert("allowed".into(), verdict.allowed().into());
    if verdict.decision == Decision::Deny {
        status.insert("denied".into(), true.into());
    }
    for (key, text) in [("reason", verdict.reason), ("evaluationError", verdict.error)] {
        if !text.is_empty() {
            status.insert(key.into(), text.into());
        }
    }
    status.into()
}

fn parse(review: &Value) -> Result<Spec, ApiError> {
    let spec = review.get("spec").filter(|spec| !spec.is_null());
    spec.map_or_else(|| Ok(Spec::default()), Spec::deserialize)
        .map_err(|e| ApiError::bad_request(e.to_string()))
}

fn refuse(errors: ErrorList) -> Result<(), ApiError> {
    // Upstream leaves the kind out of these refusals.
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(GROUP, "", "", errors)) }
}

fn metadata_must_be_empty(review: &Value, namespace_allowed: bool) -> ErrorList {
    let mut errors = ErrorList::new();
    let metadata = review.get("metadata").and_then(Value::as_object);
    let set = |(key, value): (&String, &Value)| {
        !value.is_null()
            && key != "managedFields"
            && !(namespace_allowed && key == "namespace")
            && key != "creationTimestamp"
    };
    if let Some(metadata) = metadata.filter(|m| m.iter().any(set)) {
        let detail = if namespace_allowed { "must be empty except for namespace" } else { "must be empty" };
        errors.push(Error::invalid(&Path::new("metadata"), metadata.clone(), detail));
    }
    errors
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    resource_attributes: Option<Resource>,
    non_resource_attributes: Option<NonResource>,
    user: String,
    groups: Option<Vec<String>>,
    uid: String,
    extra: Option<std::collections::BTreeMap<String, Vec<String>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NonResource {
    path: String,
    verb: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Resource {
    namespace: String,
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    name: String,
    field_selector: Option<Selector>,
    label_selector: Option<Selector>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Selector {
    raw_selector: String,
    requirements: Option<Vec<Requirement>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Requirement {
    key: String,
    operator: String,
    values: Option<Vec<String>>,
}

impl Spec {
    fn user(&self) -> UserInfo {
        UserInfo {
            name: self.user.clone(),
            uid: self.uid.clone(),
            groups: self.groups.clone().unwrap_or_default(),
            extra: self.extra.clone().unwrap_or_default(),
        }
    }

    fn attributes<'a>(&'a self, user: &'a UserInfo) -> Attributes<'a> {
        match (&self.resource_attributes, &self.non_resource_attributes) {
            (Some(r), _) => Attributes {
                namespace: &r.namespace,
                version: &r.version,
                subresource: &r.subresource,
                name: &r.name,
                field_selector: r.field_selector.as_ref().map(Selector::requirements).unwrap_or_default(),
                label_selector: r.label_selector.as_ref().map(Selector::requirements).unwrap_or_default(),
                ..Attributes::resource(user, &r.verb, &r.group, &r.resource)
            },
            (None, Some(n)) => Attributes::path(user, &n.verb, &n.path),
            (None, None) => Attributes::path(user, "", ""),
        }
    }

    fn check(&self, names_subject: bool) -> ErrorList {
        let mut errors = ErrorList::new();
        match (&self.resource_attributes, &self.non_resource_attributes) {
            (Some(_), Some(n)) => {
                let shown = json!({"Path": n.path, "Verb": n.verb});
                let path = SPEC.child("nonResourceAttributes");
                errors.push(Error::invalid(
                    &path,
                    shown,
                    "cannot be specified in combination with resourceAttributes",
                ));
            }
            (None, None) => errors.push(Error::invalid(
                &SPEC.child("resourceAttributes"),
                BadValue::maybe(None),
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            )),
            _ => {}
        }
        if names_subject && self.user.is_empty() && self.groups.as_ref().is_none_or(Vec::is_empty) {
            let detail = "at least one of user or group must be specified";
            errors.push(Error::invalid(&SPEC.child("user"), self.user.as_str(), detail));
        }
        if let Some(attributes) = &self.resource_attributes {
            let at = SPEC.child("resourceAttributes");
            for (name, selector) in
                [("fieldSelector", &attributes.field_selector), ("labelSelector", &attributes.label_selector)]
            {
                if let Some(selector) = selector {
                    selector.check(&at.child(name), &mut errors);
                }
            }
        }
        errors
    }
}

impl Selector {
    fn check(&self, at: &Path<'_>, errors: &mut ErrorList) {
        let requirements = self.requirements.as_deref().unwrap_or_default();
        if !self.raw_selector.is_empty() && !requirements.is_empty() {
            let detail = "may not specified at the same time as requirements";
            errors.push(Error::invalid(&at.child("rawSelector"), self.raw_selector.as_str(), detail));
        }
        if self.raw_selector.is_empty() && requirements.is_empty() {
            let detail = format!("when {at} is specified, requirements or rawSelector is required");
            errors.push(Error::required(&at.child("requirements"), detail));
        }
        let list = at.child("requirements");
        for (i, requirement) in requirements.iter().enumerate() {
            requirement.check(&list.index(i), errors);
        }
    }

    /// The requirements that can be understood; authorizers may only use a selector to allow more.
    fn requirements(&self) -> Vec<SelectorRequirement> {
        let listed = self.requirements.iter().flatten().filter_map(|r| {
            let operator = operator(&r.operator)?;
            Some(SelectorRequirement {
                key: r.key.clone(),
                operator,
                values: r.values.clone().unwrap_or_default(),
            })
        });
        let raw = self.raw_selector.split(',').filter_map(|term| {
            let (key, operator, value) = match term.split_once("!=") {
                Some((key, value)) => (key, SelectorOperator::NotIn, value),
                None => {
                    let (key, value) = term.split_once('=')?;
                    (key, SelectorOperator::In, value.trim_start_matches('='))
                }
            };
            Some(SelectorRequirement { key: key.to_owned(), operator, values: vec![value.to_owned()] })
        });
        listed.chain(raw).collect()
    }
}

fn operator(name: &str) -> Option<SelectorOperator> {
    Some(match name {
        "In" => SelectorOperator::In,
        "NotIn" => SelectorOperator::NotIn,
        "Exists" => SelectorOperator::Exists,
        "DoesNotExist" => SelectorOperator::DoesNotExist,
        _ => return None,
    })
}

impl Requirement {
    fn check(&self, at: &Path<'_>, errors: &mut ErrorList) {
        if self.key.is_empty() {
            errors.push(Error::required(&at.child("key"), "must be specified"));
        }
        let empty = self.values.as_ref().is_none_or(Vec::is_empty);
        match operator(&self.operator) {
            Some(SelectorOperator::In | SelectorOperator::NotIn) if empty => errors.push(Error::required(
                &at.child("values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            Some(SelectorOperator::Exists | SelectorOperator::DoesNotExist) if !empty => {
                errors.push(Error::forbidden(
                    &at.child("values"),
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                ))
            }
            Some(_) => {}
            None => {
                let supported = ["DoesNotExist", "Exists", "In", "NotIn"];
                errors.push(Error::not_supported(&at.child("operator"), self.operator.as_str(), &supported));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::authz::{Mode, Rbac};

    async fn message(review: Value) -> String {
        let authorizer = Authorizer::new(vec![Mode::Rbac(Arc::new(Rbac::new()))]);
        let mut review = review;
        match subject_access_review(&authorizer, &mut review).await {
            Ok(()) => review["status"].to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn reviews_are_checked_and_answered() {
        let cases = [
            (json!({"spec": {"user": "x", "resourceAttributes": {"verb": "get"}}}), r#"{"allowed":false}"#),
            (
                json!({"spec": {"groups": ["system:masters"], "nonResourceAttributes": {"path": "/", "verb": "get"}}}),
                r#"{"allowed":true}"#,
            ),
            (
                json!({"spec": {"resourceAttributes": {"verb": "get"}}}),
                ".authorization.k8s.io \"\" is invalid: spec.user: Invalid value: \"\": at least one of user or group must be specified",
            ),
            (
                json!({"spec": {"user": "x", "resourceAttributes": {"fieldSelector": {"rawSelector": "x=y", "requirements": [{"key": "a", "operator": "In"}]}}}}),
                ".authorization.k8s.io \"\" is invalid: [spec.resourceAttributes.fieldSelector.rawSelector: Invalid value: \"x=y\": may not specified at the same time as requirements, spec.resourceAttributes.fieldSelector.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn']",
            ),
        ];
        for (review, expected) in cases {
            assert_eq!(message(review).await, expected);
        }
    }
}
