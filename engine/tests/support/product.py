"""Run the product as a user starts it: the process of `make up`, a scripted model and a real cluster."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from tests.support.api_user import ApiUser
from tests.support.kubectl import Kubectl
from tests.support.loopback import loopback_async
from tests.support.model_script import Call, Reply, Rule, Script, Step, When
from tests.support.pooled_process import PooledPopen
from tests.support.scripted_model import ScriptedModel
from tests.support.waiting import PATIENCE, eventually

__all__ = ["Product", "RestartableProduct", "UpProcess", "script_turns", "start_product", "tool_call"]

ENGINE = Path(__file__).parents[2]
KEY = "sk-e2e-canary-0123456789"
Turn = str | Call | Sequence[Call]
QUICK = {"RUN_LEASE_SECONDS": "2", "RUN_SWEEP_SECONDS": "1"}


@dataclass
class UpProcess:
    """One process of `make up`."""

    process: subprocess.Popen[bytes]
    log: Path
    address: str = ""

    @property
    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)

    async def wait_until_listening(self) -> None:
        def has_said() -> bool:
            assert self.process.poll() is None, f"it ended:\n{self.log_text}"
            found = re.search(r"Skyflo is at (\S+)", self.log_text)
            self.address = found[1] if found else ""
            return bool(found)

        await eventually(has_said, PATIENCE, "the start of the engine")

    async def wait_until_tools_are_listed(self) -> None:
        """Wait for what a person sees a moment after the start; a busy machine takes longer over it."""
        await self.wait_until_listening()

        async def has_tools() -> bool:
            return (await self.readiness())["tool servers"]["state"] == "ok"

        await eventually(has_tools, PATIENCE, "the first list of tools")

    async def wait_for_exit(self) -> int:
        """Return its exit code once a failpoint has killed it."""
        await eventually(lambda: self.process.poll() is not None, PATIENCE, "the end of the engine")
        return self.process.returncode

    def children(self) -> list[int]:
        listed = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, check=False)
        return [int(pid) for pid in listed.stdout.split()]

    @asynccontextmanager
    async def open_user(self) -> AsyncIterator[ApiUser]:
        """Yield the local user of this machine."""
        async with loopback_async(f"{self.address}/api/v1") as client:
            yield ApiUser(client)

    async def readiness(self) -> dict[str, dict[str, str]]:
        """Return the state of each dependency, as `/health/ready` reports it."""
        async with self.open_user() as me:
            answer = (await me.client.get("/health/ready")).json()
        return {one["name"]: one for one in answer["dependencies"]}

    async def is_ready(self) -> bool:
        known = await self.readiness()
        return all(one["state"] not in ("starting", "error", "degraded") for one in known.values())


@dataclass
class Product:
    """An engine with its model, cluster and data folder."""

    engine: UpProcess
    model: ScriptedModel
    kubectl: Kubectl
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def set_script(self, *turns: Turn) -> None:
        """Replace the model's script, turn by turn."""
        self.model.reset()
        self.model.script = script_turns(*turns)


@contextmanager
def start_product(
    folder: Path, model: ScriptedModel | None, kubeconfig: Path | str, **environment: str
) -> Iterator[UpProcess]:
    """Start the process without waiting for it. At the end it is killed, and its child processes end with it."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "said.log"
    mine = {
        "SKYFLO_ENV_FILE": "",
        "DATA_DIR": str(folder / "data"),
        "PORT": "0",
        "PYTHONUNBUFFERED": "1",
        "SANDBOX": "none",
        "RATE_LIMITING_ENABLED": "false",
        "LLM_TITLES": "false",
    }
    speaking = {"LLM_MODEL": "openai/scripted", "LLM_HOST": model.url, "OPENAI_API_KEY": KEY} if model else {}
    with log.open("ab") as output:
        process = PooledPopen(
            [sys.executable, "-m", "src.api.up"],
            launch_children=True,
            cwd=ENGINE,
            env={**os.environ, **mine, **speaking, "KUBECONFIG": str(kubeconfig), **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield UpProcess(process, log)
    finally:
        process.kill()
        process.wait(PATIENCE)


@dataclass
class RestartableProduct:
    """Engines on one data folder, one after the other."""

    folder: Path
    model: ScriptedModel
    kubectl: Kubectl
    stack: ExitStack

    async def start(self, **environment: str) -> UpProcess:
        starting = start_product(
            self.folder, self.model, self.kubectl.kubeconfig, **QUICK, CLUSTERS=self.kubectl.context, **environment
        )
        self.folder.mkdir(exist_ok=True)
        (self.folder / "said.log").write_text("")
        started = self.stack.enter_context(starting)
        await started.wait_until_tools_are_listed()
        return started


def tool_call(tool: str, **arguments: JsonValue) -> Call:
    return Call(name=tool, arguments=arguments)


def script_turns(*turns: Turn) -> Script:
    """Build a script of the model's turns after the user's last message: tool calls or text."""
    return Script(rules=[Rule(when=When(turns=n), reply=_reply(turn)) for n, turn in enumerate(turns)])


def _reply(turn: Turn) -> Reply:
    if isinstance(turn, str):
        return Reply(steps=[Step(text=turn)])
    calls = [turn] if isinstance(turn, Call) else list(turn)
    return Reply(steps=[Step(calls=calls)])
