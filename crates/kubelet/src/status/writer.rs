//! placeholder during construction
