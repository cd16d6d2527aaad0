"""Tokens: the first one, the processor's time for each, and whether all arrive."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from bench.client import Client, Timed
from bench.figures import Figure, middle
from bench.processes import Process
from bench.stage import API, CHAT, Stage
from bench.words import FLOOD, PACED, TOKENS

__all__ = ["FIRST_OURS", "cpu_per_thousand", "first_token", "first_tokens", "followers", "tokens"]

FIRST_OURS = b"event: token\n"
FIRST_FLOOR = b'"content":"Hello'
ROUNDS = 40
FLOODS = 6
FOLLOWERS = 10


def first_tokens(engine: Process, floor: Process, rounds: int) -> tuple[list[float], list[float]]:
    """Milliseconds to the first token from each, asked in turn on warm connections."""
    ours: list[float] = []
    theirs: list[float] = []
    with Client(engine.url) as us, Client(floor.url) as them:
        for _ in range(rounds):
            ours.append(us.chat(CHAT, "hello").until(FIRST_OURS) * 1000)
            theirs.append(them.chat("/chat", "hello").until(FIRST_FLOOR) * 1000)
    return ours[3:], theirs[3:]


def first_token(stage: Stage) -> Sequence[Figure]:
    ours, theirs = first_tokens(stage.engine, stage.floor, ROUNDS)
    added = middle(ours) - middle(theirs)
    turn = _cpu(stage.engine, lambda: _ask(stage.engine, CHAT, "hello", 20)) / 20
    passing = _cpu(stage.floor, lambda: _ask(stage.floor, "/chat", "hello", 20)) / 20
    return (
        Figure("time to the first token, added by the engine", added, "ms", target=10, runs=len(ours)),
        Figure("time to the first token", middle(ours), "ms", floor=middle(theirs), runs=len(ours)),
        Figure("a turn of one token, CPU", turn * 1000, "ms", floor=passing * 1000, runs=20),
    )


def tokens(stage: Stage) -> Sequence[Figure]:
    engine, floor = stage.engine, stage.floor
    ours: list[float] = []
    theirs: list[float] = []
    lost = 0
    for _ in range(FLOODS):
        seconds, answer = cpu_per_thousand(engine, CHAT, "flood", TOKENS)
        ours.append(seconds)
        lost = max(lost, _lost(answer, FLOOD))
        theirs.append(cpu_per_thousand(floor, "/chat", "flood", TOKENS)[0])
    calm, _ = cpu_per_thousand(engine, CHAT, "paced", 400)
    calm_floor, _ = cpu_per_thousand(floor, "/chat", "paced", 400)
    speed = "CPU for 1,000 tokens"
    return (
        Figure(f"{speed}, at full speed", middle(ours), "s", target=0.2, floor=middle(theirs), runs=FLOODS),
        Figure(f"{speed}, at 200 a second", calm, "s", floor=calm_floor, note="each one a wake-up of its own"),
        Figure("tokens lost at full speed", lost, f"of {TOKENS:,}", target=0, runs=FLOODS),
    )


def followers(stage: Stage) -> Sequence[Figure]:
    """One run that many watch: what each further one costs."""
    alone, _ = cpu_per_thousand(stage.engine, CHAT, "paced", 400)
    lost: list[int] = []
    together = _cpu(stage.engine, lambda: lost.extend(_watched(stage.engine))) * 1000 / 400
    return (
        Figure(
            "CPU for 1,000 tokens, each further reader of a run",
            (together - alone) / (FOLLOWERS - 1),
            "s",
            note=f"{FOLLOWERS} readers, at 200 tokens a second",
        ),
        Figure(f"tokens lost by {FOLLOWERS} readers of a run", max(lost), "of 400", target=0),
    )


def cpu_per_thousand(process: Process, path: str, text: str, count: int) -> tuple[float, Timed]:
    """CPU seconds that the process spent on 1,000 of the tokens, the turn around them included."""
    answers: list[Timed] = []

    def ask() -> None:
        with Client(process.url) as client:
            answers.append(client.chat(path, text))

    return _cpu(process, ask) * 1000 / count, answers[0]


def _watched(engine: Process) -> list[int]:
    """Tokens that each reader lost: one asks, the others follow as soon as the run is known."""
    with Client(engine.url) as client, ThreadPoolExecutor(FOLLOWERS) as pool:
        asked = pool.submit(_whole, engine, "POST", CHAT)
        run = _newest_run(client)
        rest = [pool.submit(_whole, engine, "GET", f"{API}/agent/runs/{run}/events") for _ in range(FOLLOWERS - 1)]
        return [_lost(each.result(), PACED) for each in (asked, *rest)]


def _whole(engine: Process, method: str, path: str) -> Timed:
    with Client(engine.url) as client:
        return client.chat(path, "paced") if method == "POST" else client.get(path)


def _newest_run(client: Client) -> str:
    for _ in range(200):
        items = client.get(f"{API}/agent/runs?state=running&limit=1").whole()["data"]
        if items:
            return str(items[0]["run_id"])
    raise RuntimeError("the run was not listed")


def _lost(answer: Timed, expected: str) -> int:
    """Words of the text that are missing; all of them where the text is another one."""
    text = "".join(event["text"] for event in answer.events if event["type"] == "token")
    missing = len(expected.split()) - len(text.split())
    return missing if missing or text == expected else len(expected.split())


def _ask(process: Process, path: str, text: str, times: int) -> None:
    with Client(process.url) as client:
        for _ in range(times):
            client.chat(path, text)


def _cpu(process: Process, work: Callable[[], None]) -> float:
    before = process.cpu()
    work()
    return process.cpu() - before
