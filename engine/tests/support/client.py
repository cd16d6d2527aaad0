"""Use the API as the web UI does: idempotency keys, Last-Event-ID, and reconnects after a lost connection."""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from tests.support.engines import EngineProcess
from tests.support.loopback import loopback
from tests.support.waiting import PATIENCE

__all__ = ["FollowedRun", "RetryingClient", "raise_if_unavailable"]

T = TypeVar("T")
ENDED = ("completed", "failed", "stopped")
LAST = ("workflow_complete", "workflow_error")
OVER = ("tool.approved", "tool.denied", "tool.expired", "tool.superseded", "tool.stale", "tool.error")


class Unavailable(Exception):
    """The engine answered 503: on a busy machine a database wait exceeded its limit, and clients retry."""


def raise_if_unavailable(answer: httpx.Response) -> httpx.Response:
    """Return the response; raise `Unavailable` for a 503."""
    if answer.status_code == 503:
        raise Unavailable(answer.read().decode())
    return answer


@dataclass
class RetryingClient:
    """A client that restarts a dead engine without failpoints and repeats its request.

    With `restarts=False` it leaves the engine dead and raises httpx's error.
    """

    engine: EngineProcess
    restarts: bool = True
    restart_count: int = 0
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

    def get_list(self, path: str) -> list[dict[str, Any]]:
        answer = self.request("GET", path)
        assert answer.status_code == 200, answer.text
        return list(answer.json())

    def post(self, path: str, body: object = None) -> httpx.Response:
        return self.request("POST", path, body)

    def request(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        def once() -> httpx.Response:
            return raise_if_unavailable(self.http.request(method, f"{self.url}{path}", json=body, headers=headers))

        return self.retry(once)

    def retry(self, act: Callable[[], T]) -> T:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return act()
            except (httpx.TransportError, Unavailable) as error:
                if not self.restarts:
                    raise
                if time.monotonic() > deadline:
                    raise AssertionError(f"no answer; the engine said:\n{self.engine.read_log()}") from error
                self.restart_engine()

    def restart_engine(self) -> None:
        """Start the engine again if it is dead."""
        if self.engine.alive:
            time.sleep(0.02)
            return
        assert (
            self.engine.killed or self.engine.terminated_on_request
        ), f"the engine ended by itself; it said:\n{self.engine.read_log()}"
        self.restart_count += 1
        self.engine.start()


@dataclass
class FollowedRun:
    """One message and its run. `events` are the received events without duplicates, as a client keeps them."""

    client: RetryingClient
    text: str
    body: dict[str, Any] = field(default_factory=dict)
    key: str = field(default_factory=lambda: str(uuid.uuid4()))
    run_id: str = ""
    conversation_id: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    seen: int = 0

    # -- posting and following

    def chat(self) -> None:
        """Post the message and follow until the stream ends. After a cut, repeat the request with the same key."""
        if not self.client.retry(self._chat):
            self.follow()

    def post(self) -> None:
        """Post the message and disconnect as soon as the run's id is known."""
        self.client.retry(lambda: self._chat(until="ready"))

    def follow(self) -> None:
        """Follow the run from the last received event until it rests."""
        while not self.client.retry(self._follow):
            pass

    def replay(self) -> list[dict[str, Any]]:
        """Return the run's events as a client receives them that connects only now."""
        late = FollowedRun(self.client, self.text, run_id=self.run_id)
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
            assert raise_if_unavailable(answer).status_code == 200, answer.read()
            yield answer

    def _take(self, answer: httpx.Response, after: int, until: str | None = None) -> bool:
        """Read a stream and return whether it ended properly. Event numbers must increase."""
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
        return last in LAST or self._is_resting()

    def _is_resting(self) -> bool:
        """Return whether the run rests: a stream that starts after its last event would be empty."""
        return self.run()["state"] in (*ENDED, "awaiting_approval")

    # -- deciding

    @property
    def open_calls(self) -> list[str]:
        """Return the calls that wait for this client's decision, in the order of their requests."""
        asked = [event["call_id"] for event in self.events if event["type"] == "tool.awaiting_approval"]
        over = {event["call_id"] for event in self.events if event["type"] in OVER}
        return [call for call in asked if call not in over]

    def call(self, thing: str) -> str:
        """Return the newest call that changes this thing."""
        asked = [event for event in self.events if event["type"] == "tool.awaiting_approval"]
        return str(next(event["call_id"] for event in reversed(asked) if event["args"]["name"] == thing))

    def decide(self, call_id: str, *, approve: bool = True, **more: object) -> httpx.Response:
        """Send a decision and disconnect. The request is repeated until the engine answers."""
        body = {"approve": approve, "conversation_id": self.conversation_id, **more}

        def once() -> httpx.Response:
            with self.client.http.stream("POST", f"{self.client.url}/agent/approvals/{call_id}", json=body) as answer:
                if raise_if_unavailable(answer).status_code != 200:
                    answer.read()
                return answer

        return self.client.retry(once)

    def stop(self) -> None:
        body = {"conversation_id": self.conversation_id, "run_id": self.run_id}
        assert self.client.post("/agent/stop", body).status_code == 200

    # -- reading

    def run(self) -> dict[str, Any]:
        return self.client.get(f"/agent/runs/{self.run_id}")

    def approval(self, call_id: str) -> dict[str, Any]:
        return self.client.get(f"/agent/approvals/{call_id}")

    def until(self, *states: str) -> None:
        """Wait until the run is in one of these states; by default, until it has ended."""
        deadline = time.monotonic() + PATIENCE
        while (run := self.run())["state"] not in (states or ENDED):
            said = self.client.engine.read_log()
            assert time.monotonic() < deadline, f"the run does not come to rest: {run}; the engine said:\n{said}"
            time.sleep(0.05)


def _events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in answer.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
