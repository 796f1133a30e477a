//! Running the mutating chain again.
//!
//! When a webhook or a policy changes an object, plug-ins that ran before it have seen another object than the one that
//! will be stored. The whole chain runs once more then: built-in plug-ins always, webhooks and policies only if they ask
//! for it, have run before, and something has changed since.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

/// Where a request is between the first run and the second.
#[derive(Default)]
pub struct Reinvocation {
    wanted: bool,
    running: bool,
    rounds: HashMap<&'static str, Round>,
}

impl Reinvocation {
    /// Asks for another run of the chain; in the second run this has no effect.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// Whether this is the second run.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// The memory of one plug-in.
    pub fn round(&mut self, plugin: &'static str) -> &mut Round {
        self.rounds.entry(plugin).or_default()
    }

    /// Whether the chain has to run again; it is told so once.
    pub(super) fn begin_again(&mut self) -> bool {
        let begin = self.wanted && !self.running;
        self.running = self.running || begin;
        begin
    }
}

/// Which parts (webhooks, policies) of a plug-in have run, and which have to run again.
#[derive(Default)]
pub struct Round {
    invoked: BTreeSet<String>,
    again: BTreeSet<String>,
    output: Option<Value>,
}

impl Round {
    /// At the beginning of a second run: whatever the chain has changed since the first makes earlier parts run again.
    pub fn resume(&mut self, object: Option<&Value>) {
        if self.output.as_ref() != object {
            self.object_changed();
        }
    }

    /// Whether a part runs in the second run.
    pub fn runs_again(&self, part: &str) -> bool {
        self.again.contains(part)
    }

    /// A part that wants to see later changes has run.
    pub fn invoked(&mut self, part: &str) {
        self.invoked.insert(part.to_owned());
    }

    /// The object was changed: whoever has run so far has to run again.
    pub fn object_changed(&mut self) {
        self.again.append(&mut self.invoked);
    }

    /// At the end of a run: what the plug-in leaves behind.
    pub fn finish(&mut self, object: Option<&Value>) {
        self.output = object.cloned();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_ran_before_a_change_runs_again() {
        let mut reinvocation = Reinvocation::default();
        let round = reinvocation.round("hooks");
        round.invoked("a");
        round.object_changed();
        round.invoked("b");
        let object = json!({"x": 1});
        round.finish(Some(&object));
        assert!(!reinvocation.begin_again());
        reinvocation.want();
        assert!(reinvocation.begin_again() && !reinvocation.begin_again());
        let round = reinvocation.round("hooks");
        round.resume(Some(&object));
        assert!(round.runs_again("a") && !round.runs_again("b"));
        round.resume(Some(&json!({"x": 2})));
        assert!(round.runs_again("b") && !round.runs_again("c"));
    }
}
