"""The whole cluster in one line: objects, write path, logs, life, and a file in which it lasts."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from skyflo_sandbox.clock import Clock
from skyflo_sandbox.cluster.api import ClusterApi
from skyflo_sandbox.cluster.keeping import Keeping
from skyflo_sandbox.cluster.life import Life, LogBook, Tempo
from skyflo_sandbox.cluster.shop.seed import Traveller, catalogue, seed
from skyflo_sandbox.cluster.state import State

__all__ = ["World", "open_world"]


@dataclass(frozen=True)
class World:
    """What the wire serves. `restored` says whether it is a kept cluster that goes on, not a new shop."""

    state: State
    api: ClusterApi
    logs: LogBook
    life: Life
    restored: bool


@asynccontextmanager
async def open_world(
    clock: Clock, keep: Path | None = None, pace: float = 1.0, names: Random | None = None
) -> AsyncIterator[World]:
    """Opens a cluster that lives until the context ends.

    It goes on as it was kept in the file `keep`; where there is none, it begins as the shop, whose week has passed in
    a moment. `pace` multiplies what things take: 0.1 is ten times as fast. `names` is where random names come from.
    """
    time = Traveller(clock)
    state = State(time)
    api, book, images = ClusterApi(state, time), LogBook(state, time), catalogue()
    keeping = Keeping(keep, state, book, clock) if keep is not None else None
    restored = keeping is not None and keeping.restore()
    if not restored:
        seed(api, time, book, images)
    async with AsyncExitStack() as stack:
        if keeping is not None:
            await stack.enter_async_context(keeping.kept())
        life = Life(api, time, book, images, Tempo(pace=pace), names or Random())  # noqa: S311 - names, not secrets
        await stack.enter_async_context(life)
        yield World(state, api, book, life, restored)
