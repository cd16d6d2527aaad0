"""List the available tools for a caller."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from src.api.errors import NotFound
from src.api.ports import Clock, OmittedTools, Policies, Store, ToolSpec
from src.api.schemas.tools import OmittedToolsView, ToolList, ToolsetView, ToolView
from src.api.services.access import Caller, Role
from src.api.services.limits import ToolBudget
from src.api.services.policy.enforcement import evaluate_tool, find_requester, needs_human_approval
from src.api.services.tools.offer import ToolOffer, check_toolsets, count_toolsets, select_tools, toolsets_of

__all__ = ["ToolCatalog"]


@dataclass(slots=True)
class ToolCatalog:
    """Describe tools to callers.

    `list_specs` and `list_omitted` come from the tool port; only the ledger calls tools.
    """

    list_specs: Callable[[], Awaitable[Mapping[str, ToolSpec]]]
    list_omitted: Callable[[], Awaitable[Sequence[OmittedTools]]]
    store: Store
    policies: Policies
    clock: Clock
    budget: ToolBudget

    async def list(self, caller: Caller) -> ToolList:
        """List tools by name; callers who may not request changes see read-only tools.

        A tool requires approval unless the policy allows it, or denies it, whatever its arguments are.
        """
        policy, now = await self.policies.current(), self.clock.now()
        person = await self.store.read(lambda reader: find_requester(reader, caller.id))
        usable = await self._find_usable(caller)
        offer = select_tools(usable, await self.list_omitted(), (), self.budget)
        specs = sorted(offer.specs.values(), key=lambda spec: spec.name)
        requires_approval = {
            spec.name: needs_human_approval(evaluate_tool(policy, person, spec, now), final=False) for spec in specs
        }
        return ToolList(
            tools=[_to_view(spec, requires_approval=requires_approval[spec.name]) for spec in specs],
            toolsets=[ToolsetView(name=name, tools=count) for name, count in count_toolsets(usable.values()).items()],
            omitted=[_to_omitted_view(each) for each in offer.omitted],
        )

    async def check_toolsets(self, caller: Caller, names: Collection[str]) -> None:
        """Raise `Unprocessable` for a toolset that none of the caller's tools belongs to."""
        check_toolsets(names, (await self._find_usable(caller)).values())

    async def offer(self) -> ToolOffer:
        """Return what a model is offered for a user who may change things, in a conversation without toolsets."""
        return select_tools(await self.list_specs(), await self.list_omitted(), (), self.budget)

    async def spec(self, caller: Caller, name: str) -> ToolSpec:
        """Return one tool. Raises `NotFound` also for a tool that the caller may not use."""
        found = (await self._find_usable(caller)).get(name)
        if found is None:
            raise NotFound("There is no such tool. GET /agent/tools lists them.")
        return found

    async def _find_usable(self, caller: Caller) -> dict[str, ToolSpec]:
        changes = caller.role.at_least(Role.MEMBER)
        return {name: spec for name, spec in (await self.list_specs()).items() if spec.read or changes}


def _to_view(spec: ToolSpec, *, requires_approval: bool) -> ToolView:
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
        toolsets=sorted(toolsets_of(spec)),
    )


def _to_omitted_view(omitted: OmittedTools) -> OmittedToolsView:
    return OmittedToolsView(
        server=omitted.server, reason=omitted.reason, tools=list(omitted.names), count=omitted.count
    )
