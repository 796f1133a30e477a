//! The variables that expressions of admission policies and webhooks see: `object`, `oldObject`, `request`,
//! `namespaceObject`, `authorizer`.

use std::sync::LazyLock;

use crate::{Environment, Type};

/// The variables of every policy and match condition, `params` and `variables` aside.
pub fn environment() -> &'static Environment {
    static BASE: LazyLock<Environment> = LazyLock::new(|| {
        Environment::new()
            .with("object", Type::Dyn)
            .with("oldObject", Type::Dyn)
            .with("request", request_type())
            .with("namespaceObject", namespace_type())
            .with("authorizer", Type::AUTHORIZER)
            .with("authorizer.requestResource", Type::RESOURCE_CHECK)
    });
    &BASE
}

fn fields<const N: usize>(fields: [(&str, Type); N]) -> impl Iterator<Item = (String, Type)> {
    fields.into_iter().map(|(name, t)| (name.to_owned(), t))
}

fn texts() -> Type {
    Type::list(Type::String)
}

fn request_type() -> Type {
    let triple = |name: &str, last: &str| {
        Type::object(name, fields([("group", Type::String), ("version", Type::String), (last, Type::String)]))
    };
    let kind = || triple("kubernetes.GroupVersionKind", "kind");
    let resource = || triple("kubernetes.GroupVersionResource", "resource");
    let user = Type::object(
        "kubernetes.UserInfo",
        fields([
            ("username", Type::String),
            ("uid", Type::String),
            ("groups", texts()),
            ("extra", Type::map(Type::String, texts())),
        ]),
    );
    Type::object(
        "kubernetes.AdmissionRequest",
        fields([
            ("kind", kind()),
            ("resource", resource()),
            ("subResource", Type::String),
            ("requestKind", kind()),
            ("requestResource", resource()),
            ("requestSubResource", Type::String),
            ("name", Type::String),
            ("namespace", Type::String),
            ("operation", Type::String),
            ("userInfo", user),
            ("dryRun", Type::Bool),
            ("options", Type::Dyn),
        ]),
    )
}

fn namespace_type() -> Type {
    let strings = || Type::map(Type::String, Type::String);
    let metadata = Type::object(
        "kubernetes.NamespaceMetadata",
        fields([
            ("name", Type::String),
            ("generateName", Type::String),
            ("namespace", Type::String),
            ("labels", strings()),
            ("annotations", strings()),
            ("UID", Type::String),
            ("creationTimestamp", Type::Timestamp),
            ("deletionGracePeriodSeconds", Type::Int),
            ("deletionTimestamp", Type::Timestamp),
            ("generation", Type::Int),
            ("resourceVersion", Type::String),
            ("finalizers", texts()),
        ]),
    );
    let condition = Type::object(
        "kubernetes.NamespaceCondition",
        fields([
            ("status", Type::String),
            ("type", Type::String),
            ("lastTransitionTime", Type::Timestamp),
            ("message", Type::String),
            ("reason", Type::String),
        ]),
    );
    let spec = Type::object("kubernetes.NamespaceSpec", fields([("finalizers", texts())]));
    let status = fields([("conditions", Type::list(condition)), ("phase", Type::String)]);
    Type::object(
        "kubernetes.Namespace",
        fields([
            ("metadata", metadata),
            ("spec", spec),
            ("status", Type::object("kubernetes.NamespaceStatus", status)),
        ]),
    )
}
