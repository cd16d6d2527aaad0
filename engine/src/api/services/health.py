"""Check the process and its dependencies on each request, with a deadline for each check.

A check is not cancelled at its deadline, because a statement that is cancelled waits for its database. Requests share a
check that is running, so that a dependency that hangs ties up few connections.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from src.api.errors import EngineError
from src.api.ports import Clock, Reader, Store
from src.api.schemas.health import DatabaseHealth, Dependency, Readiness, State
from src.api.schemas.records import AuditHead
from src.api.services.access import Caller, Role

__all__ = ["Health", "Probe", "ProbeResult"]

DEADLINE = 3.0
"""Seconds after which a dependency counts as down."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The state of a dependency that answers, and a hint for the operator.

    `is_internal` hints name hosts, files or clusters and are shown to admins only.
    """

    state: Literal["ok", "degraded", "starting", "off"]
    hint: str
    is_internal: bool = False


_CHECK_IT_RUNS = "The operator should check that it is running"
NEXT_STEPS: Mapping[str, str] = {
    "database": f"Nothing works without it. {_CHECK_IT_RUNS}, and that POSTGRES_DATABASE_URL names it.",
    "pooler": "Runs fail or hang behind a connection pooler in transaction mode that the engine does not know of. The "
    "operator should set DB_POOLER=transaction and start the engine again.",
    "workers": "It is unknown whether runs wait for a worker. The operator should check the database.",
    "redis": "The engine keeps working, with more latency and larger chunks of text. "
    f"{_CHECK_IT_RUNS}, and that REDIS_URL names it.",
    "tool servers": "A server's tools can't be called while it is away; the engine connects again by itself. "
    f"{_CHECK_IT_RUNS}, and that its address and its keys are right (MCP_SERVER_URL, MCP_SERVERS).",
    "cluster": "Tools have no cluster that they could look at or change. The engine's startup log names "
    "what is missing (KUBECONFIG, CLUSTERS).",
    "model": "The sandbox's model does not answer. If that lasts, start the engine again.",
    "credentials": "Integrations can't be used or changed. The operator should check where credentials "
    "are kept (INTEGRATIONS_SECRETS, CREDENTIALS_KEY).",
    "oidc": "Sign-in with the identity provider fails; sessions and passwords keep working. "
    f"{_CHECK_IT_RUNS}, and that OIDC_ISSUER names it.",
}
"""Shown to every caller for a dependency that is down. The error itself may name hosts, so only admins see it."""

Probe = Callable[[], Awaitable[ProbeResult | None]]
"""Returns when the dependency answers; None means that there is no hint. Raises `EngineError` when it is down."""


@dataclass(frozen=True, slots=True)
class _Measurement:
    seconds: float
    result: ProbeResult | None = None
    error: str | None = None

    def hint(self, name: str, *, is_admin: bool) -> str | None:
        if self.result is not None and (is_admin or not self.result.is_internal):
            return self.result.hint
        return None if self.state == "ok" else NEXT_STEPS.get(name)

    @property
    def state(self) -> State:
        if self.error is not None:
            return "error"
        return self.result.state if self.result else "ok"


class Health:
    """Check the database and `probes`, reported in this order."""

    def __init__(self, store: Store, clock: Clock, probes: Mapping[str, Probe]) -> None:
        self._store = store
        self._clock = clock
        self._probes = {"database": self._database, **probes}
        self._checks: dict[str, tuple[float, asyncio.Task[ProbeResult | None]]] = {}

    async def database(self) -> DatabaseHealth:
        measurement = await self._measure("database")
        if measurement.error:
            return DatabaseHealth(status="error", database="disconnected")
        return DatabaseHealth(status="ok", database="connected")

    async def ready(self, caller: Caller | None) -> Readiness:
        """Return the state of all dependencies. Errors and internal hints are for admins only."""
        measurements = await asyncio.gather(*(self._measure(name) for name in self._probes))
        is_admin = caller is not None and caller.role is Role.ADMIN
        dependencies = [
            Dependency(
                name=name,
                state=measurement.state,
                latency_ms=round(measurement.seconds * 1000, 1),
                hint=measurement.hint(name, is_admin=is_admin),
                error=measurement.error if is_admin else None,
            )
            for name, measurement in zip(self._probes, measurements, strict=True)
        ]
        return Readiness(status=_overall(dependencies), dependencies=dependencies)

    async def _measure(self, name: str) -> _Measurement:
        started = self._clock.monotonic()
        try:
            async with asyncio.timeout(DEADLINE):
                result = await asyncio.shield(self._check(name, started))
        except EngineError as error:
            return _Measurement(self._clock.monotonic() - started, error=error.detail)
        except TimeoutError:
            return _Measurement(self._clock.monotonic() - started, error=f"No answer within {DEADLINE:g} s.")
        return _Measurement(self._clock.monotonic() - started, result)

    def _check(self, name: str, now: float) -> "asyncio.Task[ProbeResult | None]":
        """Return the check of a dependency that is running, or a new one if that has missed its deadline."""
        began, check = self._checks.get(name, (0.0, None))
        if check is None or check.done() or now - began >= DEADLINE:
            check = asyncio.create_task(_run(self._probes[name]), name=f"check of {name}")
            check.add_done_callback(_retrieve_error)
            self._checks[name] = (now, check)
        return check

    async def _database(self) -> None:
        async def body(reader: Reader) -> None:
            await reader.find(AuditHead, {}, limit=1)

        await self._store.read(body)


async def _run(probe: Probe) -> ProbeResult | None:
    return await probe()


def _retrieve_error(check: "asyncio.Task[ProbeResult | None]") -> None:
    """Mark the error as seen: a check that missed its deadline has been reported already."""
    if not check.cancelled():
        check.exception()


def _overall(dependencies: list[Dependency]) -> Literal["ok", "degraded", "error"]:
    if any(one.state == "error" for one in dependencies if one.name in ("database", "migrations")):
        return "error"
    return "ok" if all(one.state in ("ok", "off") for one in dependencies) else "degraded"
