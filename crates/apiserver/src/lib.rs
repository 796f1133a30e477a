//! kube-apiserver: the Kubernetes API over HTTPS, backed by etcd.
//!
//! ```text
//!  TLS ─► filters (request info, authentication, impersonation, authorization) ─► handlers
//!                                                                     │
//!        discovery, health, version, metrics ◄── non-resource ────────┤
//!                                                                     ▼
//!                 decode ─► admission (mutate) ─► defaults ─► validation ─► admission (validate) ─► storage
//!                                           registry: generic, with one small strategy per resource family
//! ```
//!
//! Reading never parses: objects leave as the bytes that the cache holds. Writing parses once and stores once.
//! The crate knows no kind by name outside `registry/strategies`, `subresources` and `bootstrap`.

mod access_config;
mod addresses;
pub mod admission;
mod aggregation;
mod allocation;
mod bootstrap_objects;
mod custom;
mod discovery;
pub mod error;
mod feeds;
mod filters;
mod flowcontrol;
mod handlers;
mod http;
mod kubernetes_service;
pub mod loopback;
mod openapi;
pub mod options;
mod outbound;
pub mod registry;
pub mod server;
mod start;
mod stores;
mod streams;
mod subresources;
mod table;
mod tokens;
mod trust;
