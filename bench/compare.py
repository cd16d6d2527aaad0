"""Measure how heavy requests slow down others: logins against a stream, large bodies against a health check."""

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
from bench.harness import API, CHAT, Harness
from bench.processes import Process
from bench.results import Measurement

__all__ = ["large_bodies", "logins"]

USERS = 10
ROUNDS = 3
LARGE = 10_000_000
PIECE = 50_000
BODIES = 12
PASSWORD = "a password of the benchmarks"  # noqa: S105 - for users who exist for a second
CHECK_INTERVAL = 0.01


def logins(harness: Harness) -> Sequence[Measurement]:
    """Measure the longest pause of a stream with a token every 5 ms, alone and while ten users sign in."""
    engine = harness.new_engine(REGISTRATION_ENABLED="true")
    harness.warm_up(engine)
    names = [f"person{number}@example.com" for number in range(USERS)]
    _run_concurrently([lambda name=name: _register(engine, name) for name in names])  # type: ignore[misc]
    alone = [_longest_pause(engine, []) for _ in range(ROUNDS)]
    with_logins = [_longest_pause(engine, names) for _ in range(ROUNDS)]
    idle = _slowest_health_check(engine, [])
    busy = _slowest_health_check(engine, [lambda name=name: _login(engine, name) for name in names * 2])  # type: ignore[misc]
    engine.end()
    return (
        Measurement(
            "longest pause of a stream while ten users sign in at once",
            max(with_logins),
            "ms",
            target=150,
            floor=max(alone),
            runs=ROUNDS,
            note="the maximum of all runs, not the median; the floor is the same stream without sign-ins",
        ),
        Measurement("slowest health check while ten users sign in, twice each", busy, "ms", target=150, floor=idle),
    )


def large_bodies(harness: Harness) -> Sequence[Measurement]:
    """Measure the slowest health check during uploads of 10 MB, with and without a declared length.

    The floor is a health check without uploads.
    """
    engine = harness.engine
    idle = _slowest_health_check(engine, [])
    length, chunk = f"Content-Length: {LARGE}", f"{PIECE:x}\r\n".encode() + b" " * PIECE + b"\r\n"
    declared = _slowest_health_check(engine, [lambda: _upload(engine, length, b" " * PIECE)] * BODIES)
    streamed = _slowest_health_check(engine, [lambda: _upload(engine, "Transfer-Encoding: chunked", chunk)] * BODIES)
    name = "slowest health check during uploads of 10 MB"
    return (
        Measurement(f"{name}, refused by their declared length", declared, "ms", target=100, floor=idle, runs=BODIES),
        Measurement(f"{name}, without a declared length", streamed, "ms", target=100, floor=idle, runs=BODIES),
    )


def _longest_pause(engine: Process, names: Sequence[str]) -> float:
    """Return milliseconds, measured from the stream's first token to its last."""
    with ThreadPoolExecutor(1 + USERS) as pool:
        stream = pool.submit(_stream, engine)
        time.sleep(0.5)
        for done in [pool.submit(_login, engine, name) for name in names]:
            done.result()
        return stream.result()


def _stream(engine: Process) -> float:
    with Client(engine.url) as client:
        arrivals = [moment for moment, _ in client.chat(CHAT, "paced").arrivals]
    return max(later - earlier for earlier, later in pairwise(arrivals[3:-3])) * 1000


def _slowest_health_check(engine: Process, load: Sequence[Callable[[], None]]) -> float:
    """Return the milliseconds of the slowest health check while the load runs, or within a second without load."""
    with ThreadPoolExecutor(USERS) as pool:
        tasks: list[Future[None]] = [pool.submit(one) for one in load] or [pool.submit(time.sleep, 1.0)]
        slowest = 0.0
        connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=30)
        while not all(one.done() for one in tasks):
            began = time.perf_counter()
            connection.request("GET", f"{API}/health")
            connection.getresponse().read()
            slowest = max(slowest, time.perf_counter() - began)
            time.sleep(CHECK_INTERVAL)
        connection.close()
        for one in tasks:
            one.result()
    return slowest * 1000


def _run_concurrently(work: Sequence[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(USERS) as pool:
        for done in [pool.submit(one) for one in work]:
            done.result()


def _register(engine: Process, name: str) -> None:
    body = json.dumps({"email": name, "password": PASSWORD})
    _post(engine, "/auth/register/register", body, "application/json", 201)


def _login(engine: Process, name: str) -> None:
    form = urlencode({"username": name, "password": PASSWORD})
    _post(engine, "/auth/jwt/login", form, "application/x-www-form-urlencoded", 200)


def _post(engine: Process, path: str, body: str, kind: str, expected_status: int) -> None:
    """Send a request with the standard library: a heavier HTTP client would slow down measurements in this process."""
    connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=60)
    connection.request("POST", f"{API}{path}", body, {"Content-Type": kind})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status != expected_status:
        raise RuntimeError(f"{answer.status} at {path}: {content[:300]!r}")


def _upload(engine: Process, framing: str, piece: bytes) -> None:
    """Send a body until the engine closes the connection, and check its response."""
    head = (
        f"POST {API}/conversations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", engine.port), timeout=60) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(head.encode())
            for _ in range(LARGE // PIECE):
                connection.sendall(piece)
        with suppress(ConnectionResetError):
            content = connection.recv(12)
            if content not in (b"HTTP/1.1 413", b""):
                raise RuntimeError(f"a body of 10 MB was answered by {content!r}")
