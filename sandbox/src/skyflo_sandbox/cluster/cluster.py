"""Open a complete cluster: objects, write path, logs, controllers and the file that persists it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from skyflo_sandbox.clock import Clock
from skyflo_sandbox.cluster.api import ClusterApi
from skyflo_sandbox.cluster.controllers import ContainerLogs, ControllerManager, Timings
from skyflo_sandbox.cluster.fixtures.seed import TimeTravelClock, load_images, seed_cluster
from skyflo_sandbox.cluster.persistence import ClusterFile
from skyflo_sandbox.cluster.state import State

__all__ = ["Cluster", "open_cluster"]


@dataclass(frozen=True)
class Cluster:
    """An open cluster. `restored` is true if it was read from its file and not seeded."""

    state: State
    api: ClusterApi
    logs: ContainerLogs
    controllers: ControllerManager
    restored: bool


@asynccontextmanager
async def open_cluster(
    clock: Clock, path: Path | None = None, pace: float = 1.0, names: Random | None = None
) -> AsyncIterator[Cluster]:
    """Open a cluster, and close it when the context ends.

    The cluster is restored from the file `path`. If there is no usable file, it is seeded with the fixtures and their
    week of history, which takes a moment. `pace` multiplies every duration: 0.1 is ten times as fast. `names` is the
    source of random names.
    """
    time = TimeTravelClock(clock)
    state = State(time)
    api, logs, images = ClusterApi(state, time), ContainerLogs(state, time), load_images()
    cluster_file = ClusterFile(path, state, logs, clock) if path is not None else None
    restored = cluster_file is not None and cluster_file.restore()
    if not restored:
        seed_cluster(api, time, logs, images)
    async with AsyncExitStack() as stack:
        if cluster_file is not None:
            await stack.enter_async_context(cluster_file.autosave())
        random = names or Random()  # noqa: S311 - names, not secrets
        controllers = ControllerManager(api, time, logs, images, Timings(pace=pace), random)
        await stack.enter_async_context(controllers)
        yield Cluster(state, api, logs, controllers, restored)
