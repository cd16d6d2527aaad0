"""The product as a user starts it: `make up`'s process with its own tool server, a scripted model, a real cluster."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from pydantic import JsonValue

from tests.support.kubectl import Kubectl
from tests.support.model_script import Call, Reply, Rule, Script, Step, When
from tests.support.person import Person
from tests.support.scripted_model import ScriptedModel
from tests.support.waiting import PATIENCE, eventually

__all__ = ["Engine", "Product", "call", "engine", "plays"]

ENGINE = Path(__file__).parents[2]
KEY = "sk-e2e-canary-0123456789"
Told = str | Call | Sequence[Call]


@dataclass
class Engine:
    """One process of `make up`."""

    process: subprocess.Popen[bytes]
    log: Path
    address: str = ""

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)

    async def listens(self) -> None:
        def has_said() -> bool:
            assert self.process.poll() is None, f"it ended:\n{self.said}"
            found = re.search(r"Skyflo is at (\S+)", self.said)
            self.address = found[1] if found else ""
            return bool(found)

        await eventually(has_said, PATIENCE, "the start of the engine")

    async def died(self) -> int:
        """Its exit code, once a failpoint has killed it."""
        await eventually(lambda: self.process.poll() is not None, 30, "the end of the engine")
        return self.process.returncode

    def children(self) -> list[int]:
        listed = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, check=False)
        return [int(pid) for pid in listed.stdout.split()]

    @asynccontextmanager
    async def person(self) -> AsyncIterator[Person]:
        """The one who sits at this machine."""
        async with httpx.AsyncClient(base_url=f"{self.address}/api/v1", timeout=PATIENCE) as client:
            yield Person(client)

    async def readiness(self) -> dict[str, dict[str, str]]:
        """What `/health/ready` says of each dependency."""
        async with self.person() as me:
            answer = (await me.client.get("/health/ready")).json()
        return {one["name"]: one for one in answer["dependencies"]}

    async def is_ready(self) -> bool:
        known = await self.readiness()
        return all(one["state"] not in ("starting", "error", "degraded") for one in known.values())


@dataclass
class Product:
    """An engine, and what stands around it."""

    engine: Engine
    model: ScriptedModel
    kubectl: Kubectl
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def says(self, *turns: Told) -> None:
        """What the model does from now on, turn by turn."""
        self.model.forget()
        self.model.script = plays(*turns)


@contextmanager
def engine(folder: Path, model: ScriptedModel | None, kubeconfig: Path | str, **environment: str) -> Iterator[Engine]:
    """Starts the process and returns at once; it is killed at the end, and its children end with it."""
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
        process = subprocess.Popen(
            [sys.executable, "-m", "src.api.up"],
            cwd=ENGINE,
            env={**os.environ, **mine, **speaking, "KUBECONFIG": str(kubeconfig), **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Engine(process, log)
    finally:
        process.kill()
        process.wait(PATIENCE)


def call(tool: str, **arguments: JsonValue) -> Call:
    return Call(name=tool, arguments=arguments)


def plays(*turns: Told) -> Script:
    """A script of the model's turns since the user's last message: calls of tools, or what it says."""
    return Script(rules=[Rule(when=When(turns=n), reply=_reply(turn)) for n, turn in enumerate(turns)])


def _reply(turn: Told) -> Reply:
    if isinstance(turn, str):
        return Reply(steps=[Step(text=turn)])
    calls = [turn] if isinstance(turn, Call) else list(turn)
    return Reply(steps=[Step(calls=calls)])
