//! The container runtime, as CRI v1 shows it.
//!
//! [`Runtime`] is the one gRPC client, [`view`] turns what the runtime lists into what the kubelet reasons about, and
//! [`labels`] names the labels and annotations by which pods are found again after a crash. Everything above this module
//! works on [`view::PodView`]; only the steps send requests.

pub mod labels;
pub mod relist;
mod runtime;
pub mod view;

pub use runtime::{Error, Runtime};

/// The generated contract (`proto/cri/v1/api.proto`).
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("runtime.v1");
}
