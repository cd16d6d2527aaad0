"""`/metrics`: what an engine counts, who may read it, and that a real Prometheus understands it."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from src.api.config.settings import SettingsError
from tests.support.app import SECRET, make_settings, run_app
from tests.support.counting_process import CountingProcess
from tests.support.engine_harness import EngineHarness, open_engine_harness
from tests.support.ports import free_port
from tests.support.prometheus import prometheus
from tests.support.scripted_model import ScriptedModel
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

BEARER = {"Authorization": f"Bearer {SECRET}"}
CANARY = "hunter2-of-the-metrics"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agent(
    tmp_path_factory: pytest.TempPathFactory, counting: CountingProcess, scripted_model: ScriptedModel
) -> AsyncIterator[EngineHarness]:
    """An engine that serves metrics, and has the counting server once more as a foreign one."""
    foreign = {"name": "foreign", "url": counting.url, "token_env": "FOREIGN_TOKEN", "trusted": True}
    async with open_engine_harness(
        tmp_path_factory.mktemp("data"),
        counting,
        scripted_model,
        metrics_address=f"127.0.0.1:{free_port()}",
        metrics_token=SECRET,
        mcp_servers=(foreign,),
    ) as running:
        yield running


def address_of(agent: EngineHarness) -> str:
    return f"http://{agent.running.settings.metrics_address}/metrics"


async def scrape(agent: EngineHarness) -> dict[str, float]:
    """Return each sample by its name with its labels, as Prometheus writes it."""
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with httpx.AsyncClient() as client:
        answer = await client.get(address_of(agent), headers={**BEARER, **accept})
    assert answer.status_code == 200, answer.text
    assert CANARY not in answer.text
    return {
        sample.name + "".join(f",{name}={sample.labels[name]}" for name in sorted(sample.labels)): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_scrape_counts_what_happened(agent: EngineHarness) -> None:
    before = await scrape(agent)
    assert before["skyflo_runs_ended_total,code=,end=completed"] == 0
    approved = await agent.me.ask("set counted=1")
    waiting = await scrape(agent)
    await agent.me.decide(approved, approved.waiting[0])
    denied = await agent.me.ask(f"set {CANARY}=1")
    await agent.me.decide(denied, denied.waiting[0], approve=False, reason=CANARY)
    await agent.me.ask(f"read the thing {CANARY}")
    await agent.me.ask("refuse me")
    after = await scrape(agent)
    assert waiting["skyflo_streams_open,kind=run"] == 0
    expected = {
        "skyflo_runs_ended_total,code=,end=completed": 3,
        "skyflo_runs_ended_total,code=model_refused,end=failed": 1,
        "skyflo_approval_decision_seconds_count,decision=approved": 1,
        "skyflo_approval_decision_seconds_count,decision=denied": 1,
        "skyflo_approval_decision_seconds_count,decision=expired": 0,
        "skyflo_tool_call_seconds_count,operation=change,outcome=succeeded,server=skyflo,tool=change_thing": 1,
        "skyflo_tool_call_seconds_count,operation=preview,outcome=succeeded,server=skyflo,tool=change_thing": 2,
        "skyflo_tool_call_seconds_count,operation=read,outcome=succeeded,server=skyflo,tool=read_thing": 1,
        "skyflo_run_leases_lost_total": 0,
        "skyflo_changes_unknown_total": 0,
        "skyflo_database_readable": 1,
    }
    assert {name: after.get(name) for name in expected} == expected
    assert after["skyflo_model_first_token_seconds_count,model=openai/scripted"] >= 3
    assert after["skyflo_model_tokens_total,kind=completion,model=openai/scripted"] > 0


async def test_scrape_without_the_token_is_refused(agent: EngineHarness) -> None:
    async with httpx.AsyncClient() as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {SECRET}"}):
            answer = await client.get(address_of(agent), headers=headers)
            assert answer.status_code == 401
            assert "skyflo_" not in answer.text
    # The engine's own address has no metrics, with or without the token.
    assert (await agent.me.client.get("/metrics", headers=BEARER)).status_code == 404


async def test_prometheus_scrapes_the_engine(agent: EngineHarness, prometheus_url: str) -> None:
    """The session's Prometheus shows that there is one; this one has the engine as a target."""
    await agent.me.ask("hello")
    target = agent.running.settings.metrics_address
    job = (
        "- job_name: engine\n"
        f"  authorization: {{credentials: '{SECRET}'}}\n"
        f"  static_configs: [{{targets: ['{target}']}}]"
    )
    async with httpx.AsyncClient() as client:

        async def value_of(query: str) -> list[str]:
            found = await client.get(f"{url}/api/v1/query", params={"query": query})
            return [each["value"][1] for each in found.json()["data"]["result"]]

        async def is_up() -> bool:
            return await value_of('up{job="engine"}') == ["1"]

        with prometheus(job) as url:
            await eventually(is_up, what="a scrape of the engine")
            assert await value_of('skyflo_runs{state="running"}') == ["0"]
            assert await value_of('skyflo_build_info{role="all"}') == ["1"]
            [completed] = await value_of('skyflo_runs_ended_total{end="completed",code=""}')
            assert int(completed) >= 1


async def test_taken_metrics_address_stops_the_start(agent: EngineHarness, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, metrics_address=agent.running.settings.metrics_address)
    with pytest.raises(SettingsError, match=r"METRICS_ADDRESS.*can't be used"):
        async with run_app(settings):
            pass
