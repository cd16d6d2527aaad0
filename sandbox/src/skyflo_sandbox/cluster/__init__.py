"""A small Kubernetes API server: the wire (`app`), the objects (`state`), and what lives in it (`life`)."""
