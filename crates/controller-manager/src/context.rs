//! What every controller gets at its start.

use std::sync::Arc;

use client::events::{Recorder, Shape};
use client::{Client, Informers, Object, Writer};
use component::CancellationToken;
use component::features::Features;

use crate::options::Options;

/// The shared parts of the manager. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The connection to the apiserver.
    pub client: Client,
    /// One informer per resource for all controllers.
    pub informers: Informers,
    /// The command line.
    pub options: Arc<Options>,
    /// Feature gates.
    pub features: Features,
    /// Cancelled when controllers have to stop.
    pub shutdown: CancellationToken,
}

impl Context {
    /// A writer whose writes are waited for in the shared informer of `K`.
    pub fn writer<K: Object<DynamicType: Default>>(&self) -> Writer<K> {
        Writer::new(&self.client, &self.informers.all::<K>())
    }

    /// An event recorder under the controller's name.
    pub fn recorder(&self, component: &str) -> Recorder {
        Recorder::new(self.client.clone(), Shape::Core, component, "")
    }
}
