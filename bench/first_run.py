"""Measure what a new user meets first: the command, the sandbox, and an engine without any configuration."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

from bench.client import Client
from bench.harness import API, CHAT, Harness
from bench.processes import read_resident_memory, wait_until
from bench.results import Measurement, median

__all__ = ["command", "sandbox"]

RUNS = 5
QUESTIONS = 3
SKYFLO = Path(sys.executable).with_name("skyflo")
DONE = b'"workflow_complete"'


def command(harness: Harness) -> Sequence[Measurement]:
    """Measure the start of `skyflo`; the floor is an idle Python process."""
    _ = harness
    floor, _ = _time_command([sys.executable, "-c", "pass"])
    figures: list[Measurement] = []
    for arguments in (["--help"], ["chat", "--help"], ["runs", "--server", "http://127.0.0.1:9"]):
        seconds, cpu = _time_command([str(SKYFLO), *arguments])
        shown = " ".join(["skyflo", *arguments[: 2 if "--help" in arguments else 1]])
        figures.append(Measurement(shown, seconds, "s", target=0.5, floor=floor, runs=RUNS, note=f"{cpu:.2f} s of CPU"))
    return figures


def sandbox(harness: Harness) -> Sequence[Measurement]:
    """Measure an engine without model and cluster, from its start to the end of the first answer."""
    began = time.perf_counter()
    home = {"HOME": "/nonexistent", "KUBECONFIG": "", "LLM_HOST": "", "OPENAI_API_KEY": "", "LLM_MODEL": ""}
    engine = harness.new_engine(child=True, SANDBOX="all", **home)
    wait_until(lambda: engine.get_body(f"{API}/health"), "the engine")
    healthy = time.perf_counter() - began
    with Client(engine.url) as client:
        first = client.chat(CHAT, "what is wrong in shop?")
        first.seconds_until(DONE)
        answered = time.perf_counter() - began
        warm = [client.chat(CHAT, "what is wrong in shop?").seconds_until(DONE) for _ in range(QUESTIONS)]
    children = [read_resident_memory(pid) for pid in engine.child_pids()]
    memory = engine.resident_memory()
    engine.end()
    return (
        Measurement("first start in an empty folder until the first response", healthy, "s", target=2),
        Measurement("first start in an empty folder until the first answer", answered, "s", target=60),
        Measurement("the same question again, from start to end", median(warm), "s", runs=QUESTIONS, note="five reads"),
        Measurement(
            "resident: engine, tool server and sandbox", memory + sum(children), "MB", note=_format_children(children)
        ),
    )


def _format_children(children: list[float]) -> str:
    return "children " + ", ".join(f"{size:.0f}" for size in children)


def _time_command(arguments: Sequence[str]) -> tuple[float, float]:
    """Return the median seconds and CPU seconds of a command, without its first run."""
    seconds: list[float] = []
    cpu: list[float] = []
    for _ in range(RUNS + 1):
        before, began = _children_cpu(), time.perf_counter()
        subprocess.run(arguments, capture_output=True, check=False, timeout=30)
        seconds.append(time.perf_counter() - began)
        cpu.append(_children_cpu() - before)
    return median(seconds[1:]), median(cpu[1:])


def _children_cpu() -> float:
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
