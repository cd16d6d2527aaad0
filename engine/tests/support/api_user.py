"""Use the engine's API as one user: chat, decide, stop and follow runs, and collect the received events."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.waiting import PATIENCE

__all__ = ["Answer", "ApiUser", "read_events"]

Event = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """The events of one stream, from `ready` to its end."""

    events: list[Event]

    def __getitem__(self, kind: str) -> Event:
        """Return the first event of this type."""
        return next(event for event in self.events if event["type"] == kind)

    def all(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def run_id(self) -> str:
        return str(self.events[0]["run_id"])

    @property
    def conversation_id(self) -> str:
        return str(self.events[0]["conversation_id"])

    @property
    def last(self) -> Event:
        return self.events[-1]

    @property
    def text(self) -> str:
        return "".join(event["text"] for event in self.all("token"))

    @property
    def waiting(self) -> list[str]:
        """Return the ids of the calls that wait for a decision."""
        return [event["call_id"] for event in self.all("tool.awaiting_approval")]


class ApiUser:
    """A user of the API. `client` holds the base URL and the user's credentials."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def ask(self, text: str, *, key: str | None = None, **body: Any) -> Answer:
        headers = {"Idempotency-Key": key} if key else {}
        asked = {"messages": [{"role": "user", "content": text}], **body}
        return await self._stream("POST", "/agent/chat", json=asked, headers=headers)

    async def post_message(self, text: str, **body: Any) -> httpx.Response:
        """Post a message and return the whole response, for requests that the engine rejects."""
        asked = {"messages": [{"role": "user", "content": text}], **body}
        return await self.client.post("/agent/chat", json=asked)

    def open_chat(self, text: str, **body: Any) -> Any:
        """Open a chat stream that the test may close early."""
        asked = {"messages": [{"role": "user", "content": text}], **body}
        return self.client.stream("POST", "/agent/chat", json=asked)

    async def decide(self, answer: Answer, call_id: str, approve: bool = True, **body: Any) -> Answer:
        decision = {"approve": approve, "conversation_id": answer.conversation_id, **body}
        return await self._stream("POST", f"/agent/approvals/{call_id}", json=decision)

    async def post_decision(self, answer: Answer, call_id: str, approve: bool = True, **body: Any) -> httpx.Response:
        decision = {"approve": approve, "conversation_id": answer.conversation_id, **body}
        return await self.client.post(f"/agent/approvals/{call_id}", json=decision)

    async def verify(self, call_id: str, **body: Any) -> httpx.Response:
        return await self.client.post(f"/agent/approvals/{call_id}/verify", json=body)

    async def stop(self, conversation_id: str, run_id: str) -> httpx.Response:
        return await self.client.post("/agent/stop", json={"conversation_id": conversation_id, "run_id": run_id})

    async def follow(self, run_id: str, after: int = 0) -> Answer:
        return await self._stream("GET", f"/agent/runs/{run_id}/events", params={"after": after})

    async def run(self, run_id: str) -> dict[str, Any]:
        answer = await self.client.get(f"/agent/runs/{run_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def approval(self, call_id: str) -> dict[str, Any]:
        return dict((await self.client.get(f"/agent/approvals/{call_id}")).json())

    async def timeline(self, conversation_id: str) -> list[dict[str, Any]]:
        return list((await self.client.get(f"/conversations/{conversation_id}")).json()["messages"])

    async def _stream(self, method: str, path: str, **options: Any) -> Answer:
        async with self.client.stream(method, path, timeout=PATIENCE, **options) as response:
            if response.status_code != 200:
                await response.aread()
                raise AssertionError(f"{response.status_code}: {response.text}")
            return Answer([event async for event in read_events(response)])


async def read_events(response: httpx.Response) -> AsyncIterator[Event]:
    async for line in response.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
