//! ctl: the command line.
