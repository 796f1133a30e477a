//! Authorization: may this user do this.
//!
//! ```text
//!  Attributes ──► system:masters? ──► mode 1 ──► mode 2 ──► … ──► Verdict      first Allow or Deny wins
//! ```

mod abac;
mod attributes;
pub mod escalation;
mod message;
mod node;
mod rbac;
mod replica;
pub mod review;
pub mod webhook;

pub use abac::Abac;
pub use attributes::{Attributes, SelectorOperator, SelectorRequirement};
pub use message::forbidden;
pub use node::NodeGraph;
pub use rbac::{Grants, PolicyRule, Rbac, RoleRef, RuleSet, Subject};
pub(crate) use rbac::{aggregate as aggregate_errors, quoted as quoted_list};
pub use replica::{ObjectKey, Replica};

use std::sync::Arc;

use crate::names;

/// What an authorizer thinks of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Allow,
    /// Stop; later authorizers are not asked.
    Deny,
    /// Ask the next one; nobody allowing means forbidden.
    NoOpinion,
}

/// A decision with its reason, and the errors met on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The decision.
    pub decision: Decision,
    /// Why, for audit, reviews and the forbidden message. May be empty.
    pub reason: String,
    /// What could not be evaluated, such as a binding to a missing role. May be empty.
    pub error: String,
}

impl Verdict {
    /// Allowed, with a reason.
    pub fn allow(reason: impl Into<String>) -> Self {
        Self { decision: Decision::Allow, reason: reason.into(), error: String::new() }
    }

    /// No opinion, with a reason (may be empty).
    pub fn no_opinion(reason: impl Into<String>) -> Self {
        Self { decision: Decision::NoOpinion, reason: reason.into(), error: String::new() }
    }

    /// Denied, with a reason.
    pub fn deny(reason: impl Into<String>) -> Self {
        Self { decision: Decision::Deny, reason: reason.into(), error: String::new() }
    }

    /// Whether the request may go on.
    pub fn allowed(&self) -> bool {
        self.decision == Decision::Allow
    }
}

/// One value of `--authorization-mode`, with its state.
#[derive(Clone)]
pub enum Mode {
    /// Kubelets get what their pods need.
    Node(Arc<NodeGraph>),
    /// Role based access control.
    Rbac(Arc<Rbac>),
    /// Attribute based access control.
    Abac(Arc<Abac>),
    /// Another server decides.
    Webhook(Arc<webhook::AccessWebhook>),
    /// Everything is allowed.
    AlwaysAllow,
    /// Nothing is.
    AlwaysDeny,
}

/// The authorizers of a server, in the order of `--authorization-mode`.
#[derive(Clone)]
pub struct Authorizer {
    modes: Vec<Mode>,
}

impl Authorizer {
    /// A chain of modes. Members of `system:masters` are allowed before the first of them.
    pub fn new(modes: Vec<Mode>) -> Self {
        Self { modes }
    }

    /// Parses `--authorization-mode` values. Both states are needed whatever the modes: reviews and
    /// escalation checks use them. `others` has what `ABAC` and `Webhook` stand for, where the flags set them up.
    ///
    /// # Errors
    /// A mode is unknown, repeated, or not set up.
    pub fn from_flags(
        modes: &[String],
        rbac: Arc<Rbac>,
        graph: Arc<NodeGraph>,
        others: &[Mode],
    ) -> Result<Self, ModeError> {
        let mut chain = Vec::with_capacity(modes.len());
        for (index, mode) in modes.iter().enumerate() {
            if modes[..index].contains(mode) {
                return Err(ModeError::Repeated(mode.clone()));
            }
            chain.push(match mode.as_str() {
                "Node" => Mode::Node(graph.clone()),
                "RBAC" => Mode::Rbac(rbac.clone()),
                "AlwaysAllow" => Mode::AlwaysAllow,
                "AlwaysDeny" => Mode::AlwaysDeny,
                "ABAC" => others
                    .iter()
                    .find(|other| matches!(other, Mode::Abac(_)))
                    .cloned()
                    .ok_or(ModeError::Incomplete { mode: "ABAC", flag: "--authorization-policy-file" })?,
                "Webhook" => others.iter().find(|other| matches!(other, Mode::Webhook(_))).cloned().ok_or(
                    ModeError::Incomplete { mode: "Webhook", flag: "--authorization-webhook-config-file" },
                )?,
                _ => return Err(ModeError::Unknown(mode.clone())),
            });
        }
        Ok(Self::new(chain))
    }

    /// Decides one request. Async because a mode may have to ask somebody else; the present ones answer from
    /// memory.
    pub async fn authorize(&self, request: &Attributes<'_>) -> Verdict {
        if request.user.in_group(names::MASTERS) {
            return Verdict::allow("");
        }
        let mut outcome = Verdict::no_opinion("");
        for mode in &self.modes {
            let verdict = match mode {
                Mode::Node(graph) => graph.authorize(request),
                Mode::Rbac(rbac) => rbac.authorize(request),
                Mode::Abac(policies) => policies.authorize(request),
                Mode::Webhook(webhook) => webhook.authorize(request).await,
                Mode::AlwaysAllow => Verdict::allow(""),
                Mode::AlwaysDeny => Verdict::no_opinion("Everything is forbidden."),
            };
            if verdict.decision != Decision::NoOpinion {
                return verdict;
            }
            join(&mut outcome.reason, &verdict.reason);
            join(&mut outcome.error, &verdict.error);
        }
        outcome
    }

    /// The rules that apply to a user in a namespace, for SelfSubjectRulesReview.
    pub fn rules_for(&self, user: &crate::UserInfo, namespace: &str) -> Grants {
        let mut grants = Grants::default();
        for mode in &self.modes {
            match mode {
                Mode::Rbac(rbac) => grants.extend(rbac.grants(user, namespace)),
                Mode::AlwaysAllow => grants.extend(Grants::everything()),
                Mode::Node(_) if user.node_name().is_some() => {
                    grants.cannot_list("node authorizer does not support user rule resolution");
                }
                Mode::Node(_) => {}
                Mode::Abac(_) => grants.cannot_list("ABAC authorizer does not support user rule resolution"),
                Mode::Webhook(_) => {
                    grants.cannot_list("webhook authorizer does not support user rule resolution")
                }
                Mode::AlwaysDeny => {}
            }
        }
        grants
    }
}

/// Why an `--authorization-mode` was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ModeError {
    /// What the mode needs is not given.
    #[error("--authorization-mode {mode} needs {flag}")]
    Incomplete {
        /// The mode.
        mode: &'static str,
        /// The flag that sets it up.
        flag: &'static str,
    },
    /// Nobody has it.
    #[error("--authorization-mode {0} is unknown: use Node, RBAC, ABAC, Webhook, AlwaysAllow or AlwaysDeny")]
    Unknown(String),
    /// Given twice.
    #[error("--authorization-mode {0} is given more than once")]
    Repeated(String),
}

fn join(all: &mut String, one: &str) {
    if !one.is_empty() {
        if !all.is_empty() {
            all.push_str(", ");
        }
        all.push_str(one);
    }
}
