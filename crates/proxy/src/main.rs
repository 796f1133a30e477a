//! kube-proxy: programs Services into the kernel.

fn main() {}
