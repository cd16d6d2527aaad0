"""The process as a whole: what it does when a part of it can't go on."""

import asyncio
import socket
from typing import NoReturn

import pytest

from skyflo_sandbox import serving
from skyflo_sandbox.cluster.life import Life

PATIENCE = 120


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when the process says that it answers."""
    event = asyncio.Event()
    monkeypatch.setattr(serving, "_announce", lambda _: event.set())
    return event


async def test_it_ends_with_the_reason_when_nothing_moves_any_more(
    ready: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(_: Life) -> NoReturn:
        await ready.wait()
        raise ZeroDivisionError

    monkeypatch.setattr(Life, "run", breaks)
    with socket.create_server(("127.0.0.1", 0)) as opened, pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(serving._serve(opened, None, None), PATIENCE)
