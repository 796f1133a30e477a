//! Which plugins are enabled at which extension point.

use serde::Deserialize;

/// An extension point that plugins can be enabled at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// `preEnqueue`
    PreEnqueue,
    /// `queueSort`
    QueueSort,
    /// `preFilter`
    PreFilter,
    /// `filter`
    Filter,
    /// `postFilter`
    PostFilter,
    /// `preScore`
    PreScore,
    /// `score`
    Score,
    /// `reserve`
    Reserve,
    /// `permit`
    Permit,
    /// `preBind`
    PreBind,
    /// `bind`
    Bind,
    /// `postBind`
    PostBind,
}

impl Point {
    /// The name in configuration files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreEnqueue => "preEnqueue",
            Self::QueueSort => "queueSort",
            Self::PreFilter => "preFilter",
            Self::Filter => "filter",
            Self::PostFilter => "postFilter",
            Self::PreScore => "preScore",
            Self::Score => "score",
            Self::Reserve => "reserve",
            Self::Permit => "permit",
            Self::PreBind => "preBind",
            Self::Bind => "bind",
            Self::PostBind => "postBind",
        }
    }
}

/// `plugins` of a profile, as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Plugins {
    pre_enqueue: Set,
    queue_sort: Set,
    pre_filter: Set,
    filter: Set,
    post_filter: Set,
    pre_score: Set,
    score: Set,
    reserve: Set,
    permit: Set,
    pre_bind: Set,
    bind: Set,
    post_bind: Set,
    multi_point: Set,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Set {
    enabled: Vec<Named>,
    disabled: Vec<Named>,
}

#[derive(Clone, Debug, Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    weight: i32,
}

/// The default list, in order, with weights.
const DEFAULT: &[(&str, i32)] = &[
    ("SchedulingGates", 0),
    ("PrioritySort", 0),
    ("NodeUnschedulable", 0),
    ("NodeName", 0),
    ("TaintToleration", 3),
    ("NodeAffinity", 2),
    ("NodePorts", 0),
    ("NodeResourcesFit", 1),
    ("VolumeRestrictions", 0),
    ("NodeVolumeLimits", 0),
    ("VolumeBinding", 0),
    ("VolumeZone", 0),
    ("PodTopologySpread", 2),
    ("InterPodAffinity", 2),
    ("DynamicResources", 2),
    ("DefaultPreemption", 0),
    ("NodeResourcesBalancedAllocation", 1),
    ("ImageLocality", 1),
    ("DefaultBinder", 0),
    ("NodeDeclaredFeatures", 0),
];

/// A plugin at a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enabled {
    /// Name.
    pub name: String,
    /// Weight; 0 counts as 1.
    pub weight: i32,
    /// Whether it was named for this very point; otherwise it takes part where it can.
    pub explicit: bool,
}

/// The resulting lists: defaults and the profile's changes merged.
#[derive(Clone, Debug)]
pub struct Points {
    plugins: Plugins,
    /// The multi-point list after merging.
    everywhere: Vec<Enabled>,
}

impl Points {
    /// Merges a profile's `plugins` into the defaults.
    pub fn new(plugins: Plugins) -> Self {
        let multi = &plugins.multi_point;
        let mut everywhere: Vec<Enabled> = DEFAULT
            .iter()
            .filter(|(name, _)| !disables(&multi.disabled, name))
            .map(|(name, weight)| {
                let custom = multi.enabled.iter().find(|custom| custom.name == *name);
                let weight = custom.map_or(*weight, |custom| custom.weight);
                Enabled { name: (*name).to_owned(), weight, explicit: false }
            })
            .collect();
        for custom in &multi.enabled {
            if !everywhere.iter().any(|known| known.name == custom.name) {
                everywhere.push(Enabled {
                    name: custom.name.clone(),
                    weight: custom.weight,
                    explicit: false,
                });
            }
        }
        Self { plugins, everywhere }
    }

    /// The plugins at a point, in order: those that the point names and the multi-point list has too, the rest of the
    /// multi-point list, the rest that the point names.
    pub fn at(&self, point: Point) -> Vec<Enabled> {
        let set = self.set(point);
        let listed = |name: &str| self.everywhere.iter().any(|known| known.name == name);
        let explicit =
            |named: &Named| Enabled { name: named.name.clone(), weight: named.weight, explicit: true };
        let named = |name: &str| set.enabled.iter().any(|named| named.name == name);
        let mut plugins: Vec<Enabled> =
            set.enabled.iter().filter(|named| listed(&named.name)).map(explicit).collect();
        let rest = self
            .everywhere
            .iter()
            .filter(|known| !named(&known.name) && !disables(&set.disabled, &known.name));
        plugins.extend(rest.cloned());
        plugins.extend(set.enabled.iter().filter(|named| !listed(&named.name)).map(explicit));
        plugins
    }

    /// Every plugin enabled anywhere, each once.
    pub fn all(&self) -> Vec<String> {
        let mut names: Vec<String> = self.everywhere.iter().map(|known| known.name.clone()).collect();
        for point in POINTS {
            names.extend(self.set(*point).enabled.iter().map(|named| named.name.clone()));
        }
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }

    fn set(&self, point: Point) -> &Set {
        let plugins = &self.plugins;
        match point {
            Point::PreEnqueue => &plugins.pre_enqueue,
            Point::QueueSort => &plugins.queue_sort,
            Point::PreFilter => &plugins.pre_filter,
            Point::Filter => &plugins.filter,
            Point::PostFilter => &plugins.post_filter,
            Point::PreScore => &plugins.pre_score,
            Point::Score => &plugins.score,
            Point::Reserve => &plugins.reserve,
            Point::Permit => &plugins.permit,
            Point::PreBind => &plugins.pre_bind,
            Point::Bind => &plugins.bind,
            Point::PostBind => &plugins.post_bind,
        }
    }
}

const POINTS: &[Point] = &[
    Point::PreEnqueue,
    Point::QueueSort,
    Point::PreFilter,
    Point::Filter,
    Point::PostFilter,
    Point::PreScore,
    Point::Score,
    Point::Reserve,
    Point::Permit,
    Point::PreBind,
    Point::Bind,
    Point::PostBind,
];

fn disables(disabled: &[Named], name: &str) -> bool {
    disabled.iter().any(|named| named.name == name || named.name == "*")
}
