"""The tools that there are, as people see them."""

from collections.abc import Awaitable, Callable, Mapping

from src.api.ports import ToolSpec
from src.api.schemas.tools import ToolList, ToolView
from src.api.services.access import Caller, Role

__all__ = ["Tools"]


class Tools:
    """`listed` is the tool port's list; calling tools is the ledger's alone."""

    def __init__(self, listed: Callable[[], Awaitable[Mapping[str, ToolSpec]]]) -> None:
        self._listed = listed

    async def list(self, caller: Caller) -> ToolList:
        """By name. Who may not ask for changes sees what only reads."""
        changes = caller.role.at_least(Role.MEMBER)
        specs = (await self._listed()).values()
        return ToolList(tools=[_view(spec) for spec in sorted(specs, key=lambda s: s.name) if spec.read or changes])


def _view(spec: ToolSpec) -> ToolView:
    return ToolView(
        name=spec.name,
        title=spec.title,
        description=spec.description,
        annotations={
            "title": spec.title,
            "readOnlyHint": spec.read,
            "destructiveHint": spec.destructive,
            "idempotentHint": spec.idempotent,
        },
        tags=list(spec.tags),
        server=spec.server,
        requires_approval=not spec.read,
    )
