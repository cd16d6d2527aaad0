"""Counting tool servers as processes of the session, reset for each test."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.counting_process import CountingProcess
from tests.support.tool_harness import ToolHarness, open_tool_harness, server_config

GetServer = Callable[..., CountingProcess]


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GetServer]:
    running: dict[str, CountingProcess] = {}
    with ExitStack() as stack:

        def get(kind: str, **how: bool) -> CountingProcess:
            if kind not in running:
                running[kind] = CountingProcess(tmp_path_factory.mktemp(kind), **how)
                stack.callback(running[kind].close)
                running[kind].start()
            running[kind].control(reset=True)
            return running[kind]

        yield get


@pytest.fixture
def trusted_server(shared_server: GetServer) -> CountingProcess:
    """A trusted server that follows our tool server's contract and checks grants."""
    return shared_server("own")


@pytest.fixture
def untrusted_server(shared_server: GetServer) -> CountingProcess:
    """An untrusted server with the same tools and no grants."""
    return shared_server("foreign", trusted=False)


@pytest.fixture
def legacy_server(shared_server: GetServer) -> CountingProcess:
    """A server that speaks only the protocol before 2026: a handshake and a session."""
    return shared_server("legacy", legacy=True)


@pytest.fixture
def stopped_server(tmp_path: Path) -> Iterator[CountingProcess]:
    """A server that is not started yet, for this test to start and kill."""
    counting = CountingProcess(tmp_path / "lone")
    yield counting
    counting.close()


@pytest.fixture
async def harness(trusted_server: CountingProcess) -> AsyncIterator[ToolHarness]:
    """The adapter, connected to the trusted server."""
    async with open_tool_harness(server_config(trusted_server)) as made:
        await made.wait_for_state("up")
        yield made
