//! Authorization checks: `authorizer.group('').resource('pods').check('create').allowed()`.

use std::sync::Arc;

use super::opaque::{Check, CheckKind, Opaque};
use super::{Outcome, Row, mismatch};
use crate::Error;
use crate::cost::Cost::{Authorize, Unit};
use crate::value::Value;

const CHECK: &str = "kubernetes.authorization.ResourceCheck";

pub(super) const TABLE: &[Row] = &[
    ("kubernetes.authorization.Authorizer.path(string): kubernetes.authorization.PathCheck", Unit, path),
    ("kubernetes.authorization.Authorizer.group(string): kubernetes.authorization.GroupCheck", Unit, group),
    (
        "kubernetes.authorization.Authorizer.serviceAccount(string, string): kubernetes.authorization.Authorizer",
        Unit,
        service_account,
    ),
    (
        "kubernetes.authorization.GroupCheck.resource(string): kubernetes.authorization.ResourceCheck",
        Unit,
        resource,
    ),
    (
        "kubernetes.authorization.ResourceCheck.subresource(string): kubernetes.authorization.ResourceCheck",
        Unit,
        |a| refine(a, |access, text| access.subresource = text),
    ),
    (
        "kubernetes.authorization.ResourceCheck.namespace(string): kubernetes.authorization.ResourceCheck",
        Unit,
        |a| refine(a, |access, text| access.namespace = text),
    ),
    (
        "kubernetes.authorization.ResourceCheck.name(string): kubernetes.authorization.ResourceCheck",
        Unit,
        |a| refine(a, |access, text| access.name = text),
    ),
    (
        "kubernetes.authorization.ResourceCheck.fieldSelector(string): kubernetes.authorization.ResourceCheck",
        Unit,
        |a| refine(a, |access, text| access.field_selector = Some(text)),
    ),
    (
        "kubernetes.authorization.ResourceCheck.labelSelector(string): kubernetes.authorization.ResourceCheck",
        Unit,
        |a| refine(a, |access, text| access.label_selector = Some(text)),
    ),
    (
        "kubernetes.authorization.ResourceCheck.check(string): kubernetes.authorization.Decision",
        Authorize,
        check,
    ),
    ("kubernetes.authorization.PathCheck.check(string): kubernetes.authorization.Decision", Authorize, check),
    ("kubernetes.authorization.Decision.allowed(): bool", Unit, |a| decided(a, |d| Value::Bool(d.allowed))),
    ("kubernetes.authorization.Decision.errored(): bool", Unit, |a| {
        decided(a, |d| Value::Bool(d.error.is_some()))
    }),
    ("kubernetes.authorization.Decision.reason(): string", Unit, |a| {
        decided(a, |d| Value::text(d.reason.as_str()))
    }),
    ("kubernetes.authorization.Decision.error(): string", Unit, |a| {
        decided(a, |d| Value::text(d.error.as_deref().unwrap_or_default()))
    }),
];

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessCheck {
    /// The verb.
    pub verb: String,
    /// The path of a non-resource request; empty for resources.
    pub path: String,
    /// API group.
    pub group: String,
    /// Plural resource; empty for paths.
    pub resource: String,
    /// Subresource.
    pub subresource: String,
    /// Namespace.
    pub namespace: String,
    /// Object name.
    pub name: String,
    /// Field selector, as text.
    pub field_selector: Option<String>,
    /// Label selector, as text.
    pub label_selector: Option<String>,
    /// Asked for this service account (namespace, name) instead of the requester.
    pub service_account: Option<(String, String)>,
}

/// What the authorizer said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorizerDecision {
    /// Whether it may be done.
    pub allowed: bool,
    /// Why.
    pub reason: String,
    /// What could not be evaluated.
    pub error: Option<String>,
}

/// Who decides; answers at once.
pub trait Authorizer: Send + Sync {
    /// Decides a check for the requester, or for the service account that it names.
    fn decide(&self, check: &AccessCheck) -> AuthorizerDecision;
}

