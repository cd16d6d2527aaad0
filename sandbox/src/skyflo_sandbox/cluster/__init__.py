"""A small Kubernetes API server: HTTP side (`app`), object store (`state`) and `controllers`."""
