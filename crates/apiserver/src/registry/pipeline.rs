//! The stages that creations and updates share: namespace and name checks, managed fields, admission, validation.

use std::sync::Arc;

use api_types::field::{self, ErrorList, Path};
use api_types::resource::ResourceInfo;
use api_types::{name, validation};
use serde_json::Value;

use super::options::WriteOptions;
use super::request::Request;
use super::{Registry, meta};
use crate::admission::{self, Operation};
use crate::error::{self, Error, Result};

/// One write on its way: the request, its options, and which way it goes.
pub(super) struct Write<'a> {
    pub request: &'a Request,
    pub options: &'a WriteOptions,
    pub operation: Operation,
}

/// Makes the object's namespace that of the path, or refuses another one.
pub(super) fn check_namespace(request: &Request, object: &mut Value) -> Result<()> {
    if !request.endpoint.info.namespaced {
        meta::map(object).remove("namespace");
        return Ok(());
    }
    let named = meta::text(object, "namespace");
    if named.is_empty() {
        let namespace = request.namespace.clone();
        meta::set(object, "namespace", Some(namespace.into()));
    } else if named != request.namespace {
        return Err(Error::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

/// Refuses an object that carries another name than the path, or none.
pub(super) fn check_name(request: &Request, object: &Value) -> Result<()> {
    match meta::text(object, "name") {
        "" => Err(Error::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            request.name
        ))),
        name if name != request.name => Err(Error::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            request.name
        ))),
        _ => Ok(()),
    }
}

/// Drops repeated owner references, with upstream's warning.
pub(super) fn dedup_owners(request: &Request, object: &mut Value) {
    let Some(owners) = object.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut) else {
        return;
    };
    let mut seen: Vec<Value> = Vec::with_capacity(owners.len());
    let before = owners.len();
    owners.retain(|owner| {
        let fresh = !seen.contains(owner);
        if fresh {
            seen.push(owner.clone());
        }
        fresh
    });
    if owners.len() < before {
        request.warn(["metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: ".to_owned()
            + &seen.iter().filter_map(|owner| owner["uid"].as_str()).collect::<Vec<_>>().join(", ")]);
    }
}

impl Registry {
    /// Lets admission change the object.
    pub(super) async fn admit(&self, write: &Write<'_>, object: Value, old: Option<&Value>) -> Result<Value> {
        if write.request.internal {
            return Ok(object);
        }
        let chain = self.admission.load_full();
        let name = name_of(write, &object).to_owned();
        let mut attributes = attributes(write, &name, object, old);
        let admitted = chain.mutate(&mut attributes, self).await;
        let object = settle(write.request, attributes);
        admitted?;
        object.ok_or_else(|| Error::internal("an admission plug-in took the object away"))
    }

    /// Asks admission whether the object may be stored; hands it back.
    pub(super) async fn admit_finally(
        &self,
        write: &Write<'_>,
        object: Value,
        old: Option<&Value>,
    ) -> Result<Value> {
        if write.request.internal {
            return Ok(object);
        }
        let chain = self.admission.load_full();
        let name = name_of(write, &object).to_owned();
        let attributes = attributes(write, &name, object, old);
        let admitted = chain.validate(&attributes, self).await;
        let object = settle(write.request, attributes);
        admitted?;
        Ok(object.unwrap_or_default())
    }

    /// Runs admission over an object of another kind than the resource's own (Binding, Eviction, TokenRequest, reviews).
    ///
    /// # Errors
    /// The first refusal.
    pub async fn admit_foreign(
        &self,
        request: &Request,
        operation: Operation,
        options: &WriteOptions,
        name: &str,
        object: Value,
    ) -> Result<Value> {
        let attributes = admission::Request {
            subresource: &request.subresource,
            namespace: &request.namespace,
            name,
            dry_run: options.dry_run,
            object: Some(object),
            ..admission::Request::new(operation, &request.endpoint.info, &request.user, &options.raw)
        };
        self.admit_at_once(request, attributes).await.map(Option::unwrap_or_default)
    }

    /// Asks admission whether an object may be deleted.
    pub(super) async fn admit_delete(
        &self,
        request: &Request,
        name: &str,
        options: &Value,
        dry_run: bool,
        old: &Value,
    ) -> Result<()> {
        if request.internal || !request.subresource.is_empty() {
            // A subresource that deletes (an eviction) was admitted as what it is.
            return Ok(());
        }
        let attributes = admission::Request {
            namespace: meta::text(old, "namespace"),
            name,
            dry_run,
            old_object: Some(old),
            ..admission::Request::new(Operation::Delete, &request.endpoint.info, &request.user, options)
        };
        self.admit_at_once(request, attributes).await.map(drop)
    }

