"""Kubernetes access over HTTP: kubeconfig, a client per cluster, discovery, and readable, redacted output."""
