"""Deleted conversations: hidden at once, erased soon after; decisions and executions stay on record."""

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
    AuditEntry,
    Call,
    Conversation,
    DeferredEvent,
    Execution,
    JournalEvent,
    Message,
    Run,
    SearchText,
)
from src.api.services.conversations.erasure import erase_batch
from src.api.services.tools.conflicts import objects_of
from tests.support.app import check_problem
from tests.support.counting_process import CountingProcess
from tests.support.engine_harness import EngineHarness, open_engine_harness
from tests.support.scripted_model import ScriptedModel
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "tell-nobody"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sweeping_agent(
    tmp_path_factory: pytest.TempPathFactory,
    shared_database: str | None,
    counting: CountingProcess,
    scripted_model: ScriptedModel,
) -> AsyncIterator[EngineHarness]:
    values = {"postgres_database_url": shared_database, "run_sweep_seconds": 1}
    async with open_engine_harness(tmp_path_factory.mktemp("data"), counting, scripted_model, **values) as agent:
        yield agent


async def _read_rows(agent: EngineHarness, kind: type, where: Where) -> list:
    async def body(reader: Reader) -> list:
        return await reader.find(kind, where)

    return await agent.running.services.chat.store.read(body)


async def _wait_for_erasure(agent: EngineHarness, conversation_id: str) -> Conversation:
    found: list[Conversation] = []

    async def done() -> bool:
        found[:] = await _read_rows(agent, Conversation, {"id": conversation_id})
        return found[0].erase_due is None

    await eventually(done, what="the erasure")
    return found[0]


async def test_erasure_removes_messages_and_keeps_decisions(sweeping_agent: EngineHarness) -> None:
    asked = await sweeping_agent.me.ask(f"set {SECRET}=1")
    await sweeping_agent.me.decide(asked, asked.waiting[0], reason="as agreed")
    conversation, run = {"conversation_id": asked.conversation_id}, {"run_id": asked.run_id}
    before = (await _read_rows(sweeping_agent, Approval, run))[0]
    assert (await sweeping_agent.me.client.delete(f"/conversations/{asked.conversation_id}")).status_code == 200
    check_problem(await sweeping_agent.me.client.get(f"/conversations/{asked.conversation_id}"), 404)
    erased = await _wait_for_erasure(sweeping_agent, asked.conversation_id)
    assert (erased.title, erased.metadata) == (None, "{}")
    for kind, where in ((Message, conversation), (SearchText, conversation), (JournalEvent, run)):
        assert await _read_rows(sweeping_agent, kind, where) == [], kind
    after = (await _read_rows(sweeping_agent, Approval, run))[0]
    for column in ("tool", "digest", "status", "requester_id", "decided_by", "decided_at", "reason", "created_at"):
        assert getattr(after, column) == getattr(before, column)
    assert objects_of(after) == objects_of(before), "later changes to the same object still conflict with it"
    calls, executions = await _read_rows(sweeping_agent, Call, run), await _read_rows(sweeping_agent, Execution, run)
    assert [(each.tool, each.status) for each in calls] == [("change_thing", "completed")]
    assert [(each.state, each.effect) for each in executions] == [("succeeded", "done")]
    rows = [
        replace(after, objects="names of objects stay"),
        *calls,
        *executions,
        *await _read_rows(sweeping_agent, Run, {"id": asked.run_id}),
    ]
    assert SECRET not in str(rows)
    trail = [each.action for each in await _read_rows(sweeping_agent, AuditEntry, {"stream": "user:local"})]
    assert trail.index("conversation.deleted") < trail.index("conversation.erased")


async def test_id_of_deleted_conversation_stays_taken(sweeping_agent: EngineHarness) -> None:
    """A second conversation with the same id would show the records kept of the first."""
    asked = await sweeping_agent.me.ask("hello")
    await sweeping_agent.me.client.delete(f"/conversations/{asked.conversation_id}")
    await _wait_for_erasure(sweeping_agent, asked.conversation_id)
    check_problem(
        await sweeping_agent.me.client.post("/conversations", json={"conversation_id": asked.conversation_id}), 409
    )


