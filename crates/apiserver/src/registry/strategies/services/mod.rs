//! Services: which fields belong to which type, and the addresses and ports that they are given.
//!
//! `fields` decides, without I/O, what a service's spec becomes; `reserve` takes and gives back what follows from it.

mod families;
mod fields;
mod reserve;
mod status;

use api_types::field::ErrorList;
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::error::Result;
use crate::registry::Registry;
use crate::registry::strategy::{Base, Reservation, Strategy};

/// Services.
pub struct Services {
    base: Base,
}

impl Services {
    /// The strategy of services.
    pub fn new(base: Base) -> Self {
        Services { base }
    }
}

#[async_trait]
impl Strategy for Services {
    fn base(&self) -> &Base {
        &self.base
    }

    fn prepare_create(&self, object: &mut Value, _user: &access::UserInfo) {
        self.base.clear_status(object);
        fields::normalize(object, None);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        self.base.keep_status(object, old);
        fields::keep_allocated(object, old);
        fields::normalize(object, Some(old));
        fields::drop_foreign(object, old);
        if fields::kind(old) == "LoadBalancer" && fields::kind(object) != "LoadBalancer" {
            object["status"]["loadBalancer"] = json!({});
        }
    }

    fn validate_update(&self, subresource: &str, object: &Value, _old: &Value) -> ErrorList {
        if subresource == "status" { status::check(object) } else { ErrorList::new() }
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        super::warnings::service(object, old)
    }

    async fn reserve(
        &self,
        registry: &Registry,
        object: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
    ) -> Result<Option<Box<dyn Reservation>>> {
        reserve::reserve(registry, object, old, dry_run).await
    }

    async fn after_delete(&self, registry: &Registry, object: &Value) {
        reserve::release(registry, object).await;
    }
}
