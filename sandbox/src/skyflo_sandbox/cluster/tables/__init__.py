"""Table rows as the API server prints them for `kubectl get`."""

from skyflo_sandbox.cluster.tables.columns import columns
from skyflo_sandbox.cluster.tables.rows import row

__all__ = ["columns", "row"]
