//! Authorization by another server: a SubjectAccessReview is sent there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use expression::{Environment, MATCH_CONDITIONS_BUDGET, Meter, Program, Type, Value as Cel};
use serde_json::{Map, Value, json};

use super::{Attributes, SelectorOperator, SelectorRequirement, Verdict};
use crate::reviewer::{Cache, Reviewer};

/// Answers remembered at once.
const REMEMBERED: usize = 8192;
/// Questions longer than this are not remembered: their keys would fill memory.
const LONGEST_KEY: usize = 10_000;

/// What is known of a server that decides.
pub struct Settings {
    /// Its name, for messages.
    pub name: String,
    /// `v1` or `v1beta1` of `authorization.k8s.io`.
    pub version: String,
    /// How long a permission is remembered.
    pub keep_allowed: Duration,
    /// How long anything else is.
    pub keep_denied: Duration,
    /// Whether its failure forbids; else the next authorizer is asked.
    pub fails_closed: bool,
    /// Expressions over `request` that all have to be true for it to be asked.
    pub conditions: Vec<String>,
}

/// A server that decides.
pub struct AccessWebhook {
    reviewer: Arc<dyn Reviewer>,
    settings: Settings,
    conditions: Vec<Program>,
    cache: Cache<String, Verdict>,
}

impl AccessWebhook {
    /// Asks `reviewer`.
    ///
    /// # Errors
    /// A condition is no expression that gives true or false.
    pub fn new(reviewer: Arc<dyn Reviewer>, settings: Settings) -> Result<Self, String> {
        let environment = Environment::new().with("request", Type::Dyn);
        let compile = |source: &String| {
            let program = environment.compile(source).map_err(|error| error.to_string())?;
            match program.result_type() {
                Type::Bool | Type::Dyn => Ok(program),
                _ => Err("must evaluate to bool".to_owned()),
            }
        };
        let conditions = settings.conditions.iter().map(compile).collect::<Result<_, _>>()?;
        Ok(Self { reviewer, settings, conditions, cache: Cache::new(REMEMBERED) })
    }

    /// What the server thinks of a request.
    pub async fn authorize(&self, request: &Attributes<'_>) -> Verdict {
        let spec = spec(request);
        match self.matches(&spec) {
            Ok(true) => {}
            Ok(false) => return Verdict::no_opinion(""),
            Err(why) => return self.failed(why),
        }
        let key = spec.to_string();
        let now = Instant::now();
        if let Some(known) = self.cache.find(&key, now) {
            return known;
        }
        let review = json!({
            "apiVersion": format!("authorization.k8s.io/{}", self.settings.version),
            "kind": "SubjectAccessReview",
            "spec": in_version(&self.settings.version, spec),
        });
        let verdict = match self.reviewer.review(&review).await {
            Ok(answer) => read(&answer),
            Err(why) => return self.failed(why),
        };
        if key.len() < LONGEST_KEY {
            let keep = if verdict.allowed() { self.settings.keep_allowed } else { self.settings.keep_denied };
            self.cache.keep(key, verdict.clone(), keep, now);
        }
        verdict
    }

    fn failed(&self, error: String) -> Verdict {
        tracing::warn!(authorizer = self.settings.name, error, "an authorization webhook fails");
        let verdict = if self.settings.fails_closed { Verdict::deny("") } else { Verdict::no_opinion("") };
        Verdict { error, ..verdict }
    }

    /// Whether all conditions hold. One that is false decides, whatever became of the others.
    fn matches(&self, spec: &Value) -> Result<bool, String> {
        let mut meter = Meter::new(MATCH_CONDITIONS_BUDGET);
        let mut failure = None;
        for condition in &self.conditions {
            match condition.evaluate(&[("request", Cel::from_json(spec))], &mut meter) {
                Ok(value) if value.as_bool() == Some(true) => {}
                Ok(_) => return Ok(false),
                Err(error) => failure = Some(error.to_string()),
            }
        }
        failure.map_or(Ok(true), Err)
    }
}

/// SubjectAccessReviewSpec of a request, as v1 has it.
fn spec(request: &Attributes<'_>) -> Value {
    let user = request.user;
    let mut spec = Map::new();
    let mut put = |key: &str, value: Value| drop(spec.insert(key.to_owned(), value));
    put("user", user.name.as_str().into());
    if !user.uid.is_empty() {
        put("uid", user.uid.as_str().into());
    }
    if !user.groups.is_empty() {
        put("groups", user.groups.clone().into());
    }
    if !user.extra.is_empty() {
        put("extra", json!(user.extra));
    }
    match request.resource_request {
        true => put("resourceAttributes", resource(request)),
        false => put("nonResourceAttributes", json!({"path": request.path, "verb": request.verb})),
    }
    spec.into()
}

