"""Starting: until it answers, until it answers a first chat, and what it imports before and after."""

import re
from collections import Counter
from collections.abc import Sequence

from bench.client import Client
from bench.figures import Figure, middle
from bench.processes import Process, until
from bench.stage import API, CHAT, Stage
from bench.streaming import FIRST_OURS

__all__ = ["imports", "start", "tool_server"]

STARTS = 3
BIGGEST = 8
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\w+)")


def start(stage: Stage) -> Sequence[Figure]:
    """Fresh engines on empty folders, each asked as soon as it answers."""
    _ = stage.model, stage.tools
    seconds: list[float] = []
    cpu: list[float] = []
    first: list[float] = []
    warm: list[float] = []
    for _ in range(STARTS):
        engine = stage.new_engine()
        seconds.append(_healthy(engine))
        cpu.append(engine.cpu())
        with Client(engine.url) as client:
            first.append(client.chat(CHAT, "hello").until(FIRST_OURS))
            stage.warm(engine)
            warm += [client.chat(CHAT, "hello").until(FIRST_OURS) for _ in range(5)]
        engine.end()
    return (
        Figure("start until it answers", middle(seconds), "s", target=2, runs=STARTS, note="an empty folder, migrated"),
        Figure("start until it answers, CPU", middle(cpu), "s", runs=STARTS),
        Figure(
            "first token of a chat sent as soon as it answers, beyond a warm one",
            middle(first) - middle(warm),
            "s",
            target=1.5,
            runs=STARTS,
        ),
    )


def imports(stage: Stage) -> Sequence[Figure]:
    """The packages that take longest to import (their own modules alone), before the port is open and after."""
    engine = stage.new_engine("-X importtime")
    until(lambda: engine.answers(f"{API}/health"), "the engine")
    stage.warm(engine)
    said = engine.log.read_text()
    engine.end()
    before, _, after = said.partition("Skyflo is at ")
    figures: list[Figure] = []
    for text, when in ((before, "before the port is open"), (after, "behind it")):
        took = _by_package(text)
        figures.append(Figure(f"imports {when}", sum(took.values()) / 1000, "ms", note=_biggest(took)))
    return figures


def tool_server(stage: Stage) -> Sequence[Figure]:
    """The real tool server: alone, and as the child of an engine. No cluster: nothing here waits for Kubernetes."""
    alone = stage.new_tool_server()
    listens = until(lambda: '"listening"' in alone.said(), "the tool server")
    cpu, memory = alone.cpu(), alone.resident()
    alone.end()
    engine = stage.new_engine(child=True)
    healthy = _healthy(engine)
    usable = healthy + until(lambda: b'"k8s_' in (engine.answers(f"{API}/agent/tools") or b""), "the tools")
    engine.end()
    return (
        Figure("tool server: start until it listens", listens, "s"),
        Figure("tool server: start until it listens, CPU", cpu, "s"),
        Figure("tool server: resident memory", memory, "MB"),
        Figure("engine with its tool server as child: start until it answers", healthy, "s", target=2),
        Figure("engine with its tool server as child: until the tools are listed", usable, "s"),
    )


def _healthy(engine: Process) -> float:
    return until(lambda: engine.answers(f"{API}/health"), "the engine")


def _by_package(said: str) -> Counter[str]:
    """Microseconds of each top-level package."""
    took: Counter[str] = Counter()
    for microseconds, package in _IMPORT.findall(said):
        took[package] += int(microseconds)
    return took


def _biggest(took: Counter[str]) -> str:
    return ", ".join(f"{package} {microseconds // 1000}" for package, microseconds in took.most_common(BIGGEST))
