//! Go type names, as decoder messages print them.
