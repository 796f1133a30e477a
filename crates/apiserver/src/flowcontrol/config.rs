//! FlowSchemas and PriorityLevelConfigurations, read for use.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Always there, whatever the API holds: the way in for administrators, and the end of the list.
const EXEMPT: &str = "exempt";
const CATCH_ALL: &str = "catch-all";
const CATCH_ALL_PRECEDENCE: i64 = 10_000;
const CATCH_ALL_SHARES: i64 = 5;
const DEFAULT_PRECEDENCE: i64 = 1_000;
const DEFAULT_SHARES: i64 = 30;

/// Tells the flows of a schema apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distinguisher {
    /// All requests are one flow.
    #[default]
    None,
    User,
    Namespace,
}

/// A FlowSchema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowSchema {
    pub name: String,
    pub uid: String,
    /// Lower is asked first.
    pub precedence: i64,
    /// Name of the priority level.
    pub level: String,
    pub distinguisher: Distinguisher,
    pub rules: Vec<Rules>,
    /// Status of the condition `Dangling`, its message and when it began, as the object has them.
    pub dangling: Option<Condition>,
}

/// A priority level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriorityLevel {
    pub uid: String,
    pub shares: i64,
    /// Percent of the nominal seats that others may use.
    pub lendable: i64,
    /// Percent of the nominal seats that may be borrowed on top; `None` is no limit.
    pub borrowing: Option<i64>,
    pub kind: LevelKind,
}

/// What a level does with requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LevelKind {
    /// They run at once.
    Exempt,
    /// They run while there are seats, else they are refused.
    #[default]
    Reject,
    /// They wait for seats.
    Queue { queues: usize, hand: usize, length: usize },
}

/// `PolicyRulesWithSubjects`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Rules {
    pub subjects: Vec<Subject>,
    pub resource_rules: Vec<ResourceRule>,
    pub non_resource_rules: Vec<NonResourceRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Subject {
    pub user: Option<Named>,
    pub group: Option<Named>,
    pub service_account: Option<Named>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Named {
    pub namespace: String,
    pub name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceRule {
    pub verbs: Vec<String>,
    pub api_groups: Vec<String>,
    pub resources: Vec<String>,
    pub cluster_scope: bool,
    pub namespaces: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NonResourceRule {
    pub verbs: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    pub urls: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Condition {
    pub r#type: String,
    pub status: String,
    pub message: String,
    pub last_transition_time: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    uid: String,
}

/// Reads a FlowSchema.
pub fn flow_schema(json: &[u8]) -> Result<FlowSchema, serde_json::Error> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Object {
        metadata: Metadata,
        spec: Spec,
        status: Status,
    }
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Spec {
        priority_level_configuration: Named,
        matching_precedence: Option<i64>,
        distinguisher_method: Option<Method>,
        rules: Option<Vec<Rules>>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Method {
        r#type: String,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Status {
        conditions: Option<Vec<Condition>>,
    }
    let Object { metadata, spec, status } = serde_json::from_slice(json)?;
    let distinguisher = match spec.distinguisher_method.as_ref().map(|method| method.r#type.as_str()) {
        Some("ByUser") => Distinguisher::User,
        Some("ByNamespace") => Distinguisher::Namespace,
        _ => Distinguisher::None,
    };
    Ok(FlowSchema {
        name: metadata.name,
        uid: metadata.uid,
        precedence: spec.matching_precedence.unwrap_or(DEFAULT_PRECEDENCE),
        level: spec.priority_level_configuration.name,
        distinguisher,
        rules: spec.rules.unwrap_or_default(),
        dangling: status.conditions.into_iter().flatten().find(|condition| condition.r#type == "Dangling"),
    })
}

/// Reads a PriorityLevelConfiguration.
pub fn priority_level(json: &[u8]) -> Result<PriorityLevel, serde_json::Error> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Object {
        metadata: Metadata,
        spec: Spec,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Spec {
        limited: Option<Shares>,
        exempt: Option<Shares>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Shares {
        nominal_concurrency_shares: Option<i64>,
        lendable_percent: i64,
        borrowing_limit_percent: Option<i64>,
        limit_response: Response,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Response {
        queuing: Option<Queuing>,
    }
    #[derive(Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Queuing {
        queues: usize,
        hand_size: usize,
        queue_length_limit: usize,
    }
    impl Default for Queuing {
        fn default() -> Self {
            Queuing { queues: 64, hand_size: 8, queue_length_limit: 50 }
        }
    }
    let Object { metadata, spec } = serde_json::from_slice(json)?;
    let exempt = spec.limited.is_none();
    let shares = spec.limited.or(spec.exempt).unwrap_or_default();
    let kind = match shares.limit_response.queuing {
        _ if exempt => LevelKind::Exempt,
        Some(Queuing { queues, hand_size, queue_length_limit }) => {
            let queues = queues.max(1);
            LevelKind::Queue { queues, hand: hand_size.clamp(1, queues), length: queue_length_limit }
        }
        None => LevelKind::Reject,
    };
    Ok(PriorityLevel {
        uid: metadata.uid,
        shares: shares.nominal_concurrency_shares.unwrap_or(if exempt { 0 } else { DEFAULT_SHARES }),
        lendable: shares.lendable_percent,
        borrowing: shares.borrowing_limit_percent,
        kind,
    })
}

/// The schemas in the order in which they are asked, and the levels, with the mandatory ones where the API has none.
/// A schema that names no existing level leads to the last one.
pub fn complete(
    schemas: &BTreeMap<String, FlowSchema>,
    levels: &BTreeMap<String, PriorityLevel>,
) -> (Vec<FlowSchema>, BTreeMap<String, PriorityLevel>) {
    let mut levels = levels.clone();
    let exempt = PriorityLevel { kind: LevelKind::Exempt, ..PriorityLevel::default() };
    levels.entry(EXEMPT.to_owned()).or_insert(exempt);
    let catch_all = PriorityLevel { shares: CATCH_ALL_SHARES, ..PriorityLevel::default() };
    levels.entry(CATCH_ALL.to_owned()).or_insert(catch_all);
    // A schema without a level matches nothing.
    let mut schemas: Vec<FlowSchema> =
        schemas.values().filter(|schema| levels.contains_key(&schema.level)).cloned().collect();
    for (name, precedence, groups) in [
        (EXEMPT, 1, &["system:masters"][..]),
        (CATCH_ALL, CATCH_ALL_PRECEDENCE, &["system:unauthenticated", "system:authenticated"]),
    ] {
        if !schemas.iter().any(|schema| schema.name == name) {
            schemas.push(mandatory(name, precedence, groups));
        }
    }
    schemas.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
    (schemas, levels)
}

fn mandatory(name: &str, precedence: i64, groups: &[&str]) -> FlowSchema {
    let all = || vec!["*".to_owned()];
    let subject = |group: &&str| Subject {
        group: Some(Named { name: (*group).to_owned(), ..Named::default() }),
        ..Subject::default()
    };
    let rules = Rules {
        subjects: groups.iter().map(subject).collect(),
        resource_rules: vec![ResourceRule {
            verbs: all(),
            api_groups: all(),
            resources: all(),
            cluster_scope: true,
            namespaces: all(),
        }],
        non_resource_rules: vec![NonResourceRule { verbs: all(), urls: all() }],
    };
    FlowSchema {
        name: name.to_owned(),
        precedence,
        level: name.to_owned(),
        distinguisher: if name == CATCH_ALL { Distinguisher::User } else { Distinguisher::None },
        rules: vec![rules],
        ..FlowSchema::default()
    }
}
