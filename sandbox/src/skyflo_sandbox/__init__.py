"""A Kubernetes API server and a language model that stand in, on loopback, until a user's own are connected."""

__version__ = "0.1.0"
