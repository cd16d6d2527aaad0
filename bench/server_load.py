"""Measure server mode under load: two processes against one, and running streams while many runs arrive."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import pairwise

from bench.client import TimedResponse
from bench.harness import CHAT, Harness
from bench.people import Person, chat_body, open_people, run_together
from bench.processes import read_cpu_seconds
from bench.results import Measurement, median
from bench.server_mode import ServerMode, start_server_mode
from bench.streaming import ENGINE_FIRST_TOKEN
from bench.text import SPOKEN_TOKENS

__all__ = ["server_admission", "server_processes"]

ACCOUNTS = 10
PEOPLE = 60
"""People who ask at once: as many as one process can answer at 50 tokens a second each on a core of its own."""

ROUNDS = 3
RUNNING = 10
ARRIVING = 100
BURSTS = 3
_SETTLE_SECONDS = 1.0


def server_processes(harness: Harness) -> Sequence[Measurement]:
    """Compare one process with two behind one port, in turns, with answers that are streamed at once.

    How much one carries is counted in tokens for each CPU second of its busiest process: with a core for each process,
    that is what bounds them. It contains what the processes cost each other, and an uneven distribution.
    """
    servers = {count: start_server_mode(harness, ACCOUNTS, processes=count) for count in (1, 2)}
    seconds: dict[int, list[float]] = {1: [], 2: []}
    tokens: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(ROUNDS):
        for count, server in servers.items():
            total, carried = asyncio.run(_measure_group(server))
            seconds[count].append(total)
            tokens[count].append(carried)
    for server in servers.values():
        server.engine.end()
    name = f"server mode: {PEOPLE} answers at once at 50 tokens a second"
    figures = [
        Measurement(f"{name}, {_processes(count)}, until the last one ends", median(seconds[count]), "s", runs=ROUNDS)
        for count in servers
    ]
    figures += [
        Measurement(
            f"{name}, {_processes(count)}, tokens for a CPU second of the busiest",
            median(tokens[count]),
            "tokens",
            runs=ROUNDS,
        )
        for count in servers
    ]
    carried = median(tokens[2]) / median(tokens[1])
    return [
        *figures,
        Measurement("server mode: what two processes carry, compared with one", carried, "times", runs=ROUNDS),
    ]


def _processes(count: int) -> str:
    return "one process" if count == 1 else f"{count} processes"


async def _measure_group(server: ServerMode) -> tuple[float, float]:
    """Return the seconds until the last answer ends, and the tokens for each CPU second of the busiest process."""
    pids = server.engine.child_pids() or [server.engine.popen.pid]
    async with AsyncExitStack() as stack:
        people = await open_people(stack, server.engine, [server.tokens[at % ACCOUNTS] for at in range(PEOPLE)])
        before = [read_cpu_seconds(pid) for pid in pids]
        answers = await run_together([person.post(CHAT, chat_body("speak")) for person in people])
        used = [read_cpu_seconds(pid) - cpu for pid, cpu in zip(pids, before, strict=True)]
    return max(each.seconds for each in answers), PEOPLE * SPOKEN_TOKENS / max(used)


def server_admission(harness: Harness) -> Sequence[Measurement]:
    """Measure the pauses of running streams while many new runs arrive at once, and how long the new ones wait."""
    server = start_server_mode(harness, ACCOUNTS)
    bursts = [asyncio.run(_measure_burst(server)) for _ in range(BURSTS + 1)][1:]
    server.engine.end()
    calm, busy, longest, first = ([burst[at] for burst in bursts] for at in range(4))
    name = f"server mode: {RUNNING} streams at 50 tokens a second"
    arriving = f"while {ARRIVING} runs arrive at once"
    return [
        Measurement(f"{name}, pause that 95 % of tokens keep", median(calm) * 1000, "ms", runs=BURSTS),
        Measurement(f"{name}, the same {arriving}", median(busy) * 1000, "ms", runs=BURSTS),
        Measurement(f"{name}, longest pause {arriving}", median(longest) * 1000, "ms", runs=BURSTS),
        Measurement(f"server mode: {ARRIVING} runs that arrive at once, first token", median(first), "s", runs=BURSTS),
    ]


async def _measure_burst(server: ServerMode) -> tuple[float, float, float, float]:
    """Return the pause that 95 % of tokens keep before and in the burst, the longest one, and the new runs' wait."""
    async with AsyncExitStack() as stack:
        tokens = [server.tokens[at % ACCOUNTS] for at in range(RUNNING + ARRIVING)]
        people = await open_people(stack, server.engine, tokens)
        began = time.perf_counter()
        talking = [asyncio.create_task(person.post(CHAT, chat_body("talk"))) for person in people[:RUNNING]]
        await asyncio.sleep(3 * _SETTLE_SECONDS)
        burst = time.perf_counter() - began
        new = await run_together([_ask(person) for person in people[RUNNING:]])
        end = time.perf_counter() - began
        streams = [await each for each in talking]
    calm, busy = _gaps(streams, _SETTLE_SECONDS, burst), _gaps(streams, burst, end)
    return _of_95_percent(calm), _of_95_percent(busy), busy[-1], median(new)


async def _ask(person: Person) -> float:
    return (await person.post(CHAT, chat_body("hello"))).seconds_until(ENGINE_FIRST_TOKEN)


def _gaps(streams: Sequence[TimedResponse], start: float, end: float) -> list[float]:
    """Return the pauses that ended in this time, the longest last; the streams began at zero."""
    arrivals = ([moment for moment, _ in each.arrivals[3:-3]] for each in streams)
    return sorted(later - earlier for each in arrivals for earlier, later in pairwise(each) if start <= later <= end)


def _of_95_percent(gaps: Sequence[float]) -> float:
    return gaps[int(len(gaps) * 0.95)]
