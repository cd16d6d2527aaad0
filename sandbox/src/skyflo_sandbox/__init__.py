"""Stand-ins for a Kubernetes cluster and a language model, served on loopback."""

__version__ = "0.1.0"