fn start<'a>(authorizer: &Opaque<'a>) -> Result<(&'a dyn Authorizer, AccessCheck), Error> {
    match authorizer {
        Opaque::Authorizer(authorizer) => Ok((*authorizer, AccessCheck::default())),
        // An authorizer of a service account carries whom it is for.
        Opaque::Check(check) => Ok((check.authorizer, check.access.clone())),
        _ => Err(Error::no_such_overload()),
    }
}

fn made<'a>(authorizer: &'a dyn Authorizer, kind: CheckKind, access: AccessCheck) -> Outcome<'a> {
    Ok(Value::Opaque(Opaque::Check(Arc::new(Check { authorizer, kind, access }))))
}

fn path<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Opaque(of), Value::String(path)] = args else { return mismatch() };
    if path.is_empty() {
        return Err(Error::new("path must not be empty"));
    }
    let (authorizer, access) = start(of)?;
    made(authorizer, CheckKind::Path, AccessCheck { path: path.to_string(), ..access })
}

fn group<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Opaque(of), Value::String(group)] = args else { return mismatch() };
    let (authorizer, access) = start(of)?;
    made(authorizer, CheckKind::Group, AccessCheck { group: group.to_string(), ..access })
}

fn service_account<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Opaque(of), Value::String(namespace), Value::String(name)] = args else { return mismatch() };
    let faults = api_types::name::dns1123_label(namespace);
    if !faults.is_empty() {
        return Err(Error::new(format!("invalid service account namespace: {}", faults.join(", "))));
    }
    let faults = api_types::name::dns1123_subdomain(name);
    if !faults.is_empty() {
        return Err(Error::new(format!("invalid service account name: {}", faults.join(", "))));
    }
    let (authorizer, access) = start(of)?;
    let service_account = Some((namespace.to_string(), name.to_string()));
    made(authorizer, CheckKind::Authorizer, AccessCheck { service_account, ..access })
}

fn resource<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Check(check)), Value::String(resource)] => {
            if resource.is_empty() {
                return Err(Error::new("resource must not be empty"));
            }
            let access = AccessCheck { resource: resource.to_string(), ..check.access.clone() };
            made(check.authorizer, CheckKind::Resource, access)
        }
        _ => mismatch(),
    }
}

fn refine<'a>(args: &[Value<'a>], set: fn(&mut AccessCheck, String)) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Check(check)), Value::String(text)] => {
            let mut access = check.access.clone();
            set(&mut access, text.to_string());
            made(check.authorizer, check.kind, access)
        }
        _ => mismatch(),
    }
}

fn check<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Check(check)), Value::String(verb)] => {
            let access = AccessCheck { verb: verb.to_string(), ..check.access.clone() };
            Ok(Value::Opaque(Opaque::Decision(Arc::new(check.authorizer.decide(&access)))))
        }
        _ => mismatch(),
    }
}

fn decided<'a>(args: &[Value<'a>], get: fn(&AuthorizerDecision) -> Value<'a>) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Decision(decision))] => Ok(get(decision)),
        _ => mismatch(),
    }
}

impl<'a> Value<'a> {
    /// The variable `authorizer`.
    pub fn authorizer(authorizer: &'a dyn Authorizer) -> Self {
        Self::Opaque(Opaque::Authorizer(authorizer))
    }

    /// The variable `authorizer.requestResource`: a check of what the request is about.
    pub fn request_resource(authorizer: &'a dyn Authorizer, access: AccessCheck) -> Self {
        Self::Opaque(Opaque::Check(Arc::new(Check { authorizer, kind: CheckKind::Resource, access })))
    }
}

impl crate::Type {
    /// The type of the variable `authorizer`.
    pub const AUTHORIZER: Self = Self::Opaque("kubernetes.authorization.Authorizer");
    /// The type of the variable `authorizer.requestResource`.
    pub const RESOURCE_CHECK: Self = Self::Opaque(CHECK);
}
