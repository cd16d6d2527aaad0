"""People of the soak: each asks, follows the answer through every outage, decides on changes, and checks it all."""

import asyncio
import json
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.reducer import reduce

__all__ = ["LONG_ANSWER", "Person", "Record", "is_over"]

LONG_ANSWER = " ".join(f"w{number}" for number in range(40))
"""The answer to `soak`, at two tokens a second."""

RETRY_SECONDS = 0.5
REQUEST_SECONDS = 20.0
PATIENCE_SECONDS = 300.0
"""Seconds without any progress after which a person counts a run as lost."""

ENDED = ("completed", "failed", "stopped")
CHANGES = 0.3
"""The share of messages that ask for a change."""

DENIED, STOPPED = 0.1, 0.1
"""The share of changes that are denied, and of which the run is stopped instead of a decision."""


class LostError(Exception):
    """A run made no progress for `PATIENCE_SECONDS`."""


@dataclass
class Record:
    """What all people saw. `problems` are sentences; none is the aim."""

    runs: dict[str, str] = field(default_factory=dict)
    """The last state that the stream of each run reported, by its id."""

    decided: dict[str, str] = field(default_factory=dict)
    """`approved`, `denied` or `stopped`, by the id of the call."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


@dataclass
class Person:
    """One person, who has one stream open nearly always."""

    url: str
    number: int
    record: Record
    chance: random.Random
    ends: Callable[[], bool]

    async def work(self) -> None:
        """Ask one thing after the other until the soak ends, and finish what is begun."""
        limits = httpx.Limits(max_keepalive_connections=0)  # so that each request may reach another engine
        async with httpx.AsyncClient(base_url=self.url, timeout=REQUEST_SECONDS, limits=limits) as http:
            asked = 0
            while not self.ends():
                asked += 1
                name = f"soak-{self.number}-{asked}" if self.chance.random() < CHANGES else ""
                try:
                    await _Talk(http, self.record, self.chance, name).hold()
                except LostError as error:
                    self.record.problems.append(str(error))


@dataclass
class _Talk:
    """One message and its run. `name` is what it changes; empty for a long answer."""

    http: httpx.AsyncClient
    record: Record
    chance: random.Random
    name: str
    key: str = field(default_factory=lambda: str(uuid.uuid4()))
    run_id: str = ""
    conversation_id: str = ""
    seen: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)

    async def hold(self) -> None:
        await self._retry(self._ask)
        await self._retry(self._follow)
        while (await self._state()) == "awaiting_approval":
            await self._decide()
            await self._retry(self._follow)
        self._check(await self._state())

    async def _ask(self) -> bool:
        """Send the message, and read its stream. The same key again never starts a second run."""
        self.events, self.seen = [], 0
        body = {"messages": [{"role": "user", "content": f"set {self.name}" if self.name else "soak"}]}
        headers = {"Idempotency-Key": self.key}
        await self._read("POST", "/agent/chat", json=body, headers=headers)
        return bool(self.run_id)

    async def _follow(self) -> bool:
        """Read on from the last event. Returns whether the run rests, and the stream has reported so."""
        if self._told() == await self._state():
            return True
        headers = {"Last-Event-ID": f"{self.run_id}:{self.seen}"} if self.seen else {}
        self.record.counts["reconnects"] += 1
        await self._read("GET", f"/agent/runs/{self.run_id}/events", headers=headers)
        return self._told() == await self._state()

    def _told(self) -> str:
        """Return the state in which the run rests according to the stream's last event, or an empty text."""
        last = self.events[-1] if self.events else {"type": ""}
        if last["type"] == "workflow_error":
            return "failed"
        return str(last["status"]) if last["type"] == "workflow_complete" else ""

    async def _read(self, method: str, path: str, **more: Any) -> None:
        async with self.http.stream(method, path, **more) as answer:
            if answer.status_code != 200:
                await answer.aread()
                answer.raise_for_status()
            async for event in _events(answer):
                self._take(event)

    def _take(self, event: dict[str, Any]) -> None:
        self.run_id = event.get("run_id") or self.run_id
        self.conversation_id = event.get("conversation_id") or self.conversation_id
        seq = event.get("seq")
        if seq is not None and seq <= self.seen:
            self.record.problems.append(f"{self.run_id}: event {seq} came after {self.seen}")
            return
        self.seen = self.seen if seq is None else int(seq)
        if event["type"] not in ("heartbeat", "error"):
            self.events.append(event)

    async def _decide(self) -> None:
        over = {event.get("call_id") for event in self.events if event["type"] in _DECIDED}
        waiting = [event for event in self.events if event["type"] == "tool.awaiting_approval"]
        calls = [event["call_id"] for event in waiting if event["call_id"] not in over]
        if not calls:
            return
        luck = self.chance.random()
        if luck < STOPPED:
            self.record.decided[calls[-1]] = "stopped"
            await self._retry(self._stop)
            return
        self.record.decided[calls[-1]] = "denied" if luck < STOPPED + DENIED else "approved"
        await self._retry(lambda: self._vote(calls[-1]))

    async def _stop(self) -> bool:
        body = {"conversation_id": self.conversation_id, "run_id": self.run_id}
        (await self.http.post("/agent/stop", json=body)).raise_for_status()
        return True

    async def _vote(self, call_id: str) -> bool:
        approve = self.record.decided[call_id] == "approved"
        body = {"approve": approve, "conversation_id": self.conversation_id}
        async with self.http.stream("POST", f"/agent/approvals/{call_id}", json=body) as answer:
            if answer.status_code == 409:
                self.record.problems.append(f"{call_id}: the same decision again was refused: {await answer.aread()!r}")
                return True
            answer.raise_for_status()
        return True

    async def _state(self) -> str:
        found: list[str] = []

        async def read() -> bool:
            answer = (await self.http.get(f"/agent/runs/{self.run_id}")).raise_for_status()
            found.append(answer.json()["state"])
            return True

        await self._retry(read)
        return found[-1]

    async def _retry(self, act: Callable[[], Awaitable[bool]]) -> None:
        """Repeat until `act` says that it is done. Raises `LostError` if nothing moves for a long time."""
        loop = asyncio.get_running_loop()
        seen, moved = -1, loop.time()
        while True:
            try:
                if await act():
                    return
            except (httpx.HTTPError, json.JSONDecodeError) as error:
                self.record.counts[_name(error)] += 1
            if self.seen != seen:
                seen, moved = self.seen, loop.time()
            elif loop.time() - moved > PATIENCE_SECONDS:
                raise LostError(f"{self.run_id or self.key}: nothing moved for {PATIENCE_SECONDS:.0f} s")
            await asyncio.sleep(RETRY_SECONDS)

    def _check(self, state: str) -> None:
        """Compare what the stream told with the server's record."""
        self.record.runs[self.run_id] = state
        if self._told() != state:
            problem = f"{self.run_id}: the stream ended as {self._told() or 'nothing'}, the record says {state}"
            self.record.problems.append(problem)
        if not self.name and state == "completed" and reduce(self.events).text != LONG_ANSWER:
            self.record.problems.append(f"{self.run_id}: text is missing or told twice")


_DECIDED = ("tool.approved", "tool.denied", "tool.expired", "tool.superseded", "tool.stale", "tool.error")


def is_over(state: str) -> bool:
    return state in ENDED


def _name(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"answer {error.response.status_code}"
    return type(error).__name__


async def _events(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in answer.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
