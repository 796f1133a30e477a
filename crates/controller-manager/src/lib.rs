//! kube-controller-manager: the built-in controllers.
