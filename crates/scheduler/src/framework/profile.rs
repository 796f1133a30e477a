//! A profile: the plugins of one scheduler name, by extension point, in order.

use std::sync::Arc;

use super::{
    Bind, CycleState, Filter, Permit, Plugin, PostBind, PostFilter, PreBind, PreEnqueue, PreFilter, PreScore,
    QueueSort, Reserve, Score, Snapshot, Verdict,
};
use crate::cache::{NodeInfo, PodInfo};
use crate::config::{Point, Points};

/// A plugin at one extension point.
pub struct Entry<T: ?Sized> {
    /// Number of the plugin within the profile.
    pub id: u8,
    /// Its name.
    pub name: &'static str,
    /// Its weight; matters in Score only.
    pub weight: i64,
    /// What it does here.
    pub plugin: Arc<T>,
}

/// Why a configuration makes no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// A plugin that does not exist.
    #[error("profile {profile}: plugin {plugin} does not exist")]
    Unknown {
        /// Scheduler name.
        profile: String,
        /// Plugin.
        plugin: String,
    },
    /// A plugin at an extension point that it does not implement.
    #[error("profile {profile}: plugin {plugin} does not implement {point}")]
    NotAtPoint {
        /// Scheduler name.
        profile: String,
        /// Plugin.
        plugin: String,
        /// Extension point.
        point: &'static str,
    },
    /// Not one queue sort plugin.
    #[error("profile {profile}: exactly one queueSort plugin is needed, {count} are enabled")]
    QueueSort {
        /// Scheduler name.
        profile: String,
        /// How many there are.
        count: usize,
    },
    /// No bind plugin.
    #[error("profile {profile}: at least one bind plugin is needed")]
    NoBind {
        /// Scheduler name.
        profile: String,
    },
    /// More plugins than a decision can track.
    #[error("profile {profile}: at most 64 plugins can be enabled, {count} are")]
    TooMany {
        /// Scheduler name.
        profile: String,
        /// How many there are.
        count: usize,
    },
}

/// The plugins that decide for pods with one scheduler name.
pub struct Profile {
    /// `spec.schedulerName` of its pods.
    pub name: Arc<str>,
    /// Share of nodes to look at; `None` for the adaptive one.
    pub percentage: Option<i32>,
    plugins: Vec<Arc<dyn Plugin>>,
    /// PreEnqueue plugins.
    pub pre_enqueue: Vec<Entry<dyn PreEnqueue>>,
    /// The QueueSort plugin.
    pub queue_sort: Vec<Entry<dyn QueueSort>>,
    /// PreFilter plugins.
    pub pre_filter: Vec<Entry<dyn PreFilter>>,
    /// Filter plugins.
    pub filter: Vec<Entry<dyn Filter>>,
    /// PostFilter plugins.
    pub post_filter: Vec<Entry<dyn PostFilter>>,
    /// PreScore plugins.
    pub pre_score: Vec<Entry<dyn PreScore>>,
    /// Score plugins.
    pub score: Vec<Entry<dyn Score>>,
    /// Reserve plugins.
    pub reserve: Vec<Entry<dyn Reserve>>,
    /// Permit plugins.
    pub permit: Vec<Entry<dyn Permit>>,
    /// PreBind plugins.
    pub pre_bind: Vec<Entry<dyn PreBind>>,
    /// Bind plugins.
    pub bind: Vec<Entry<dyn Bind>>,
    /// PostBind plugins.
    pub post_bind: Vec<Entry<dyn PostBind>>,
}

impl Profile {
    /// A profile with these plugins at these points.
    ///
    /// # Errors
    /// When the points name plugins that are not there or do not fit, or mandatory ones are missing.
    pub fn new(
        name: &str,
        percentage: Option<i32>,
        plugins: Vec<Arc<dyn Plugin>>,
        points: &Points,
    ) -> Result<Self, ProfileError> {
        if plugins.len() > 64 {
            return Err(ProfileError::TooMany { profile: name.to_owned(), count: plugins.len() });
        }
        let at = Assembly { profile: name, plugins: &plugins, points };
        let profile = Self {
            name: name.into(),
            percentage,
            pre_enqueue: at.entries(Point::PreEnqueue, Plugin::pre_enqueue)?,
            queue_sort: at.entries(Point::QueueSort, Plugin::queue_sort)?,
            pre_filter: at.entries(Point::PreFilter, Plugin::pre_filter)?,
            filter: at.entries(Point::Filter, Plugin::filter)?,
            post_filter: at.entries(Point::PostFilter, Plugin::post_filter)?,
            pre_score: at.entries(Point::PreScore, Plugin::pre_score)?,
            score: at.entries(Point::Score, Plugin::score)?,
            reserve: at.entries(Point::Reserve, Plugin::reserve)?,
            permit: at.entries(Point::Permit, Plugin::permit)?,
            pre_bind: at.entries(Point::PreBind, Plugin::pre_bind)?,
            bind: at.entries(Point::Bind, Plugin::bind)?,
            post_bind: at.entries(Point::PostBind, Plugin::post_bind)?,
            plugins,
        };
        let profile_name = || name.to_owned();
        if profile.queue_sort.len() != 1 {
            return Err(ProfileError::QueueSort { profile: profile_name(), count: profile.queue_sort.len() });
        }
        if profile.bind.is_empty() {
            return Err(ProfileError::NoBind { profile: profile_name() });
        }
        Ok(profile)
    }

