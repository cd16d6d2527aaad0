"""Every change of an account, session, token, team member or integration, and every policy, leaves an audit entry."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from src.api.schemas.records import AuditEntry
from tests.support.app import PASSWORD, RunningApp, log_in, register_client
from tests.support.audit_expectations import AUDITED, find_unaudited, name_changes
from tests.support.audit_recorder import record_transactions
from tests.support.counting_process import CountingProcess
from tests.support.engine_harness import EngineHarness, open_engine_harness
from tests.support.integration_scenario import jenkins_integration
from tests.support.scripted_model import ScriptedModel

pytestmark = pytest.mark.promise("audit")

EXPECTED_CHANGES = {
    "user made",
    "user changed",
    "session begun",
    "session over",
    "token made",
    "token removed",
    "integration made",
    "integration changed",
    "integration removed",
    "conversation made",
    "conversation changed",
    "conversation deleted",
}


async def use_account_routes(engine: RunningApp, http: httpx.AsyncClient) -> None:
    """Use every account route once, as an admin and as a user."""
    wanted = {"email": "bob@example.com", "password": PASSWORD, "role": "viewer"}
    bob = (await http.post("/team/members", json=wanted)).json()
    await http.patch(f"/team/members/{bob['id']}", json={"role": "approver"})
    async with engine.client() as anonymous, engine.client(await log_in(anonymous, "bob@example.com")) as his:
        await his.post("/auth/tokens", json={"name": "bot"})
        await http.delete(f"/team/members/{bob['id']}")
    async with await register_client(engine, "cal@example.com") as cal:
        await cal.patch("/auth/me", json={"full_name": "Cal", "current_password": PASSWORD})
        made = (await cal.post("/auth/tokens", json={"name": "bot"})).json()
        await cal.delete(f"/auth/tokens/{made['id']}")
        await cal.post("/auth/refresh/issue")
        await cal.post("/auth/refresh")
        change = {"current_password": PASSWORD, "new_password": "another long password"}
        assert (await cal.patch("/auth/users/me/password", json=change)).status_code == 200
        made = (await cal.post("/conversations", json={"title": "Mine"})).json()
        await cal.patch(f"/conversations/{made['id']}", json={"is_active": False, "title": "Still mine"})
        await cal.delete(f"/conversations/{made['id']}")
        await cal.post("/auth/logout")
    one = (await http.post("/integrations", json=jenkins_integration("one"))).json()
    await http.patch(f"/integrations/{one['id']}", json={"name": "two"})
    await http.patch(f"/integrations/{one['id']}", json={"credentials": {"username": "bot", "api_token": "t-2"}})
    assert (await http.delete(f"/integrations/{one['id']}")).status_code == 200


async def test_each_account_change_is_audited(
    engine_and_admin: tuple[RunningApp, httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    with record_transactions(monkeypatch) as seen:
        await use_account_routes(*engine_and_admin)
    changes = {name for one in seen for name, _ in name_changes(one)}
    assert changes == EXPECTED_CHANGES
    assert changes <= AUDITED.keys()
    assert [name for one in seen for name in find_unaudited(one)] == []
    notes = [note for one in seen for note in one.entries]
    assert {note.by.id.partition(":")[0] for note in notes if note.stream != "policy"} == {"user"}
    for secret in (PASSWORD, "another long password", "argon2", "t-1", "t-2", "Still mine"):
        assert secret not in json.dumps([note.body for note in notes])


async def test_each_loaded_policy_is_audited_once(
    tmp_path: Path, counting: CountingProcess, scripted_model: ScriptedModel
) -> None:
    path = tmp_path / "policy.yaml"
    values = {"policy_file": path}
    path.write_text("rules: [{name: eyes, decision: ask, verbs: read}]")
    for _ in range(2):
        async with open_engine_harness(tmp_path / "data", counting, scripted_model, **values) as agent:
            await agent.me.ask("read the thing")
            assert [action for action, _ in await read_policy_entries(agent)] == ["policy.loaded"]
    async with open_engine_harness(tmp_path / "data", counting, scripted_model, **values) as agent:
        await agent.me.ask("read the thing")
        path.write_text("rules: [")
        for _ in range(2):
            await agent.me.ask("read the thing")
        path.write_text("rules: []")
        await agent.me.client.get("/policy")
        trail = await read_policy_entries(agent)
    assert [action for action, _ in trail] == ["policy.loaded", "policy.bad", "policy.loaded"]
    assert [body.get("problem") for _, body in trail] == [None, "it is not YAML at line 1", None]
    assert [len(body["document"]["rules"]) for _, body in trail] == [1, 1, 0]
    assert len({body["sha256"] for _, body in trail}) == 2


async def test_default_policy_is_not_audited(
    tmp_path: Path, counting: CountingProcess, scripted_model: ScriptedModel
) -> None:
    async with open_engine_harness(tmp_path, counting, scripted_model) as agent:
        await agent.me.ask("read the thing")
        assert await read_policy_entries(agent) == []


async def read_policy_entries(agent: EngineHarness) -> list[tuple[str, dict[str, Any]]]:
    store = agent.running.services.team.store
    entries = await store.read(lambda reader: reader.find(AuditEntry, {"stream": "policy"}, "n"))
    return [(each.action, json.loads(each.body)) for each in entries]
