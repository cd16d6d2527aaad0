"""Who did what, as the trail tells it after people have used the engine."""

import hashlib
import json
from typing import Any

import httpx
import pytest

from src.api.schemas.trail import AuditEntry
from tests.support.app import PASSWORD, Running
from tests.support.main_job import Job
from tests.support.waiting import eventually

pytestmark = pytest.mark.promise("audit")
Told = list[tuple[str, str, dict[str, Any]]]


async def told(engine: Running, stream: str) -> Told:
    """What the stream tells: action, who did it, body."""
    entries = await engine.services.team._store.read(lambda reader: reader.find(AuditEntry, {"stream": stream}, "n"))
    return [(each.action, each.actor, json.loads(each.body)) for each in entries]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_run_tells_who_asked_what_was_shown_who_decided_and_what_came_of_it(job: Job) -> None:
    asked = await job.me.ask("set audited=1")
    [call] = asked.waiting
    shown = asked["tool.awaiting_approval"]
    await job.me.decide(asked, call, reason="safe")

    trail = await told(job.running, f"run:{asked.run_id}")
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
async def test_a_denial_keeps_its_reason_and_a_stop_who_asked_for_it(job: Job) -> None:
    denied = await job.me.ask("set denied=1")
    await job.me.decide(denied, denied.waiting[0], approve=False, reason="wait for the backup")
    trail = await told(job.running, f"run:{denied.run_id}")
    assert ("tool.denied", "local", "wait for the backup") in [(a, by, body.get("reason")) for a, by, body in trail]

    stopped = await job.me.ask("set stopped=1")
    body = {"conversation_id": stopped.conversation_id, "run_id": stopped.run_id}
    assert (await job.me.client.post("/agent/stop", json=body)).status_code == 200
    trail = await told(job.running, f"run:{stopped.run_id}")
    assert [(a, by) for a, by, _ in trail][-3:] == [
        ("run.stop_asked", "local"),
        ("tool.error", "local"),
        ("run.stopped", "local"),
    ]


async def test_accounts_tell_what_was_done_to_them_and_no_secret(ana: tuple[Running, httpx.AsyncClient]) -> None:
    engine, http = ana
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

    async def failed_is_told() -> bool:
        return any(action == "login.failed" for action, _, _ in await told(engine, f"user:{me['id']}"))

    await eventually(failed_is_told)
    trail = [each for each in await told(engine, f"user:{me['id']}") if each[0] != "login.failed"]
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
        assert secret not in json.dumps(await told(engine, f"user:{me['id']}"))


async def test_the_team_tells_who_changed_whose_role(ana: tuple[Running, httpx.AsyncClient]) -> None:
    engine, http = ana
    wanted = {"email": "bob@example.com", "password": PASSWORD, "role": "viewer"}
    bob = (await http.post("/team/members", json=wanted)).json()
    assert (await http.patch(f"/team/members/{bob['id']}", json={"role": "approver"})).status_code == 200
    assert (await http.delete(f"/team/members/{bob['id']}")).status_code == 200

    trail = await told(engine, "team")
    assert [(action, body["member_id"]) for action, _, body in trail] == [
        ("member.added", bob["id"]),
        ("member.changed", bob["id"]),
        ("member.removed", bob["id"]),
    ]
    assert (trail[1][2]["was"]["role"], trail[1][2]["role"]) == ("viewer", "approver")
    me = (await http.get("/auth/me")).json()
    assert {actor for _, actor, _ in trail} == {f"user:{me['id']}"}
