//! One webhook of a configuration, read once into what its matching and its calls need.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use api_types::field::{ErrorList, Path};
use api_types::resource::ResourceInfo;
use api_types::selector::Selector;
use base64::Engine as _;
use expression::{Program, Type};
use serde_json::Value;

use crate::admission::{Operation, Request};
use crate::outbound::{Client, Destination, Resolve, tls};

/// Seconds after which a hook's answer is no longer waited for, where its configuration does not say.
const DEFAULT_TIMEOUT_SECS: u64 = 10;

/// One webhook.
pub struct Hook {
    /// The configuration that it is part of.
    pub configuration: String,
    /// Its name: a domain.
    pub name: String,
    /// Tells apart hooks of one name: configuration, name, and how many of that name came before.
    pub id: String,
    /// What it wants to see.
    pub rules: Vec<Rule>,
    /// `failurePolicy: Ignore`: a failing call lets the request pass.
    pub fails_open: bool,
    /// `matchPolicy: Exact`: other versions of a resource are other resources.
    pub exact: bool,
    /// Of the object's namespace.
    pub namespaces: Selector,
    /// Of the object.
    pub objects: Selector,
    /// Expressions that all have to be true.
    pub conditions: Vec<Condition>,
    /// Whether it can be asked about a dry run.
    pub takes_dry_runs: bool,
    /// How long its answer is waited for.
    pub timeout: Duration,
    /// The first version of AdmissionReview in its list that this server knows.
    pub review_version: Option<ReviewVersion>,
    /// `reinvocationPolicy: IfNeeded`.
    pub reinvoked: bool,
    /// Where it is.
    pub destination: Option<Destination>,
    /// `clientConfig` as it was given, to tell whether connections can be kept.
    config: Value,
    resolver: Arc<dyn Resolve>,
    client: OnceLock<Result<Client, String>>,
}

/// `matchConditions[]`.
pub struct Condition {
    /// As it was written.
    pub source: String,
    /// Compiled; or why it cannot be, where it was stored by a server that knows more.
    pub program: Result<Program, String>,
}

/// A version of AdmissionReview.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewVersion {
    /// `admission.k8s.io/v1`
    V1,
    /// `admission.k8s.io/v1beta1`
    V1Beta1,
}

impl ReviewVersion {
    /// The group version.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "admission.k8s.io/v1",
            Self::V1Beta1 => "admission.k8s.io/v1beta1",
        }
    }
}

impl Hook {
    /// Reads one entry of `webhooks`; `id` as in [`Hook::id`]. A client that `known` has for the same place is kept.
    pub fn read(
        configuration: &str,
        id: String,
        hook: &Value,
        resolver: &Arc<dyn Resolve>,
        known: Option<&Hook>,
    ) -> Self {
        let text = |key: &str| hook[key].as_str().unwrap_or_default();
        let list = |key: &str| hook[key].as_array().map(Vec::as_slice).unwrap_or_default();
        // A selector that cannot be read selects nothing; validation lets none pass.
        let selector = |key: &str| match hook.get(key) {
            Some(selector) => Selector::from_value(selector).unwrap_or_else(|_| nothing()),
            None => Selector::from_value(&serde_json::json!({})).unwrap_or_else(|_| nothing()),
        };
        let config = hook["clientConfig"].clone();
        let client = known.filter(|known| known.config == config).map(|known| known.client.clone());
        Self {
            configuration: configuration.to_owned(),
            name: text("name").to_owned(),
            id,
            rules: list("rules").iter().map(Rule::read).collect(),
            fails_open: text("failurePolicy") == "Ignore",
            exact: text("matchPolicy") == "Exact",
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
            conditions: list("matchConditions").iter().map(Condition::read).collect(),
            takes_dry_runs: matches!(text("sideEffects"), "None" | "NoneOnDryRun"),
            timeout: Duration::from_secs(hook["timeoutSeconds"].as_u64().unwrap_or(DEFAULT_TIMEOUT_SECS)),
            review_version: list("admissionReviewVersions").iter().find_map(|version| {
                match version.as_str() {
                    Some("v1") => Some(ReviewVersion::V1),
                    Some("v1beta1") => Some(ReviewVersion::V1Beta1),
                    _ => None,
                }
            }),
            reinvoked: text("reinvocationPolicy") == "IfNeeded",
            destination: Destination::of_client_config(&config),
            config,
            resolver: Arc::clone(resolver),
            client: client.unwrap_or_default(),
        }
    }

    /// What calls the hook; made at the first call.
    ///
    /// # Errors
    /// Its `clientConfig` is of no use.
    pub fn client(&self) -> Result<&Client, String> {
        self.client.get_or_init(|| self.make_client()).as_ref().map_err(Clone::clone)
    }

    fn make_client(&self) -> Result<Client, String> {
        let destination = self.destination.clone().ok_or("unable to determine the address of the webhook")?;
        let bundle = self.config["caBundle"].as_str().unwrap_or_default();
        let bundle = base64::engine::general_purpose::STANDARD
            .decode(bundle)
            .map_err(|error| format!("unable to load root certificates: {error}"))?;
        let trust = if bundle.is_empty() { tls::Trust::Host } else { tls::Trust::Bundle(&bundle) };
        let config = tls::config(trust, None).map_err(|error| error.to_string())?;
        Ok(Client::new(destination, Arc::new(config), Arc::clone(&self.resolver)))
    }

