"""Kubernetes by its API: kubeconfig, one HTTP client per cluster, discovery, output that is readable and safe."""
