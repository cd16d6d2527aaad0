"""What heavy requests cost those beside them: ten logins beside a stream, large bodies beside a health check."""

import http.client
import json
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from urllib.parse import urlencode

from bench.client import Client
from bench.figures import Figure
from bench.processes import Process
from bench.stage import API, CHAT, Stage

__all__ = ["large_bodies", "logins"]

PEOPLE = 10
ROUNDS = 3
LARGE = 10_000_000
PIECE = 50_000
BODIES = 12
PASSWORD = "a password of the benchmarks"  # noqa: S105 - of people who live for a second
BETWEEN = 0.01


def logins(stage: Stage) -> Sequence[Figure]:
    """The longest silence of a stream that has a token every 5 ms, alone and while ten people sign in at once."""
    engine = stage.new_engine(REGISTRATION_ENABLED="true")
    stage.warm(engine)
    names = [f"person{number}@example.com" for number in range(PEOPLE)]
    _together([lambda name=name: _register(engine, name) for name in names])  # type: ignore[misc]
    alone = [_longest_silence(engine, []) for _ in range(ROUNDS)]
    beside = [_longest_silence(engine, names) for _ in range(ROUNDS)]
    quiet = _slowest_health(engine, [])
    busy = _slowest_health(engine, [lambda name=name: _login(engine, name) for name in names * 2])  # type: ignore[misc]
    engine.end()
    return (
        Figure(
            "longest silence of a stream while ten sign in at once",
            max(beside),
            "ms",
            target=150,
            floor=max(alone),
            runs=ROUNDS,
            note="the longest of all runs, not their median; the floor is the same stream alone",
        ),
        Figure("slowest health check while ten sign in, twice each", busy, "ms", target=150, floor=quiet),
    )


def large_bodies(stage: Stage) -> Sequence[Figure]:
    """The slowest health check while bodies of 10 MB come in, with a length and without; the floor: without them."""
    engine = stage.engine
    quiet = _slowest_health(engine, [])
    length, chunk = f"Content-Length: {LARGE}", f"{PIECE:x}\r\n".encode() + b" " * PIECE + b"\r\n"
    declared = _slowest_health(engine, [lambda: _large(engine, length, b" " * PIECE)] * BODIES)
    streamed = _slowest_health(engine, [lambda: _large(engine, "Transfer-Encoding: chunked", chunk)] * BODIES)
    name = "slowest health check beside bodies of 10 MB"
    return (
        Figure(f"{name}, refused by their length", declared, "ms", target=100, floor=quiet, runs=BODIES),
        Figure(f"{name}, without a length", streamed, "ms", target=100, floor=quiet, runs=BODIES),
    )


def _longest_silence(engine: Process, names: Sequence[str]) -> float:
    """Milliseconds, from the stream's first token to its last."""
    with ThreadPoolExecutor(1 + PEOPLE) as pool:
        stream = pool.submit(_stream, engine)
        time.sleep(0.5)
        for done in [pool.submit(_login, engine, name) for name in names]:
            done.result()
        return stream.result()


def _stream(engine: Process) -> float:
    with Client(engine.url) as client:
        came = [moment for moment, _ in client.chat(CHAT, "paced").came]
    return max(later - earlier for earlier, later in pairwise(came[3:-3])) * 1000


def _slowest_health(engine: Process, beside: Sequence[Callable[[], None]]) -> float:
    """Milliseconds of the slowest of the checks that were made while all that was at work, or for a second."""
    with ThreadPoolExecutor(PEOPLE) as pool:
        at_work: list[Future[None]] = [pool.submit(one) for one in beside] or [pool.submit(time.sleep, 1.0)]
        slowest = 0.0
        connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=30)
        while not all(one.done() for one in at_work):
            began = time.perf_counter()
            connection.request("GET", f"{API}/health")
            connection.getresponse().read()
            slowest = max(slowest, time.perf_counter() - began)
            time.sleep(BETWEEN)
        connection.close()
        for one in at_work:
            one.result()
    return slowest * 1000


def _together(work: Sequence[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(PEOPLE) as pool:
        for done in [pool.submit(one) for one in work]:
            done.result()


def _register(engine: Process, name: str) -> None:
    body = json.dumps({"email": name, "password": PASSWORD})
    _post(engine, "/auth/register/register", body, "application/json", 201)


def _login(engine: Process, name: str) -> None:
    form = urlencode({"username": name, "password": PASSWORD})
    _post(engine, "/auth/jwt/login", form, "application/x-www-form-urlencoded", 200)


def _post(engine: Process, path: str, body: str, kind: str, wanted: int) -> None:
    """By the standard library: an HTTP client of more weight would hold up who measures in this process."""
    connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=60)
    connection.request("POST", f"{API}{path}", body, {"Content-Type": kind})
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    if answer.status != wanted:
        raise RuntimeError(f"{answer.status} at {path}: {said[:300]!r}")


def _large(engine: Process, framing: str, piece: bytes) -> None:
    """Sends until the engine has enough, and reads what it says."""
    head = (
        f"POST {API}/conversations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", engine.port), timeout=60) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(head.encode())
            for _ in range(LARGE // PIECE):
                connection.sendall(piece)
        with suppress(ConnectionResetError):
            said = connection.recv(12)
            if said not in (b"HTTP/1.1 413", b""):
                raise RuntimeError(f"a body of 10 MB was answered by {said!r}")
