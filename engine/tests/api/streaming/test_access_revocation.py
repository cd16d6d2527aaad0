"""Losing access: streams end soon on every replica, and a removed user's runs are stopped."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import pytest_asyncio

from src.api.schemas.records import User
from src.api.services.streaming.access import CHECK_INTERVAL
from tests.support.api_user import ApiUser, read_events
from tests.support.app import PASSWORD, log_in
from tests.support.counting_process import CountingProcess
from tests.support.engine_harness import EngineHarness, open_engine_harness
from tests.support.scripted_model import ScriptedModel
from tests.support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("authorised")]

FINAL_EVENTS = ("workflow_complete", "workflow_error")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def replicas(
    tmp_path_factory: pytest.TempPathFactory,
    shared_database: str | None,
    counting: CountingProcess,
    scripted_model: ScriptedModel,
) -> AsyncIterator[tuple[EngineHarness, EngineHarness]]:
    """Two engines on one PostgreSQL without Redis; on SQLite, the same engine twice."""
    folder, both = (
        tmp_path_factory.mktemp("data"),
        {"postgres_database_url": shared_database, "run_sweep_seconds": 1},
    )
    async with open_engine_harness(folder, counting, scripted_model, **both) as here:
        if shared_database is None:
            yield here, here
            return
        async with open_engine_harness(tmp_path_factory.mktemp("other"), counting, scripted_model, **both) as there:
            yield here, there


class Member:
    """A new member, signed in at one replica."""

    def __init__(self, harness: EngineHarness, made: dict[str, Any], session: str) -> None:
        self.harness = harness
        self.id, self.email, self.session = str(made["id"]), str(made["email"]), session
        self.ended = asyncio.Event()
        self.events: list[dict[str, Any]] = []

    @classmethod
    async def create(cls, harness: EngineHarness, role: str = "member") -> "Member":
        wanted = {"email": f"{secrets.token_hex(6)}@example.org", "password": PASSWORD, "role": role}
        made = await harness.me.client.post("/team/members", json=wanted)
        assert made.status_code == 201, made.text
        async with httpx.AsyncClient(base_url=harness.me.client.base_url) as client:
            return cls(harness, made.json(), await log_in(client, wanted["email"]))

    @asynccontextmanager
    async def client(self, token: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        headers = {"Authorization": f"Bearer {token or self.session}"}
        async with httpx.AsyncClient(base_url=self.harness.me.client.base_url, headers=headers, timeout=30) as client:
            yield client

    async def start_waiting_run(self) -> tuple[str, str]:
        """Start a run that waits behind a pending approval, so that its streams stay open; return it and its
        conversation.
        """
        async with self.client() as client:
            before = await ApiUser(client).ask(f"set leaving-{self.id}=1")
            behind = {"conversation_id": before.conversation_id, "on_busy": "enqueue"}
            async with ApiUser(client).open_chat("read the thing", **behind) as response:
                ready = await anext(read_events(response))
        return str(ready["run_id"]), before.conversation_id

    async def follow(self, run_id: str, token: str | None = None) -> None:
        async with self.client(token) as client, client.stream("GET", f"/agent/runs/{run_id}/events") as response:
            assert response.status_code == 200
            async for event in read_events(response):
                self.events.append(event)
        self.ended.set()

    @property
    def last(self) -> str:
        return str(self.events[-1]["type"])


async def _remove(admin: httpx.AsyncClient, member: Member) -> None:
    assert (await admin.delete(f"/team/members/{member.id}")).status_code == 200


async def _sign_out(_: httpx.AsyncClient, member: Member) -> None:
    async with member.client() as client:
        assert (await client.post("/auth/logout")).status_code == 200


async def _change_password(_: httpx.AsyncClient, member: Member) -> None:
    async with member.client() as client:
        elsewhere = await log_in(client, member.email)
    async with member.client(elsewhere) as client:
        body = {"current_password": PASSWORD, "new_password": "another one that is long"}
        assert (await client.patch("/auth/users/me/password", json=body)).status_code == 200


async def _lower_role(admin: httpx.AsyncClient, member: Member) -> None:
    assert (await admin.patch(f"/team/members/{member.id}", json={"role": "member"})).status_code == 200


async def test_stream_ends_when_access_is_lost(replicas: tuple[EngineHarness, EngineHarness]) -> None:
    """All ways to lose access are tested at once, since each waits for the same periodic check."""
    here, there = replicas
    admin, owner = here.me.client, await Member.create(there)
    run_id, conversation_id = await owner.start_waiting_run()
    cases = {
        await Member.create(there, "admin"): _remove,
        await Member.create(there, "admin"): _sign_out,
        await Member.create(there, "admin"): _change_password,
        await Member.create(there, "admin"): _lower_role,
    }
    stays = await Member.create(there, "admin")
    async with asyncio.TaskGroup() as streams:
        for member in (*cases, stays):
            streams.create_task(member.follow(run_id))
        await eventually(lambda: all(member.events for member in (*cases, stays)), what="all of them watch")
        for member, revoke_access in cases.items():
            await revoke_access(admin, member)
        await eventually(lambda: all(member.ended.is_set() for member in cases), what="the end of their streams")
        assert [member.last in FINAL_EVENTS for member in cases] == [False] * len(cases)
        assert not stays.ended.is_set()
        run = (await admin.get(f"/agent/runs/{run_id}")).json()
        assert run["state"] == "waiting", "lost access stops no run"
        await admin.post("/agent/stop", json={"conversation_id": conversation_id, "run_id": run_id})
    assert stays.last in FINAL_EVENTS


async def test_stream_ends_when_token_is_revoked(replicas: tuple[EngineHarness, EngineHarness]) -> None:
    here, there = replicas
    member = await Member.create(there)
    run_id, conversation_id = await member.start_waiting_run()
    async with member.client() as client, asyncio.TaskGroup() as streams:
        api_token = (await client.post("/auth/tokens", json={"name": "bot"})).json()
        watching = streams.create_task(member.follow(run_id, api_token["token"]))
        await eventually(lambda: bool(member.events), what="the first event")
        assert (await client.delete(f"/auth/tokens/{api_token['id']}")).status_code == 204
        await eventually(watching.done, what="the end of its stream")
        assert member.last not in FINAL_EVENTS
        await here.me.client.post("/agent/stop", json={"conversation_id": conversation_id, "run_id": run_id})


@pytest.mark.promise("stop")
async def test_removed_user_has_no_active_runs(replicas: tuple[EngineHarness, EngineHarness]) -> None:
    here, there = replicas
    member, admin = await Member.create(there), here.me.client
    waiting, _ = await member.start_waiting_run()
    async with member.client() as client:
        async with ApiUser(client).open_chat("read slowly") as response:
            running = str((await anext(read_events(response)))["run_id"])
        asked = await ApiUser(client).ask("set leaving=1")
    await _remove(admin, member)
    for run_id in (waiting, running, asked.run_id):
        await eventually(lambda run_id=run_id: _is_stopped(admin, run_id), what="the end of the run")  # type: ignore[misc]
    assert (await admin.get(f"/agent/approvals/{asked.waiting[0]}")).json()["status"] == "stopped"
    assert here.effects_of("leaving") == []


async def test_run_that_outlived_removal_is_stopped_by_sweep(replicas: tuple[EngineHarness, EngineHarness]) -> None:
    """Commit only the removal, as a process does that dies right after it."""
    here, there = replicas
    member = await Member.create(there)
    run_id, _ = await member.start_waiting_run()
    store = here.running.services.chat.store
    await store.transaction(lambda tx: tx.change(User, {"id": member.id}, is_active=False))
    await eventually(lambda: _is_stopped(here.me.client, run_id), what="the end of the run")


async def _is_stopped(admin: httpx.AsyncClient, run_id: str) -> bool:
    return bool((await admin.get(f"/agent/runs/{run_id}")).json()["state"] == "stopped")


async def test_access_is_checked_every_few_seconds() -> None:
    assert CHECK_INTERVAL <= 4
