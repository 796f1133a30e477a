//! A container's environment: services, envFrom, env, in that order, later ones winning.
//!
//! [`build`] is pure; the objects that it refers to are fetched before ([`references`]) and handed over in [`Inputs`].

use std::collections::{BTreeMap, HashMap};

use api_types::k8s::api::core::v1::{ConfigMap, Container, Pod, Secret, Service};

use super::{PodExt, expand, fields};

/// An object that a container's environment needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A ConfigMap by name.
    ConfigMap(String),
    /// A Secret by name.
    Secret(String),
}

/// Everything that [`build`] may look at beside the pod. Absent objects are absent keys.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// ConfigMaps of the pod's namespace.
    pub config_maps: HashMap<String, ConfigMap>,
    /// Secrets of the pod's namespace.
    pub secrets: HashMap<String, Secret>,
    /// Variables of services, see [`service_variables`].
    pub services: BTreeMap<String, String>,
    /// What the pod learns about itself on the node.
    pub runtime: fields::Runtime,
}

/// Why a container's environment cannot be made. Shown to users as CreateContainerConfigError.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A referenced object does not exist.
    #[error("{kind} \"{name}\" not found")]
    Object {
        /// configmap or secret.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A referenced key does not exist.
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    Key {
        /// ConfigMap or Secret.
        kind: &'static str,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
    /// A field or resource reference is wrong.
    #[error(transparent)]
    Field(#[from] fields::Error),
    /// A kind of source that this kubelet does not serve.
    #[error("environment variable {variable}: source {source_name} is not supported by this kubelet")]
    Unsupported {
        /// The variable.
        variable: String,
        /// The source's field name.
        source_name: &'static str,
    },
}

/// Objects that a container's environment refers to.
pub fn references(container: &Container) -> Vec<Reference> {
    let mut found = Vec::new();
    for source in container.env_from.iter().flatten() {
        found.extend(
            source.config_map_ref.iter().map(|reference| Reference::ConfigMap(reference.name.clone())),
        );
        found.extend(source.secret_ref.iter().map(|reference| Reference::Secret(reference.name.clone())));
    }
    for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        found.extend(source.config_map_key_ref.iter().map(|key| Reference::ConfigMap(key.name.clone())));
        found.extend(source.secret_key_ref.iter().map(|key| Reference::Secret(key.name.clone())));
    }
    found
}

/// The environment of a container.
pub fn build(pod: &Pod, container: &Container, inputs: &Inputs) -> Result<Vec<(String, String)>, Error> {
    let mut set = Environment::default();
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    from_sources(container, inputs, &mut known)?;
    for (name, value) in &known {
        set.put(name.clone(), value.clone());
    }
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) if !value.is_empty() => {
                let lookup = |name: &str| known.get(name).or_else(|| inputs.services.get(name)).cloned();
                Some(expand::expand(value, lookup))
            }
            (_, Some(_)) => from_reference(pod, container, variable, inputs)?,
            _ => Some(String::new()),
        };
        if let Some(value) = value {
            known.insert(variable.name.clone(), value.clone());
            set.put(variable.name.clone(), value);
        }
    }
    for (name, value) in &inputs.services {
        if !known.contains_key(name) {
            set.put(name.clone(), value.clone());
        }
    }
    Ok(set.variables)
}

/// Variables that tell a pod about the services of its namespace and the API server's
/// (<https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>).
pub fn service_variables<'a>(
    pod: &Pod,
    services: impl Iterator<Item = &'a Service>,
) -> BTreeMap<String, String> {
    let links = pod.spec().enable_service_links != Some(false);
    let mut variables = BTreeMap::new();
    let mut own = Vec::new();
    for service in services {
        let Some(spec) = &service.spec else { continue };
        let address = spec.cluster_ip.as_deref().unwrap_or_default();
        if address.is_empty() || address == "None" {
            continue;
        }
        let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
        let name = service.metadata.name.as_deref().unwrap_or_default();
        if namespace == "default" && name == "kubernetes" {
            one_service(name, address, service, &mut variables);
        } else if links && namespace == pod.namespace() {
            own.push((name, address, service));
        }
    }
    for (name, address, service) in own {
        one_service(name, address, service, &mut variables);
    }
    variables
}

fn one_service(name: &str, address: &str, service: &Service, variables: &mut BTreeMap<String, String>) {
    let upper = |text: &str| text.to_uppercase().replace('-', "_");
    let prefix = upper(name);
    let Some(ports) =
        service.spec.as_ref().and_then(|spec| spec.ports.as_ref()).filter(|ports| !ports.is_empty())
    else {
        return;
    };
    let bracketed = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let mut put = |name: String, value: String| variables.insert(name, value);
    put(format!("{prefix}_SERVICE_HOST"), address.into());
    put(format!("{prefix}_SERVICE_PORT"), ports[0].port.to_string());
    for (index, port) in ports.iter().enumerate() {
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            put(format!("{prefix}_SERVICE_PORT_{}", upper(name)), port.port.to_string());
        }
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let lower = protocol.to_lowercase();
        let url = format!("{lower}://{bracketed}:{}", port.port);
        if index == 0 {
            put(format!("{prefix}_PORT"), url.clone());
        }
        let long = format!("{prefix}_PORT_{}_{protocol}", port.port);
        put(format!("{long}_PROTO"), lower);
        put(format!("{long}_PORT"), port.port.to_string());
        put(format!("{long}_ADDR"), address.into());
        put(long, url);
    }
}

