"""Choose the tools that a model is offered: those of the conversation's toolsets, within a budget for descriptions."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from src.api.agent.policy_facts import OWN_SERVER
from src.api.errors import Unprocessable
from src.api.ports import OmittedTools, ToolServer, ToolSpec
from src.api.services.limits import ToolBudget

__all__ = [
    "MAX_TOOLSETS",
    "TOOLSETS_KEY",
    "ToolOffer",
    "check_toolsets",
    "count_toolsets",
    "offer_tools",
    "read_toolsets",
    "select_tools",
    "toolsets_of",
    "usable_tools",
]

TOOLSETS_KEY = "toolsets"
"""The key of a conversation's metadata that names its toolsets."""

MAX_TOOLSETS = 50
_MAX_OMITTED_NAMES = 100
_NOT_CHOSEN = "They are not in the toolsets of this conversation."


@dataclass(frozen=True, slots=True)
class ToolOffer:
    """The tools that a model is offered, and those that it is not, with reasons."""

    specs: Mapping[str, ToolSpec]
    omitted: tuple[OmittedTools, ...] = ()


async def usable_tools(servers: ToolServer, *, may_change: bool) -> dict[str, ToolSpec]:
    """Return the tools that a run's user may use."""
    return {name: spec for name, spec in (await servers.tools()).items() if spec.read or may_change}


async def offer_tools(
    servers: ToolServer, toolsets: Collection[str], budget: ToolBudget, *, may_change: bool
) -> ToolOffer:
    """Return the tools that a model is offered, and those that it is not."""
    return select_tools(await usable_tools(servers, may_change=may_change), await servers.omitted(), toolsets, budget)


def select_tools(
    specs: Mapping[str, ToolSpec], omitted: Sequence[OmittedTools], toolsets: Collection[str], budget: ToolBudget
) -> ToolOffer:
    """Select tools in their order. Empty `toolsets` means all; a tool that does not fit is skipped, later ones may fit.

    `omitted` are tools that their servers list and the engine can't use.
    """
    offered: dict[str, ToolSpec] = {}
    reasons: dict[tuple[str, str], list[str]] = {}
    used: Counter[str] = Counter()
    for name, spec in specs.items():
        is_chosen = not toolsets or not toolsets_of(spec).isdisjoint(toolsets)
        reason = _find_limit(spec, used, offered, budget) if is_chosen else _NOT_CHOSEN
        if reason is not None:
            reasons.setdefault((spec.server, reason), []).append(name)
            continue
        offered[name] = spec
        used[spec.server] += spec.tokens
    left_out = (
        OmittedTools(server, reason, tuple(names[:_MAX_OMITTED_NAMES]), len(names))
        for (server, reason), names in reasons.items()
    )
    return ToolOffer(offered, (*omitted, *left_out))


def toolsets_of(spec: ToolSpec) -> frozenset[str]:
    """Return the toolsets of a tool: the tags of our own, the server's name of others, and each tool by itself."""
    single = f"{spec.server}/{spec.name}"
    return frozenset({single, *spec.tags}) if spec.server == OWN_SERVER else frozenset({single, spec.server})


def count_toolsets(specs: Iterable[ToolSpec]) -> dict[str, int]:
    """Return how many tools each toolset has, without those of a single tool."""
    return dict(sorted(Counter(name for spec in specs for name in toolsets_of(spec) if "/" not in name).items()))


def read_toolsets(metadata: str) -> frozenset[str]:
    """Return the toolsets that a conversation's metadata names; anything else than a list of names means all."""
    stored = json.loads(metadata)
    names = stored.get(TOOLSETS_KEY) if isinstance(stored, dict) else None
    if not isinstance(names, list):
        return frozenset()
    return frozenset(name for name in names[:MAX_TOOLSETS] if isinstance(name, str))


def check_toolsets(names: Collection[str], specs: Iterable[ToolSpec]) -> None:
    """Raise `Unprocessable` for a toolset that no tool belongs to. Without any tool nothing can be checked."""
    known: set[str] = set()
    for spec in specs:
        known |= toolsets_of(spec)
    unknown = sorted(set(names) - known) if known else []
    if unknown:
        there_are = ", ".join(sorted(name for name in known if "/" not in name))
        raise Unprocessable(
            f"There is no toolset {', '.join(unknown[:5])}. There are: {there_are}; one tool is written server/tool."
        )


def _find_limit(spec: ToolSpec, used: Counter[str], offered: Collection[str], budget: ToolBudget) -> str | None:
    """Return why a tool does not fit, or None."""
    if len(offered) >= budget.tools:
        return f"A model is offered {budget.tools} tools at most."
    if spec.server == OWN_SERVER:
        return None if used[OWN_SERVER] + spec.tokens <= budget.own_tokens else "Our own tools take too many tokens."
    limit = budget.server_tokens.get(spec.server, budget.further_tokens)
    if used[spec.server] + spec.tokens > limit:
        return f"Their descriptions exceed this server's budget of {limit} tokens (max_tokens in MCP_SERVERS)."
    if used.total() - used[OWN_SERVER] + spec.tokens > budget.further_tokens:
        return (
            f"Their descriptions exceed the budget of {budget.further_tokens} tokens for all further servers "
            "(MCP_SERVERS_MAX_TOKENS)."
        )
    return None
