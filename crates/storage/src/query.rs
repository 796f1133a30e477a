//! What a list or a watch asks for.

use std::fmt;
use std::sync::Arc;

use crate::object::Object;

/// How fresh a read has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Freshness {
    /// Whatever the cache holds (`resourceVersion=0`).
    Any,
    /// Not older than a revision (`resourceVersion=N`, `NotOlderThan`).
    AtLeast(i64),
    /// At least as new as the moment of the call, across all apiservers (no `resourceVersion`).
    #[default]
    Latest,
}

/// Which state a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListAt {
    /// The newest state, at least this fresh.
    Fresh(Freshness),
    /// Exactly this revision (`resourceVersionMatch=Exact`).
    Exact(i64),
}

impl Default for ListAt {
    fn default() -> Self {
        ListAt::Fresh(Freshness::Latest)
    }
}

/// Which objects a list or watch covers: the exact requirements are looked up, the rest is evaluated.
#[derive(Clone, Default)]
pub struct Selection {
    pub(crate) namespace: Option<Box<str>>,
    pub(crate) name: Option<Box<str>>,
    pub(crate) index: Option<(usize, Box<str>)>,
    pub(crate) predicate: Option<Arc<Predicate>>,
}

type Predicate = dyn Fn(&Object) -> bool + Send + Sync;

impl Selection {
    /// Everything of the resource.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only one namespace. The empty string means all, as in request paths.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = (!namespace.is_empty()).then(|| namespace.into());
        self
    }

    /// Only objects of this name (a request for one object, or the field selector `metadata.name=`).
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Only objects whose field in this slot ([`crate::ResourceConfig::field_slot`]) has this value. The cheap way
    /// to watch by an indexed field; fields that are not indexed are compared one by one.
    #[must_use]
    pub fn indexed(mut self, slot: usize, value: &str) -> Self {
        self.index = Some((slot, value.into()));
        self
    }

    /// Only objects that also pass this test: label selectors and the remaining field selectors.
    #[must_use]
    pub fn matching(mut self, predicate: impl Fn(&Object) -> bool + Send + Sync + 'static) -> Self {
        self.predicate = Some(Arc::new(predicate));
        self
    }

    /// Whether the selection covers the object.
    pub fn matches(&self, object: &Object) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| object.namespace() == namespace)
            && self.name.as_deref().is_none_or(|name| object.name() == name)
            && self.index.as_ref().is_none_or(|(slot, value)| object.field_at(*slot) == Some(&**value))
            && self.predicate.as_ref().is_none_or(|predicate| predicate(object))
    }

    /// Whether more than the key decides; a list then cannot say how many items remain.
    pub(crate) fn filters(&self) -> bool {
        self.name.is_some() || self.index.is_some() || self.predicate.is_some()
    }
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selection")
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .field("index", &self.index)
            .field("predicate", &self.predicate.is_some())
            .finish()
    }
}

/// A list request.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// What is listed.
    pub selection: Selection,
    /// Which state; ignored when a continue token is given, which carries its own.
    pub at: ListAt,
    /// The most items of a page; zero means all.
    pub limit: usize,
    /// Where the previous page ended.
    pub continue_token: Option<String>,
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page {
    /// The objects in key order.
    pub items: Vec<Arc<Object>>,
    /// The revision of the list, its `metadata.resourceVersion`. A watch from here misses nothing.
    pub revision: i64,
    /// For the next page; `None` at the end.
    pub continue_token: Option<String>,
    /// How many items follow; `None` when there are none, or a selector makes it unknown.
    pub remaining: Option<i64>,
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchFrom {
    /// With the events after this revision (`resourceVersion=N`).
    After(i64),
    /// With the present state as `Added` events: `resourceVersion` unset (Latest) or `0` (Any), or `sendInitialEvents=true`.
    State {
        /// How fresh the state has to be.
        freshness: Freshness,
        /// Whether a bookmark marks its end (`sendInitialEvents` together with `allowWatchBookmarks`).
        end_bookmark: bool,
    },
    /// With the events after this moment (`sendInitialEvents=false` and no `resourceVersion`).
    Now,
}

/// A watch request.
#[derive(Debug, Clone)]
pub struct WatchQuery {
    /// What is watched.
    pub selection: Selection,
    /// Where to begin.
    pub from: WatchFrom,
    /// Whether to send periodic bookmarks (`allowWatchBookmarks`).
    pub bookmarks: bool,
}
