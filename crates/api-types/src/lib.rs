//! What the Kubernetes v1.36 API *is*, for every other crate of Coxswain: no I/O, no async.
//!
//! ```text
//!   hack/codegen ──► schema/*.txt (embedded) ──► schema::Schema ◄── CustomResourceDefinition
//!                                                    │
//!        decode (strict walk, Go's wording)  default │ codec (JSON ⇄ protobuf)   patch, apply
//!                                                    ▼
//!                                           serde_json::Value
//! ```
//!
//! - [`k8s`] is `k8s-openapi`: the typed view that components use. No other crate names it.
//! - [`schema`] is what the typed view does not know: protobuf numbers, merge keys, list types, which fields Go omits.
//! - [`resource`] has a row for every served resource.
//! - [`decode`], [`default`], [`codec`], [`convert`] walk (schema, value).
//!
//! - [`status`] and [`field`] are how failures are told; [`name`], [`quantity`], [`selector`] and [`time`] read and print the
//!   small languages of the API.
//! - [`patch`] and [`apply`] change objects; `apply` also tracks who owns which field.
//! - [`volumes`] says which persistent volume suits which claim.
//!
//! The crate refuses to know what a request is, who sends it, and where objects are stored.

pub mod apply;
pub mod codec;
pub mod convert;
pub mod decode;
pub mod default;
pub mod field;
pub mod go_dump;
pub mod go_json;
pub mod go_text;
pub mod int_or_string;
pub mod name;
pub mod patch;
pub mod quantity;
pub mod resource;
pub mod schema;
pub mod selector;
pub mod status;
pub mod time;
pub mod validation;
pub mod volumes;

pub use k8s_openapi as k8s;
pub use k8s_openapi::{ClusterResourceScope, ListableResource, Metadata, NamespaceResourceScope, Resource};
pub use resource::ResourceInfo;
pub use schema::{Schema, SchemaRef};
