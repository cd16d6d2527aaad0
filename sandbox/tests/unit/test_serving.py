"""The process: what happens when the controllers fail."""

import asyncio
import socket
from typing import NoReturn

import pytest

from skyflo_sandbox import serving
from skyflo_sandbox.cluster.controllers import ControllerManager

PATIENCE = 120


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """An event that is set when the process prints its addresses."""
    event = asyncio.Event()
    monkeypatch.setattr(serving, "_print_addresses", lambda _: event.set())
    return event


async def test_failed_controllers_stop_process(ready: asyncio.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(_: ControllerManager) -> NoReturn:
        await ready.wait()
        raise ZeroDivisionError

    monkeypatch.setattr(ControllerManager, "run", breaks)
    with socket.create_server(("127.0.0.1", 0)) as opened, pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(serving._serve(opened, None, None), PATIENCE)
