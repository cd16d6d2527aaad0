"""The policy over HTTP: what is in force, what it would say, and who is told."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from src.api.config.settings import Settings
from tests.support.app import Running, newcomer, problem, running
from tests.support.counting import Counting
from tests.support.main_job import Job, at_work
from tests.support.scripted_model import ScriptedModel
from tests.support.team import Team

RULES = """
rules:
  - {name: nobody-wipes, decision: deny, tools: wipe_*, reason: too late}
  - {name: viewers, decision: deny, roles: viewer}
  - {name: freely, decision: allow, tools: change_thing, clusters: local, kinds: Thing}
  - {name: quietly, decision: ask, tools: slow_read}
"""


AS_THEM = "rules: [{name: eyes, decision: ask, verbs: read}, {name: free, decision: allow, kinds: Thing}]"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


@pytest.mark.promise("policy", "no-approval-no-effect")
async def test_policy_file_decides_in_the_real_loop(
    tmp_path: Path, policy: Path, counting: Counting, words: ScriptedModel
) -> None:
    async with at_work(tmp_path / "data", counting, words, policy_file=policy) as job:
        done = await job.me.ask("set free=1")
        assert done["tool.approved"]["decided_by"] == "policy:freely"
        assert (done.last["status"], done.waiting, job.effects_of("free")) == ("completed", [], ["1"])
        view = await job.me.approval(done["tool.approved"]["call_id"])
        assert (view["status"], view["decided_by"], view["outcome"]) == ("consumed", "policy:freely", "succeeded")
        await _explained(job)
        await asyncio.to_thread(policy.write_text, "rules: [")
        asked = await job.me.ask("set free=2")
        assert (asked.waiting != [], job.effects_of("free")) == (True, ["1"])
        shown = (await job.me.client.get("/policy")).json()
        assert (shown["problem"], shown["rules"][0]["name"]) == ("it is not YAML at line 1", "nobody-wipes")
        ready = (await job.me.client.get("/health/ready")).json()
        [entry] = [one for one in ready["dependencies"] if one["name"] == "policy"]
        assert (entry["state"], "GET /policy" in entry["hint"]) == ("degraded", True)


async def _explained(job: Job) -> None:
    listed = {each["name"]: each for each in (await job.me.client.get("/agent/tools")).json()["tools"]}
    needs = {name: listed[name]["requires_approval"] for name in ("read_thing", "slow_read", "change_thing")}
    assert needs == {"read_thing": False, "slow_read": True, "change_thing": True}
    body = {"tool": "change_thing", "args": {"name": "a", "value": "1"}}
    told = (await job.me.client.post("/policy/explain", json=body)).json()
    assert (told["decision"], told["rule"], told["votes_needed"]) == ("ask", "default-changes", 1)
    because = {each["rule"]: each["because"] for each in told["passed"]}
    assert because["freely"] == "kinds can't be known"
    denied = (await job.me.client.post("/policy/explain", json={"tool": "wipe_thing"})).json()
    assert (denied["decision"], denied["reason"]) == ("deny", "too late")
    problem(await job.me.client.post("/policy/explain", json={"tool": "no_such"}), 404)
    problem(await job.me.client.post("/policy/explain", json={"tool": "wipe_thing", "user": "x@y.example"}), 404)


@pytest.mark.promise("policy", "authorised")
async def test_a_read_that_is_asked_for_is_made_as_the_one_who_asked(
    tmp_path: Path, counting: Counting, words: ScriptedModel
) -> None:
    """And a change that a rule allows, too: nobody stands behind it but who asked."""
    path = tmp_path / "policy.yaml"
    await asyncio.to_thread(path.write_text, AS_THEM)
    people = {"kubernetes_impersonate": True, "registration_enabled": True, "policy_file": path}
    async with at_work(tmp_path / "data", counting, words, **people) as job:
        team = Team(str(job.me.client.base_url), job.running.services.chat._store)
        await team.add("ada", "member", "ada-k8s")
        await team.add("ben", "approver")
        async with team.person("ada") as ada, team.person("ben") as ben:
            asked = await ada.ask("read the thing")
            read = await ben.decide(asked, asked.waiting[0])
            done = await ada.ask("set theirs=1")
        assert '"as": ["ada-k8s", "identity"]' in read["tool.result"]["result"][0]["text"]
        assert '"as": ["ada-k8s", "grant"]' in done["tool.result"]["result"][0]["text"]


@pytest.mark.promise("authorised")
async def test_only_an_admin_asks_about_others(ana: tuple[Running, httpx.AsyncClient]) -> None:
    engine, _ = ana
    async with await newcomer(engine, "ben@example.com") as ben:
        shown = (await ben.get("/policy")).json()
        assert (shown["source"], shown["problem"], shown["loaded_at"]) == ("default", None, None)
        assert [rule["name"] for rule in shown["rules"]] == ["default-reads", "default-changes"]
        problem(await ben.post("/policy/explain", json={"tool": "any", "user": "ana@example.com"}), 403)
        problem(await ben.post("/policy/explain", json={"tool": "any", "user": "nobody@example.com"}), 403)
        problem(await ben.post("/policy/explain", json={"tool": "any", "user": "Ben@example.com"}), 404)


async def test_a_named_file_that_is_not_there_is_told(settings: Callable[..., Settings], tmp_path: Path) -> None:
    named = settings(policy_file=tmp_path / "gone.yaml", local_mode=True)
    async with running(named) as engine, engine.client(host="localhost") as client:
        shown = (await client.get("/policy")).json()
    assert (shown["source"], shown["problem"]) == ("gone.yaml", "it is not there")
