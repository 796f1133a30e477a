//! Tests over the whole project; see the folders beside this file.
