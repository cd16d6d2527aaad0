"""Run the counting server as a separate process, which a test can control, kill and restart on the same port."""

import json
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.counting_store import CountingStore, Effect
from tests.support.pooled_process import PooledPopen
from tests.support.waiting import PATIENCE

TOKEN = "counting-token-0123456789"
GRANT_KEY = "counting-grant-key-0123456789-0123456789"
ENGINE = Path(__file__).parents[2]


@dataclass
class CountingProcess:
    """A handle on the process. A `trusted` server checks grants, others act as third-party ones. `port` 0 means any
    free one.
    """

    folder: Path
    trusted: bool = True
    legacy: bool = False
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    store: CountingStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = CountingStore(self.folder)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def start(self) -> None:
        """Start the process and wait until it listens. A restart uses the same port."""
        flags = ["--data", str(self.folder), "--port", str(self.port), "--token", TOKEN, "--parent-pipe"]
        flags += ["--grant-key", GRANT_KEY] if self.trusted else []
        flags += ["--legacy"] if self.legacy else []
        command = [sys.executable, "-m", "tests.support.counting_server", *flags]
        self.process = PooledPopen(command, cwd=ENGINE, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.port = json.loads(self.process.stdout.readline())["port"]

    def kill(self) -> None:
        """Kill the process with SIGKILL, as in a crash."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait(timeout=PATIENCE)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process = None

    def control(self, **order: object) -> None:
        """Send an order; `counting_server` describes them."""
        self._request_control(json.dumps(order).encode())

    def status(self) -> dict[str, int]:
        """Return how many slow reads are `running` and how many were `cancelled`."""
        return json.loads(self._request_control(None))  # type: ignore[no-any-return]

    def effects(self) -> list[Effect]:
        return self.store.effects()

    def requests(self, tool: str = "change_thing") -> int:
        return self.store.requests(tool)

    def close(self) -> None:
        self.kill()
        self.store.close()

    def _request_control(self, body: bytes | None) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/control", data=body)
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:  # noqa: S310 - a loopback address
            return bytes(response.read())
