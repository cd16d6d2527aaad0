"""The first minute: the command, the sandbox, and an engine with nothing of one's own until it has answered."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

from bench.client import Client
from bench.figures import Figure, middle
from bench.processes import resident, until
from bench.stage import API, CHAT, Stage

__all__ = ["command", "sandbox"]

RUNS = 5
QUESTIONS = 3
SKYFLO = Path(sys.executable).with_name("skyflo")
DONE = b'"workflow_complete"'


def command(stage: Stage) -> Sequence[Figure]:
    """`skyflo`, as it is started for each use; the floor is a Python that does nothing."""
    _ = stage
    floor, _ = _ran([sys.executable, "-c", "pass"])
    figures: list[Figure] = []
    for arguments in (["--help"], ["chat", "--help"], ["runs", "--server", "http://127.0.0.1:9"]):
        seconds, cpu = _ran([str(SKYFLO), *arguments])
        shown = " ".join(["skyflo", *arguments[: 2 if "--help" in arguments else 1]])
        figures.append(Figure(shown, seconds, "s", target=0.5, floor=floor, runs=RUNS, note=f"{cpu:.2f} s of CPU"))
    return figures


def sandbox(stage: Stage) -> Sequence[Figure]:
    """An engine that has neither model nor cluster, from its start to the end of a first answer."""
    began = time.perf_counter()
    home = {"HOME": "/nonexistent", "KUBECONFIG": "", "LLM_HOST": "", "OPENAI_API_KEY": "", "LLM_MODEL": ""}
    engine = stage.new_engine(child=True, SANDBOX="all", **home)
    until(lambda: engine.answers(f"{API}/health"), "the engine")
    healthy = time.perf_counter() - began
    with Client(engine.url) as client:
        first = client.chat(CHAT, "what is wrong in shop?")
        first.until(DONE)
        answered = time.perf_counter() - began
        warm = [client.chat(CHAT, "what is wrong in shop?").until(DONE) for _ in range(QUESTIONS)]
    children = [resident(pid) for pid in engine.children()]
    memory = engine.resident()
    engine.end()
    return (
        Figure("start with nothing until it answers", healthy, "s", target=2),
        Figure("start with nothing until the first question is answered", answered, "s", target=60),
        Figure("the same question again, beginning to end", middle(warm), "s", runs=QUESTIONS, note="five reads"),
        Figure("resident: engine, tool server and sandbox", memory + sum(children), "MB", note=_each(children)),
    )


def _each(children: list[float]) -> str:
    return "children " + ", ".join(f"{size:.0f}" for size in children)


def _ran(arguments: Sequence[str]) -> tuple[float, float]:
    """The middle of the seconds, and of the CPU seconds, of some runs after a first."""
    seconds: list[float] = []
    cpu: list[float] = []
    for _ in range(RUNS + 1):
        before, began = _cpu(), time.perf_counter()
        subprocess.run(arguments, capture_output=True, check=False, timeout=30)
        seconds.append(time.perf_counter() - began)
        cpu.append(_cpu() - before)
    return middle(seconds[1:]), middle(cpu[1:])


def _cpu() -> float:
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
