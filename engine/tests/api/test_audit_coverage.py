"""Each change of an account, a session, a token, the team or an integration leaves its entry; so does each policy."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from src.api.schemas.trail import AuditEntry
from tests.support.app import PASSWORD, Running, newcomer, signed_in
from tests.support.connecting import jenkins
from tests.support.counting import Counting
from tests.support.main_job import Job, at_work
from tests.support.scripted_model import ScriptedModel
from tests.support.trail_table import TOLD, found, untold
from tests.support.trail_watch import watching

pytestmark = pytest.mark.promise("audit")

MOVED = {
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


async def accounts(engine: Running, http: httpx.AsyncClient) -> None:
    """All that an admin does, and what people do with their own."""
    wanted = {"email": "bob@example.com", "password": PASSWORD, "role": "viewer"}
    bob = (await http.post("/team/members", json=wanted)).json()
    await http.patch(f"/team/members/{bob['id']}", json={"role": "approver"})
    async with engine.client() as anonymous, engine.client(await signed_in(anonymous, "bob@example.com")) as his:
        await his.post("/auth/tokens", json={"name": "bot"})
        await http.delete(f"/team/members/{bob['id']}")
    async with await newcomer(engine, "cal@example.com") as cal:
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
    one = (await http.post("/integrations", json=jenkins("one"))).json()
    await http.patch(f"/integrations/{one['id']}", json={"name": "two"})
    await http.patch(f"/integrations/{one['id']}", json={"credentials": {"username": "bot", "api_token": "t-2"}})
    assert (await http.delete(f"/integrations/{one['id']}")).status_code == 200


async def test_each_change_of_an_account_is_told(
    ana: tuple[Running, httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    with watching(monkeypatch) as seen:
        await accounts(*ana)
    moved = {name for one in seen for name, _ in found(one)}
    assert moved == MOVED
    assert moved <= TOLD.keys()
    assert [name for one in seen for name in untold(one)] == []
    told = [note for one in seen for note in one.told]
    assert {note.by.id.partition(":")[0] for note in told if note.stream != "policy"} == {"user"}
    for secret in (PASSWORD, "another long password", "argon2", "t-1", "t-2", "Still mine"):
        assert secret not in json.dumps([note.body for note in told])


async def test_each_policy_that_comes_into_force_is_told_once(
    tmp_path: Path, counting: Counting, words: ScriptedModel
) -> None:
    path = tmp_path / "policy.yaml"
    values = {"policy_file": path}
    path.write_text("rules: [{name: eyes, decision: ask, verbs: read}]")
    for _ in range(2):
        async with at_work(tmp_path / "data", counting, words, **values) as job:
            await job.me.ask("read the thing")
            assert [action for action, _ in await told(job)] == ["policy.loaded"]
    async with at_work(tmp_path / "data", counting, words, **values) as job:
        await job.me.ask("read the thing")
        path.write_text("rules: [")
        for _ in range(2):
            await job.me.ask("read the thing")
        path.write_text("rules: []")
        await job.me.client.get("/policy")
        trail = await told(job)
    assert [action for action, _ in trail] == ["policy.loaded", "policy.bad", "policy.loaded"]
    assert [body.get("problem") for _, body in trail] == [None, "it is not YAML at line 1", None]
    assert [len(body["document"]["rules"]) for _, body in trail] == [1, 1, 0]
    assert len({body["sha256"] for _, body in trail}) == 2


async def test_the_default_goes_without_saying(tmp_path: Path, counting: Counting, words: ScriptedModel) -> None:
    async with at_work(tmp_path, counting, words) as job:
        await job.me.ask("read the thing")
        assert await told(job) == []


async def told(job: Job) -> list[tuple[str, dict[str, Any]]]:
    store = job.running.services.team._store
    entries = await store.read(lambda reader: reader.find(AuditEntry, {"stream": "policy"}, "n"))
    return [(each.action, json.loads(each.body)) for each in entries]
