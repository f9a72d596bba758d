//! From Kubernetes objects to desired map contents.
