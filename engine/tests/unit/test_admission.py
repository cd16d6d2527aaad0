"""Test that messages are admitted a few at a time, in their order, and never for longer than a start may take."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Message, Receive, Scope, Send

from src.api.errors import TooManyRequests
from src.api.middleware import admission
from src.api.middleware.admission import MAX_STARTING, Admission
from tests.support.waiting import eventually

PATH = "/api/v1/agent/chat"


@pytest.fixture(autouse=True)
def _holds_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no start be given up because the machine is busy."""
    monkeypatch.setattr(admission, "MAX_HOLD_SECONDS", 600)


class _Application:
    """An application whose responses begin, or end, when the test says so."""

    def __init__(self) -> None:
        self.entered: list[int] = []
        self.begin: dict[int, asyncio.Event] = {}
        self.end = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        number: int = scope["number"]
        self.entered.append(number)
        await self.begin.setdefault(number, asyncio.Event()).wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await self.end.wait()


@asynccontextmanager
async def _requests(
    limited: Admission, count: int, *, path: str = PATH, method: str = "POST"
) -> AsyncIterator[list["asyncio.Task[None]"]]:
    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(_: Message) -> None: ...

    scope = {"type": "http", "method": method, "path": path}
    tasks = [asyncio.ensure_future(limited({**scope, "number": number}, receive, send)) for number in range(count)]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_messages_start_a_few_at_a_time_in_their_order() -> None:
    app = _Application()
    async with _requests(Admission(app, PATH), 3 * MAX_STARTING):
        for begun in range(2 * MAX_STARTING):
            await eventually(lambda begun=begun: len(app.entered) == MAX_STARTING + begun, what="the next start")
            app.begin[begun].set()
        await eventually(lambda: app.entered == list(range(3 * MAX_STARTING)), what="all starts")


async def test_open_streams_hold_no_place() -> None:
    app = _Application()
    async with _requests(Admission(app, PATH), MAX_STARTING + 1):
        await eventually(lambda: len(app.entered) == MAX_STARTING, what="the first starts")
        app.begin[0].set()
        await eventually(lambda: len(app.entered) == MAX_STARTING + 1, what="a start while the first stream is open")
        assert not app.end.is_set()


@pytest.mark.parametrize(("method", "path"), [("POST", "/api/v1/agent/approvals/1"), ("GET", PATH)])
async def test_other_requests_do_not_wait(method: str, path: str) -> None:
    app = _Application()
    async with _requests(Admission(app, PATH), 3 * MAX_STARTING, method=method, path=path):
        await eventually(lambda: len(app.entered) == 3 * MAX_STARTING, what="all requests")


async def test_start_that_hangs_lets_the_next_one_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_HOLD_SECONDS", 0.01)
    app = _Application()
    async with _requests(Admission(app, PATH), MAX_STARTING + 1):
        await eventually(lambda: len(app.entered) == MAX_STARTING + 1, what="the start behind those that hang")


async def test_cancelled_and_failed_starts_give_their_place_back() -> None:
    app = _Application()
    limited = Admission(app, PATH)
    async with _requests(limited, MAX_STARTING) as tasks:
        await eventually(lambda: len(app.entered) == MAX_STARTING, what="the starts")
        for task in tasks:
            task.cancel()
        async with _requests(limited, MAX_STARTING):
            await eventually(lambda: len(app.entered) == 2 * MAX_STARTING, what="the places of those that are gone")


async def test_too_many_waiting_messages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_WAITING", 2)
    app = _Application()
    async with _requests(Admission(app, PATH), MAX_STARTING + 3) as tasks:
        await eventually(tasks[-1].done, what="the refusal")
        assert isinstance(tasks[-1].exception(), TooManyRequests)
        assert not any(task.done() for task in tasks[:-1])
