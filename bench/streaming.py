"""Measure tokens: time to the first one, CPU time for each, and lost ones."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from bench.client import Client, TimedResponse
from bench.harness import API, CHAT, Harness
from bench.processes import Process
from bench.results import Measurement, median
from bench.text import FLOOD, PACED, TOKENS

__all__ = [
    "ENGINE_FIRST_TOKEN",
    "FLOOR_FIRST_TOKEN",
    "cpu_per_thousand_tokens",
    "first_token",
    "followers",
    "measure_first_tokens",
    "tokens",
]

ENGINE_FIRST_TOKEN = b"event: token\n"
FLOOR_FIRST_TOKEN = b'"content":"Hello'
ROUNDS = 40
FLOODS = 6
FOLLOWERS = 10


def measure_first_tokens(engine: Process, floor: Process, rounds: int) -> tuple[list[float], list[float]]:
    """Return milliseconds to the first token of engine and floor, in alternating requests on warm connections."""
    engine_times: list[float] = []
    floor_times: list[float] = []
    with Client(engine.url) as engine_client, Client(floor.url) as floor_client:
        for _ in range(rounds):
            engine_times.append(engine_client.chat(CHAT, "hello").seconds_until(ENGINE_FIRST_TOKEN) * 1000)
            floor_times.append(floor_client.chat("/chat", "hello").seconds_until(FLOOR_FIRST_TOKEN) * 1000)
    return engine_times[3:], floor_times[3:]


def first_token(harness: Harness) -> Sequence[Measurement]:
    engine_times, floor_times = measure_first_tokens(harness.engine, harness.floor, ROUNDS)
    added = median(engine_times) - median(floor_times)
    turn = _cpu_of(harness.engine, lambda: _ask(harness.engine, CHAT, "hello", 20)) / 20
    floor_turn = _cpu_of(harness.floor, lambda: _ask(harness.floor, "/chat", "hello", 20)) / 20
    return (
        Measurement("time to the first token, added by the engine", added, "ms", target=10, runs=len(engine_times)),
        Measurement(
            "time to the first token", median(engine_times), "ms", floor=median(floor_times), runs=len(engine_times)
        ),
        Measurement("a turn of one token, CPU", turn * 1000, "ms", floor=floor_turn * 1000, runs=20),
    )


def tokens(harness: Harness) -> Sequence[Measurement]:
    engine, floor = harness.engine, harness.floor
    engine_times: list[float] = []
    floor_times: list[float] = []
    lost = 0
    for _ in range(FLOODS):
        seconds, answer = cpu_per_thousand_tokens(engine, CHAT, "flood", TOKENS)
        engine_times.append(seconds)
        lost = max(lost, _count_missing(answer, FLOOD))
        floor_times.append(cpu_per_thousand_tokens(floor, "/chat", "flood", TOKENS)[0])
    paced, _ = cpu_per_thousand_tokens(engine, CHAT, "paced", 400)
    floor_paced, _ = cpu_per_thousand_tokens(floor, "/chat", "paced", 400)
    name = "CPU for 1,000 tokens"
    return (
        Measurement(
            f"{name}, at full speed", median(engine_times), "s", target=0.2, floor=median(floor_times), runs=FLOODS
        ),
        Measurement(f"{name}, at 200 a second", paced, "s", floor=floor_paced, note="each token is sent separately"),
        Measurement("tokens lost at full speed", lost, f"of {TOKENS:,}", target=0, runs=FLOODS),
    )


def followers(harness: Harness) -> Sequence[Measurement]:
    """Measure what each additional reader of a run costs."""
    alone, _ = cpu_per_thousand_tokens(harness.engine, CHAT, "paced", 400)
    lost: list[int] = []
    with_readers = _cpu_of(harness.engine, lambda: lost.extend(_count_lost_tokens(harness.engine))) * 1000 / 400
    return (
        Measurement(
            "CPU for 1,000 tokens, each additional reader of a run",
            (with_readers - alone) / (FOLLOWERS - 1),
            "s",
            note=f"{FOLLOWERS} readers, at 200 tokens a second",
        ),
        Measurement(f"tokens lost by {FOLLOWERS} readers of a run", max(lost), "of 400", target=0),
    )


def cpu_per_thousand_tokens(process: Process, path: str, text: str, count: int) -> tuple[float, TimedResponse]:
    """Return the CPU seconds of the process for 1,000 tokens, including the rest of the turn."""
    answers: list[TimedResponse] = []

    def ask() -> None:
        with Client(process.url) as client:
            answers.append(client.chat(path, text))

    return _cpu_of(process, ask) * 1000 / count, answers[0]


def _count_lost_tokens(engine: Process) -> list[int]:
    """Return the tokens that each reader lost. The first one starts the run, the others follow it."""
    with Client(engine.url) as client, ThreadPoolExecutor(FOLLOWERS) as pool:
        starter = pool.submit(_read_stream, engine, "POST", CHAT)
        run = _newest_run(client)
        other_readers = [
            pool.submit(_read_stream, engine, "GET", f"{API}/agent/runs/{run}/events") for _ in range(FOLLOWERS - 1)
        ]
        return [_count_missing(each.result(), PACED) for each in (starter, *other_readers)]


def _read_stream(engine: Process, method: str, path: str) -> TimedResponse:
    with Client(engine.url) as client:
        return client.chat(path, "paced") if method == "POST" else client.get(path)


def _newest_run(client: Client) -> str:
    for _ in range(200):
        items = client.get(f"{API}/agent/runs?state=running&limit=1").json()["data"]
        if items:
            return str(items[0]["run_id"])
    raise RuntimeError("the run was not listed")


def _count_missing(answer: TimedResponse, expected: str) -> int:
    """Return the number of missing words; all of them if the text differs otherwise."""
    text = "".join(event["text"] for event in answer.events if event["type"] == "token")
    missing = len(expected.split()) - len(text.split())
    return missing if missing or text == expected else len(expected.split())


def _ask(process: Process, path: str, text: str, times: int) -> None:
    with Client(process.url) as client:
        for _ in range(times):
            client.chat(path, text)


def _cpu_of(process: Process, work: Callable[[], None]) -> float:
    before = process.cpu_seconds()
    work()
    return process.cpu_seconds() - before
