"""The list of Helm tools."""

from typing import Any

from skyflo_tools.tool import ChangeTool, ReadTool
from skyflo_tools.tools import (
    helm_changes,
    helm_charts,
    helm_contents,
    helm_releases,
    helm_repositories,
    helm_status,
)

READS: tuple[ReadTool[Any], ...] = (
    helm_releases.LIST,
    helm_status.STATUS,
    helm_releases.HISTORY,
    helm_contents.VALUES,
    helm_contents.MANIFEST,
    helm_contents.DIFF,
    helm_charts.TEMPLATE,
    helm_charts.SHOW_VALUES,
    helm_charts.SEARCH,
    helm_charts.REPOSITORIES,
)
CHANGES: tuple[ChangeTool[Any], ...] = (
    helm_changes.INSTALL,
    helm_changes.UPGRADE,
    helm_changes.ROLLBACK,
    helm_changes.UNINSTALL,
    helm_repositories.ADD,
    helm_repositories.UPDATE,
    helm_repositories.REMOVE,
)
