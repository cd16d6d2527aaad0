"""The tools, one module for each family. A new one is a module here and a line below."""

from typing import Any

from skyflo_tools.tool import Change, Read
from skyflo_tools.tools import (
    access,
    apply,
    clusters,
    delete,
    describe,
    events,
    get,
    logs,
    patch,
    rollout,
    scale,
    settling,
)

READS: tuple[Read[Any], ...] = (
    clusters.LIST_CLUSTERS,
    get.GET,
    describe.DESCRIBE,
    logs.LOGS,
    events.EVENTS,
    access.CAN_I,
    rollout.STATUS,
)
CHANGES: tuple[Change[Any], ...] = (scale.SCALE, apply.APPLY, patch.PATCH, rollout.RESTART, delete.DELETE)
INTERNAL: tuple[Read[Any], ...] = (settling.SETTLE, settling.EVIDENCE)
