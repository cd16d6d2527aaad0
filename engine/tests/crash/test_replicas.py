"""Test two engines on one PostgreSQL and one Redis: each may serve any request, die, freeze or lose Redis."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
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
from tests.support.ports import free_port
from tests.support.reducer import reduce
from tests.support.scripted_model import ScriptedModel
from tests.support.services import RedisServer
from tests.support.waiting import PATIENCE, give_time, wait_until

SECRET = "0123456789abcdef0123456789abcdef-of-the-replicas"


@dataclass
class Pair:
    """Two engines. Failpoints may be armed in the first. `thing` is the prefix of this test's things."""

    a: EngineProcess
    b: EngineProcess
    counting: CountingProcess
    thing: str
    stack: ExitStack

    def client(self, engine: EngineProcess) -> RetryingClient:
        client = RetryingClient(engine)
        self.stack.callback(client.close)
        return client

    def new_run(self, text: str = "", *, both: bool = True) -> FollowedRun:
        """Create a run on the first engine."""
        return FollowedRun(self.client(self.a), text or change_request(self.thing, both=both))

    def joined(self, talk: FollowedRun) -> FollowedRun:
        """Return the same run as a client of the second engine follows it."""
        return FollowedRun(self.client(self.b), talk.text, run_id=talk.run_id, conversation_id=talk.conversation_id)

    def check(self, talk: FollowedRun) -> None:
        """Check the invariants as the second engine reports them."""
        check_invariants(ScenarioContext(talk.client, self.counting, self.thing), talk)

    @property
    def effects(self) -> list[str]:
        told = ScenarioContext(self.client(self.b), self.counting, self.thing).effects()
        return [str(effect["name"]).removeprefix(self.thing) for effect in told]


@pytest.fixture
def pair(
    engine_factory: EngineFactory, counting: CountingProcess, shared_redis: RedisServer, tmp_path: Path
) -> Iterator[Callable[..., Pair]]:
    with ExitStack() as stack:

        def start(failpoints: str = "", redis: str = shared_redis.url) -> Pair:
            a = engine_factory.engine("postgres", counting, REDIS_URL=redis, JWT_SECRET=SECRET)
            stack.callback(engine_factory.drop, a)
            b = engine_factory.replica(tmp_path, a.database, counting, REDIS_URL=redis, JWT_SECRET=SECRET)
            stack.callback(b.kill)
            a.start(failpoints)
            b.start()
            return Pair(a, b, counting, f"r{time.time_ns():x}", stack)

        yield start


def _seconds(act: Callable[[], object]) -> float:
    before = time.monotonic()
    act()
    return time.monotonic() - before


def _texts(talk: FollowedRun) -> list[str]:
    return [generation.text for generation in reduce(talk.events).generations.values()]


@pytest.mark.promise("replay", "detached", "once")
def test_run_can_be_followed_and_decided_on_another_engine(pair: Callable[..., Pair]) -> None:
    engines = pair()
    first = engines.new_run()
    first.post()
    second = engines.joined(first)
    second.follow()
    assert len([event for event in second.events if event["type"] == "token"]) >= 5, "as it came, not as one piece"
    for call_id in reversed(second.open_calls):
        assert second.decide(call_id).status_code == 200
    follower = threading.Thread(target=first.follow)
    follower.start()
    second.follow()
    follower.join(timeout=PATIENCE)
    assert first.run()["state"] == "completed"
    assert _texts(first) == _texts(second)
    assert engines.effects == ["-a", "-b"]
    engines.check(second)


@pytest.mark.promise("stop")
def test_stop_on_one_engine_ends_a_run_on_another(pair: Callable[..., Pair], model: ScriptedModel) -> None:
    engines = pair()
    first = engines.new_run(SLOW_REQUEST)
    first.post()
    second = engines.joined(first)
    wait_until(lambda: model.requests[-1].ended == "open" and model.requests[-1].events > 5, "the model's speaking")
    asked = model.requests[-1]
    second.stop()
    assert _seconds(lambda: wait_until(lambda: asked.ended == "closed", "the end of the model's connection")) < 20
    second.until("stopped")
    second.follow()
    first.follow()
    assert _texts(first) == _texts(second)
    assert 0 < len(_texts(first)[0]) < len(SLOW_TEXT)


