"""A client as the UI is one: posts with an idempotency key, follows by Last-Event-ID, comes back after a loss."""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from tests.support.engines import Engine, loopback
from tests.support.waiting import PATIENCE

__all__ = ["Client", "Talk", "settled"]

T = TypeVar("T")
ENDED = ("completed", "failed", "stopped")
LAST = ("workflow_complete", "workflow_error")
OVER = ("tool.approved", "tool.denied", "tool.expired", "tool.superseded", "tool.stale", "tool.error")


class NotNow(Exception):
    """A 503: on a machine that is busy enough the database makes one wait too long, and a client asks again."""


def settled(answer: httpx.Response) -> httpx.Response:
    """The answer, unless it is `NotNow`."""
    if answer.status_code == 503:
        raise NotNow(answer.read().decode())
    return answer


@dataclass
class Client:
    """Speaks to an engine that may die at any moment: then it starts it again, unarmed, and repeats what it did.

    With `restarts=False` it leaves it dead, and raises what httpx does.
    """

    engine: Engine
    restarts: bool = True
    revived: int = 0
    http: httpx.Client = field(default_factory=loopback)

    @property
    def url(self) -> str:
        return self.engine.url

    def close(self) -> None:
        self.http.close()

    def get(self, path: str) -> dict[str, Any]:
        answer = self.request("GET", path)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def post(self, path: str, body: object = None) -> httpx.Response:
        return self.request("POST", path, body)

    def request(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        def once() -> httpx.Response:
            return settled(self.http.request(method, f"{self.url}{path}", json=body, headers=headers))

        return self.persist(once)

    def persist(self, act: Callable[[], T]) -> T:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return act()
            except (httpx.TransportError, NotNow) as error:
                if not self.restarts:
                    raise
                if time.monotonic() > deadline:
                    raise AssertionError(f"no answer; the engine said:\n{self.engine.said()}") from error
                self.revive()

    def revive(self) -> None:
        """Starts the engine again if it is dead."""
        if self.engine.alive:
            time.sleep(0.02)
            return
        assert (
            self.engine.killed or self.engine.ended_as_asked
        ), f"the engine ended by itself; it said:\n{self.engine.said()}"
        self.revived += 1
        self.engine.start()


@dataclass
class Talk:
    """One message and its run, followed. `events` is what a client holds after dropping what it has seen already."""

    client: Client
    text: str
    body: dict[str, Any] = field(default_factory=dict)
    key: str = field(default_factory=lambda: str(uuid.uuid4()))
    run_id: str = ""
    conversation_id: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    seen: int = 0

    # -- asking and following

    def chat(self) -> None:
        """Posts the message and follows until the stream ends; with the same key again while it is cut."""
        if not self.client.persist(self._chat):
            self.follow()

    def post(self) -> None:
        """Posts the message and goes away as soon as the run is known."""
        self.client.persist(lambda: self._chat(until="ready"))

    def follow(self) -> None:
        """Follows from the last event that it has seen until the run rests."""
        while not self.client.persist(self._follow):
            pass

    def replay(self) -> list[dict[str, Any]]:
        """The run's events as a client gets them that comes only now."""
        late = Talk(self.client, self.text, run_id=self.run_id)
        late.follow()
        return late.events

    def _chat(self, until: str | None = None) -> bool:
        self.events, self.seen = [], 0
        body = {"messages": [{"role": "user", "content": self.text}], **self.body}
        with self._stream("POST", "/agent/chat", json=body, headers={"Idempotency-Key": self.key}) as answer:
            return self._take(answer, 0, until)

    def _follow(self) -> bool:
        headers = {"Last-Event-ID": f"{self.run_id}:{self.seen}"} if self.seen else {}
        with self._stream("GET", f"/agent/runs/{self.run_id}/events", headers=headers) as answer:
            return self._take(answer, self.seen)

    @contextmanager
    def _stream(self, method: str, path: str, **more: Any) -> Iterator[httpx.Response]:
        with self.client.http.stream(method, f"{self.client.url}{path}", **more) as answer:
            assert settled(answer).status_code == 200, answer.read()
            yield answer

    def _take(self, answer: httpx.Response, after: int, until: str | None = None) -> bool:
        """Takes in what comes; whether the stream ended as it should. Its numbers only ever go up."""
        last = ""
        for event in _events(answer):
            last = str(event["type"])
            self.run_id, self.conversation_id = event["run_id"], event.get("conversation_id", self.conversation_id)
            if "seq" in event:
                assert event["seq"] > after, f"{event} came after {after}"
                after = int(event["seq"])
                if after > self.seen:
                    self.seen = after
                    self.events.append(event)
            if last == until:
                return True
        return last in LAST or self._rests()

    def _rests(self) -> bool:
        """A stream that begins at the end of a resting run has nothing to say."""
        return self.run()["state"] in (*ENDED, "awaiting_approval")

    # -- deciding

    @property
    def open_calls(self) -> list[str]:
        """The calls that this client was asked to decide on and has not seen decided, in the order asked."""
        asked = [event["call_id"] for event in self.events if event["type"] == "tool.awaiting_approval"]
        over = {event["call_id"] for event in self.events if event["type"] in OVER}
        return [call for call in asked if call not in over]

    def call(self, thing: str) -> str:
        """The newest call that was asked about this thing."""
        asked = [event for event in self.events if event["type"] == "tool.awaiting_approval"]
        return str(next(event["call_id"] for event in reversed(asked) if event["args"]["name"] == thing))

    def decide(self, call_id: str, *, approve: bool = True, **more: object) -> httpx.Response:
        """Decides and goes away; the decision is repeated until it is answered."""
        body = {"approve": approve, "conversation_id": self.conversation_id, **more}

        def once() -> httpx.Response:
            with self.client.http.stream("POST", f"{self.client.url}/agent/approvals/{call_id}", json=body) as answer:
                if settled(answer).status_code != 200:
                    answer.read()
                return answer

        return self.client.persist(once)

    def stop(self) -> None:
        body = {"conversation_id": self.conversation_id, "run_id": self.run_id}
        assert self.client.post("/agent/stop", body).status_code == 200

    # -- looking

    def run(self) -> dict[str, Any]:
        return self.client.get(f"/agent/runs/{self.run_id}")

    def approval(self, call_id: str) -> dict[str, Any]:
        return self.client.get(f"/agent/approvals/{call_id}")

    def until(self, *states: str) -> None:
        """Returns when the run is in one of these states; by default when it has ended."""
        deadline = time.monotonic() + PATIENCE
        while (run := self.run())["state"] not in (states or ENDED):
            said = self.client.engine.said()
            assert time.monotonic() < deadline, f"the run does not come to rest: {run}; the engine said:\n{said}"
            time.sleep(0.05)


def _events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in answer.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
