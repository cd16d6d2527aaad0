"""Measure server mode (PostgreSQL, Redis, sign-in): many people at once, and what one turn costs."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from itertools import pairwise

from bench.client import TimedResponse
from bench.harness import API, CHAT, Harness
from bench.people import Person, chat_body, open_people, run_together
from bench.processes import Process
from bench.results import Measurement, median
from bench.server_mode import start_counted, start_server_mode
from bench.streaming import ENGINE_FIRST_TOKEN, FLOOR_FIRST_TOKEN
from bench.text import SPOKEN_TOKENS

__all__ = ["server_first_token", "server_statements", "server_streams_100", "server_streams_200", "server_turns"]

ACCOUNTS = 10
"""Accounts that are signed in. More people than that share them: a registration takes as long as many turns."""
GROUPS = {1: 30, 10: 10, 50: 5}
"""How many people ask at once, and how often."""
ROUNDS = 20
FIRST_WORD = b'"content":"w0'
_QUIET_SECONDS = 0.15


def server_first_token(harness: Harness) -> Sequence[Measurement]:
    """Measure the time to the first token with 1, 10 and 50 people who ask at once."""
    server = start_server_mode(harness, ACCOUNTS)
    figures = asyncio.run(_measure_groups(server.engine, harness.floor, server.tokens))
    server.engine.end()
    return figures


async def _measure_groups(engine: Process, floor: Process, tokens: Sequence[str]) -> list[Measurement]:
    figures: list[Measurement] = []
    for count, rounds in GROUPS.items():
        ours: list[float] = []
        theirs: list[float] = []
        async with AsyncExitStack() as stack:  # the engine closes a connection that is idle for five seconds
            people = await open_people(stack, engine, [tokens[at % len(tokens)] for at in range(count)])
            others = await open_people(stack, floor, [""] * count)
            await _ask(people, CHAT, ENGINE_FIRST_TOKEN)
            for _ in range(rounds):
                ours += await _ask(people, CHAT, ENGINE_FIRST_TOKEN)
                theirs += await _ask(others, "/chat", FLOOR_FIRST_TOKEN)
        name = f"server mode: time to the first token, {count} at once"
        figures.append(Measurement(name, median(ours), "ms", floor=median(theirs), runs=len(ours)))
    return figures


async def _ask(people: Sequence[Person], path: str, mark: bytes) -> list[float]:
    answers = await run_together([person.post(path, chat_body("hello")) for person in people])
    return [answer.seconds_until(mark) * 1000 for answer in answers]


def server_turns(harness: Harness) -> Sequence[Measurement]:
    """Measure turns of one person: a read, a change with its approval, a stop; with the CPU of each kind."""
    server = start_server_mode(harness, 1)
    figures = asyncio.run(_measure_turns(server.engine, server.tokens[0]))
    server.engine.end()
    return figures


async def _measure_turns(engine: Process, token: str) -> list[Measurement]:
    async with Person(engine.port, token) as person, Person(engine.port, token) as other:
        await person.post(CHAT, chat_body("read the thing"))
        plain, plain_cpu = await _times(engine, lambda: _turn(person, "hello"))
        read, read_cpu = await _times(engine, lambda: _turn(person, "read the thing"))
        result, change_cpu = await _times(engine, lambda: _change(person, "bench"))
        stop, _ = await _times(engine, lambda: _stop(person, other))
    return [
        Measurement("server mode: a plain turn", plain, "ms", runs=ROUNDS),
        Measurement("server mode: a turn with one read", read, "ms", runs=ROUNDS),
        Measurement("server mode: from an approval to the result of the change", result, "ms", runs=ROUNDS),
        Measurement("server mode: from Stop to the end of the stream", stop, "ms", runs=ROUNDS),
        Measurement("server mode: a plain turn, CPU", plain_cpu, "ms", runs=ROUNDS),
        Measurement("server mode: a turn with one read, CPU", read_cpu, "ms", runs=ROUNDS),
        Measurement("server mode: a change with its approval, CPU", change_cpu, "ms", runs=ROUNDS),
    ]


async def _times(engine: Process, work: Callable[[], Awaitable[float]]) -> tuple[float, float]:
    """Return the median of what `work` measured, and the CPU of the engine for each; both in milliseconds."""
    await work()
    before = engine.cpu_seconds()
    seconds = [await work() for _ in range(ROUNDS)]
    return median(seconds) * 1000, (engine.cpu_seconds() - before) * 1000 / ROUNDS


async def _turn(person: Person, text: str) -> float:
    return (await person.post(CHAT, chat_body(text))).seconds_until(b"event: completed")


async def _change(person: Person, name: str) -> float:
    """Return the seconds from the approval to the result of the change."""
    proposal = await person.post(CHAT, chat_body(f"set {name}"))
    call_id, conversation_id = _find(proposal.body, "call_id"), _find(proposal.body, "conversation_id")
    decision = {"approve": True, "conversation_id": conversation_id}
    answer = await person.post(f"{API}/agent/approvals/{call_id}", decision)
    return answer.seconds_until(b"event: tool.result")


async def _stop(person: Person, other: Person) -> float:
    """Return the seconds from a stop request, sent while the answer is streamed, to the end of the stream."""
    speaking = asyncio.Event()
    ids: list[str] = []

    def look(body: bytearray) -> None:
        if not speaking.is_set() and ENGINE_FIRST_TOKEN in body:
            ids.extend((_find(bytes(body), "conversation_id"), _find(bytes(body), "run_id")))
            speaking.set()

    answer: asyncio.Task[TimedResponse] = asyncio.create_task(person.post(CHAT, chat_body("stay"), look))
    await asyncio.wait({answer, asyncio.create_task(speaking.wait())}, return_when=asyncio.FIRST_COMPLETED)
    began = time.perf_counter()
    await other.post(f"{API}/agent/stop", {"conversation_id": ids[0], "run_id": ids[1]})
    await answer
    return time.perf_counter() - began


def _find(body: bytes, name: str) -> str:
    found = re.search(rb'"%s":\s?"([0-9a-f-]+)"' % name.encode(), body)
    if found is None:
        raise RuntimeError(f"there is no {name} in {body[-500:]!r}")
    return found[1].decode()


def server_statements(harness: Harness) -> Sequence[Measurement]:
    """Count what reaches PostgreSQL for a turn, from the request on: statements and transactions."""
    with start_counted(harness, 1) as (server, proxy):
        turns: dict[str, Callable[[Person], Awaitable[float]]] = {
            "a plain turn": lambda person: _turn(person, "hello"),
            "a turn with one read": lambda person: _turn(person, "read the thing"),
            "a change with its approval": lambda person: _change(person, "bench"),
        }
        figures: list[Measurement] = []
        for name, turn in turns.items():
            counted = asyncio.run(_count(server.engine, server.tokens[0], turn, proxy.executed))
            statements, transactions = median([len(each) for each in counted]), median([*map(_count_begins, counted)])
            figures += [
                Measurement(f"server mode: {name}, statements", statements, "statements", runs=len(counted)),
                Measurement(f"server mode: {name}, transactions", transactions, "transactions", runs=len(counted)),
            ]
        server.engine.end()
    return figures


async def _count(
    engine: Process, token: str, turn: Callable[[Person], Awaitable[float]], executed: list[str]
) -> list[list[str]]:
    """Return the statements of each turn, with those that follow its last event."""
    counted: list[list[str]] = []
    async with Person(engine.port, token) as person:
        for _ in range(ROUNDS // 2 + 1):
            executed.clear()
            await turn(person)
            await asyncio.sleep(_QUIET_SECONDS)
            counted.append(list(executed))
    return counted[1:]


def _count_begins(statements: Sequence[str]) -> int:
    return sum(each.startswith("BEGIN") for each in statements)


def server_streams_100(harness: Harness) -> Sequence[Measurement]:
    """Measure 100 answers that are streamed at once, at 50 tokens a second each."""
    return _streams(harness, 100)


def server_streams_200(harness: Harness) -> Sequence[Measurement]:
    """Measure 200 of them."""
    return _streams(harness, 200)


def _streams(harness: Harness, count: int) -> Sequence[Measurement]:
    server = start_server_mode(harness, ACCOUNTS)
    figures = asyncio.run(_measure_streams(server.engine, harness.floor, server.tokens, count))
    server.engine.end()
    return figures


async def _measure_streams(engine: Process, floor: Process, tokens: Sequence[str], count: int) -> list[Measurement]:
    async with AsyncExitStack() as stack:
        people = await open_people(stack, engine, [tokens[at % len(tokens)] for at in range(count)])
        others = await open_people(stack, floor, [""] * count)
        cpu = engine.cpu_seconds()
        ours = await run_together([person.post(CHAT, chat_body("speak")) for person in people])
        cpu = (engine.cpu_seconds() - cpu) * 1000 / (count * SPOKEN_TOKENS)
        theirs = await run_together([person.post("/chat", chat_body("speak")) for person in others])
    name = f"server mode: {count} answers at once at 50 tokens a second"
    first = [[each.seconds_until(mark) for each in answers] for answers, mark in _marked(ours, theirs)]
    gaps = [_gap_of_95_percent(answers) * 1000 for answers in (ours, theirs)]
    totals = [max(each.seconds for each in answers) for answers in (ours, theirs)]
    return [
        Measurement(f"{name}, until the last one ends", totals[0], "s", floor=totals[1]),
        Measurement(f"{name}, first token", median(first[0]), "s", floor=median(first[1]), runs=count),
        Measurement(f"{name}, pause that 95 % of tokens keep", gaps[0], "ms", floor=gaps[1], runs=count),
        Measurement(f"{name}, CPU for 1,000 tokens", cpu, "s"),
    ]


def _marked(
    ours: Sequence[TimedResponse], theirs: Sequence[TimedResponse]
) -> tuple[tuple[Sequence[TimedResponse], bytes], ...]:
    return (ours, ENGINE_FIRST_TOKEN), (theirs, FIRST_WORD)


def _gap_of_95_percent(answers: Sequence[TimedResponse]) -> float:
    gaps = sorted(later[0] - earlier[0] for each in answers for earlier, later in pairwise(each.arrivals[3:-3]))
    return gaps[int(len(gaps) * 0.95)]
