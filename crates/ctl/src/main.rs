//! ctl: the command line.

fn main() {}
