"""Audit entries of runs, accounts and the team after typical use."""

import hashlib
import json
from typing import Any

import httpx
import pytest

from src.api.schemas.records import AuditEntry
from tests.support.app import PASSWORD, RunningApp
from tests.support.engine_harness import EngineHarness
from tests.support.waiting import eventually

pytestmark = pytest.mark.promise("audit")
Entries = list[tuple[str, str, dict[str, Any]]]


async def read_entries(engine: RunningApp, stream: str) -> Entries:
    """Read a stream's entries as action, actor and body."""
    entries = await engine.services.team.store.read(lambda reader: reader.find(AuditEntry, {"stream": stream}, "n"))
    return [(each.action, each.actor, json.loads(each.body)) for each in entries]


@pytest.mark.asyncio(loop_scope="module")
async def test_run_entries_cover_request_preview_decision_and_result(agent: EngineHarness) -> None:
    asked = await agent.me.ask("set audited=1")
    [call] = asked.waiting
    shown = asked["tool.awaiting_approval"]
    await agent.me.decide(asked, call, reason="safe")

    trail = await read_entries(agent.running, f"run:{asked.run_id}")
    assert [(action, actor) for action, actor, _ in trail] == [
        ("message.submitted", "local"),
        ("tool.awaiting_approval", "engine"),
        ("run.awaiting_approval", "engine"),
        ("tool.approved", "local"),
        ("tool.executing", "engine"),
        ("tool.result", "engine"),
        ("run.completed", "engine"),
    ]
    bodies = {action: body for action, _, body in trail}
    assert bodies["message.submitted"]["message_sha256"] == hashlib.sha256(b"set audited=1").hexdigest()
    assert bodies["tool.awaiting_approval"]["digest"] == shown["digest"]
    assert bodies["tool.awaiting_approval"]["args"] == shown["args"]
    assert bodies["tool.approved"]["reason"] == "safe"
    assert {bodies[action]["call_id"] for action in bodies if action.startswith("tool.")} == {call}


@pytest.mark.asyncio(loop_scope="module")
async def test_denial_reason_and_stop_actor_are_audited(agent: EngineHarness) -> None:
    denied = await agent.me.ask("set denied=1")
    await agent.me.decide(denied, denied.waiting[0], approve=False, reason="wait for the backup")
    trail = await read_entries(agent.running, f"run:{denied.run_id}")
    assert ("tool.denied", "local", "wait for the backup") in [(a, by, body.get("reason")) for a, by, body in trail]

    stopped = await agent.me.ask("set stopped=1")
    body = {"conversation_id": stopped.conversation_id, "run_id": stopped.run_id}
    assert (await agent.me.client.post("/agent/stop", json=body)).status_code == 200
    trail = await read_entries(agent.running, f"run:{stopped.run_id}")
    assert [(a, by) for a, by, _ in trail][-3:] == [
        ("run.stop_asked", "local"),
        ("tool.error", "local"),
        ("run.stopped", "local"),
    ]


async def test_account_entries_hold_no_secrets(engine_and_admin: tuple[RunningApp, httpx.AsyncClient]) -> None:
    engine, http = engine_and_admin
    me = (await http.get("/auth/me")).json()
    for _ in range(3):
        wrong = await http.post("/auth/jwt/login", data={"username": me["email"], "password": "wrong password"})
        assert wrong.status_code == 400
    await http.patch("/auth/me", json={"full_name": "Ana", "current_password": PASSWORD})
    change = {"current_password": PASSWORD, "new_password": "another long password"}
    assert (await http.patch("/auth/users/me/password", json=change)).status_code == 200
    made = (await http.post("/auth/tokens", json={"name": "bot"})).json()
    assert (await http.delete(f"/auth/tokens/{made['id']}")).status_code == 204
    assert (await http.post("/auth/logout")).status_code == 200

    async def failure_is_audited() -> bool:
        return any(action == "login.failed" for action, _, _ in await read_entries(engine, f"user:{me['id']}"))

    await eventually(failure_is_audited)
    trail = [each for each in await read_entries(engine, f"user:{me['id']}") if each[0] != "login.failed"]
    assert [action for action, _, _ in trail] == [
        "user.registered",
        "session.begun",
        "user.changed",
        "user.changed",
        "token.made",
        "token.revoked",
        "session.ended",
    ]
    assert {actor for _, actor, _ in trail} == {f"user:{me['id']}"}
    assert [body["fields"] for action, _, body in trail if action == "user.changed"] == [["full_name"], ["password"]]
    for secret in (PASSWORD, "another long password", "wrong password", made["token"], "argon2"):
        assert secret not in json.dumps(await read_entries(engine, f"user:{me['id']}"))


async def test_team_entries_name_admin_and_member(engine_and_admin: tuple[RunningApp, httpx.AsyncClient]) -> None:
    engine, http = engine_and_admin
    wanted = {"email": "bob@example.com", "password": PASSWORD, "role": "viewer"}
    bob = (await http.post("/team/members", json=wanted)).json()
    assert (await http.patch(f"/team/members/{bob['id']}", json={"role": "approver"})).status_code == 200
    assert (await http.delete(f"/team/members/{bob['id']}")).status_code == 200

    trail = await read_entries(engine, "team")
    assert [(action, body["member_id"]) for action, _, body in trail] == [
        ("member.added", bob["id"]),
        ("member.changed", bob["id"]),
        ("member.removed", bob["id"]),
    ]
    assert (trail[1][2]["was"]["role"], trail[1][2]["role"]) == ("viewer", "approver")
    me = (await http.get("/auth/me")).json()
    assert {actor for _, actor, _ in trail} == {f"user:{me['id']}"}
