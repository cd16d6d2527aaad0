"""What the engine stands on in the world outside: the user's own model and cluster, or the sandbox in their place."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from src.api.config.needs import cluster_choice, cluster_need, model_need
from src.api.config.sandbox import CLUSTER, Addresses, Parts, kubeconfig, parts, sandbox_kubeconfig, with_sandbox
from src.api.config.settings import Settings
from src.api.ports import Clock
from src.api.utils.redaction import Redactor

if TYPE_CHECKING:
    from src.api.adapters.sandbox import SandboxChild

__all__ = ["Standing", "cluster_line", "model_line", "open_standing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """`settings` lead to what is used; `asked` are what the user gave."""

    settings: Settings
    asked: Settings
    replaced: Parts
    sandbox: "SandboxChild | None" = None

    @property
    def sandbox_cluster(self) -> str:
        """The name of the cluster that is the sandbox's, or nothing."""
        return CLUSTER if self.replaced.cluster else ""


@asynccontextmanager
async def open_standing(asked: Settings, clock: Clock, redactor: Redactor) -> AsyncIterator[Standing]:
    """Starts the sandbox where it replaces something. Raises `SettingsError` where it is asked for and not there."""
    replaced = parts(asked)
    if not replaced:
        yield Standing(asked, asked, replaced)
        return
    from src.api.adapters.sandbox import Plan, SandboxChild, Sockets, sockets

    file = sandbox_kubeconfig(asked)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with sockets() as opened:
        addresses = Addresses(Sockets.address(opened.cluster), Sockets.address(opened.model))
        if replaced.cluster:
            file.write_text(kubeconfig(addresses.cluster))
        plan = Plan(file.parent, asked.environment, replaced.cluster, replaced.model, asked.sandbox_fresh)
        async with SandboxChild(plan, opened, clock, redactor) as child:
            yield Standing(with_sandbox(asked, replaced, addresses), asked, replaced, child)


def model_line(asked: Settings, replaced: Parts) -> tuple[str, str | None]:
    """The model that answers, and what a person may want to do about it."""
    need = model_need(asked)
    if replaced.model:
        own = need or f"Your own is {asked.llm_model}: start with SANDBOX=none to use it."
        return "sandbox (rules, not a language model)", own
    return asked.llm_model, need


def cluster_line(asked: Settings, replaced: Parts) -> tuple[str, str | None]:
    """The cluster that is used, and what a person may want to do about it."""
    found = cluster_choice(asked)
    if replaced.cluster:
        own = f"Your own is {found.context}: start with SANDBOX=none to use it." if found.context else None
        return "sandbox (may be changed)", own or cluster_need(asked)
    if asked.mcp_server_url:
        return f"those of the tool server at {asked.mcp_server_url}", None
    return f"{found.context} ({found.source})" if found.context else "none", cluster_need(asked)
