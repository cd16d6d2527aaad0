"""Readiness probes of the dependencies, for `/health/ready`. They never send a request to a model."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from src.api.adapters.lazy import Lazy
from src.api.adapters.store.errors import DRIVER_ERRORS
from src.api.config.pooling import POOLER_FOUND, has_transaction_pooler
from src.api.config.settings import Settings
from src.api.environment import ResolvedEnvironment, describe_cluster, describe_model
from src.api.errors import StoreUnavailable, ToolsUnavailable
from src.api.ports import Bus, Clock, OmittedTools, Policies, Secrets, Store
from src.api.services.accounts.oidc.sign_in import SignIn
from src.api.services.health import Probe, ProbeResult
from src.api.services.runs.queue import read_backlog
from src.api.services.tools.catalog import ToolCatalog

if TYPE_CHECKING:
    from src.api.adapters.checkpointer import Checkpointer
    from src.api.adapters.model.selection import ModelAdapter
    from src.api.adapters.tools.mcp import McpToolServers

__all__ = ["backlog_probe", "pooler_probe", "probes"]

_POLICY = "what it would allow is asked for. GET /policy says why."
_NO_KEY = "Integrations need CREDENTIALS_KEY, the same on every replica; make one with: openssl rand -hex 32."
_LOADING = ProbeResult("starting", "It is being loaded.")

POOLER_SECONDS = 60.0
"""Seconds between two checks for a connection pooler, each of which opens two connections."""


def probes(
    resolved: ResolvedEnvironment,
    bus: Bus,
    policies: Policies,
    servers: "Lazy[McpToolServers]",
    tools: ToolCatalog,
    checkpointer: "Lazy[Checkpointer]",
    model: "Lazy[ModelAdapter]",
    secrets: Lazy[Secrets],
    oidc: Lazy[SignIn] | None,
) -> dict[str, Probe]:
    """Return the probes by the name of their dependency. The OpenID provider is included only if one is set up."""

    async def migrations() -> None:
        """Always succeed: a process whose migrations are missing does not start."""

    async def redis() -> ProbeResult | None:
        if resolved.settings.redis_url is None:
            return ProbeResult("off", "One process needs none; set REDIS_URL to run several.")
        await bus.check()
        return None

    async def saver() -> ProbeResult | None:
        if not checkpointer.ready:
            return _LOADING
        reason = (await checkpointer()).degraded
        return ProbeResult("degraded", reason) if reason else None

    async def policy() -> ProbeResult | None:
        problem = (await policies.current()).problem
        return ProbeResult("degraded", f"The policy file can't be used: {_POLICY}") if problem else None

    async def chosen_model() -> ProbeResult | None:
        remark = await _check_model(resolved)
        return remark or (None if model.ready else _LOADING)

    async def credentials() -> ProbeResult | None:
        await (await secrets()).check()
        return ProbeResult("off", _NO_KEY) if resolved.settings.lacks_credentials_key else None

    # A process that only serves HTTP loads neither model nor checkpointer: its workers report them.
    of_runs: dict[str, Probe] = {"checkpointer": saver, "model": chosen_model}
    return {
        "migrations": migrations,
        "redis": redis,
        "tool servers": partial(_check_tools, servers, tools),
        "cluster": partial(_check_cluster, resolved),
        "policy": policy,
        **(of_runs if resolved.settings.engine_role != "api" else {}),
        "credentials": credentials,
        **({"oidc": partial(_check_provider, oidc)} if oidc is not None else {}),
    }


def backlog_probe(settings: Settings, store: Store, clock: Clock) -> dict[str, Probe]:
    """Return the probe of the workers, for a process that executes no runs itself: whether runs wait for them."""
    if settings.engine_role != "api":
        return {}

    async def workers() -> ProbeResult | None:
        backlog = await read_backlog(store, clock, settings.run_sweep_seconds * 1000)
        if backlog is None:
            return None
        waiting = f"{backlog.count} runs wait for a worker, the oldest for {backlog.seconds:.0f} s."
        return ProbeResult("degraded", f"{waiting} Start `skyflo worker`, or more of them.")

    return {"workers": workers}


def pooler_probe(settings: Settings, clock: Clock, *, pooled: bool) -> dict[str, Probe]:
    """Return the probe of a connection pooler, by its name; none without PostgreSQL.

    A pooler that is put in front of the database after the start is found within `POOLER_SECONDS`.
    """
    url = settings.postgres_database_url
    if url is None:
        return {}
    found = _PoolerCheck(url, clock)
    return {"pooler": found.report_in_use if pooled else found}


class _PoolerCheck:
    """Check for a pooler that the engine does not reckon with, at most once per `POOLER_SECONDS`."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._found = False
        self._next_check = clock.monotonic() + POOLER_SECONDS

    async def report_in_use(self) -> ProbeResult:
        return ProbeResult(
            "ok", "Statements are sent as a connection pooler in transaction mode needs them (DB_POOLER)."
        )

    async def __call__(self) -> ProbeResult | None:
        if self._clock.monotonic() >= self._next_check:
            try:
                self._found = await has_transaction_pooler(self._url)
            except DRIVER_ERRORS:
                return ProbeResult("degraded", "It can't be checked while the database does not answer.")
            self._next_check = self._clock.monotonic() + POOLER_SECONDS
        if self._found:
            raise StoreUnavailable(f"{POOLER_FOUND}. Set DB_POOLER=transaction, then start the engine again.")
        return None


async def _check_provider(oidc: Lazy[SignIn]) -> None:
    await (await oidc()).check()


async def _check_tools(servers: "Lazy[McpToolServers]", tools: ToolCatalog) -> ProbeResult | None:
    if not servers.ready:
        return _LOADING
    return _check_tool_servers(await servers()) or _describe_omitted((await tools.offer()).omitted)


def _check_tool_servers(servers: "McpToolServers") -> ProbeResult | None:
    """Raise `ToolsUnavailable`, with the reasons, if a tool server is down."""
    health = servers.health()
    down = [f"{server.name}: {server.error or 'down'}" for server in health if server.state == "down"]
    if down:
        raise ToolsUnavailable("; ".join(down))
    if any(server.state == "connecting" for server in health):
        return ProbeResult("starting", "Still connecting.")
    return None


def _describe_omitted(omitted: Sequence[OmittedTools]) -> ProbeResult | None:
    """Report tools that no model is offered: the operator can choose, or allow more."""
    if not omitted:
        return None
    parts = [f"{each.server}: {each.count} tools are not offered to the model. {each.reason}" for each in omitted[:10]]
    return ProbeResult("degraded", f"{' '.join(parts)} GET /agent/tools names them.", is_internal=True)


async def _check_cluster(resolved: ResolvedEnvironment) -> ProbeResult:
    """Report which cluster is used. Only the tool server holds its credentials and can tell whether it answers."""
    name, next_step = describe_cluster(resolved.user_settings, resolved.replaced)
    if resolved.sandbox is not None and resolved.replaced.cluster:
        await resolved.sandbox.check()
    state: Literal["ok", "degraded"] = "degraded" if next_step and not resolved.replaced.cluster else "ok"
    return ProbeResult(state, " ".join(part for part in (f"Cluster: {name}.", next_step) if part), is_internal=True)


async def _check_model(resolved: ResolvedEnvironment) -> ProbeResult | None:
    name, next_step = describe_model(resolved.user_settings, resolved.replaced)
    if resolved.sandbox is not None and resolved.replaced.model:
        await resolved.sandbox.check()
        return ProbeResult("ok", f"Model: {name}. {next_step}")
    return ProbeResult("degraded", next_step) if next_step else None
