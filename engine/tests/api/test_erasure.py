"""A deleted conversation is hidden at once and erased soon; what was decided and done stays on record."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from src.api.errors import NotFound
from src.api.ports import Evidence, Reader, ToolReply, Transaction
from src.api.schemas.audit import ENGINE
from src.api.schemas.query import Where
from src.api.schemas.records import (
    Approval,
    Call,
    Conversation,
    DeferredEvent,
    Execution,
    JournalEvent,
    Message,
    Run,
    SearchText,
)
from src.api.schemas.trail import AuditEntry
from src.api.services.beside import objects_of
from src.api.services.erasure import erase_some
from tests.support.app import problem
from tests.support.counting import Counting
from tests.support.main_job import Job, at_work
from tests.support.scripted_model import ScriptedModel
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "tell-nobody"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(
    tmp_path_factory: pytest.TempPathFactory, shared_database: str | None, counting: Counting, words: ScriptedModel
) -> AsyncIterator[Job]:
    values = {"postgres_database_url": shared_database, "run_sweep_seconds": 1}
    async with at_work(tmp_path_factory.mktemp("data"), counting, words, **values) as job:
        yield job


async def _of(job: Job, kind: type, where: Where) -> list:
    async def body(reader: Reader) -> list:
        return await reader.find(kind, where)

    return await job.running.services.chat._store.read(body)


async def _erased(job: Job, conversation_id: str) -> Conversation:
    found: list[Conversation] = []

    async def done() -> bool:
        found[:] = await _of(job, Conversation, {"id": conversation_id})
        return found[0].erase_due is None

    await eventually(done, what="the erasure")
    return found[0]


async def test_what_was_said_goes_and_what_was_done_stays(office: Job) -> None:
    asked = await office.me.ask(f"set {SECRET}=1")
    await office.me.decide(asked, asked.waiting[0], reason="as agreed")
    conversation, run = {"conversation_id": asked.conversation_id}, {"run_id": asked.run_id}
    before = (await _of(office, Approval, run))[0]
    assert (await office.me.client.delete(f"/conversations/{asked.conversation_id}")).status_code == 200
    problem(await office.me.client.get(f"/conversations/{asked.conversation_id}"), 404)
    erased = await _erased(office, asked.conversation_id)
    assert (erased.title, erased.metadata) == (None, "{}")
    for kind, where in ((Message, conversation), (SearchText, conversation), (JournalEvent, run)):
        assert await _of(office, kind, where) == [], kind
    after = (await _of(office, Approval, run))[0]
    for column in ("tool", "digest", "status", "requester_id", "decided_by", "decided_at", "reason", "created_at"):
        assert getattr(after, column) == getattr(before, column)
    assert objects_of(after) == objects_of(before), "a change to the same object still knows of it"
    calls, executions = await _of(office, Call, run), await _of(office, Execution, run)
    assert [(each.tool, each.status) for each in calls] == [("change_thing", "completed")]
    assert [(each.state, each.effect) for each in executions] == [("succeeded", "done")]
    rows = [
        replace(after, objects="names of objects stay"),
        *calls,
        *executions,
        *await _of(office, Run, {"id": asked.run_id}),
    ]
    assert SECRET not in str(rows)
    trail = [each.action for each in await _of(office, AuditEntry, {"stream": "user:local"})]
    assert trail.index("conversation.deleted") < trail.index("conversation.erased")


async def test_an_id_that_was_used_stays_used(office: Job) -> None:
    """Else what stays on record of the old conversation would show in the new one."""
    asked = await office.me.ask("hello")
    await office.me.client.delete(f"/conversations/{asked.conversation_id}")
    await _erased(office, asked.conversation_id)
    problem(await office.me.client.post("/conversations", json={"conversation_id": asked.conversation_id}), 409)


async def test_nothing_is_erased_while_a_change_is_under_way(office: Job) -> None:
    asked = await office.me.ask(f"set {SECRET}=2")
    await office.me.decide(asked, asked.waiting[0])
    store, conversation_id = office.running.services.chat._store, asked.conversation_id

    async def started(tx: Transaction) -> None:
        await tx.change(Conversation, {"id": conversation_id}, deleted_at=1, erase_due=1)
        await tx.change(Execution, {"id": asked.waiting[0]}, state="started")
        await erase_some(tx, conversation_id)

    await store.transaction(started)
    held = (await _of(office, Conversation, {"id": conversation_id}))[0]
    assert held.erase_due is not None
    assert held.erase_due > 1, "looked at again later"
    assert len(await _of(office, Message, {"conversation_id": conversation_id})) == 3

    async def ended(tx: Transaction) -> None:
        await tx.change(Execution, {"id": asked.waiting[0]}, state="unknown", started_at=1)
        await tx.change(Conversation, {"id": conversation_id}, erase_due=1)

    await store.transaction(ended)
    await _erased(office, conversation_id)
    assert await _of(office, Message, {"conversation_id": conversation_id}) == []


async def test_a_deleted_conversation_with_nothing_in_it(office: Job) -> None:
    made = (await office.me.client.post("/conversations", json={"title": SECRET})).json()["id"]
    await office.me.client.delete(f"/conversations/{made}")
    assert (await _erased(office, made)).title is None


async def test_an_answer_that_comes_after_the_erasure_brings_nothing_back(office: Job) -> None:
    """More than an hour after the outcome became unknown, say; that it ended, and how, is still worth knowing."""
    asked = await office.me.ask(f"set {SECRET}-late=3")
    await office.me.decide(asked, asked.waiting[0])
    store, call_id = office.running.services.chat._store, asked.waiting[0]
    verification = office.running.services.verification
    run, own = {"run_id": asked.run_id}, {"id": call_id}

    async def long_unknown(tx: Transaction) -> None:
        await tx.change(Execution, own, state="unknown", result="[]", started_at=1)
        await tx.change(Call, own, status="unknown", result="[]")

    await store.transaction(long_unknown)
    before, call = (await _of(office, Execution, own))[0], (await _of(office, Call, own))[0]
    await office.me.client.delete(f"/conversations/{asked.conversation_id}")
    await _erased(office, asked.conversation_id)

    seen = Evidence("looks_applied", SECRET)
    with pytest.raises(NotFound, match="was deleted"):
        await verification._note(before, call, seen, ENGINE)
    with pytest.raises(NotFound, match="was deleted"):
        await verification._move(before, call, "applied", "somebody", SECRET, "settled")
    late = ToolReply("succeeded", [{"type": "text", "text": SECRET}], effect="done")
    assert await verification._outcomes.record_change(call, before.nonce, late)

    executions, calls = await _of(office, Execution, run), await _of(office, Call, run)
    assert [(each.state, each.effect) for each in executions] == [("succeeded", "done")]
    assert [each.status for each in calls] == ["completed"]
    assert SECRET not in str([*executions, *calls, *await _of(office, Run, {"id": asked.run_id})])
    for kind in (JournalEvent, DeferredEvent, Message, SearchText):
        assert await _of(office, kind, run) == [], kind
    trail = await _of(office, AuditEntry, {"stream": f"run:{asked.run_id}"})
    assert trail[-1].action == "tool.result"
    assert SECRET not in trail[-1].body
