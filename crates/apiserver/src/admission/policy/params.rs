//! The parameters of a binding.

use api_types::selector::Selector;
use serde_json::Value;

use super::Policies;
use super::definition::Policy;
use super::index::Binding;
use crate::admission::Request;

/// The parameters that a policy is evaluated with under a binding: one evaluation each. `None` stands for a policy that
/// takes none.
///
/// # Errors
/// Why there are none although there should be.
pub async fn of(
    policies: &Policies,
    policy: &Policy,
    binding: &Binding,
    request: &Request<'_>,
) -> Result<Vec<Option<Value>>, String> {
    let (Some([group, version, kind]), reference) = (&policy.param_kind, &binding.param_ref) else {
        return Ok(vec![None]);
    };
    if reference.is_null() {
        // Expressions see null.
        return Ok(vec![None]);
    }
    let Some(row) = policies.versions.of_kind(group, version, kind) else {
        let api_version = if group.is_empty() { format!("/{version}") } else { format!("{group}/{version}") };
        return Err(format!("failed to find resource referenced by paramKind: '{api_version}, Kind={kind}'"));
    };
    let text = |key: &str| reference[key].as_str().unwrap_or_default();
    let named = text("namespace");
    let namespace = match (row.namespaced, named) {
        (true, "") if request.namespace.is_empty() => {
            return Err(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
                    .into(),
            );
        }
        (true, "") => request.namespace,
        (true, named) => named,
        (false, "") => "",
        (false, _) => {
            return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".into());
        }
    };
    let found = match text("name") {
        "" => {
            let selector = Selector::from_value(&reference["selector"])
                .map_err(|_| "paramRef.selector cannot be read".to_owned())?;
            let mut objects =
                policies.versions.list(&row, namespace).await.map_err(|error| error.to_string())?;
            objects.retain(|object| selector.matches(&object["metadata"]["labels"]));
            objects
        }
        name => policies
            .versions
            .get(&row, namespace, name)
            .await
            .map_err(|error| error.to_string())?
            .into_iter()
            .collect(),
    };
    if found.is_empty() && text("parameterNotFoundAction") == "Deny" {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".into());
    }
    Ok(found.into_iter().map(Some).collect())
}
