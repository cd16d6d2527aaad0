"""Measure how long health checks take while the engine is fed the worst inputs, and those of an idle engine."""

import statistics
import threading
import time
from collections.abc import Mapping, Sequence

from bench.harness import Harness
from bench.hostile_inputs import HOSTILE_SCRIPT, INPUTS, SERVERS, Send
from bench.processes import Process
from bench.results import Measurement

__all__ = ["health"]

TARGET_MS = 200
KIND_SECONDS = 5.0
ALL_SECONDS = 15.0
OVERTIME_SECONDS = 3.0


def health(harness: Harness) -> Sequence[Measurement]:
    """Feed one engine, first with each kind of input, then with all at once. The floor is an idle engine meanwhile."""
    model = harness.new_model(HOSTILE_SCRIPT)
    idle = harness.new_engine()
    fed = harness.new_engine(child=True, LLM_HOST=f"{model.url}/v1", MCP_SERVERS=SERVERS)
    for engine in (idle, fed):
        harness.warm_up(engine)
    probe = harness.start_probe(fed, idle)
    figures: list[Measurement] = []
    every = [send for sends in INPUTS.values() for send in sends]
    kinds: Mapping[str, Sequence[Send]] = {**INPUTS, "all of them at once": every}
    for kind, sends in kinds.items():
        probe.take()
        ran, waited = fed.run_and_wait_seconds()
        sent = _feed(fed, sends, ALL_SECONDS if sends is every else KIND_SECONDS)
        ran_until, waited_until = fed.run_and_wait_seconds()
        share = _share(ran_until - ran, waited_until - waited)
        times, floor = probe.take()
        figures.append(_worst(kind, times, floor, f"{sent} inputs; the loop had a core {share} of the time"))
    fed.end()
    idle.end()
    return figures


def _worst(kind: str, times: Sequence[float], floor: Sequence[float], facts: str) -> Measurement:
    return Measurement(
        f"slowest health check, {kind}",
        max(times),
        "ms",
        target=TARGET_MS,
        floor=max(floor),
        runs=len(times),
        note=f"the maximum, not the median; {facts}; {_describe(times)}; idle engine: {_describe(floor)}",
    )


def _share(ran: float, waited: float) -> str:
    """Return for how much of the time in which it was ready to run a thread had a core: 100 % on an idle machine."""
    return f"{ran / (ran + waited):.0%}"


def _describe(times: Sequence[float]) -> str:
    most = statistics.quantiles(times, n=100, method="inclusive")[98]
    return f"median {statistics.median(times):.1f} ms, 99 % within {most:.1f} ms"


def _feed(engine: Process, sends: Sequence[Send], seconds: float) -> int:
    """Send each input again and again, all at once, and return how many were answered.

    Some take minutes, such as a tool that never answers. They go on while the next kind is sent.
    """
    until = time.monotonic() + seconds
    counts = [0] * len(sends)

    def repeat(at: int, send: Send) -> None:
        while time.monotonic() < until:
            send(engine)
            counts[at] += 1

    threads = [threading.Thread(target=repeat, args=(at, send), daemon=True) for at, send in enumerate(sends)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until + OVERTIME_SECONDS - time.monotonic()))
    return sum(counts)
