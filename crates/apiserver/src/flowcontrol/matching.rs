//! Which requests a FlowSchema is about, and which of its flows a request belongs to.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use access::UserInfo;

use super::config::{Distinguisher, FlowSchema, NonResourceRule, ResourceRule, Subject};
use crate::filters::RequestInfo;

const ALL: &str = "*";

/// Whether a schema is about a request: one of its rules names the requester and what is asked.
pub fn matches(schema: &FlowSchema, user: &UserInfo, info: &RequestInfo) -> bool {
    schema.rules.iter().any(|rules| {
        rules.subjects.iter().any(|subject| is_subject(subject, user))
            && match info.is_resource {
                true => rules.resource_rules.iter().any(|rule| is_resource(rule, info)),
                false => rules.non_resource_rules.iter().any(|rule| is_path(rule, info)),
            }
    })
}

/// Requests of one flow have one hash.
pub fn flow_hash(schema: &FlowSchema, user: &UserInfo, info: &RequestInfo) -> u64 {
    let mut hasher = DefaultHasher::new();
    schema.name.hash(&mut hasher);
    match schema.distinguisher {
        Distinguisher::None => {}
        Distinguisher::User => user.name.hash(&mut hasher),
        Distinguisher::Namespace => info.namespace.hash(&mut hasher),
    }
    hasher.finish()
}

fn is_subject(subject: &Subject, user: &UserInfo) -> bool {
    if let Some(wanted) = &subject.user {
        return wanted.name == ALL || wanted.name == user.name;
    }
    if let Some(wanted) = &subject.group {
        return wanted.name == ALL || user.in_group(&wanted.name);
    }
    let Some(wanted) = &subject.service_account else { return false };
    user.service_account().is_some_and(|(namespace, name)| {
        namespace == wanted.namespace && (wanted.name == ALL || wanted.name == name)
    })
}

fn is_resource(rule: &ResourceRule, info: &RequestInfo) -> bool {
    let in_scope = match info.namespace.as_str() {
        "" => rule.cluster_scope,
        namespace => has(&rule.namespaces, namespace),
    };
    in_scope
        && has(&rule.verbs, &info.verb)
        && has(&rule.api_groups, &info.group)
        && names(&rule.resources, info)
}

fn names(resources: &[String], info: &RequestInfo) -> bool {
    resources.iter().any(|wanted| {
        wanted == ALL
            || match info.subresource.as_str() {
                "" => *wanted == info.resource,
                subresource => wanted.split_once('/') == Some((info.resource.as_str(), subresource)),
            }
    })
}

fn is_path(rule: &NonResourceRule, info: &RequestInfo) -> bool {
    has(&rule.verbs, &info.verb)
        && rule.urls.iter().any(|url| {
            url == ALL
                || *url == info.path
                || url.strip_suffix(ALL).is_some_and(|prefix| info.path.starts_with(prefix))
        })
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == ALL || item == wanted)
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::super::config::{complete, flow_schema};
    use super::*;
    use crate::http::query::Query;

    fn info(path: &str) -> RequestInfo {
        RequestInfo::parse(&Method::GET, path, &Query::default())
    }

    #[test]
    fn rules_name_requesters_and_requests() {
        let schema = flow_schema(
            br#"{"metadata": {"name": "s"}, "spec": {"priorityLevelConfiguration": {"name": "l"},
                "distinguisherMethod": {"type": "ByNamespace"}, "rules": [{
                "subjects": [{"kind": "ServiceAccount", "serviceAccount": {"namespace": "a", "name": "*"}}],
                "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "pods/status"], "namespaces": ["x"]}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["/healthz/*"]}]}]}}"#,
        )
        .unwrap();
        let user = UserInfo::new("system:serviceaccount:a:b", ["system:authenticated"]);
        let cases = [
            ("/api/v1/namespaces/x/pods/p", true),
            ("/api/v1/namespaces/x/pods/p/status", true),
            ("/api/v1/namespaces/x/pods/p/log", false),
            ("/api/v1/namespaces/x/pods", false),
            ("/api/v1/namespaces/y/pods/p", false),
            ("/api/v1/nodes/n", false),
            ("/healthz/etcd", true),
            ("/healthz", false),
        ];
        for (path, expected) in cases {
            assert_eq!(matches(&schema, &user, &info(path)), expected, "{path}");
        }
        assert!(!matches(&schema, &UserInfo::new("b", ["a"]), &info("/healthz/etcd")));
        let hash = |path| flow_hash(&schema, &user, &info(path));
        assert_eq!(hash("/api/v1/namespaces/x/pods/p"), hash("/api/v1/namespaces/x/pods/q"));
        assert_ne!(hash("/api/v1/namespaces/x/pods/p"), hash("/api/v1/namespaces/y/pods/p"));
    }

    #[test]
    fn something_always_matches() {
        let (schemas, levels) = complete(&Default::default(), &Default::default());
        let first = |user: &UserInfo| {
            schemas.iter().find(|schema| matches(schema, user, &info("/version"))).map(|s| s.name.clone())
        };
        assert_eq!(first(&UserInfo::new("root", ["system:masters"])).as_deref(), Some("exempt"));
        assert_eq!(first(&UserInfo::new("x", ["system:unauthenticated"])).as_deref(), Some("catch-all"));
        assert_eq!(levels.len(), 2);
    }
}