    /// Whether a rule takes the request's own resource, or else under which equivalent row one takes it.
    pub fn matching_row<'a>(
        &self,
        request: &Request<'a>,
        equivalents: impl FnOnce() -> Vec<Arc<ResourceInfo>>,
    ) -> Option<Arc<ResourceInfo>> {
        let takes = |row: &ResourceInfo| self.rules.iter().any(|rule| rule.takes(request, row));
        if takes(request.resource) {
            return Some(Arc::clone(request.resource));
        }
        // Other versions only differ where a rule takes the resource and the operation at all.
        if self.exact || !self.rules.iter().any(|rule| rule.could_take(request)) {
            return None;
        }
        equivalents().into_iter().find(|row| takes(row))
    }
}

fn nothing() -> Selector {
    let unsatisfiable = serde_json::json!({"matchExpressions": [
        {"key": "a", "operator": "Exists"}, {"key": "a", "operator": "DoesNotExist"},
    ]});
    Selector::from_value(&unsatisfiable).expect("a well-formed selector")
}

impl Condition {
    fn read(condition: &Value) -> Self {
        let source = condition["expression"].as_str().unwrap_or_default().trim();
        let program = compile_condition(source);
        Self { source: source.to_owned(), program }
    }
}

/// Compiles an expression that has to say yes or no.
fn compile_condition(source: &str) -> Result<Program, String> {
    match expression::admission::environment().compile(source) {
        Ok(program) if program.result_type().is_dyn() || matches!(program.result_type(), Type::Bool) => {
            Ok(program)
        }
        Ok(program) => Err(format!("must evaluate to bool but got {}", program.result_type())),
        Err(error) => Err(format!("compilation failed: {error}")),
    }
}

/// What is wrong with the match conditions of a configuration.
pub fn check_conditions(configuration: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let hooks = Path::new("webhooks");
    for (i, hook) in configuration["webhooks"].as_array().into_iter().flatten().enumerate() {
        let hook_path = hooks.index(i);
        let conditions_path = hook_path.child("matchConditions");
        for (j, condition) in hook["matchConditions"].as_array().into_iter().flatten().enumerate() {
            let source = condition["expression"].as_str().unwrap_or_default().trim();
            // A missing one is found by the rules of the kind.
            if let (false, Err(why)) = (source.is_empty(), compile_condition(source)) {
                let path = conditions_path.index(j);
                errors.invalid(&path.child("expression"), source, why);
            }
        }
    }
    errors
}

/// `rules[]`: operations and resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    scope: String,
}

impl Rule {
    /// Reads one entry.
    pub fn read(rule: &Value) -> Self {
        let list = |key: &str| {
            let texts = rule[key].as_array().into_iter().flatten().filter_map(Value::as_str);
            texts.map(str::to_owned).collect::<Vec<_>>()
        };
        Self {
            operations: list("operations"),
            groups: list("apiGroups"),
            versions: list("apiVersions"),
            resources: list("resources"),
            scope: rule["scope"].as_str().unwrap_or("*").to_owned(),
        }
    }

    /// The plural names that the rule is about; `None` for all.
    pub fn plurals(&self) -> Option<impl Iterator<Item = &str>> {
        let plurals = self.resources.iter().map(|resource| resource.split('/').next().unwrap_or_default());
        let plurals: Vec<&str> = plurals.collect();
        (!plurals.contains(&"*")).then(|| plurals.into_iter())
    }

    /// Whether the rule takes the request if its resource is `row`.
    pub fn takes(&self, request: &Request<'_>, row: &ResourceInfo) -> bool {
        holds(&self.groups, &row.group)
            && holds(&self.versions, &row.version)
            && self.takes_resource(&row.plural, request.subresource)
            && self.takes_scope(request)
            && self.takes_operation(request.operation)
    }

    /// Whether group and version alone could keep the rule from taking the request.
    pub fn could_take(&self, request: &Request<'_>) -> bool {
        self.takes_resource(&request.resource.plural, request.subresource)
            && self.takes_scope(request)
            && self.takes_operation(request.operation)
    }

    fn takes_operation(&self, operation: Operation) -> bool {
        holds(&self.operations, operation.label())
    }

    fn takes_resource(&self, plural: &str, subresource: &str) -> bool {
        self.resources.iter().any(|resource| {
            let (wanted, sub) = resource.split_once('/').unwrap_or((resource, ""));
            (wanted == "*" || wanted == plural) && (sub == "*" || sub == subresource)
        })
    }

    fn takes_scope(&self, request: &Request<'_>) -> bool {
        match self.scope.as_str() {
            "Namespaced" => !request.namespace.is_empty(),
            "Cluster" => request.namespace.is_empty(),
            _ => true,
        }
    }
}

fn holds(list: &[String], value: &str) -> bool {
    list.iter().any(|entry| entry == "*" || entry == value)
}
