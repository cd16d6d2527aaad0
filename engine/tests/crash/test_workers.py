"""Test processes that only serve HTTP and processes that only execute runs, on one PostgreSQL and one Redis."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.client import FollowedRun, RetryingClient
from tests.support.counting_process import CountingProcess
from tests.support.crash_scenarios import ScenarioContext, check_invariants
from tests.support.crash_script import SLOW_REQUEST, SLOW_TEXT, change_request
from tests.support.engines import EngineFactory, EngineProcess
from tests.support.loopback import loopback
from tests.support.reducer import reduce
from tests.support.scripted_model import ScriptedModel
from tests.support.services import RedisServer
from tests.support.site import read_health
from tests.support.waiting import wait_until

SECRET = "0123456789abcdef0123456789abcdef-of-the-workers"
NEVER = "600"
"""Seconds of leases and sweeps: what happens within a test's patience happens by offers and polls."""


@dataclass
class Split:
    """One process that serves HTTP. `start` starts another process of a role; all of them end with the test."""

    api: EngineProcess
    factory: EngineFactory
    counting: CountingProcess
    settings: dict[str, str]
    folder: Path
    stack: ExitStack

    @contextmanager
    def running(self, role: str) -> Iterator[EngineProcess]:
        with ExitStack() as stack:
            engine = self.factory.replica(
                self.folder, self.api.database, self.counting, **self.settings, ENGINE_ROLE=role
            )
            stack.callback(engine.kill)
            engine.start()
            yield engine

    def new_run(self, text: str) -> FollowedRun:
        client = RetryingClient(self.api)
        self.stack.callback(client.close)
        return FollowedRun(client, text)


@pytest.fixture(scope="module")
def split(
    engine_factory: EngineFactory,
    counting: CountingProcess,
    shared_redis: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Split]:
    settings = {
        "REDIS_URL": shared_redis.url,
        "JWT_SECRET": SECRET,
        "RUN_LEASE_SECONDS": NEVER,
        "RUN_SWEEP_SECONDS": NEVER,
    }
    with ExitStack() as stack:
        api = engine_factory.engine("postgres", counting, **settings, ENGINE_ROLE="api")
        stack.callback(engine_factory.drop, api)
        api.start()
        yield Split(api, engine_factory, counting, settings, tmp_path_factory.mktemp("workers"), stack)


@pytest.mark.promise("once", "replay")
def test_worker_executes_what_the_other_process_was_asked(split: Split) -> None:
    with split.running("worker") as worker:
        talk = split.new_run(change_request("split", both=False))
        talk.chat()
        assert talk.decide(talk.call("split")).status_code == 200
        talk.until("completed")
        talk.follow()
        assert [event["type"] for event in talk.events].count("token") >= 5, "live, through Redis"
        check_invariants(ScenarioContext(talk.client, split.counting, "split"), talk)
        assert [effect.name for effect in split.counting.effects() if effect.name == "split"] == ["split"]
        _check_roles(split.api, worker)


def _check_roles(api: EngineProcess, worker: EngineProcess) -> None:
    """Check that a worker serves its health only, and that each process reports what it needs itself."""
    assert read_health(api)["workers"] == "ok"
    assert "model" not in read_health(api)
    assert read_health(worker)["model"] == "ok"
    assert "workers" not in read_health(worker)
    with loopback() as http:
        answers: list[httpx.Response] = [http.get(f"{worker.url}{path}") for path in ("/agent/runs", "/auth/me")]
    assert [answer.status_code for answer in answers] == [404, 404]


@pytest.mark.promise("recovery", "replay")
def test_stopped_worker_hands_its_run_to_another_process(split: Split, model: ScriptedModel) -> None:
    """The other process executes runs as well as it serves HTTP: it polls nothing, so it learns of them by offers."""
    with split.running("worker") as worker:
        talk = split.new_run(SLOW_REQUEST)
        model.requests.clear()
        talk.post()
        wait_until(lambda: any(asked.events > 5 for asked in list(model.requests)), "the model's speaking")
        with split.running("all"):
            worker.signal(signal.SIGTERM)
            worker.wait_until_gone()
            talk.follow()
            talk.until("completed")
            later = split.new_run("hello")
            later.chat()
            assert later.run()["state"] == "completed"
    assert talk.run()["restarts"] == 0
    assert [each.text for each in reduce(talk.events).generations.values()] == [SLOW_TEXT]


@pytest.mark.promise("recovery", "stop")
def test_run_without_a_worker_waits_and_is_reported(split: Split) -> None:
    waiting, stopped = split.new_run("hello"), split.new_run("hello")
    waiting.post()
    stopped.post()
    wait_until(lambda: read_health(split.api)["workers"] == "degraded", "the report of the missing worker")
    assert read_health(split.api)["code"] == 200
    stopped.stop()
    assert stopped.run()["state"] == "stopped"
    with split.running("worker"):
        waiting.follow()
        assert waiting.run()["state"] == "completed"
        assert read_health(split.api)["workers"] == "ok"
