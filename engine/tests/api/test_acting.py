"""Whom Kubernetes sees: the requester of a read and a preview, the approver of a change, and nobody in their stead."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.app import problem
from tests.support.counting import Counting
from tests.support.main_job import Job, at_work
from tests.support.scripted_model import ScriptedModel
from tests.support.team import Team

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(
    tmp_path_factory: pytest.TempPathFactory, counting: Counting, words: ScriptedModel
) -> AsyncIterator[tuple[Job, Team]]:
    """Ada asks, Ben decides, Cleo is nobody to Kubernetes, and Mallory would be its master."""
    people = {"kubernetes_impersonate": True, "registration_enabled": True}
    async with at_work(Path(tmp_path_factory.mktemp("acting")), counting, words, **people) as job:
        team = Team(str(job.me.client.base_url), job.running.services.chat._store)
        await team.add("ada", "member", "ada-k8s", "developers")
        await team.add("ben", "approver", "ben-k8s", "operators", "night shift")
        await team.add("cleo", "approver")
        await team.add("mallory", "member", "mallory", "system:masters")
        yield job, team


@pytest.fixture
def team(office: tuple[Job, Team]) -> Team:
    return office[1]


@pytest.fixture
def job(office: tuple[Job, Team]) -> Job:
    return office[0]


@pytest.fixture
def thing() -> str:
    return f"thing-{secrets.token_hex(4)}"


@pytest.mark.promise("authorised")
async def test_a_read_is_made_as_the_one_who_asks(team: Team) -> None:
    async with team.person("ada") as ada:
        read = await ada.ask("read the thing")
    assert '"as": ["ada-k8s", "developers", "identity"]' in read["tool.result"]["result"][0]["text"]


@pytest.mark.promise("authorised", "reason-travels")
async def test_a_preview_is_the_requesters_and_the_change_the_approvers(team: Team, thing: str) -> None:
    async with team.person("ada") as ada, team.person("ben") as ben:
        asked = await ada.ask(f"set {thing}=1")
        assert asked["tool.awaiting_approval"]["preview"]["as"] == ["ada-k8s", "developers", "identity"]
        done = await ben.decide(asked, asked.waiting[0])
    assert '"as": ["ben-k8s", "operators", "night shift", "grant"]' in done["tool.result"]["result"][0]["text"]


@pytest.mark.promise("fail-closed")
async def test_who_is_nobody_to_kubernetes_asks_for_nothing(job: Job, team: Team, thing: str) -> None:
    async with team.person("cleo") as cleo, team.person("mallory") as mallory:
        for person, says in [(job.me, "local admin"), (cleo, "no kubernetes_user"), (mallory, "system:")]:
            read = await person.ask("read the thing")
            assert says in read["tool.error"]["error"]
            asked = await person.ask(f"set {thing}=1")
            assert says in asked["tool.error"]["error"]
            assert asked.waiting == []
    assert job.effects_of(thing) == []


@pytest.mark.promise("fail-closed", "one-decision")
async def test_who_is_nobody_to_kubernetes_approves_nothing(job: Job, team: Team, thing: str) -> None:
    async with team.person("ada") as ada, team.person("cleo") as cleo:
        asked = await ada.ask(f"set {thing}=1")
        told = problem(await cleo.decided(asked, asked.waiting[0]), 403)
        assert "Ask an admin to set it" in told["detail"]
        assert (await ada.approval(asked.waiting[0]))["status"] == "pending"
        problem(await job.me.decided(asked, asked.waiting[0]), 403)
        await cleo.decide(asked, asked.waiting[0], approve=False)
    assert job.effects_of(thing) == []


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
async def test_what_an_approver_can_no_longer_stand_for_is_asked_anew(
    job: Job, team: Team, thing: str, change: dict[str, str | bool | None], says: str
) -> None:
    """Ben approves the second change, and before the first is decided he is no longer who he was."""
    async with team.person("ada") as ada, team.person("ben") as ben:
        asked = await ada.ask(f"set {thing}-1=1 and {thing}-2=2")
        first, second = asked.waiting
        await ben.decide(asked, second)
        await team.change("ben", **change)
        went = await ada.decide(asked, first)
        await team.change("ben", is_active=True, role="approver", kubernetes_user="ben-k8s")
        assert says in went["tool.stale"]["reason"]
        assert (went["tool.stale"]["call_id"], job.effects_of(f"{thing}-2")) == (second, [])
        [anew] = went.waiting
        assert went["tool.awaiting_approval"]["supersedes"] == second
        await ada.decide(asked, anew)
    assert job.effects_of(f"{thing}-2") == ["2"]
