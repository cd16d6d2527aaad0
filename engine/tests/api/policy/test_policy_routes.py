"""The policy over HTTP: the current rules, explanations, and which users an admin alone may ask about."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from src.api.config.settings import Settings
from tests.support.app import PASSWORD, RunningApp, check_problem, register_client, run_app
from tests.support.counting_process import CountingProcess
from tests.support.engine_harness import EngineHarness, open_engine_harness
from tests.support.mailbox import Mailbox
from tests.support.scripted_model import ScriptedModel
from tests.support.team import Team

RULES = """
rules:
  - {name: nobody-wipes, decision: deny, tools: wipe_*, reason: too late}
  - {name: viewers, decision: deny, roles: viewer}
  - {name: freely, decision: allow, tools: change_thing, clusters: local, kinds: Thing}
  - {name: quietly, decision: ask, tools: slow_read}
"""


READS_ASK_CHANGES_ALLOWED = (
    "rules: [{name: eyes, decision: ask, verbs: read}, {name: free, decision: allow, kinds: Thing}]"
)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


@pytest.mark.promise("policy", "no-approval-no-effect")
async def test_policy_file_decides_in_agent_loop(
    tmp_path: Path, policy: Path, counting: CountingProcess, scripted_model: ScriptedModel
) -> None:
    async with open_engine_harness(tmp_path / "data", counting, scripted_model, policy_file=policy) as agent:
        done = await agent.me.ask("set free=1")
        approved = done["tool.approved"]
        assert (approved["decided_by"], approved["decided_by_policy"]) == ("policy:freely", "freely")
        assert (done.last["status"], done.waiting, agent.effects_of("free")) == ("completed", [], ["1"])
        view = await agent.me.approval(done["tool.approved"]["call_id"])
        assert (view["status"], view["decided_by"], view["outcome"]) == ("consumed", "policy:freely", "succeeded")
        assert view["decided_by_policy"] == "freely"
        await _check_explanations(agent)
        await asyncio.to_thread(policy.write_text, "rules: [")
        asked = await agent.me.ask("set free=2")
        assert (asked.waiting != [], agent.effects_of("free")) == (True, ["1"])
        shown = (await agent.me.client.get("/policy")).json()
        assert (shown["problem"], shown["rules"][0]["name"]) == ("it is not YAML at line 1", "nobody-wipes")
        ready = (await agent.me.client.get("/health/ready")).json()
        [entry] = [one for one in ready["dependencies"] if one["name"] == "policy"]
        assert (entry["state"], "GET /policy" in entry["hint"]) == ("degraded", True)


async def _check_explanations(agent: EngineHarness) -> None:
    listed = {each["name"]: each for each in (await agent.me.client.get("/agent/tools")).json()["tools"]}
    needs = {name: listed[name]["requires_approval"] for name in ("read_thing", "slow_read", "change_thing")}
    assert needs == {"read_thing": False, "slow_read": True, "change_thing": True}
    body = {"tool": "change_thing", "args": {"name": "a", "value": "1"}}
    explained = (await agent.me.client.post("/policy/explain", json=body)).json()
    assert (explained["decision"], explained["rule"], explained["votes_needed"]) == ("ask", "default-changes", 1)
    because = {each["rule"]: each["because"] for each in explained["passed"]}
    assert because["freely"] == "kinds can't be known"
    denied = (await agent.me.client.post("/policy/explain", json={"tool": "wipe_thing"})).json()
    assert (denied["decision"], denied["reason"]) == ("deny", "too late")
    check_problem(await agent.me.client.post("/policy/explain", json={"tool": "no_such"}), 404)
    check_problem(
        await agent.me.client.post("/policy/explain", json={"tool": "wipe_thing", "user": "x@y.example"}), 404
    )


@pytest.mark.promise("policy", "authorised")
async def test_approved_read_runs_as_requester(
    tmp_path: Path, counting: CountingProcess, scripted_model: ScriptedModel
) -> None:
    """A change that a rule allows runs as the requester too, because there is no approver."""
    path = tmp_path / "policy.yaml"
    await asyncio.to_thread(path.write_text, READS_ASK_CHANGES_ALLOWED)
    people = {"kubernetes_impersonate": True, "registration_enabled": True, "policy_file": path}
    async with open_engine_harness(tmp_path / "data", counting, scripted_model, **people) as agent:
        team = Team(str(agent.me.client.base_url), agent.running.services.chat.store)
        await team.add("ada", "member", "ada-k8s")
        await team.add("ben", "approver")
        async with team.open_user("ada") as ada, team.open_user("ben") as ben:
            asked = await ada.ask("read the thing")
            read = await ben.decide(asked, asked.waiting[0])
            done = await ada.ask("set theirs=1")
        assert '"as": ["ada-k8s", "identity"]' in read["tool.result"]["result"][0]["text"]
        assert '"as": ["ada-k8s", "grant"]' in done["tool.result"]["result"][0]["text"]


BY_NAME = """
rules:
  - {name: not-ben, decision: deny, users: ben@example.com, tools: change_thing}
  - {name: not-benny, decision: deny, users: Benny, tools: wipe_thing}
  - {name: only-ceo, decision: allow, users: ceo@example.com, tools: read_*}
  - {name: others, decision: deny, tools: read_*}
