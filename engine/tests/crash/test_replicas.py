"""Two engines on one PostgreSQL and one Redis: either may serve any request, die, freeze, or lose Redis."""

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

from tests.support.client import Client, Talk
from tests.support.counting import Counting
from tests.support.engines import Engine, Forge, loopback
from tests.support.reducer import reduce
from tests.support.scenario import SLOWLY, SLOWLY_SAID, asking
from tests.support.scenarios import World, check
from tests.support.scripted_model import ScriptedModel
from tests.support.services import RedisServer, free_port
from tests.support.waiting import PATIENCE, give_time, wait_until

SECRET = "0123456789abcdef0123456789abcdef-of-the-replicas"


@dataclass
class Pair:
    """Two engines, the first one's failpoints at choice. `thing` is the prefix of this test's things."""

    a: Engine
    b: Engine
    counting: Counting
    thing: str
    stack: ExitStack

    def client(self, engine: Engine) -> Client:
        client = Client(engine)
        self.stack.callback(client.close)
        return client

    def talk(self, text: str = "", *, both: bool = True) -> Talk:
        """A talk with the first engine."""
        return Talk(self.client(self.a), text or asking(self.thing, both=both))

    def joined(self, talk: Talk) -> Talk:
        """The same run, as a client of the second engine follows it."""
        return Talk(self.client(self.b), talk.text, run_id=talk.run_id, conversation_id=talk.conversation_id)

    def check(self, talk: Talk) -> None:
        """What holds at every rest, as the second engine tells it."""
        check(World(talk.client, self.counting, self.thing), talk)

    @property
    def effects(self) -> list[str]:
        told = World(self.client(self.b), self.counting, self.thing).effects()
        return [str(effect["name"]).removeprefix(self.thing) for effect in told]


@pytest.fixture
def pair(forge: Forge, counting: Counting, shared_redis: RedisServer, tmp_path: Path) -> Iterator[Callable[..., Pair]]:
    with ExitStack() as stack:

        def start(failpoints: str = "", redis: str = shared_redis.url) -> Pair:
            a = forge.engine("postgres", counting, REDIS_URL=redis, JWT_SECRET=SECRET)
            stack.callback(forge.drop, a)
            b = forge.replica(tmp_path, a.database, counting, REDIS_URL=redis, JWT_SECRET=SECRET)
            stack.callback(b.kill)
            a.start(failpoints)
            b.start()
            return Pair(a, b, counting, f"r{time.time_ns():x}", stack)

        yield start


def _seconds(act: Callable[[], object]) -> float:
    before = time.monotonic()
    act()
    return time.monotonic() - before


def _texts(talk: Talk) -> list[str]:
    return [generation.text for generation in reduce(talk.events).generations.values()]


@pytest.mark.promise("replay", "detached", "once")
def test_a_run_on_one_engine_is_followed_and_decided_on_the_other(pair: Callable[..., Pair]) -> None:
    engines = pair()
    first = engines.talk()
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
def test_stop_on_one_engine_ends_a_run_on_the_other(pair: Callable[..., Pair], model: ScriptedModel) -> None:
    engines = pair()
    first = engines.talk(SLOWLY)
    first.post()
    second = engines.joined(first)
    wait_until(lambda: model.asked[-1].ended == "open" and model.asked[-1].events > 5, "the model's speaking")
    asked = model.asked[-1]
    second.stop()
    assert _seconds(lambda: wait_until(lambda: asked.ended == "closed", "the end of the model's connection")) < 20
    second.until("stopped")
    second.follow()
    first.follow()
    assert _texts(first) == _texts(second)
    assert 0 < len(_texts(first)[0]) < len(SLOWLY_SAID)


@pytest.mark.promise("doorbell", "replay")
def test_redis_goes_in_the_middle_of_a_run(pair: Callable[..., Pair], start_redis: Callable[[int], ExitStack]) -> None:
    port = free_port()
    redis = start_redis(port)
    engines = pair(redis=f"redis://127.0.0.1:{port}/0")
    first = engines.talk(SLOWLY)
    first.post()
    second = engines.joined(first)
    follower = threading.Thread(target=second.follow)
    follower.start()
    wait_until(lambda: any(event["type"] == "token" for event in second.events), "the first token")
    redis.close()
    follower.join(timeout=PATIENCE)
    first.follow()
    assert _texts(first) == _texts(second) == [SLOWLY_SAID]
    third = engines.talk(both=False)
    third.chat()
    fourth = engines.joined(third)
    assert fourth.decide(third.call(engines.thing)).status_code == 200
    fourth.until("completed")
    assert engines.effects == [""], "without Redis all goes on"


@pytest.mark.promise("recovery", "once")
def test_one_engine_dies_over_a_change_and_the_other_finds_out(pair: Callable[..., Pair]) -> None:
    engines = pair("ledger.send:after=kill")
    second, call_id = _decided_on_the_first(engines)
    engines.a.gone()
    assert engines.a.killed
    second.until("completed")
    second.follow()
    assert second.approval(call_id)["outcome"] == "succeeded", "the tool server's own word"
    assert engines.effects == [""]
    engines.check(second)


@pytest.mark.promise("once", "unknown", "one-owner")
def test_an_engine_that_wakes_after_its_change_was_settled_changes_nothing(pair: Callable[..., Pair]) -> None:
    """It froze between `started` and sending, and was told never to have run: then it sends."""
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
def test_an_engine_that_slept_past_its_lease_writes_nothing_more(
    pair: Callable[..., Pair], model: ScriptedModel
) -> None:
    engines = pair()
    first = engines.talk(SLOWLY)
    first.post()
    second = engines.joined(first)
    wait_until(lambda: model.asked[-1].ended == "open" and model.asked[-1].events > 5, "the model's speaking")
    engines.a.signal(signal.SIGSTOP)
    second.until("completed")
    second.follow()
    assert second.run()["restarts"] == 1
    assert _texts(second) == [SLOWLY_SAID], "begun anew, and told once"
    before = second.replay()
    _thaw(engines.a)
    assert second.replay() == before
    first.follow()
    assert _texts(first) == [SLOWLY_SAID]
    engines.check(second)


def _decided_on_the_first(engines: Pair) -> tuple[Talk, str]:
    """A change approved at the first engine, which ends or freezes over it; the talk as the second one follows it."""
    first = engines.talk(both=False)
    first.chat()
    second = engines.joined(first)
    second.follow()
    call_id = second.call(engines.thing)
    leaving = Talk(Client(engines.a, restarts=False), first.text, conversation_id=first.conversation_id)
    leaving.client.http.timeout = httpx.Timeout(1)
    with contextlib.closing(leaving.client), contextlib.suppress(httpx.TransportError):
        leaving.decide(call_id)
    return second, call_id


def _thaw(engine: Engine) -> None:
    """It wakes, and does what it was about to do."""
    engine.signal(signal.SIGCONT)
    with loopback() as http:
        wait_until(lambda: http.get(f"{engine.url}/health").status_code == 200, "its answer")
    give_time(1)
