"""The tool server of the Skyflo engine: Kubernetes by its API, with previews and single-use grants."""

__version__ = "0.1.0"
