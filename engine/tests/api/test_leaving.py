"""Who is sent away soon sees nothing more, on whichever replica; who is removed has nothing left that runs."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import pytest_asyncio

from src.api.schemas.records import User
from src.api.services.audience import LOOK_EVERY
from tests.support.app import PASSWORD, signed_in
from tests.support.counting import Counting
from tests.support.main_job import Job, at_work
from tests.support.person import Person, read_events
from tests.support.scripted_model import ScriptedModel
from tests.support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("authorised")]

LAST = ("workflow_complete", "workflow_error")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def replicas(
    tmp_path_factory: pytest.TempPathFactory, shared_database: str | None, counting: Counting, words: ScriptedModel
) -> AsyncIterator[tuple[Job, Job]]:
    """Two engines without Redis on one database; on SQLite the same one twice."""
    folder, both = (
        tmp_path_factory.mktemp("data"),
        {"postgres_database_url": shared_database, "run_sweep_seconds": 1},
    )
    async with at_work(folder, counting, words, **both) as here:
        if shared_database is None:
            yield here, here
            return
        async with at_work(tmp_path_factory.mktemp("other"), counting, words, **both) as there:
            yield here, there


class Member:
    """Somebody new, signed in at the replica `job`."""

    def __init__(self, job: Job, made: dict[str, Any], session: str) -> None:
        self.job = job
        self.id, self.email, self.session = str(made["id"]), str(made["email"]), session
        self.ended = asyncio.Event()
        self.heard: list[dict[str, Any]] = []

    @classmethod
    async def new(cls, job: Job, role: str = "member") -> "Member":
        wanted = {"email": f"{secrets.token_hex(6)}@example.org", "password": PASSWORD, "role": role}
        made = await job.me.client.post("/team/members", json=wanted)
        assert made.status_code == 201, made.text
        async with httpx.AsyncClient(base_url=job.me.client.base_url) as client:
            return cls(job, made.json(), await signed_in(client, wanted["email"]))

    @asynccontextmanager
    async def client(self, token: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        headers = {"Authorization": f"Bearer {token or self.session}"}
        async with httpx.AsyncClient(base_url=self.job.me.client.base_url, headers=headers, timeout=30) as client:
            yield client

    async def begin(self) -> tuple[str, str]:
        """A run that waits behind one that nobody decides on, and its conversation: its streams stay open."""
        async with self.client() as client:
            before = await Person(client).ask(f"set leaving-{self.id}=1")
            behind = {"conversation_id": before.conversation_id, "on_busy": "enqueue"}
            async with Person(client).asking("read the thing", **behind) as response:
                ready = await anext(read_events(response))
        return str(ready["run_id"]), before.conversation_id

    async def watch(self, run_id: str, token: str | None = None) -> None:
        async with self.client(token) as client, client.stream("GET", f"/agent/runs/{run_id}/events") as response:
            assert response.status_code == 200
            async for event in read_events(response):
                self.heard.append(event)
        self.ended.set()

    @property
    def last(self) -> str:
        return str(self.heard[-1]["type"])


async def _removed(admin: httpx.AsyncClient, member: Member) -> None:
    assert (await admin.delete(f"/team/members/{member.id}")).status_code == 200


async def _signed_out(_: httpx.AsyncClient, member: Member) -> None:
    async with member.client() as client:
        assert (await client.post("/auth/logout")).status_code == 200


async def _has_a_new_password(_: httpx.AsyncClient, member: Member) -> None:
    async with member.client() as client:
        elsewhere = await signed_in(client, member.email)
    async with member.client(elsewhere) as client:
        body = {"current_password": PASSWORD, "new_password": "another one that is long"}
        assert (await client.patch("/auth/users/me/password", json=body)).status_code == 200


async def _is_no_approver_any_more(admin: httpx.AsyncClient, member: Member) -> None:
    assert (await admin.patch(f"/team/members/{member.id}", json={"role": "member"})).status_code == 200


async def test_a_stream_ends_with_the_right_to_see_it(replicas: tuple[Job, Job]) -> None:
    """One of each at once, for all wait for the same look."""
    here, there = replicas
    admin, owner = here.me.client, await Member.new(there)
    run_id, conversation_id = await owner.begin()
    cases = {
        await Member.new(there, "admin"): _removed,
        await Member.new(there, "admin"): _signed_out,
        await Member.new(there, "admin"): _has_a_new_password,
        await Member.new(there, "admin"): _is_no_approver_any_more,
    }
    stays = await Member.new(there, "admin")
    async with asyncio.TaskGroup() as streams:
        for member in (*cases, stays):
            streams.create_task(member.watch(run_id))
        await eventually(lambda: all(member.heard for member in (*cases, stays)), what="all of them watch")
        for member, sent_away in cases.items():
            await sent_away(admin, member)
        await eventually(lambda: all(member.ended.is_set() for member in cases), what="the end of their streams")
        assert [member.last in LAST for member in cases] == [False] * len(cases)
        assert not stays.ended.is_set()
        run = (await admin.get(f"/agent/runs/{run_id}")).json()
        assert run["state"] == "waiting", "who looks away stops nothing"
        await admin.post("/agent/stop", json={"conversation_id": conversation_id, "run_id": run_id})
    assert stays.last in LAST


async def test_a_stream_ends_with_its_token(replicas: tuple[Job, Job]) -> None:
    here, there = replicas
    member = await Member.new(there)
    run_id, conversation_id = await member.begin()
    async with member.client() as client, asyncio.TaskGroup() as streams:
        lent = (await client.post("/auth/tokens", json={"name": "bot"})).json()
        watching = streams.create_task(member.watch(run_id, lent["token"]))
        await eventually(lambda: bool(member.heard), what="the machine watches")
        assert (await client.delete(f"/auth/tokens/{lent['id']}")).status_code == 204
        await eventually(watching.done, what="the end of its stream")
        assert member.last not in LAST
        await here.me.client.post("/agent/stop", json={"conversation_id": conversation_id, "run_id": run_id})


@pytest.mark.promise("stop")
async def test_who_is_removed_has_nothing_left_that_runs(replicas: tuple[Job, Job]) -> None:
    here, there = replicas
    member, admin = await Member.new(there), here.me.client
    waiting, _ = await member.begin()
    async with member.client() as client:
        async with Person(client).asking("read slowly") as response:
            running = str((await anext(read_events(response)))["run_id"])
        asked = await Person(client).ask("set leaving=1")
    await _removed(admin, member)
    for run_id in (waiting, running, asked.run_id):
        await eventually(lambda run_id=run_id: _is_stopped(admin, run_id), what="the end of the run")  # type: ignore[misc]
    assert (await admin.get(f"/agent/approvals/{asked.waiting[0]}")).json()["status"] == "stopped"
    assert here.effects_of("leaving") == []


async def test_a_run_that_outlived_the_removal_is_swept(replicas: tuple[Job, Job]) -> None:
    """The removal alone is committed, as by a process that died right after it."""
    here, there = replicas
    member = await Member.new(there)
    run_id, _ = await member.begin()
    store = here.running.services.chat._store
    await store.transaction(lambda tx: tx.change(User, {"id": member.id}, is_active=False))
    await eventually(lambda: _is_stopped(here.me.client, run_id), what="the end of the run")


async def _is_stopped(admin: httpx.AsyncClient, run_id: str) -> bool:
    return bool((await admin.get(f"/agent/runs/{run_id}")).json()["state"] == "stopped")


async def test_the_look_is_taken_every_few_seconds() -> None:
    assert LOOK_EVERY <= 4
