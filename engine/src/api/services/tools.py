"""The tools that there are, as people see them."""

from collections.abc import Awaitable, Callable, Mapping

from src.api.errors import NotFound
from src.api.ports import Clock, Policies, Store, ToolSpec
from src.api.schemas.tools import ToolList, ToolView
from src.api.services.access import Caller, Role
from src.api.services.policing import needs_a_person, requester, rule_on_tool

__all__ = ["Tools"]


class Tools:
    """`listed` is the tool port's list; calling tools is the ledger's alone."""

    def __init__(
        self,
        listed: Callable[[], Awaitable[Mapping[str, ToolSpec]]],
        store: Store,
        policies: Policies,
        clock: Clock,
    ) -> None:
        self._listed = listed
        self._store = store
        self._policies = policies
        self._clock = clock

    async def list(self, caller: Caller) -> ToolList:
        """By name. Who may not ask for changes sees what only reads.

        A tool requires approval unless the policy allows it, or denies it, whatever its arguments are.
        """
        force, now = await self._policies.current(), self._clock.now()
        whose = await self._store.read(lambda reader: requester(reader, caller.id))
        specs = sorted((await self._usable(caller)).values(), key=lambda spec: spec.name)
        asks = {spec.name: needs_a_person(rule_on_tool(force, whose, spec, now), final=False) for spec in specs}
        return ToolList(tools=[_view(spec, requires_approval=asks[spec.name]) for spec in specs])

    async def spec(self, caller: Caller, name: str) -> ToolSpec:
        """Raises `NotFound` for one that the caller could not use."""
        found = (await self._usable(caller)).get(name)
        if found is None:
            raise NotFound("There is no such tool. GET /agent/tools lists them.")
        return found

    async def _usable(self, caller: Caller) -> dict[str, ToolSpec]:
        changes = caller.role.at_least(Role.MEMBER)
        return {name: spec for name, spec in (await self._listed()).items() if spec.read or changes}


def _view(spec: ToolSpec, *, requires_approval: bool) -> ToolView:
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
        requires_approval=requires_approval,
    )
