"""Test several engine processes behind one port, as `skyflo up --workers 2` runs them."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager

import httpx
import pytest

from tests.support.client import FollowedRun
from tests.support.counting_process import CountingProcess
from tests.support.crash_scenarios import ScenarioContext, check_invariants
from tests.support.crash_script import SLOW_REQUEST, SLOW_TEXT, change_request
from tests.support.engines import EngineFactory
from tests.support.process_group import ProcessGroup, run_process_group
from tests.support.reducer import reduce
from tests.support.scripted_model import ScriptedModel
from tests.support.services import RedisServer
from tests.support.waiting import PATIENCE, is_alive, wait_until

SECRET = "0123456789abcdef0123456789abcdef-of-the-processes"
RUNS = 8
LONG = "60"
"""Seconds of a lease that no busy machine loses: a run that waits for its end was not handed over."""

Start = Callable[..., AbstractContextManager[ProcessGroup]]


@pytest.fixture
def start_group(engine_factory: EngineFactory, counting: CountingProcess, shared_redis: RedisServer) -> Iterator[Start]:
    """Yield a function that starts processes on the database of this test; settings are those of one engine."""
    with ExitStack() as stack:
        engine = engine_factory.engine("postgres", counting, REDIS_URL=shared_redis.url, JWT_SECRET=SECRET)
        stack.callback(engine_factory.drop, engine)

        @contextmanager
        def start(**settings: str) -> Iterator[ProcessGroup]:
            with run_process_group(engine.log.parent, {**engine.environment, **settings}) as group:
                yield group

        yield start


def _texts(run: FollowedRun) -> list[str]:
    return [generation.text for generation in reduce(run.events).generations.values()]


@pytest.mark.promise("once", "replay")
def test_any_process_streams_and_decides_any_run(start_group: Start, counting: CountingProcess) -> None:
    with start_group() as group:
        first = group.new_run(change_request("processes", both=False), number=1)
        first.chat()
        second = group.new_run(first.text, number=2)
        second.run_id, second.conversation_id = first.run_id, first.conversation_id
        second.follow()
        assert second.events == first.events
        assert second.decide(second.call("processes")).status_code == 200
        first.until("completed")
        first.follow()
        second.follow()
        assert second.events == first.events
        check_invariants(ScenarioContext(first.client, counting, "processes"), first)
        assert [effect.name for effect in counting.effects() if effect.name == "processes"] == ["processes"]
        ended = [group.read_metric(number, "skyflo_runs_ended_total") for number in (1, 2)]
        assert sorted(ended) == [0, 1], "each process counts what it has done"
        assert group.read_log().count("Skyflo is at") == 1


@pytest.mark.promise("recovery", "replay", "detached")
def test_killed_process_loses_no_run_and_is_replaced(start_group: Start) -> None:
    with start_group() as group:
        runs = [group.new_run(SLOW_REQUEST, number=1 + at % 2) for at in range(RUNS)]
        for run in runs:
            run.post()
        wait_until(lambda: group.read_metric(1, "skyflo_runs_executing") >= 1, "runs of the first process")
        before = group.pid_of(1)
        os.kill(before, signal.SIGKILL)
        for run in runs:
            run.follow()
        assert [run.run()["state"] for run in runs] == ["completed"] * RUNS
        assert [_texts(run) for run in runs] == [[SLOW_TEXT]] * RUNS
        assert sum(run.run()["restarts"] for run in runs) >= 1
        assert "engine process 1 was ended by SIGKILL and is started again" in group.read_log()
        group.wait_until_listening()
        assert group.pid_of(1) != before
        group.connect(1).close()


@pytest.mark.promise("recovery", "replay")
def test_sigterm_stops_all_processes_and_keeps_their_runs(start_group: Start, model: ScriptedModel) -> None:
    with start_group(RUN_LEASE_SECONDS=LONG) as group:
        runs = [group.new_run(SLOW_REQUEST, number) for number in (1, 2)]
        model.requests.clear()
        for run in runs:
            run.post()
        wait_until(lambda: sum(asked.events > 5 for asked in list(model.requests)) == 2, "the model's speaking")
        pids = [group.pid_of(number) for number in (1, 2)]
        group.parent.send_signal(signal.SIGTERM)
        assert group.parent.wait(PATIENCE) == 128 + signal.SIGTERM
        assert not any(map(is_alive, pids))
    with start_group(RUN_LEASE_SECONDS=LONG) as group:
        for run in runs:
            run.client.engine, run.client.http = group.new_run("").client.engine, group.connect(1)
            run.follow()
            assert (run.run()["state"], run.run()["restarts"]) == ("completed", 0), group.read_log()
            assert _texts(run) == [SLOW_TEXT]
            run.client.close()


def test_processes_stop_when_their_parent_is_killed(start_group: Start) -> None:
    with start_group() as group:
        pids = [group.pid_of(number) for number in (1, 2)]
        group.parent.kill()
        wait_until(lambda: not any(map(is_alive, pids)), "the end of the processes", PATIENCE)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{group.url}/health", trust_env=False)


def test_second_signal_ends_all_processes_at_once(start_group: Start) -> None:
    with start_group() as group:
        pids = [group.pid_of(number) for number in (1, 2)]
        os.kill(pids[0], signal.SIGSTOP)
        group.parent.send_signal(signal.SIGINT)
        wait_until(lambda: "Press Ctrl-C again" in group.read_log(), "the first signal's answer")
        group.parent.send_signal(signal.SIGINT)
        assert group.parent.wait(PATIENCE) == 130
        wait_until(lambda: not any(map(is_alive, pids)), "the end of the processes", PATIENCE)


def test_processes_share_one_bundled_tool_server(start_group: Start) -> None:
    with start_group(MCP_SERVER_URL="") as group:
        for number in (1, 2):
            _wait_for_tools(group, number)
        (before,) = _tool_servers(group)
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: group.read_log().count("action=tools.up") == 4, "both have its new address", PATIENCE)
        (after,) = _tool_servers(group)
        assert after != before


def _wait_for_tools(group: ProcessGroup, number: int) -> None:
    with closing(group.connect(number)) as http:

        def has_tools() -> bool:
            found = http.get(f"{group.url}/health/ready").json()["dependencies"]
            return {one["name"]: one["state"] for one in found}["tool servers"] == "ok"

        wait_until(has_tools, f"the tools of process {number}", PATIENCE)


def _tool_servers(group: ProcessGroup) -> list[int]:
    listed = subprocess.run(
        ["pgrep", "-P", str(group.parent.pid), "-f", "skyflo_tools"], capture_output=True, check=False
    )
    return [int(pid) for pid in listed.stdout.split()]
