"""Kubernetes impersonation: reads and previews run as the requester, changes as the approver, nothing as the engine."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.app import check_problem
from tests.support.counting_process import CountingProcess
from tests.support.engine_harness import EngineHarness, open_engine_harness
from tests.support.scripted_model import ScriptedModel
from tests.support.team import Team

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agent_and_team(
    tmp_path_factory: pytest.TempPathFactory, counting: CountingProcess, scripted_model: ScriptedModel
) -> AsyncIterator[tuple[EngineHarness, Team]]:
    """An engine that impersonates: Ada requests, Ben approves, Cleo has no Kubernetes user, Mallory's group is
    forbidden.
    """
    people = {"kubernetes_impersonate": True, "registration_enabled": True}
    async with open_engine_harness(
        Path(tmp_path_factory.mktemp("acting")), counting, scripted_model, **people
    ) as agent:
        team = Team(str(agent.me.client.base_url), agent.running.services.chat.store)
        await team.add("ada", "member", "ada-k8s", "developers")
        await team.add("ben", "approver", "ben-k8s", "operators", "night shift")
        await team.add("cleo", "approver")
        await team.add("mallory", "member", "mallory", "system:masters")
        yield agent, team


@pytest.fixture
def team(agent_and_team: tuple[EngineHarness, Team]) -> Team:
    return agent_and_team[1]


@pytest.fixture
def agent(agent_and_team: tuple[EngineHarness, Team]) -> EngineHarness:
    return agent_and_team[0]


@pytest.fixture
def thing() -> str:
    return f"thing-{secrets.token_hex(4)}"


@pytest.mark.promise("authorised")
async def test_read_runs_as_requester(team: Team) -> None:
    async with team.open_user("ada") as ada:
        read = await ada.ask("read the thing")
    assert '"as": ["ada-k8s", "developers", "identity"]' in read["tool.result"]["result"][0]["text"]


@pytest.mark.promise("authorised", "attribution")
async def test_preview_runs_as_requester_and_change_as_approver(team: Team, thing: str) -> None:
    async with team.open_user("ada") as ada, team.open_user("ben") as ben:
        asked = await ada.ask(f"set {thing}=1")
        assert asked["tool.awaiting_approval"]["preview"]["as"] == ["ada-k8s", "developers", "identity"]
        done = await ben.decide(asked, asked.waiting[0])
    assert '"as": ["ben-k8s", "operators", "night shift", "grant"]' in done["tool.result"]["result"][0]["text"]


@pytest.mark.promise("fail-closed")
async def test_user_without_kubernetes_user_can_not_use_tools(agent: EngineHarness, team: Team, thing: str) -> None:
    async with team.open_user("cleo") as cleo, team.open_user("mallory") as mallory:
        for person, says in [(agent.me, "local admin"), (cleo, "no kubernetes_user"), (mallory, "system:")]:
            read = await person.ask("read the thing")
            assert says in read["tool.error"]["error"]
            asked = await person.ask(f"set {thing}=1")
            assert says in asked["tool.error"]["error"]
            assert asked.waiting == []
    assert agent.effects_of(thing) == []


@pytest.mark.promise("fail-closed", "one-decision")
async def test_user_without_kubernetes_user_can_not_approve(agent: EngineHarness, team: Team, thing: str) -> None:
    async with team.open_user("ada") as ada, team.open_user("cleo") as cleo:
        asked = await ada.ask(f"set {thing}=1")
        refusal = check_problem(await cleo.post_decision(asked, asked.waiting[0]), 403)
        assert "Ask an admin to set it" in refusal["detail"]
        assert (await ada.approval(asked.waiting[0]))["status"] == "pending"
        check_problem(await agent.me.post_decision(asked, asked.waiting[0]), 403)
        await cleo.decide(asked, asked.waiting[0], approve=False)
    assert agent.effects_of(thing) == []


@pytest.mark.promise("fail-closed", "fresh")
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"is_active": False}, "no longer a member"),
        ({"role": "viewer"}, "Viewers can't decide"),
        ({"role": "member"}, "approver or an admin"),
        ({"kubernetes_user": None}, "no kubernetes_user"),
    ],
)
async def test_approval_of_user_who_lost_rights_becomes_stale(
    agent: EngineHarness, team: Team, thing: str, change: dict[str, str | bool | None], says: str
) -> None:
    """Ben approves the second change and loses a right before the first one is decided."""
    async with team.open_user("ada") as ada, team.open_user("ben") as ben:
        asked = await ada.ask(f"set {thing}-1=1 and {thing}-2=2")
        first, second = asked.waiting
        await ben.decide(asked, second)
        await team.change("ben", **change)
        decided = await ada.decide(asked, first)
        await team.change("ben", is_active=True, role="approver", kubernetes_user="ben-k8s")
        assert says in decided["tool.stale"]["reason"]
        assert (decided["tool.stale"]["call_id"], agent.effects_of(f"{thing}-2")) == (second, [])
        [next_call] = decided.waiting
        assert decided["tool.awaiting_approval"]["supersedes"] == second
        await ada.decide(asked, next_call)
    assert agent.effects_of(f"{thing}-2") == ["2"]
