//! bootstrap: init, join, reset and token of a cluster.
