//! Scalars whose JSON text is not their protobuf form.
