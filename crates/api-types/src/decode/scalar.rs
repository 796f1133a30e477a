//! Scalars whose text Go rewrites.