    /// A plugin by name.
    pub fn plugin(&self, name: &str) -> Option<&Arc<dyn Plugin>> {
        self.plugins.iter().find(|plugin| plugin.name() == name)
    }

    /// The plugin that keeps a pod out of the queue, if any does.
    pub fn gate(&self, objects: &super::Objects, pod: &PodInfo) -> Option<&'static str> {
        let closed = |entry: &&Entry<dyn PreEnqueue>| entry.plugin.pre_enqueue(objects, pod).is_err();
        self.pre_enqueue.iter().find(closed).map(|entry| entry.name)
    }

    /// Runs the filters for one node as it is.
    ///
    /// # Errors
    /// The first no.
    pub fn run_filters(
        &self,
        snapshot: &Snapshot<'_>,
        state: &CycleState,
        pod: &PodInfo,
        node: &NodeInfo,
    ) -> Verdict {
        for entry in self.filter.iter().filter(|entry| state.skip_filter & (1 << entry.id) == 0) {
            entry.plugin.filter(snapshot, state, pod, node).map_err(|rejection| rejection.by(entry.name))?;
        }
        Ok(())
    }

    /// Runs the filters for one node, counting pods of at least equal priority for which room was made there. It has to
    /// fit with and without them: they may come, and they may not.
    ///
    /// # Errors
    /// The first no.
    pub fn run_filters_with_nominated(
        &self,
        snapshot: &Snapshot<'_>,
        state: &CycleState,
        pod: &PodInfo,
        node: &NodeInfo,
    ) -> Verdict {
        let coming = snapshot.nominated.on(&node.name);
        let coming = coming.iter().filter(|other| other.priority >= pod.priority && other.uid != pod.uid);
        let mut with = None;
        for other in coming {
            let (state, node) = with.get_or_insert_with(|| (state.clone(), node.clone()));
            node.add_pod(Arc::clone(other));
            self.add_pod(snapshot, state, pod, other, node);
        }
        if let Some((state, node)) = &with {
            self.run_filters(snapshot, state, pod, node)?;
        }
        self.run_filters(snapshot, state, pod, node)
    }

    /// Changes the state as if `added` ran on `node`.
    pub fn add_pod(
        &self,
        snapshot: &Snapshot<'_>,
        state: &mut CycleState,
        pod: &PodInfo,
        added: &PodInfo,
        node: &NodeInfo,
    ) {
        for entry in &self.pre_filter {
            if state.skip_filter & (1 << entry.id) == 0 {
                entry.plugin.add_pod(snapshot, state, pod, added, node);
            }
        }
    }

    /// Changes the state as if `removed` did not run on `node`.
    pub fn remove_pod(
        &self,
        snapshot: &Snapshot<'_>,
        state: &mut CycleState,
        pod: &PodInfo,
        removed: &PodInfo,
        node: &NodeInfo,
    ) {
        for entry in &self.pre_filter {
            if state.skip_filter & (1 << entry.id) == 0 {
                entry.plugin.remove_pod(snapshot, state, pod, removed, node);
            }
        }
    }
}

/// Collects entries point by point.
struct Assembly<'a> {
    profile: &'a str,
    plugins: &'a [Arc<dyn Plugin>],
    points: &'a Points,
}

impl Assembly<'_> {
    fn entries<T: ?Sized>(
        &self,
        point: Point,
        part: fn(Arc<dyn Plugin>) -> Option<Arc<T>>,
    ) -> Result<Vec<Entry<T>>, ProfileError> {
        let mut entries = Vec::new();
        for enabled in self.points.at(point) {
            let unknown =
                || ProfileError::Unknown { profile: self.profile.to_owned(), plugin: enabled.name.clone() };
            let at =
                self.plugins.iter().position(|plugin| plugin.name() == enabled.name).ok_or_else(unknown)?;
            let plugin = &self.plugins[at];
            match part(Arc::clone(plugin)) {
                Some(part) => entries.push(Entry {
                    id: u8::try_from(at).unwrap_or(u8::MAX),
                    name: plugin.name(),
                    weight: i64::from(enabled.weight.max(1)),
                    plugin: part,
                }),
                // A plugin of the multi-point list takes part where it can.
                None if !enabled.explicit => {}
                None => {
                    return Err(ProfileError::NotAtPoint {
                        profile: self.profile.to_owned(),
                        plugin: enabled.name.clone(),
                        point: point.as_str(),
                    });
                }
            }
        }
        Ok(entries)
    }
}