fn resource(request: &Attributes<'_>) -> Value {
    let texts = [
        ("namespace", request.namespace),
        ("verb", request.verb),
        ("group", request.group),
        ("version", request.version),
        ("resource", request.resource),
        ("subresource", request.subresource),
        ("name", request.name),
    ];
    let present = texts.into_iter().filter(|(_, text)| !text.is_empty());
    let mut attributes: Map<String, Value> =
        present.map(|(key, text)| (key.to_owned(), text.into())).collect();
    for (key, requirements) in
        [("fieldSelector", &request.field_selector), ("labelSelector", &request.label_selector)]
    {
        if !requirements.is_empty() {
            let requirements: Vec<Value> = requirements.iter().map(requirement).collect();
            attributes.insert(key.to_owned(), json!({"requirements": requirements}));
        }
    }
    attributes.into()
}

fn requirement(requirement: &SelectorRequirement) -> Value {
    let operator = match requirement.operator {
        SelectorOperator::In => "In",
        SelectorOperator::NotIn => "NotIn",
        SelectorOperator::Exists => "Exists",
        SelectorOperator::DoesNotExist => "DoesNotExist",
    };
    let mut out = json!({"key": requirement.key, "operator": operator});
    if !requirement.values.is_empty() {
        out["values"] = json!(requirement.values);
    }
    out
}

/// The old version calls the groups `group`.
fn in_version(version: &str, mut spec: Value) -> Value {
    if let ("v1beta1", Some(map)) = (version, spec.as_object_mut())
        && let Some(groups) = map.remove("groups")
    {
        map.insert("group".to_owned(), groups);
    }
    spec
}

fn read(answer: &Value) -> Verdict {
    let status = &answer["status"];
    let text = |key: &str| status[key].as_str().unwrap_or_default().to_owned();
    let (reason, error) = (text("reason"), text("evaluationError"));
    let verdict = match (status["allowed"] == true, status["denied"] == true) {
        (true, true) => {
            let error = "webhook subject access review returned both allow and deny response".to_owned();
            return Verdict { error, ..Verdict::deny(reason) };
        }
        (true, false) => Verdict::allow(reason),
        (false, true) => Verdict::deny(reason),
        (false, false) => Verdict::no_opinion(reason),
    };
    Verdict { error, ..verdict }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::UserInfo;
    use crate::authz::Decision;

    struct Server(AtomicUsize);

    #[async_trait::async_trait]
    impl Reviewer for Server {
        async fn review(&self, review: &Value) -> Result<Value, String> {
            self.0.fetch_add(1, Ordering::Relaxed);
            match review["spec"]["resourceAttributes"]["resource"].as_str().unwrap_or_default() {
                "pods" => Ok(json!({"status": {"allowed": true, "reason": "yes"}})),
                "secrets" => Ok(json!({"status": {"allowed": false, "denied": true, "reason": "no"}})),
                "nodes" => Err("connection refused".to_owned()),
                _ => Ok(json!({"status": {"allowed": false}})),
            }
        }
    }

    fn webhook(server: &Arc<Server>, fails_closed: bool, conditions: &[&str]) -> AccessWebhook {
        let settings = Settings {
            name: "test".to_owned(),
            version: "v1".to_owned(),
            keep_allowed: Duration::from_secs(60),
            keep_denied: Duration::ZERO,
            fails_closed,
            conditions: conditions.iter().map(|text| (*text).to_owned()).collect(),
        };
        AccessWebhook::new(server.clone(), settings).unwrap()
    }

    #[tokio::test]
    async fn the_servers_decisions_hold() {
        let server = Arc::new(Server(AtomicUsize::new(0)));
        let user = UserInfo::new("alice", ["devs"]);
        for (resource, closed, decision) in [
            ("pods", false, Decision::Allow),
            ("secrets", false, Decision::Deny),
            ("configmaps", false, Decision::NoOpinion),
            ("nodes", false, Decision::NoOpinion),
            ("nodes", true, Decision::Deny),
        ] {
            let webhook = webhook(&server, closed, &[]);
            let verdict = webhook.authorize(&Attributes::resource(&user, "get", "", resource)).await;
            assert_eq!(verdict.decision, decision, "{resource}");
        }
        let webhook = webhook(&server, false, &[]);
        let asked = server.0.load(Ordering::Relaxed);
        for _ in 0..3 {
            webhook.authorize(&Attributes::resource(&user, "get", "", "pods")).await;
        }
        assert_eq!(server.0.load(Ordering::Relaxed), asked + 1);
    }

    #[tokio::test]
    async fn conditions_decide_whether_it_is_asked() {
        let server = Arc::new(Server(AtomicUsize::new(0)));
        let webhook = webhook(
            &server,
            true,
            &["has(request.resourceAttributes)", "request.resourceAttributes.namespace != 'kube-system'"],
        );
        let user = UserInfo::new("alice", ["devs"]);
        let ask = |namespace| Attributes::resource(&user, "get", "", "pods").in_namespace(namespace);
        assert_eq!(webhook.authorize(&ask("default")).await.decision, Decision::Allow);
        assert_eq!(webhook.authorize(&ask("kube-system")).await.decision, Decision::NoOpinion);
        assert_eq!(
            webhook.authorize(&Attributes::path(&user, "get", "/x")).await.decision,
            Decision::NoOpinion
        );
        assert_eq!(server.0.load(Ordering::Relaxed), 1);
    }
}
