//! kubelet: runs the pods of one node through CRI.
