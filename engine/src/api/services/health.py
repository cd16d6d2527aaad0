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
    """What there is to say of a dependency that answers: its state, and what a person may want to do."""

    state: Literal["ok", "degraded", "starting", "off"]
    hint: str


Probe = Callable[[], Awaitable[Remark | None]]
"""Returns when the dependency answers; None: nothing to say. Raises `EngineError` when it does not."""


@dataclass(frozen=True, slots=True)
class _Answer:
    seconds: float
    remark: Remark | None = None
    error: str | None = None

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
        """Errors are for admins: they may name hosts."""
        answers = await asyncio.gather(*(self._ask(probe) for probe in self._probes.values()))
        told = caller is not None and caller.role is Role.ADMIN
        dependencies = [
            Dependency(
                name=name,
                state=answer.state,
                latency_ms=round(answer.seconds * 1000, 1),
                hint=answer.remark.hint if answer.remark else None,
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
