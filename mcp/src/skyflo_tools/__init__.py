"""The Skyflo tool server: Kubernetes tools over MCP, with previews and single-use grants for changes."""

__version__ = "0.1.0"
