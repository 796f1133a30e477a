//! What expressions of policies and webhooks see of a request: `object`, `oldObject`, `request`, `params`,
//! `namespaceObject`, `authorizer`; declared by [`expression::admission`].

use std::sync::Arc;

use access::UserInfo;
use access::authz::{Attributes, Authorizer, SelectorOperator, SelectorRequirement};
use api_types::resource::ResourceInfo;
use api_types::selector::{Operator, Selector};
use expression::{AccessCheck, AuthorizerDecision, Value as Cel};
use futures::FutureExt as _;
use serde_json::{Value, json};

use super::{Operation, Request, kind_of};

/// What expressions see of one request, in the version that a rule named.
pub struct Scene {
    /// The object with `kind` and `apiVersion`, or null.
    pub object: Value,
    /// The stored object likewise.
    pub old_object: Value,
    /// The request.
    request: Value,
    /// The namespace, or null.
    pub namespace: Value,
    /// The parameters, where the policy has any.
    pub params: Option<Value>,
    asking: Asking,
    own: AccessCheck,
}

impl Scene {
    /// A scene without objects, namespace and parameters yet.
    pub fn new(request: &Request<'_>, row: &ResourceInfo, authorizer: Arc<Authorizer>) -> Self {
        Self {
            object: Value::Null,
            old_object: Value::Null,
            request: shown_request(request, row),
            namespace: Value::Null,
            params: None,
            asking: Asking { authorizer, user: request.user.clone() },
            own: AccessCheck {
                group: row.group.to_string(),
                resource: row.plural.to_string(),
                subresource: request.subresource.to_owned(),
                namespace: request.namespace.to_owned(),
                name: request.name.to_owned(),
                ..AccessCheck::default()
            },
        }
    }

    /// The value of a variable of [`expression::admission::environment`], or of `params`.
    pub fn variable(&self, name: &str) -> Option<Cel<'_>> {
        Some(match name {
            "object" => Cel::from_json(&self.object),
            "oldObject" => Cel::from_json(&self.old_object),
            "request" => Cel::from_json(&self.request),
            "namespaceObject" => Cel::from_json(&self.namespace),
            "params" => self.params.as_ref().map_or(Cel::Null, Cel::from_json),
            "authorizer" => Cel::authorizer(&self.asking),
            "authorizer.requestResource" => Cel::request_resource(&self.asking, self.own.clone()),
            _ => return None,
        })
    }
}

impl<'a> expression::Variables<'a> for &'a Scene {
    fn variable(&self, name: &str) -> Option<Cel<'a>> {
        Scene::variable(self, name)
    }
}

/// AdmissionRequest as expressions see it: without the objects, which are variables of their own.
fn shown_request(request: &Request<'_>, row: &ResourceInfo) -> Value {
    let kind = |row: &ResourceInfo| {
        let [group, version, kind] = kind_of(row, request.subresource);
        json!({"group": group, "version": version, "kind": kind})
    };
    let resource = |row: &ResourceInfo| json!({"group": &*row.group, "version": &*row.version, "resource": &*row.plural});
    let operation = match request.operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    };
    let mut shown = json!({
        "kind": kind(row),
        "resource": resource(row),
        "requestKind": kind(request.resource),
        "requestResource": resource(request.resource),
        "operation": operation,
        "userInfo": request.user,
        "dryRun": request.dry_run,
        "options": request.options,
    });
    let texts = [
        ("subResource", request.subresource),
        ("requestSubResource", request.subresource),
        ("name", request.name),
        ("namespace", request.namespace),
    ];
    for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        shown[key] = text.into();
    }
    shown
}

/// The authorizer, asked in the requester's name.
struct Asking {
    authorizer: Arc<Authorizer>,
    user: UserInfo,
}

impl expression::Authorizer for Asking {
    fn decide(&self, check: &AccessCheck) -> AuthorizerDecision {
        let account = check.service_account.as_ref().map(|(namespace, name)| {
            let groups = [
                "system:serviceaccounts".into(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".into(),
            ];
            UserInfo::new(format!("system:serviceaccount:{namespace}:{name}"), groups)
        });
        let user = account.as_ref().unwrap_or(&self.user);
        let attributes = attributes(user, check);
        // The modes answer from memory; one that asks somebody else may block this worker, which is not the only one.
        let verdict = match self.authorizer.authorize(&attributes).now_or_never() {
            Some(verdict) => verdict,
            None => tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(self.authorizer.authorize(&attributes))
            }),
        };
        AuthorizerDecision {
            allowed: verdict.allowed(),
            error: Some(verdict.error).filter(|error| !error.is_empty()),
            reason: verdict.reason,
        }
    }
}

fn attributes<'a>(user: &'a UserInfo, check: &'a AccessCheck) -> Attributes<'a> {
    if !check.path.is_empty() {
        return Attributes::path(user, &check.verb, &check.path);
    }
    let mut attributes = Attributes::resource(user, &check.verb, &check.group, &check.resource);
    attributes.version = "*";
    attributes.subresource = &check.subresource;
    attributes.namespace = &check.namespace;
    attributes.name = &check.name;
    attributes.label_selector = requirements(check.label_selector.as_deref());
    attributes.field_selector = requirements(check.field_selector.as_deref());
    attributes
}

/// The requirements of a selector; one that cannot be read narrows nothing, as upstream.
fn requirements(selector: Option<&str>) -> Vec<SelectorRequirement> {
    let Some(Ok(selector)) = selector.map(Selector::parse) else { return Vec::new() };
    let known = selector.requirements().unwrap_or_default().iter();
    known
        .filter_map(|requirement| {
            let operator = match requirement.operator {
                Operator::Equals | Operator::DoubleEquals | Operator::In => SelectorOperator::In,
                Operator::NotEquals | Operator::NotIn => SelectorOperator::NotIn,
                Operator::Exists => SelectorOperator::Exists,
                Operator::DoesNotExist => SelectorOperator::DoesNotExist,
                _ => return None,
            };
            let values = requirement.values.to_vec();
            Some(SelectorRequirement { key: requirement.key.clone(), operator, values })
        })
        .collect()
}
