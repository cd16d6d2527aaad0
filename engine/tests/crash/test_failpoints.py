"""The process dies by SIGKILL at every failpoint, on both databases, and is started again: nothing happens twice,
nothing is lost, and every run comes to rest."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.counting import Counting
from tests.support.crash_cases import OWN_PROVIDER, OWN_TOOLS, POLICIES, SETTINGS, Case, cases
from tests.support.engines import Forge
from tests.support.hostile_provider import in_thread
from tests.support.scenarios import SCENARIOS, World

LANES = 6


def go_through(case: Case, forge: Forge, counting: Counting, folder: Path) -> None:
    with contextlib.ExitStack() as stack:
        if case.scenario in OWN_TOOLS:
            counting = Counting(folder / str(abs(hash(case))))
            counting.start()
            stack.callback(counting.close)
        settings = dict(SETTINGS.get(case.scenario, {}))
        if case.scenario in OWN_PROVIDER:
            settings["OIDC_ISSUER"] = stack.enter_context(in_thread()).issuer
        engine = forge.engine(case.database, counting, **settings)
        stack.callback(forge.drop, engine)
        if case.scenario in POLICIES:
            (engine.log.parent / "policy.yaml").write_text(POLICIES[case.scenario])
        engine.start(f"{case.point}=kill@{case.nth}")
        client = Client(engine)
        stack.callback(client.close)
        SCENARIOS[case.scenario](World(client, counting, f"t{abs(hash(case)):x}"))
        client.http.cookies.clear()  # of a session that may be over
        assert client.get("/audit/verify")["status"] == "intact"
        if not client.revived:
            engine.gone()


@pytest.fixture(scope="module")
def campaign(
    request: pytest.FixtureRequest, forge: Forge, counting: Counting, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Case, "Future[None]"]]:
    """All cases that were asked for, a few of them side by side."""
    asked = [getattr(item, "callspec", None) for item in request.session.items]
    wanted = [spec.params["case"] for spec in asked if spec and isinstance(spec.params.get("case"), Case)]
    folder = tmp_path_factory.mktemp("campaign")
    with ThreadPoolExecutor(LANES) as pool:
        yield {case: pool.submit(go_through, case, forge, counting, folder) for case in wanted}
        pool.shutdown(wait=True, cancel_futures=True)


@pytest.mark.promise("once", "recovery", "ordered", "send-once", "detached", "audit")
@pytest.mark.parametrize("case", [*cases()], ids=str)
def test_the_process_dies_and_nothing_happens_twice(case: Case, campaign: dict[Case, "Future[None]"]) -> None:
    campaign[case].result()
