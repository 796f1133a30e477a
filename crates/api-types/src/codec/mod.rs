//! JSON ⇄ protobuf by schema, and the `k8s\0` envelope.
//!
//! The encoder writes what upstream's generated code writes, byte for byte: fields in ascending number; non-pointer scalars
//! and messages always, also when zero; pointers when set; lists and maps when not empty; map entries by sorted key.

mod decode;
mod encode;
mod envelope;
pub(crate) mod scalar;
mod wire;

pub use decode::decode;
pub use encode::{encode, encode_into};
pub use envelope::{
    Envelope, MAGIC, decode_object, encode_list, encode_object, encode_watch_event, is_protobuf, unwrap,
    wrap, wrap_json,
};

/// Why a value cannot be carried over.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// A JSON value does not have the shape that the schema names.
    #[error("{path}: expected {expected} to encode as protobuf")]
    Shape {
        /// Dotted path of JSON names; empty for the root.
        path: String,
        /// What the schema names.
        expected: &'static str,
    },
    /// The bytes end inside a value, which is named for debugging; clients know Go's words for it.
    #[error("unexpected EOF")]
    Truncated(&'static str),
    /// A number, length or tag that protobuf does not allow.
    #[error("malformed protobuf: {0}")]
    Malformed(&'static str),
    /// Text that is not UTF-8.
    #[error("protobuf string of {0} is not UTF-8")]
    Utf8(String),
    /// The envelope's magic number is absent.
    #[error("the data does not begin with the bytes of the protobuf envelope (k8s\\0)")]
    NotEnvelope,
    /// No built-in type of that group, version and kind.
    #[error("no protobuf type for apiVersion {api_version:?}, kind {kind:?}")]
    UnknownKind {
        /// `apiVersion` as read.
        api_version: String,
        /// `kind` as read.
        kind: String,
    },
    /// Raw JSON inside protobuf does not parse.
    #[error("raw JSON inside the protobuf message")]
    Json(#[from] serde_json::Error),
}
