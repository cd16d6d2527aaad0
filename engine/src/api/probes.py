"""What `/health/ready` asks of each dependency. Looks only at what is there: no request of a model is ever made."""

from functools import partial
from typing import TYPE_CHECKING, Literal

from src.api.adapters.late import Late
from src.api.errors import ToolsUnavailable
from src.api.ports import Bus, Policies, Secrets
from src.api.services.health import Probe, Remark
from src.api.services.signin import SignIn
from src.api.standing import Standing, cluster_line, model_line

if TYPE_CHECKING:
    from src.api.adapters.checkpointer import Checkpointer
    from src.api.adapters.model.choice import ModelAdapter
    from src.api.adapters.tools.mcp import McpToolServers

__all__ = ["probes"]

_POLICY = "what it would allow is asked for. GET /policy says why."
_NO_KEY = "Integrations need CREDENTIALS_KEY, the same on every replica; make one with: openssl rand -hex 32."
_LOADING = Remark("starting", "It is being loaded.")


def probes(
    standing: Standing,
    bus: Bus,
    policies: Policies,
    servers: "Late[McpToolServers]",
    checkpointer: "Late[Checkpointer]",
    model: "Late[ModelAdapter]",
    secrets: Late[Secrets],
    oidc: Late[SignIn] | None,
) -> dict[str, Probe]:
    """By the name under which each dependency is shown. A provider is shown only where one is set up."""

    async def migrations() -> None:
        """They were there when the process started, or it would not have."""

    async def redis() -> Remark | None:
        if standing.settings.redis_url is None:
            return Remark("off", "One process needs none; set REDIS_URL to run several.")
        await bus.check()
        return None

    async def tool_servers() -> Remark | None:
        return _tool_servers(await servers()) if servers.ready else _LOADING

    async def saver() -> Remark | None:
        if not checkpointer.ready:
            return _LOADING
        reason = (await checkpointer()).degraded
        return Remark("degraded", reason) if reason else None

    async def policy() -> Remark | None:
        problem = (await policies.current()).problem
        return Remark("degraded", f"The policy file can't be used: {_POLICY}") if problem else None

    async def chosen_model() -> Remark | None:
        remark = await _model(standing)
        return remark or (None if model.ready else _LOADING)

    async def credentials() -> Remark | None:
        await (await secrets()).check()
        return Remark("off", _NO_KEY) if standing.settings.lacks_credentials_key else None

    return {
        "migrations": migrations,
        "redis": redis,
        "tool servers": tool_servers,
        "cluster": partial(_cluster, standing),
        "policy": policy,
        "checkpointer": saver,
        "model": chosen_model,
        "credentials": credentials,
        **({"oidc": partial(_provider, oidc)} if oidc is not None else {}),
    }


async def _provider(oidc: Late[SignIn]) -> None:
    await (await oidc()).check()


def _tool_servers(servers: "McpToolServers") -> Remark | None:
    """Raises `ToolsUnavailable`, with the reasons, while a server is down."""
    found = servers.health()
    down = [f"{one.name}: {one.error or 'down'}" for one in found if one.state == "down"]
    if down:
        raise ToolsUnavailable("; ".join(down))
    if any(one.state == "connecting" for one in found):
        return Remark("starting", "Still connecting.")
    return None


async def _cluster(standing: Standing) -> Remark:
    """Which one it is. Whether it answers is asked by tools alone: only they hold its credentials."""
    name, need = cluster_line(standing.asked, standing.replaced)
    if standing.sandbox is not None and standing.replaced.cluster:
        await standing.sandbox.check()
    state: Literal["ok", "degraded"] = "degraded" if need and not standing.replaced.cluster else "ok"
    return Remark(state, " ".join(part for part in (f"Cluster: {name}.", need) if part), inside=True)


async def _model(standing: Standing) -> Remark | None:
    name, need = model_line(standing.asked, standing.replaced)
    if standing.sandbox is not None and standing.replaced.model:
        await standing.sandbox.check()
        return Remark("ok", f"Model: {name}. {need}")
    return Remark("degraded", need) if need else None
