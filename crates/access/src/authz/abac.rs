//! Attribute based access control: one policy per line of a file (`--authorization-policy-file`).

use serde::Deserialize;

use super::{Attributes, Verdict};

const API_VERSION: &str = "abac.authorization.kubernetes.io/v1beta1";

/// The policies of a file.
#[derive(Clone, Debug, Default)]
pub struct Abac(Vec<Spec>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Policy {
    api_version: String,
    kind: String,
    spec: Spec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    user: String,
    group: String,
    readonly: bool,
    api_group: String,
    namespace: String,
    resource: String,
    non_resource_path: String,
}

impl Abac {
    /// Reads the text of a file: one JSON object per line; empty lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    /// A line is no policy; the message names it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut policies = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = number + 1;
            let policy: Policy = serde_json::from_str(line).map_err(|error| format!("line {at}: {error}"))?;
            if policy.api_version != API_VERSION || policy.kind != "Policy" {
                return Err(format!("line {at} is no {API_VERSION} Policy"));
            }
            policies.push(policy.spec);
        }
        Ok(Self(policies))
    }

    /// Allows what a policy allows; forbids nothing by itself.
    pub fn authorize(&self, request: &Attributes<'_>) -> Verdict {
        match self.0.iter().any(|policy| policy.allows(request)) {
            true => Verdict::allow(""),
            false => Verdict::no_opinion("No policy matched."),
        }
    }
}

impl Spec {
    fn allows(&self, request: &Attributes<'_>) -> bool {
        let verb = request.read_only() || !self.readonly;
        let subject = || match request.resource_request {
            true => {
                holds(&self.namespace, request.namespace)
                    && holds(&self.resource, request.resource)
                    && holds(&self.api_group, request.group)
            }
            false => {
                let path = &self.non_resource_path;
                path == "*"
                    || (!path.is_empty() && path == request.path)
                    || path.strip_suffix('*').is_some_and(|start| request.path.starts_with(start))
            }
        };
        verb && self.is_for(request) && subject()
    }

    /// Whoever a policy names, as user and as group, has to be that.
    fn is_for(&self, request: &Attributes<'_>) -> bool {
        let user = self.user.is_empty() || holds(&self.user, &request.user.name);
        let group = self.group.is_empty() || self.group == "*" || request.user.in_group(&self.group);
        user && group && !(self.user.is_empty() && self.group.is_empty())
    }
}

fn holds(pattern: &str, value: &str) -> bool {
    pattern == "*" || pattern == value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UserInfo;

    #[test]
    fn policies_allow() {
        let line =
            |spec: &str| format!(r#"{{"apiVersion":"{API_VERSION}","kind":"Policy","spec":{{{spec}}}}}"#);
        let text = [
            "# administrators".to_owned(),
            line(r#""user":"admin","namespace":"*","resource":"*","apiGroup":"*""#),
            line(r#""group":"devs","namespace":"dev","resource":"pods","readonly":true"#),
            line(r#""user":"*","nonResourcePath":"/version*""#),
        ]
        .join("\n");
        let abac = Abac::parse(&text).unwrap();
        let (admin, dev) = (UserInfo::new("admin", [""; 0]), UserInfo::new("eve", ["devs"]));
        let ask =
            |user, verb, namespace| Attributes::resource(user, verb, "", "pods").in_namespace(namespace);
        for (request, allowed) in [
            (ask(&admin, "delete", "x"), true),
            (ask(&dev, "list", "dev"), true),
            (ask(&dev, "create", "dev"), false),
            (ask(&dev, "get", "prod"), false),
            (Attributes::path(&dev, "get", "/version/x"), true),
            (Attributes::path(&dev, "get", "/metrics"), false),
        ] {
            assert_eq!(abac.authorize(&request).allowed(), allowed, "{request:?}");
        }
        assert!(Abac::parse("{}").unwrap_err().starts_with("line 1"));
    }
}