"""


@pytest.mark.promise("policy", "authorised")
async def test_rules_by_name_hold_after_a_change_of_name(
    tmp_path: Path, counting: CountingProcess, scripted_model: ScriptedModel, mailbox: Mailbox
) -> None:
    """A user leaves no restricting rule by a new e-mail or name, and enters no allowing one by an unproved e-mail."""
    path = tmp_path / "policy.yaml"
    await asyncio.to_thread(path.write_text, BY_NAME)
    people = {"registration_enabled": True, "policy_file": path, **mailbox.settings}
    async with open_engine_harness(tmp_path / "data", counting, scripted_model, **people) as agent:
        await register_client(agent.running, "first@example.com", "localhost")
        async with await register_client(agent.running, "ben@example.com", "localhost") as ben:
            me = (await ben.patch("/auth/me", json={"full_name": "Benny"})).json()
            wanted = {"role": "member", "name": "Benny"}
            assert (await agent.me.client.patch(f"/team/members/{me['id']}", json=wanted)).is_success

            async def ask(tool: str) -> tuple[str, str]:
                found = (await ben.post("/policy/explain", json={"tool": tool})).json()
                return found["decision"], found["rule"]

            assert await ask("change_thing") == ("deny", "not-ben")
            assert await ask("wipe_thing") == ("deny", "not-benny")
            change = {"full_name": "Someone else", "email": "ceo@example.com", "current_password": PASSWORD}
            assert (await ben.patch("/auth/me", json=change)).json()["pending_email"] == "ceo@example.com"
            assert await ask("read_thing") == ("deny", "others"), "it is not proved yet"
            token = await mailbox.next_link("verify-email")
            assert (await ben.post("/auth/verify/verify", json={"token": token})).json()["email"] == "ceo@example.com"
            assert await ask("read_thing") == ("allow", "only-ceo")
            assert await ask("change_thing") == ("deny", "not-ben")
            assert await ask("wipe_thing") == ("deny", "not-benny")
            by_admin = {"email": "other@example.com", "is_verified": True}
            assert (await agent.me.client.patch(f"/auth/users/{me['id']}", json=by_admin)).is_success
            assert await ask("change_thing") == ("deny", "not-ben")
            assert await ask("read_thing") == ("deny", "others"), "a former e-mail proves nothing"


@pytest.mark.promise("authorised")
async def test_only_admin_explains_policy_for_others(engine_and_admin: tuple[RunningApp, httpx.AsyncClient]) -> None:
    engine, _ = engine_and_admin
    async with await register_client(engine, "ben@example.com") as ben:
        shown = (await ben.get("/policy")).json()
        assert (shown["source"], shown["problem"], shown["loaded_at"]) == ("default", None, None)
        assert [rule["name"] for rule in shown["rules"]] == ["default-reads", "default-changes"]
        check_problem(await ben.post("/policy/explain", json={"tool": "any", "user": "ana@example.com"}), 403)
        check_problem(await ben.post("/policy/explain", json={"tool": "any", "user": "nobody@example.com"}), 403)
        check_problem(await ben.post("/policy/explain", json={"tool": "any", "user": "Ben@example.com"}), 404)


async def test_missing_policy_file_is_reported(settings: Callable[..., Settings], tmp_path: Path) -> None:
    named = settings(policy_file=tmp_path / "gone.yaml", local_mode=True)
    async with run_app(named) as engine, engine.client(host="localhost") as client:
        shown = (await client.get("/policy")).json()
    assert (shown["source"], shown["problem"]) == ("gone.yaml", "it does not exist")
