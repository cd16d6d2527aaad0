"""The list of Argo Rollouts tools."""

from typing import Any

from skyflo_tools.tool import ChangeTool, ReadTool
from skyflo_tools.tools import argo_changes, argo_lists, argo_status, argo_templates

READS: tuple[ReadTool[Any], ...] = (
    argo_lists.LIST,
    argo_status.STATUS,
    argo_status.DESCRIBE,
    argo_lists.HISTORY,
    argo_lists.ANALYSIS_RUNS,
    argo_lists.EXPERIMENTS,
)
CHANGES: tuple[ChangeTool[Any], ...] = (
    argo_changes.PROMOTE,
    argo_changes.PAUSE,
    argo_changes.RESUME,
    argo_changes.ABORT,
    argo_changes.RETRY,
    argo_templates.SET_IMAGE,
    argo_changes.RESTART,
    argo_templates.UNDO,
)