@pytest.mark.promise("bus-loss", "replay")
def test_run_survives_the_loss_of_redis(pair: Callable[..., Pair], start_redis: Callable[[int], ExitStack]) -> None:
    port = free_port()
    redis = start_redis(port)
    engines = pair(redis=f"redis://127.0.0.1:{port}/0")
    first = engines.new_run(SLOW_REQUEST)
    first.post()
    second = engines.joined(first)
    follower = threading.Thread(target=second.follow)
    follower.start()
    wait_until(lambda: any(event["type"] == "token" for event in second.events), "the first token")
    redis.close()
    follower.join(timeout=PATIENCE)
    first.follow()
    assert _texts(first) == _texts(second) == [SLOW_TEXT]
    third = engines.new_run(both=False)
    third.chat()
    fourth = engines.joined(third)
    assert fourth.decide(third.call(engines.thing)).status_code == 200
    fourth.until("completed")
    assert engines.effects == [""], "without Redis all goes on"


@pytest.mark.promise("recovery", "once")
def test_other_engine_settles_the_change_of_a_dead_engine(pair: Callable[..., Pair]) -> None:
    engines = pair("ledger.send:after=kill")
    second, call_id = _decided_on_the_first(engines)
    engines.a.wait_until_gone()
    assert engines.a.killed
    second.until("completed")
    second.follow()
    assert second.approval(call_id)["outcome"] == "succeeded", "the tool server's own word"
    assert engines.effects == [""]
    engines.check(second)


@pytest.mark.promise("once", "unknown", "one-owner")
def test_thawed_engine_can_not_run_a_settled_change(pair: Callable[..., Pair]) -> None:
    """Freeze an engine between `started` and sending, settle its change as never run, then let it send."""
    engines = pair("ledger.send:before=freeze")
    second, call_id = _decided_on_the_first(engines)
    second.until("completed")
    second.follow()
    settled = second.approval(call_id)
    assert settled["outcome"] == "failed"
    assert "never" in settled["error"]
    before = second.replay()
    _thaw(engines.a)
    assert engines.effects == []
    assert second.approval(call_id) == settled
    assert second.replay() == before
    engines.check(second)


@pytest.mark.promise("one-owner", "ordered", "recovery")
def test_engine_that_lost_its_lease_writes_nothing(pair: Callable[..., Pair], model: ScriptedModel) -> None:
    engines = pair()
    first = engines.new_run(SLOW_REQUEST)
    first.post()
    second = engines.joined(first)
    wait_until(lambda: model.requests[-1].ended == "open" and model.requests[-1].events > 5, "the model's speaking")
    engines.a.signal(signal.SIGSTOP)
    second.until("completed")
    second.follow()
    assert second.run()["restarts"] >= 1
    assert _texts(second) == [SLOW_TEXT], "begun anew, and told once"
    before = second.replay()
    _thaw(engines.a)
    assert second.replay() == before
    first.follow()
    assert _texts(first) == [SLOW_TEXT]
    engines.check(second)


def _decided_on_the_first(engines: Pair) -> tuple[FollowedRun, str]:
    """Approve a change on the first engine, which dies or freezes; return the run as the second engine follows it."""
    first = engines.new_run(both=False)
    first.chat()
    second = engines.joined(first)
    second.follow()
    call_id = second.call(engines.thing)
    leaving = FollowedRun(RetryingClient(engines.a, restarts=False), first.text, conversation_id=first.conversation_id)
    leaving.client.http.timeout = httpx.Timeout(1)
    with contextlib.closing(leaving.client), contextlib.suppress(httpx.TransportError):
        leaving.decide(call_id)
    return second, call_id


def _thaw(engine: EngineProcess) -> None:
    """Resume a frozen engine and give it time to act."""
    engine.signal(signal.SIGCONT)
    with loopback() as http:
        wait_until(lambda: http.get(f"{engine.url}/health").status_code == 200, "its answer")
    give_time(1)
