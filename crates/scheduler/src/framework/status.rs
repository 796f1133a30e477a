//! Why something cannot be: verdicts of plugins, and the sentence that a user reads.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::cache::Slot;

/// What kind of no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Something broke; trying again may help.
    Error,
    /// It does not fit now; removing other pods may help.
    Unschedulable,
    /// It does not fit, and removing other pods does not change that.
    Unresolvable,
}

impl Code {
    /// Upstream's name, for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "Error",
            Self::Unschedulable => "Unschedulable",
            Self::Unresolvable => "UnschedulableAndUnresolvable",
        }
    }
}

/// A reason as users read it.
pub type Reason = Cow<'static, str>;

/// A plugin's no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// What kind.
    pub code: Code,
    /// Why; several for a plugin that checks several things at once.
    pub reasons: Vec<Reason>,
    /// Who says so; empty until the framework has filled it in.
    pub plugin: &'static str,
}

impl Rejection {
    /// It does not fit now.
    pub fn unschedulable(reason: impl Into<Reason>) -> Self {
        Self { code: Code::Unschedulable, reasons: vec![reason.into()], plugin: "" }
    }

    /// It does not fit, whatever else is removed.
    pub fn unresolvable(reason: impl Into<Reason>) -> Self {
        Self { code: Code::Unresolvable, reasons: vec![reason.into()], plugin: "" }
    }

    /// Something broke.
    pub fn error(reason: impl Into<Reason>) -> Self {
        Self { code: Code::Error, reasons: vec![reason.into()], plugin: "" }
    }

    /// Fills in who says so, unless somebody did.
    #[must_use]
    pub fn by(mut self, plugin: &'static str) -> Self {
        if self.plugin.is_empty() {
            self.plugin = plugin;
        }
        self
    }

    /// All reasons in one line.
    pub fn message(&self) -> String {
        self.reasons.join(", ")
    }
}

/// Yes, or why not.
pub type Verdict = Result<(), Rejection>;

/// Why no node was found.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// Number of existing nodes.
    pub all_nodes: usize,
    /// What the filters said, by node.
    pub rejected: HashMap<Slot, Rejection>,
    /// What holds for all other nodes.
    pub absent: Option<Rejection>,
    /// Why the pod was refused before any node was looked at; then no node is listed.
    pub before_filters: String,
    /// What was tried to make room, and why it did not help.
    pub after_filters: String,
    /// Room was made for the pod earlier, and that does not help any more.
    pub give_up_nomination: bool,
    /// The plugins that said no: what changes for them may make the pod schedulable.
    pub plugins: Vec<&'static str>,
}

impl Diagnosis {
    /// The verdict on one node; nodes that nothing was said of count as unresolvable, as upstream does.
    pub fn code(&self, slot: Slot) -> Code {
        let verdict = self.rejected.get(&slot).or(self.absent.as_ref());
        verdict.map_or(Code::Unresolvable, |rejection| rejection.code)
    }

    /// Notes that a plugin said no.
    pub fn blame(&mut self, plugin: &'static str) {
        if !plugin.is_empty() && !self.plugins.contains(&plugin) {
            self.plugins.push(plugin);
        }
    }

    /// The sentence that users know from events and conditions.
    pub fn message(&self) -> String {
        let mut text = format!("0/{} nodes are available:", self.all_nodes);
        if self.before_filters.is_empty() {
            let counted = self.counted();
            if !counted.is_empty() {
                text.push_str(&format!(" {}.", counted.join(", ")));
            }
        } else {
            text.push_str(&format!(" {}.", self.before_filters));
        }
        if !self.after_filters.is_empty() {
            text.push_str(&format!(" {}", self.after_filters));
        }
        text
    }

    /// `<count> <reason>` for every reason, in the order of these texts.
    fn counted(&self) -> Vec<String> {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        let others = self.all_nodes.saturating_sub(self.rejected.len());
        for reason in self.rejected.values().flat_map(|rejection| &rejection.reasons) {
            *counts.entry(reason).or_default() += 1;
        }
        if others > 0 {
            for reason in self.absent.iter().flat_map(|rejection| &rejection.reasons) {
                *counts.entry(reason).or_default() += others;
            }
        }
        let mut lines: Vec<String> =
            counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        lines.sort_unstable();
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_sort_as_text() {
        let mut diagnosis = Diagnosis { all_nodes: 13, ..Diagnosis::default() };
        for slot in 0..10 {
            diagnosis.rejected.insert(slot, Rejection::unresolvable("node(s) had untolerated taint(s)"));
        }
        for slot in 10..12 {
            diagnosis.rejected.insert(slot, Rejection::unschedulable("Insufficient cpu"));
        }
        diagnosis.absent = Some(Rejection::unresolvable("other"));
        diagnosis.after_filters = "more".to_owned();
        assert_eq!(
            diagnosis.message(),
            "0/13 nodes are available: 1 other, 10 node(s) had untolerated taint(s), 2 Insufficient cpu. more"
        );
        diagnosis.before_filters = "no".to_owned();
        assert_eq!(diagnosis.message(), "0/13 nodes are available: no. more");
    }
}