fn from_sources(
    container: &Container,
    inputs: &Inputs,
    known: &mut BTreeMap<String, String>,
) -> Result<(), Error> {
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &source.config_map_ref {
            match inputs.config_maps.get(&reference.name) {
                Some(map) => known.extend(
                    map.data.iter().flatten().map(|(key, value)| (format!("{prefix}{key}"), value.clone())),
                ),
                None if reference.optional == Some(true) => {}
                None => return Err(Error::Object { kind: "configmap", name: reference.name.clone() }),
            }
        }
        if let Some(reference) = &source.secret_ref {
            match inputs.secrets.get(&reference.name) {
                Some(secret) => known.extend(secret.data.iter().flatten().map(|(key, value)| {
                    (format!("{prefix}{key}"), String::from_utf8_lossy(&value.0).into_owned())
                })),
                None if reference.optional == Some(true) => {}
                None => return Err(Error::Object { kind: "secret", name: reference.name.clone() }),
            }
        }
    }
    // Names with '=' or a leading digit of dots cannot be expressed in an environment at all.
    known.retain(|name, _| !name.is_empty() && !name.contains('='));
    Ok(())
}

/// `None` when an optional reference is missing: the variable is then not set.
fn from_reference(
    pod: &Pod,
    container: &Container,
    variable: &api_types::k8s::api::core::v1::EnvVar,
    inputs: &Inputs,
) -> Result<Option<String>, Error> {
    let Some(source) = &variable.value_from else { return Ok(None) };
    if let Some(field) = &source.field_ref {
        return Ok(Some(fields::field(pod, &field.field_path, &inputs.runtime)?));
    }
    if let Some(resource) = &source.resource_field_ref {
        return Ok(Some(fields::resource(pod, &container.name, resource, &inputs.runtime)?));
    }
    if let Some(key) = &source.config_map_key_ref {
        let map = inputs.config_maps.get(&key.name);
        let value = map.and_then(|map| map.data.as_ref()).and_then(|data| data.get(&key.key)).cloned();
        return required(
            value,
            key.optional,
            map.is_some(),
            ("configmap", "ConfigMap"),
            pod,
            &key.name,
            &key.key,
        );
    }
    if let Some(key) = &source.secret_key_ref {
        let secret = inputs.secrets.get(&key.name);
        let value = secret.and_then(|secret| secret.data.as_ref()).and_then(|data| data.get(&key.key));
        let value = value.map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned());
        return required(
            value,
            key.optional,
            secret.is_some(),
            ("secret", "Secret"),
            pod,
            &key.name,
            &key.key,
        );
    }
    if source.file_key_ref.is_some() {
        return Err(Error::Unsupported { variable: variable.name.clone(), source_name: "fileKeyRef" });
    }
    Ok(Some(String::new()))
}

fn required(
    value: Option<String>,
    optional: Option<bool>,
    exists: bool,
    (lower, kind): (&'static str, &'static str),
    pod: &Pod,
    name: &str,
    key: &str,
) -> Result<Option<String>, Error> {
    match value {
        Some(value) => Ok(Some(value)),
        None if optional == Some(true) => Ok(None),
        None if !exists => Err(Error::Object { kind: lower, name: name.into() }),
        None => {
            Err(Error::Key { kind, namespace: pod.namespace().into(), name: name.into(), key: key.into() })
        }
    }
}

/// Variables in order of first appearance, each name once.
#[derive(Default)]
struct Environment {
    variables: Vec<(String, String)>,
}

impl Environment {
    fn put(&mut self, name: String, value: String) {
        match self.variables.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.variables.push((name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_combine_and_references_expand() {
        let pod: Pod = serde_yaml::from_str(
            "metadata: {name: p, namespace: n}
spec: {containers: [{name: c, envFrom: [{prefix: P_, configMapRef: {name: cm}}], env: [
  {name: A, value: one}, {name: B, value: '$(A) $(P_k) $(X_SERVICE_HOST) $(NONE)'},
  {name: N, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}},
  {name: O, valueFrom: {configMapKeyRef: {name: cm, key: none, optional: true}}}]}]}",
        )
        .unwrap();
        let mut inputs = Inputs::default();
        inputs.config_maps.insert("cm".into(), serde_yaml::from_str("data: {k: v}").unwrap());
        let service: Service = serde_yaml::from_str(
            "metadata: {name: x, namespace: n}
spec: {clusterIP: 10.0.0.9, ports: [{name: web, port: 80, protocol: TCP}]}",
        )
        .unwrap();
        inputs.services = service_variables(&pod, [&service].into_iter());
        let built: BTreeMap<String, String> =
            build(&pod, &pod.spec().containers[0], &inputs).unwrap().into_iter().collect();
        assert_eq!(built["B"], "one v 10.0.0.9 $(NONE)");
        assert_eq!((built["N"].as_str(), built.get("O")), ("n", None));
        assert_eq!(built["X_PORT_80_TCP"], "tcp://10.0.0.9:80");
        assert_eq!(built["X_SERVICE_PORT_WEB"], "80");
    }

    #[test]
    fn a_missing_object_is_named() {
        let pod: Pod = serde_yaml::from_str(
            "spec: {containers: [{name: c, env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}]}]}",
        )
        .unwrap();
        let error = build(&pod, &pod.spec().containers[0], &Inputs::default()).unwrap_err();
        assert_eq!(error.to_string(), "secret \"s\" not found");
    }
}
