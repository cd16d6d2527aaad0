"""Counting servers as processes of the test session, empty for each test."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.counting import Counting
from tests.support.tool_bench import Bench, configured, open_bench

Get = Callable[..., Counting]


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Get]:
    running: dict[str, Counting] = {}
    with ExitStack() as stack:

        def get(kind: str, **how: bool) -> Counting:
            if kind not in running:
                running[kind] = Counting(tmp_path_factory.mktemp(kind), **how)
                stack.callback(running[kind].close)
                running[kind].start()
            running[kind].order(reset=True)
            return running[kind]

        yield get


@pytest.fixture
def own(shared_server: Get) -> Counting:
    """Keeps our own tool server's contract: trusted, checks grants."""
    return shared_server("own")


@pytest.fixture
def foreign(shared_server: Get) -> Counting:
    """A stranger's: the same tools, not trusted, no grants."""
    return shared_server("foreign", trusted=False)


@pytest.fixture
def legacy(shared_server: Get) -> Counting:
    """Speaks the protocol of before 2026 only: a handshake and a session."""
    return shared_server("legacy", legacy=True)


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[Counting]:
    """A server of the test's own, not yet started, to be killed and started at will."""
    counting = Counting(tmp_path / "lone")
    yield counting
    counting.close()


@pytest.fixture
async def bench(own: Counting) -> AsyncIterator[Bench]:
    """The adapter, connected to our own server."""
    async with open_bench(configured(own)) as made:
        await made.seen("up")
        yield made
