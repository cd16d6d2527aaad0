"""Whether the process and what it depends on work, asked anew at each call, each question with a deadline."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from src.api.errors import EngineError
from src.api.ports import Clock, Reader, Store
from src.api.schemas.health import DatabaseHealth, Dependency, Readiness, State
from src.api.schemas.trail import AuditHead
from src.api.services.access import Caller, Role

__all__ = ["Health", "Probe", "Remark"]

DEADLINE = 3.0
"""Seconds after which a dependency that says nothing counts as down."""


@dataclass(frozen=True, slots=True)
class Remark:
    """What there is to say of a dependency that answers: its state, and what a person may want to do.

    `inside`: the hint names hosts, files or clusters, and is for admins.
    """

    state: Literal["ok", "degraded", "starting", "off"]
    hint: str
    inside: bool = False


_WHOEVER = "Whoever runs the engine should see that it is up"
NEXT_STEPS: Mapping[str, str] = {
    "database": f"Nothing works without it. {_WHOEVER}, and that POSTGRES_DATABASE_URL names it.",
    "redis": f"Work goes on, a little later and in larger pieces. {_WHOEVER}, and that REDIS_URL names it.",
    "tool servers": "A server's tools can't be called while it is away; the engine connects again by itself. "
    f"{_WHOEVER}, and that its address and its keys are right (MCP_SERVER_URL, MCP_SERVERS).",
    "cluster": "Tools have no cluster that they could look at or change. Whoever runs the engine is told at its start "
    "what is missing (KUBECONFIG, CLUSTERS).",
    "model": "The sandbox's model does not answer. If that lasts, start the engine again.",
    "credentials": "Integrations can't be used or changed. Whoever runs the engine should look at where credentials "
    "are kept (INTEGRATIONS_SECRETS, CREDENTIALS_KEY).",
    "oidc": "Nobody can sign in by the identity provider; sessions go on, and passwords work. "
    f"{_WHOEVER}, and that OIDC_ISSUER names it.",
}
"""What everybody is told of a dependency that is down: what it means, and what to do. The reason may name hosts."""

Probe = Callable[[], Awaitable[Remark | None]]
"""Returns when the dependency answers; None: nothing to say. Raises `EngineError` when it does not."""


@dataclass(frozen=True, slots=True)
class _Answer:
    seconds: float
    remark: Remark | None = None
    error: str | None = None

    def hint(self, name: str, *, told: bool) -> str | None:
        if self.remark is not None and (told or not self.remark.inside):
            return self.remark.hint
        return None if self.state == "ok" else NEXT_STEPS.get(name)

    @property
    def state(self) -> State:
        if self.error is not None:
            return "error"
        return self.remark.state if self.remark else "ok"


class Health:
    """Asks the database and then `probes`, which are shown in their order."""

    def __init__(self, store: Store, clock: Clock, probes: Mapping[str, Probe]) -> None:
        self._store = store
        self._clock = clock
        self._probes = {"database": self._database, **probes}

    async def database(self) -> DatabaseHealth:
        answer = await self._ask(self._database)
        if answer.error:
            return DatabaseHealth(status="error", database="disconnected")
        return DatabaseHealth(status="ok", database="connected")

    async def ready(self, caller: Caller | None) -> Readiness:
        """Errors, and what names hosts, are for admins."""
        answers = await asyncio.gather(*(self._ask(probe) for probe in self._probes.values()))
        told = caller is not None and caller.role is Role.ADMIN
        dependencies = [
            Dependency(
                name=name,
                state=answer.state,
                latency_ms=round(answer.seconds * 1000, 1),
                hint=answer.hint(name, told=told),
                error=answer.error if told else None,
            )
            for name, answer in zip(self._probes, answers, strict=True)
        ]
        return Readiness(status=_overall(dependencies), dependencies=dependencies)

    async def _ask(self, probe: Probe) -> _Answer:
        began = self._clock.boot()
        try:
            async with asyncio.timeout(DEADLINE):
                remark = await probe()
        except EngineError as error:
            return _Answer(self._clock.boot() - began, error=error.detail)
        except TimeoutError:
            return _Answer(self._clock.boot() - began, error=f"No answer within {DEADLINE:g} s.")
        return _Answer(self._clock.boot() - began, remark)

    async def _database(self) -> None:
        async def body(reader: Reader) -> None:
            await reader.find(AuditHead, {}, limit=1)

        await self._store.read(body)


def _overall(dependencies: list[Dependency]) -> Literal["ok", "degraded", "error"]:
    if any(one.state == "error" for one in dependencies if one.name in ("database", "migrations")):
        return "error"
    return "ok" if all(one.state in ("ok", "off") for one in dependencies) else "degraded"
