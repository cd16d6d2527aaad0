"""Kill the engine at every failpoint, on both databases, and restart it.

Nothing may happen twice, nothing may be lost, and every run must come to rest.
"""

import contextlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.client import RetryingClient
from tests.support.counting_process import CountingProcess
from tests.support.crash_cases import OWN_PROVIDER, OWN_TOOLS, POLICIES, SETTINGS, Case, cases
from tests.support.crash_scenarios import SCENARIOS, ScenarioContext
from tests.support.engines import EngineFactory
from tests.support.hostile_provider import hostile_provider_in_thread
from tests.support.waiting import wait_until

LANES = 6


def go_through(case: Case, engine_factory: EngineFactory, counting: CountingProcess, folder: Path) -> None:
    with contextlib.ExitStack() as stack:
        if case.scenario in OWN_TOOLS:
            counting = CountingProcess(folder / str(abs(hash(case))))
            counting.start()
            stack.callback(counting.close)
        settings = dict(SETTINGS.get(case.scenario, {}))
        if case.scenario in OWN_PROVIDER:
            settings["OIDC_ISSUER"] = stack.enter_context(hostile_provider_in_thread()).issuer
        engine = engine_factory.engine(case.database, counting, **settings)
        stack.callback(engine_factory.drop, engine)
        if case.scenario in POLICIES:
            (engine.log.parent / "policy.yaml").write_text(POLICIES[case.scenario])
        engine.start(f"{case.point}=kill@{case.nth}")
        client = RetryingClient(engine)
        stack.callback(client.close)
        wait_until(lambda: _lists_tools(client), what="the list of tools")
        SCENARIOS[case.scenario](ScenarioContext(client, counting, f"t{abs(hash(case)):x}"))
        client.http.cookies.clear()  # the first session may have ended
        assert client.get("/audit/verify")["status"] == "intact"
        if not client.restart_count:
            engine.wait_until_gone()


def _lists_tools(client: RetryingClient) -> bool:
    """Return whether the engine has read the tool server's list, without which a run has no tools."""
    return any(tool["name"] == "change_thing" for tool in client.get("/agent/tools")["tools"])


@pytest.fixture(scope="module")
def campaign(
    request: pytest.FixtureRequest,
    engine_factory: EngineFactory,
    counting: CountingProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[Case, "Future[None]"]]:
    """Run all selected cases, a few at a time."""
    asked = [getattr(item, "callspec", None) for item in request.session.items]
    wanted = [spec.params["case"] for spec in asked if spec and isinstance(spec.params.get("case"), Case)]
    folder = tmp_path_factory.mktemp("campaign")
    with ThreadPoolExecutor(LANES) as pool:
        yield {case: pool.submit(go_through, case, engine_factory, counting, folder) for case in wanted}
        pool.shutdown(wait=True, cancel_futures=True)


@pytest.mark.promise("once", "recovery", "ordered", "send-once", "detached", "audit")
@pytest.mark.parametrize("case", [*cases()], ids=str)
def test_killed_engine_recovers_without_repeating_anything(case: Case, campaign: dict[Case, "Future[None]"]) -> None:
    campaign[case].result()
