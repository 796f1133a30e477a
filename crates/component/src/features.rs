//! Feature gates: the names and defaults of v1.36, and what `--feature-gates` made of them.

use std::collections::BTreeMap;

use parking_lot::RwLock;

/// One line per gate: `name default stage [locked]`; made from the v1.36 facts.
const TABLE: &str = include_str!("../data/feature_gates.txt");

/// The state of every gate in this process. Immutable once made.
#[derive(Clone, Debug, Default)]
pub struct Features {
    overrides: BTreeMap<String, bool>,
}

/// A row of the table of gates.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// Name as users write it.
    pub name: &'static str,
    /// Whether it is on when nothing is said.
    pub default: bool,
    /// `Alpha`, `Beta`, `GA` or `Deprecated`.
    pub stage: &'static str,
    /// Whether the default may not be changed.
    pub locked: bool,
}

impl Features {
    /// Reads `Name=true,Other=false` settings; later ones win. Every bad setting becomes a line in `problems`.
    pub fn parse<'a>(settings: impl IntoIterator<Item = &'a str>, problems: &mut Vec<String>) -> Self {
        let mut overrides = BTreeMap::new();
        for setting in settings {
            for item in setting.split(',').map(str::trim).filter(|item| !item.is_empty()) {
                if let Err(problem) = apply(&mut overrides, item) {
                    problems
                        .push(format!("invalid argument {item:?} for \"--feature-gates\" flag: {problem}"));
                }
            }
        }
        Self { overrides }
    }

    /// Whether a gate is on. An unknown name is off.
    pub fn enabled(&self, name: &str) -> bool {
        self.overrides.get(name).copied().unwrap_or_else(|| gate(name).is_some_and(|gate| gate.default))
    }
}

/// All gates, by name.
pub fn gates() -> impl Iterator<Item = Gate> {
    TABLE.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let name = words.next()?;
        let default = words.next()? == "true";
        let stage = words.next()?;
        Some(Gate { name, default, stage, locked: words.next() == Some("locked") })
    })
}

/// The gates this process was started with; defaults before [`crate::run`] has parsed the flags.
pub fn current() -> Features {
    CURRENT.read().clone().unwrap_or_default()
}

static CURRENT: RwLock<Option<Features>> = RwLock::new(None);

pub(crate) fn install(features: Features) {
    *CURRENT.write() = Some(features);
}

fn gate(name: &str) -> Option<Gate> {
    gates().find(|gate| gate.name == name)
}

fn apply(overrides: &mut BTreeMap<String, bool>, item: &str) -> Result<(), String> {
    let Some((name, value)) = item.split_once('=') else {
        return Err(format!("missing bool value for {item}"));
    };
    let value = crate::flags::parse_bool(value)
        .ok_or_else(|| format!("invalid value of {name}={value}: use true or false"))?;
    if let "AllAlpha" | "AllBeta" = name {
        let stage = name.trim_start_matches("All");
        for gate in gates().filter(|gate| gate.stage == stage && !gate.locked) {
            overrides.entry(gate.name.to_owned()).or_insert(value);
        }
        return Ok(());
    }
    let gate = gate(name).ok_or_else(|| format!("unrecognized feature gate: {name}"))?;
    if gate.locked && gate.default != value {
        return Err(format!(
            "cannot set feature gate {name} to {value}, feature is locked to {}",
            gate.default
        ));
    }
    overrides.insert(name.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_every_bad_gate() {
        let mut problems = Vec::new();
        let features = Features::parse(
            ["APIServingWithRoutine=true,Nope=true", "APIServerTracing=false,X"],
            &mut problems,
        );
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(features.enabled("APIServingWithRoutine"));
        assert!(features.enabled("APIServerTracing"));
    }
}
