"""Several engines on one PostgreSQL and one Redis, behind a plain load balancer."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, cast

from tests.support.client import FollowedRun, RetryingClient
from tests.support.counting_process import CountingProcess
from tests.support.crash_scenarios import ScenarioContext, check_invariants
from tests.support.engines import EngineProcess
from tests.support.loopback import loopback
from tests.support.tcp_proxy import TcpProxy

__all__ = ["Site", "read_health"]


@dataclass
class Site:
    """What clients take for one engine: each of their connections reaches the next engine that is there."""

    engines: Sequence[EngineProcess]
    balancer: TcpProxy
    counting: CountingProcess
    clients: list[RetryingClient] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.balancer.port}/api/v1"

    alive = True
    killed = terminated_on_request = False

    def start(self) -> None:
        """Start the engines, one after the other."""
        for engine in self.engines:
            engine.start()

    def read_log(self) -> str:
        return "\n".join(f"{engine.url}:\n{engine.read_log()}" for engine in self.engines)

    def new_run(self, text: str) -> FollowedRun:
        """Return a message to send as a client of its own."""
        client = RetryingClient(cast(EngineProcess, self))
        self.clients.append(client)
        return FollowedRun(client, text)

    def check(self, run: FollowedRun, thing: str = "-") -> None:
        """Check the invariants of a run, of which `thing` is the prefix of what it changes."""
        check_invariants(ScenarioContext(run.client, self.counting, thing), run)

    def effects(self, thing: str) -> list[str]:
        return [effect.name for effect in self.counting.effects() if effect.name.startswith(thing)]

    def read_health(self) -> list[dict[str, Any]]:
        """Return `read_health` of every engine, read at the same time: a check of what hangs takes seconds."""
        with ThreadPoolExecutor() as pool:
            return list(pool.map(read_health, self.engines))

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for engine in self.engines:
            engine.kill()


def read_health(engine: EngineProcess) -> dict[str, Any]:
    """Return the engine's readiness: `code`, `status`, and the state of each dependency by its name."""
    with loopback() as http:
        answer = http.get(f"{engine.url}/health/ready")
    found = answer.json()
    return {
        "code": answer.status_code,
        "status": found["status"],
        **{each["name"]: each["state"] for each in found["dependencies"]},
    }