    /// Asks admission whether a stream to an object may be opened; `options` are the request's parameters as an object.
    /// Returns texts for Warning headers.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn admit_connect(
        &self,
        row: &Arc<ResourceInfo>,
        info: &crate::filters::RequestInfo,
        user: &access::UserInfo,
        options: Value,
    ) -> Result<Vec<String>> {
        let chain = self.admission.load_full();
        let mut attributes = admission::Request {
            subresource: &info.subresource,
            namespace: if row.namespaced { &info.namespace } else { "" },
            name: &info.name,
            object: Some(options),
            ..admission::Request::new(Operation::Connect, row, user, &Value::Null)
        };
        chain.mutate(&mut attributes, self).await?;
        chain.validate(&attributes, self).await?;
        Ok(attributes.warnings.into_inner())
    }

    /// Both phases, where nothing happens between them.
    async fn admit_at_once(
        &self,
        request: &Request,
        mut attributes: admission::Request<'_>,
    ) -> Result<Option<Value>> {
        let chain = self.admission.load_full();
        let admitted = match chain.mutate(&mut attributes, self).await {
            Ok(()) => chain.validate(&attributes, self).await,
            Err(refusal) => Err(refusal),
        };
        let object = settle(request, attributes);
        admitted.map(|()| object)
    }
}

/// The name in the path, or that of an object to be created; "" while one has yet to be generated.
fn name_of<'a>(write: &'a Write<'_>, object: &'a Value) -> &'a str {
    match write.request.name.as_str() {
        "" if meta::text(object, "generateName").is_empty() => meta::text(object, "name"),
        name => name,
    }
}

fn attributes<'a>(
    write: &'a Write<'_>,
    name: &'a str,
    object: Value,
    old: Option<&'a Value>,
) -> admission::Request<'a> {
    let Write { request, options, operation } = *write;
    admission::Request {
        subresource: &request.subresource,
        namespace: &request.namespace,
        name,
        dry_run: options.dry_run,
        object: Some(object),
        old_object: old,
        ..admission::Request::new(operation, &request.endpoint.info, &request.user, &options.raw)
    }
}

/// Keeps what the plug-ins had to say, whatever they decided.
fn settle(request: &Request, attributes: admission::Request<'_>) -> Option<Value> {
    let admission::Request { object, warnings, annotations, .. } = attributes;
    request.warn(warnings.into_inner());
    for (key, value) in annotations.into_inner() {
        request.annotations.add(key, value);
    }
    object
}

/// Validates a new object: metadata, the kind's rules, the strategy's rules.
pub(super) fn validate_create(request: &Request, object: &Value) -> Result<()> {
    let endpoint = &request.endpoint;
    let info = &endpoint.info;
    let mut errors = match has_free_names(info) && validation::for_kind(&info.group, &info.kind).is_none() {
        true => validation::metadata_create(object, info.namespaced, name::path_segment_rule, false),
        false => validation::create(info, object),
    };
    errors.append(endpoint.strategy.validate_create(object));
    errors.append(endpoint.strategy.check_rules(object, None, &errors));
    refuse(&endpoint.info, object, errors)
}

/// Kinds whose names need only fit into a path: `v1.`, `2001:db8::1`, the name of a signing request.
fn has_free_names(info: &ResourceInfo) -> bool {
    matches!(
        (&*info.group, &*info.plural),
        ("apiregistration.k8s.io", _)
            | ("certificates.k8s.io", "certificatesigningrequests")
            | ("networking.k8s.io", "ipaddresses")
    )
}

/// Validates a changed object against the stored one.
pub(super) fn validate_update(request: &Request, object: &Value, old: &Value) -> Result<()> {
    let endpoint = &request.endpoint;
    let mut errors = match request.subresource.as_str() {
        "" => validation::update(&endpoint.info, object, old),
        _ => validation::update_status(&endpoint.info, object, old),
    };
    errors.append(endpoint.strategy.validate_update(&request.subresource, object, old));
    errors.append(endpoint.strategy.check_rules(object, Some(old), &errors));
    refuse(&endpoint.info, object, errors)
}

fn refuse(info: &ResourceInfo, object: &Value, errors: ErrorList) -> Result<()> {
    match errors.is_empty() {
        true => Ok(()),
        false => Err(error::invalid(info, meta::text(object, "name"), errors)),
    }
}

/// An update without a resource version, on a resource that insists on one.
pub(super) fn version_required(info: &ResourceInfo, name: &str) -> Error {
    let path = Path::new("metadata.resourceVersion");
    let error = field::Error::invalid(&path, 0, "must be specified for an update");
    Error::invalid(&info.group, &info.plural, name, vec![error])
}
