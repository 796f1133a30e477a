//! Priority and fairness (KEP-1040): who waits for whom when the server is busy.
//!
//! ```text
//!  request ─► classify: first matching FlowSchema ─► its priority level ─► a queue of the flow's hand ─► seats ─► handler
//! ```
//!
//! A priority level has a number of seats; a request takes one or more of them, by what it is expected to cost. Requests
//! that find none wait in the queues of their level: the flows of a level share its seats fairly, so that one tenant's
//! flood delays that tenant. Levels that need fewer seats than they have lend them to others.

mod borrowing;
mod config;
mod demand;
mod fair;
mod limits;
mod matching;
mod metrics;
mod queues;
mod status;
mod width;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use access::UserInfo;
use access::authz::{ObjectKey, Replica};
use arc_swap::ArcSwap;
use http::HeaderValue;
use http::header::{HeaderMap, HeaderName};
use parking_lot::Mutex;
use tokio::sync::Notify;

pub use borrowing::run as lend_seats;
pub use queues::{Rejection, Ticket};
pub use status::run as keep_status;
pub use width::seats;

use crate::filters::RequestInfo;
use config::{FlowSchema, PriorityLevel};
use metrics::Flow;
use queues::Level;

const FLOW_SCHEMA: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const PRIORITY_LEVEL: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// The API objects behind the configuration, by name.
#[derive(Default)]
struct Objects {
    schemas: BTreeMap<String, FlowSchema>,
    levels: BTreeMap<String, PriorityLevel>,
}

/// The present configuration and the queues.
pub struct FlowControl {
    /// Seats of the whole server.
    total: u32,
    objects: Mutex<Objects>,
    /// By precedence.
    active: ArcSwap<Vec<Arc<Schema>>>,
    levels: Mutex<BTreeMap<String, Arc<Level>>>,
    changed: Notify,
}

/// A flow schema with what it leads to.
pub struct Schema {
    config: FlowSchema,
    level: Arc<Level>,
    uids: Option<(HeaderValue, HeaderValue)>,
    flow: Flow,
}

impl FlowControl {
    /// For a server with this many seats, with the mandatory configuration until the API's own has been read.
    pub fn new(total: usize) -> Arc<Self> {
        let control = Arc::new(FlowControl {
            total: u32::try_from(total).unwrap_or(u32::MAX).max(1),
            objects: Mutex::default(),
            active: ArcSwap::default(),
            levels: Mutex::default(),
            changed: Notify::new(),
        });
        control.rebuild(&control.objects.lock());
        control
    }

    /// The first schema that matches a request. There is always one: the last matches everything.
    pub fn classify(&self, user: &UserInfo, info: &RequestInfo) -> Option<Arc<Schema>> {
        self.active.load().iter().find(|schema| matching::matches(&schema.config, user, info)).cloned()
    }

    /// Makes queues and limits of the objects; levels that stay keep their queues.
    fn rebuild(&self, objects: &Objects) {
        let (schemas, configs) = config::complete(&objects.schemas, &objects.levels);
        let bounds = limits::bounds(self.total, &configs);
        let mut levels = self.levels.lock();
        levels.retain(|name, _| configs.contains_key(name));
        for (name, config) in &configs {
            let level = levels.entry(name.clone()).or_insert_with(|| Arc::new(Level::new(name)));
            level.configure(config, bounds.get(name).copied().unwrap_or_default());
        }
        let schemas = schemas.into_iter().filter_map(|config| {
            let level = Arc::clone(levels.get(&config.level)?);
            let uid = |text: &str| HeaderValue::from_str(text).ok().filter(|_| !text.is_empty());
            let uids = uid(&config.uid).zip(configs.get(&config.level).and_then(|level| uid(&level.uid)));
            let flow = Flow::new(&config.level, &config.name);
            Some(Arc::new(Schema { config, level, uids, flow }))
        });
        self.active.store(Arc::new(schemas.collect()));
        drop(levels);
        self.changed.notify_one();
    }

    fn levels(&self) -> Vec<Arc<Level>> {
        self.levels.lock().values().cloned().collect()
    }
}

impl Schema {
    /// Waits for `seats` seats, at most `patience`. `None` for requests that are exempt.
    ///
    /// # Errors
    /// Why the request has to be refused.
    pub async fn admit(
        &self,
        user: &UserInfo,
        info: &RequestInfo,
        seats: impl FnOnce(u32) -> u32,
        patience: Duration,
    ) -> Result<Ticket, Rejection> {
        let seats = seats(self.level.nominal());
        let flow = matching::flow_hash(&self.config, user, info);
        self.level.admit(&self.flow, flow, seats, patience).await
    }

    /// Tells the client what its request was taken for.
    pub fn mark(&self, headers: &mut HeaderMap) {
        if let Some((schema, level)) = &self.uids {
            headers.insert(FLOW_SCHEMA, schema.clone());
            headers.insert(PRIORITY_LEVEL, level.clone());
        }
    }
}

impl Replica for FlowControl {
    fn upsert(&self, resource: &str, _: &str, name: &str, json: &[u8]) -> Result<(), serde_json::Error> {
        let mut objects = self.objects.lock();
        let changed = match resource {
            "flowschemas" => {
                let schema = config::flow_schema(json)?;
                let old = objects.schemas.insert(name.to_owned(), schema);
                old.as_ref() != objects.schemas.get(name)
            }
            _ => {
                let level = config::priority_level(json)?;
                let old = objects.levels.insert(name.to_owned(), level);
                old.as_ref() != objects.levels.get(name)
            }
        };
        if changed {
            self.rebuild(&objects);
        }
        Ok(())
    }

    fn remove(&self, resource: &str, _: &str, name: &str) {
        let mut objects = self.objects.lock();
        match resource {
            "flowschemas" => drop(objects.schemas.remove(name)),
            _ => drop(objects.levels.remove(name)),
        }
        self.rebuild(&objects);
    }

    fn retain(&self, resource: &str, present: &HashSet<ObjectKey>) {
        let mut objects = self.objects.lock();
        let is_present = |name: &String| present.contains(&(String::new(), name.clone()));
        match resource {
            "flowschemas" => objects.schemas.retain(|name, _| is_present(name)),
            _ => objects.levels.retain(|name, _| is_present(name)),
        }
        self.rebuild(&objects);
    }
}
