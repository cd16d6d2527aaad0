"""Test replicas behind a load balancer: engines that go, and a PostgreSQL and Redis that restart, crash or freeze."""

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from src.api.adapters.store.migrations import migrate
from tests.support.breakable import BreakableService, breakable_postgres, breakable_redis
from tests.support.client import FollowedRun
from tests.support.counting_process import CountingProcess
from tests.support.crash_script import SLOW_REQUEST, SLOW_TEXT, change_request
from tests.support.engines import EngineFactory
from tests.support.reducer import reduce
from tests.support.scripted_model import ScriptedModel
from tests.support.services import UnavailableError, database_name
from tests.support.site import Site
from tests.support.tcp_proxy import open_tcp_proxy
from tests.support.waiting import PATIENCE, wait_until

SECRET = "0123456789abcdef0123456789abcdef-of-the-outages"


@dataclass
class BreakableSite:
    """Three engines, and the services that they share."""

    site: Site
    services: dict[str, BreakableService]

    def wait_until_healthy(self) -> None:
        def is_ok() -> bool:
            return all(each["database"] == each["redis"] == "ok" for each in self.site.read_health())

        wait_until(is_ok, "the health of all engines")


@pytest.fixture(scope="module")
def breakable(
    engine_factory: EngineFactory, counting: CountingProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BreakableSite]:
    with ExitStack() as stack:
        try:
            postgres, direct, proxied = stack.enter_context(breakable_postgres())
            redis, redis_server = stack.enter_context(breakable_redis())
        except UnavailableError as error:
            pytest.fail(str(error))
        database = direct.create_database()
        asyncio.run(migrate(database))
        name = database_name(database)
        url = f"{proxied.url.rpartition('/')[0]}/{name}"
        engines = [
            engine_factory.replica(
                tmp_path_factory.mktemp("outages"), url, counting, REDIS_URL=redis_server.url, JWT_SECRET=SECRET
            )
            for _ in range(3)
        ]
        balancer = stack.enter_context(open_tcp_proxy(*(engine.port for engine in engines)))
        site = Site(engines, balancer, counting)
        stack.callback(site.close)
        site.start()
        yield BreakableSite(site, {"postgres": postgres, "redis": redis})


@dataclass
class _Work:
    """Runs in the middle of their text, each with its reader, and a change that waits for approval."""

    talks: list[FollowedRun]
    readers: list[threading.Thread]
    change: FollowedRun
    thing: str

    def finish(self, site: Site) -> None:
        """Wait for the end of everything: every text once and whole, and the change made once."""
        for reader in self.readers:
            reader.join(timeout=PATIENCE)
        for talk in self.talks:
            talk.follow()
            talk.until()
            assert talk.run()["state"] == "completed", talk.run()
            assert [each.text for each in reduce(talk.events).generations.values()] == [SLOW_TEXT]
            site.check(talk)
        self.change.until()
        self.change.follow()
        assert self.change.run()["state"] == "completed", self.change.run()
        assert site.effects(self.thing) == [self.thing]
        site.check(self.change, self.thing)


def _begin_work(site: Site, model: ScriptedModel, runs: int) -> _Work:
    thing = f"o{time.time_ns():x}"
    change = site.new_run(change_request(thing, both=False))
    change.chat()
    model.requests.clear()
    talks = [site.new_run(SLOW_REQUEST) for _ in range(runs)]
    for talk in talks:
        talk.post()
    readers = [threading.Thread(target=talk.follow, daemon=True) for talk in talks]
    for reader in readers:
        reader.start()
    wait_until(lambda: sum(asked.events > 5 for asked in list(model.requests)) >= runs, "every model's speaking")
    return _Work(talks, readers, change, thing)


@contextmanager
def _deciding(work: _Work) -> Iterator[None]:
    """Approve the change meanwhile, as a person who tries again until it is taken."""
    decider = threading.Thread(target=work.change.decide, args=(work.change.call(work.thing),), daemon=True)
    decider.start()
    yield
    decider.join(timeout=PATIENCE)
    assert not decider.is_alive()


@pytest.mark.promise("once", "recovery", "replay", "bus-loss", "fail-closed")
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("postgres", "restart"),
        ("postgres", "crash"),
        ("postgres", "freeze"),
        ("postgres", "unreachable"),
        ("redis", "restart"),
        ("redis", "freeze"),
        ("redis", "unreachable"),
    ],
)
def test_outage_in_mid_stream_loses_and_repeats_nothing(
    breakable: BreakableSite, model: ScriptedModel, name: str, fault: str
) -> None:
    site, service = breakable.site, breakable.services[name]
    breakable.wait_until_healthy()
    work = _begin_work(site, model, runs=2)
    service.break_off(fault)
    with _deciding(work):
        try:
            if fault != "restart":
                _wait_until_reported(site, name)
        finally:
            service.mend(fault)
    work.finish(site)
    breakable.wait_until_healthy()


def _wait_until_reported(site: Site, name: str) -> None:
    """Wait until every engine says that the service is away: not ready without the database, degraded without Redis."""
    dependency, code, status = {"postgres": ("database", 503, "error"), "redis": ("redis", 200, "degraded")}[name]

    def is_reported() -> bool:
        found = [(each[dependency], each["code"], each["status"]) for each in site.read_health()]
        return set(found) == {("error", code, status)}

    wait_until(is_reported, f"the report of {name}'s outage")
    for engine in site.engines:
        assert engine.alive


@pytest.mark.promise("recovery", "replay", "stop")
def test_killed_engines_runs_are_recovered_and_stopped_through_others(
    breakable: BreakableSite, model: ScriptedModel
) -> None:
    site = breakable.site
    breakable.wait_until_healthy()
    work = _begin_work(site, model, runs=5)
    site.engines[0].kill()
    stopped = work.talks.pop()
    stopped.stop()
    with _deciding(work):
        stopped.until("stopped")
    work.finish(site)
    site.engines[0].start()


@pytest.mark.promise("recovery", "replay", "last-event")
def test_rolling_restart_loses_no_run_and_no_text(breakable: BreakableSite, model: ScriptedModel) -> None:
    """With leases and sweeps of ten minutes, a run goes on only where the engine that stops hands it over."""
    site = breakable.site
    for engine in site.engines:
        engine.kill()
        engine.environment = {**engine.environment, "RUN_LEASE_SECONDS": "600", "RUN_SWEEP_SECONDS": "600"}
        engine.start()
    breakable.wait_until_healthy()
    work = _begin_work(site, model, runs=6)
    with _deciding(work):
        for engine in site.engines:
            engine.signal(signal.SIGTERM)
            engine.wait_until_gone()
            assert engine.terminated_on_request
            engine.start()
    work.finish(site)
    assert [talk.run()["restarts"] for talk in work.talks] == [0] * 6
