"""Start an engine in server mode: PostgreSQL, Redis and sign-in, with people who are signed in."""

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.harness import Harness
from bench.people import register_people
from bench.processes import Process, wait_until
from tests.support.postgres_proxy import PostgresProxy, postgres_proxy

__all__ = ["ServerMode", "start_counted", "start_server_mode"]

API_READY = "/api/v1/health/ready"


@dataclass(frozen=True, slots=True)
class ServerMode:
    """A warm engine in server mode, and the access tokens of its people."""

    engine: Process
    tokens: Sequence[str]


def start_server_mode(harness: Harness, people: int, database: str | None = None, processes: int = 1) -> ServerMode:
    """Start an engine of some processes on an empty database (or on `database`) and register people."""
    url = database or harness.create_database()
    engine = harness.new_engine(**_settings(url, harness.redis.url), ENGINE_PROCESSES=str(processes))
    if processes > 1:
        _wait_for_processes(engine, processes)
    starting = b'"starting"'
    wait_until(lambda: starting not in (engine.get_body(API_READY) or starting), "a warm engine", interval=0.1)
    return ServerMode(engine, asyncio.run(register_people(engine, people)))


def _wait_for_processes(engine: Process, count: int) -> None:
    """Wait until all processes accept connections, and have loaded what a first chat needs."""
    wait_until(lambda: engine.log.read_text().count("action=process.listens") == count, "the processes", interval=0.1)
    wait_until(lambda: engine.log.read_text().count("action=tools.up") == count, "their tools", interval=0.1)


def _settings(database: str, redis: str) -> Mapping[str, Any]:
    return {
        "LOCAL_MODE": "false",
        "JWT_SECRET": "a secret of the benchmarks, of 40 characters",
        "REGISTRATION_ENABLED": "true",
        "POSTGRES_DATABASE_URL": database,
        "REDIS_URL": redis,
    }


@contextmanager
def start_counted(harness: Harness, people: int) -> Iterator[tuple[ServerMode, PostgresProxy]]:
    """Start an engine whose statements pass through a proxy, which lists them as `executed`."""
    url = harness.create_database()
    with _proxy_in_thread(url) as (proxy, through):
        yield start_server_mode(harness, people, through), proxy


@contextmanager
def _proxy_in_thread(url: str) -> Iterator[tuple[PostgresProxy, str]]:
    started, ended = threading.Event(), threading.Event()
    opened: list[tuple[PostgresProxy, str]] = []

    async def serve() -> None:
        async with postgres_proxy(url) as proxy:
            opened.append(proxy)
            started.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    if not started.wait(10):
        raise RuntimeError("the proxy in front of PostgreSQL did not start")
    try:
        yield opened[0]
    finally:
        ended.set()
        thread.join(10)
