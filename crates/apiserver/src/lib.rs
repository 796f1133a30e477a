//! kube-apiserver: the Kubernetes API over HTTPS, backed by etcd.
