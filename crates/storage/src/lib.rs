//! The apiserver's storage: etcd, one watch, per-resource caches, indexed watchers.
//!
//! ```text
//!  create update delete ── one compare-and-swap txn ──────────────► etcd
//!                                                                    │ one watch on /registry/
//!  get list ◄── ordered map of Arc<Object> ◄─┐                       ▼
//!  watch    ◄── bounded queue ◄── index ◄────┴── per resource ◄── feed: revision order, "revision reached"
//! ```
//!
//! An object is encoded once, when it is written: the cache holds canonical JSON bytes and the few strings that selection
//! needs, and every GET, LIST and WATCH shares those bytes. One etcd watch feeds all caches, so one number says how fresh
//! they all are; a consistent read asks etcd for its revision and waits until that number is reached.
//!
//! The crate refuses to know types: what a Pod is, how protobuf is decoded, what a selector's syntax is, how an object is
//! validated. It is told where a resource lies and which fields are selectable ([`ResourceConfig`]).

mod cache;
mod codec;
mod compact;
mod config;
mod error;
mod etcd;
mod event;
mod feed;
mod intern;
mod lease;
mod list;
mod load;
pub mod metrics;
mod object;
mod options;
mod progress;
mod query;
mod resource;
mod shared;
mod store;
mod token;
mod watch;
mod watchers;
mod write;

pub use config::{Decode, Field, ResourceConfig, Transformer};
pub use error::{Error, Result};
pub use event::{Event, EventKind};
pub use object::{Object, Slots};
pub use options::Options;
pub use query::{Freshness, ListAt, ListQuery, Page, Selection, WatchFrom, WatchQuery};
pub use resource::ResourceStore;
pub use store::Store;
pub use watch::Watch;
