"""Measure startup: until the first response, until the first answer, and the imports before and after."""

import re
from collections import Counter
from collections.abc import Sequence

from bench.client import Client
from bench.harness import API, CHAT, Harness
from bench.processes import Process, wait_until
from bench.results import Measurement, median
from bench.streaming import ENGINE_FIRST_TOKEN

__all__ = ["imports", "start", "tool_server"]

STARTS = 3
LARGEST = 8
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\w+)")


def start(harness: Harness) -> Sequence[Measurement]:
    """Measure new engines on empty folders, each with a chat as soon as it responds."""
    _ = harness.model, harness.tools
    seconds: list[float] = []
    cpu: list[float] = []
    first: list[float] = []
    warm: list[float] = []
    for _ in range(STARTS):
        engine = harness.new_engine()
        seconds.append(_wait_until_healthy(engine))
        cpu.append(engine.cpu_seconds())
        with Client(engine.url) as client:
            first.append(client.chat(CHAT, "hello").seconds_until(ENGINE_FIRST_TOKEN))
            harness.warm_up(engine)
            warm += [client.chat(CHAT, "hello").seconds_until(ENGINE_FIRST_TOKEN) for _ in range(5)]
        engine.end()
    return (
        Measurement(
            "startup until the first response",
            median(seconds),
            "s",
            target=2,
            runs=STARTS,
            note="an empty folder, including migrations",
        ),
        Measurement("startup until the first response, CPU", median(cpu), "s", runs=STARTS),
        Measurement(
            "extra time to the first token right after startup",
            median(first) - median(warm),
            "s",
            target=1.5,
            runs=STARTS,
        ),
    )


def imports(harness: Harness) -> Sequence[Measurement]:
    """Measure the packages with the longest imports, before and after the port opens.

    A package's time includes only its own modules.
    """
    engine = harness.new_engine("-X importtime")
    wait_until(lambda: engine.get_body(f"{API}/health"), "the engine")
    harness.warm_up(engine)
    log = engine.log.read_text()
    engine.end()
    before, _, after = log.partition("Skyflo is at ")
    figures: list[Measurement] = []
    for text, when in ((before, "before the port opens"), (after, "after the port opens")):
        durations = _sum_by_package(text)
        figures.append(
            Measurement(f"imports {when}", sum(durations.values()) / 1000, "ms", note=_format_largest(durations))
        )
    return figures


def tool_server(harness: Harness) -> Sequence[Measurement]:
    """Measure the real tool server, alone and as the child of an engine, without a cluster."""
    alone = harness.new_tool_server()
    listening_after = wait_until(lambda: '"listening"' in alone.read_log(), "the tool server")
    cpu, memory = alone.cpu_seconds(), alone.resident_memory()
    alone.end()
    engine = harness.new_engine(child=True)
    healthy_after = _wait_until_healthy(engine)
    tools_after = healthy_after + wait_until(
        lambda: b'"k8s_' in (engine.get_body(f"{API}/agent/tools") or b""), "the tools"
    )
    engine.end()
    return (
        Measurement("tool server: startup until it listens", listening_after, "s"),
        Measurement("tool server: startup until it listens, CPU", cpu, "s"),
        Measurement("tool server: resident memory", memory, "MB"),
        Measurement(
            "engine with its tool server as child: startup until the first response", healthy_after, "s", target=2
        ),
        Measurement("engine with its tool server as child: until the tools are listed", tools_after, "s"),
    )


def _wait_until_healthy(engine: Process) -> float:
    return wait_until(lambda: engine.get_body(f"{API}/health"), "the engine")


def _sum_by_package(log: str) -> Counter[str]:
    """Return the microseconds of each top-level package."""
    durations: Counter[str] = Counter()
    for microseconds, package in _IMPORT.findall(log):
        durations[package] += int(microseconds)
    return durations


def _format_largest(durations: Counter[str]) -> str:
    return ", ".join(f"{package} {microseconds // 1000}" for package, microseconds in durations.most_common(LARGEST))