async def test_erasure_waits_for_started_change(sweeping_agent: EngineHarness) -> None:
    asked = await sweeping_agent.me.ask(f"set {SECRET}=2")
    await sweeping_agent.me.decide(asked, asked.waiting[0])
    store, conversation_id = sweeping_agent.running.services.chat.store, asked.conversation_id

    async def started(tx: Transaction) -> None:
        await tx.change(Conversation, {"id": conversation_id}, deleted_at=1, erase_due=1)
        await tx.change(Execution, {"id": asked.waiting[0]}, state="started")
        await erase_batch(tx, conversation_id)

    await store.transaction(started)
    held = (await _read_rows(sweeping_agent, Conversation, {"id": conversation_id}))[0]
    assert held.erase_due is not None
    assert held.erase_due > 1, "scheduled again later"
    assert len(await _read_rows(sweeping_agent, Message, {"conversation_id": conversation_id})) == 3

    async def ended(tx: Transaction) -> None:
        await tx.change(Execution, {"id": asked.waiting[0]}, state="unknown", started_at=1)
        await tx.change(Conversation, {"id": conversation_id}, erase_due=1)

    await store.transaction(ended)
    await _wait_for_erasure(sweeping_agent, conversation_id)
    assert await _read_rows(sweeping_agent, Message, {"conversation_id": conversation_id}) == []


async def test_empty_conversation_is_erased(sweeping_agent: EngineHarness) -> None:
    made = (await sweeping_agent.me.client.post("/conversations", json={"title": SECRET})).json()["id"]
    await sweeping_agent.me.client.delete(f"/conversations/{made}")
    assert (await _wait_for_erasure(sweeping_agent, made)).title is None


async def test_late_result_restores_nothing(sweeping_agent: EngineHarness) -> None:
    """The outcome may arrive more than an hour later; only its state and effect are recorded."""
    asked = await sweeping_agent.me.ask(f"set {SECRET}-late=3")
    await sweeping_agent.me.decide(asked, asked.waiting[0])
    store, call_id = sweeping_agent.running.services.chat.store, asked.waiting[0]
    verification = sweeping_agent.running.services.verification
    run, own = {"run_id": asked.run_id}, {"id": call_id}

    async def long_unknown(tx: Transaction) -> None:
        await tx.change(Execution, own, state="unknown", result="[]", started_at=1)
        await tx.change(Call, own, status="unknown", result="[]")

    await store.transaction(long_unknown)
    before, call = (await _read_rows(sweeping_agent, Execution, own))[0], (await _read_rows(sweeping_agent, Call, own))[
        0
    ]
    await sweeping_agent.me.client.delete(f"/conversations/{asked.conversation_id}")
    await _wait_for_erasure(sweeping_agent, asked.conversation_id)

    seen = Evidence("looks_applied", SECRET)
    with pytest.raises(NotFound, match="was deleted"):
        await verification._record_evidence(before, call, seen, ENGINE)
    with pytest.raises(NotFound, match="was deleted"):
        await verification._settle_unknown(before, call, "applied", "somebody", SECRET, "settled")
    late = ToolReply("succeeded", [{"type": "text", "text": SECRET}], effect="done")
    assert await verification.results.record_change(call, before.nonce, late)

    executions, calls = await _read_rows(sweeping_agent, Execution, run), await _read_rows(sweeping_agent, Call, run)
    assert [(each.state, each.effect) for each in executions] == [("succeeded", "done")]
    assert [each.status for each in calls] == ["completed"]
    assert SECRET not in str([*executions, *calls, *await _read_rows(sweeping_agent, Run, {"id": asked.run_id})])
    for kind in (JournalEvent, DeferredEvent, Message, SearchText):
        assert await _read_rows(sweeping_agent, kind, run) == [], kind
    trail = await _read_rows(sweeping_agent, AuditEntry, {"stream": f"run:{asked.run_id}"})
    assert trail[-1].action == "tool.result"
    assert SECRET not in trail[-1].body
