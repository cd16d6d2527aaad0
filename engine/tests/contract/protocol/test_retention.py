"""Retention: conversations without activity are erased as by their owners, and never while something is open."""

from collections.abc import Awaitable, Callable

import pytest

from skyflo_common.clock import SystemClock
from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store.store import open_store
from src.api.schemas.records import Approval, AuditEntry, Conversation, Execution, Message, SearchText
from src.api.services.conversations.retention import BATCH, RetentionScan
from src.api.services.limits import Limits
from src.api.utils.times import DAY_MS
from tests.support.core_harness import CoreHarness, FakeToolServer, open_core_harness
from tests.support.rows import row
from tests.support.store_writes import change_row, insert_record

CLOCK = SystemClock()
LIMITS = Limits(approval_timeout=60, start_timeout=30, settle_timeout=0, retention_days=30)


async def sweep(harness: CoreHarness) -> None:
    """Sweep until deletion and both steps of the erasure are done."""
    for _ in range(3):
        await harness.core.sweep.once()


async def make_old(harness: CoreHarness, conversation_id: str, days: int = 31) -> None:
    at = CLOCK.now() - days * DAY_MS
    await change_row(harness.store, Conversation, {"id": conversation_id}, updated_at=at)


async def conversation(harness: CoreHarness, conversation_id: str) -> Conversation:
    found = await harness.store.read(lambda reader: reader.get(Conversation, id=conversation_id))
    assert found is not None
    return found


async def test_old_conversation_is_erased_and_its_decisions_stay(store_url: str) -> None:
    async with open_store(store_url) as store:
        tools = FakeToolServer(store)
        async with open_core_harness(store, LocalBus(CLOCK), CLOCK, tools, limits=LIMITS) as harness:
            run_id, [call_id] = await harness.chat_until_rest("change it")
            await harness.decide(call_id)
            old = (await harness.until(run_id, "completed")).conversation_id
            fresh = (await harness.run((await harness.chat_until_rest("hello"))[0])).conversation_id
            await make_old(harness, old)
            await make_old(harness, fresh, days=29)
            await sweep(harness)
            erased = await conversation(harness, old)
            assert (erased.deleted_at is not None, erased.erase_due, erased.title) == (True, None, None)
            for kind in (Message, SearchText):
                found = await store.read(lambda reader, kind=kind: reader.find(kind, {"conversation_id": old}))
                assert found == []
            [execution] = await store.read(lambda reader: reader.find(Execution, {"run_id": run_id}))
            approval = await harness.approval(call_id)
            assert (execution.state, approval.status, approval.args) == ("succeeded", "consumed", "{}")
            entries = await store.read(lambda reader: reader.find(AuditEntry, {"stream": "user:local"}, "n"))
            told = [(each.action, each.actor) for each in entries if old in each.body]
            assert told[-2:] == [("conversation.deleted", "engine"), ("conversation.erased", "engine")]
            assert (await conversation(harness, fresh)).deleted_at is None


async def wait_for_approval(harness: CoreHarness) -> str:
    run_id, _ = await harness.chat_until_rest("change it")
    return (await harness.run(run_id)).conversation_id


async def leave_unknown(harness: CoreHarness) -> str:
    run_id, [call_id] = await harness.chat_until_rest("change it")
    await harness.decide(call_id)
    run = await harness.until(run_id, "completed")
    assert [call.status for call in await harness.calls(run_id)] == ["unknown"]
    return run.conversation_id


async def approve_for_later(harness: CoreHarness) -> str:
    run_id, _ = await harness.chat_until_rest("hello")
    run = await harness.run(run_id)
    approval = row(Approval, id="later", run_id=run_id, conversation_id=run.conversation_id, status="approved")
    await insert_record(harness.store, approval)
    return run.conversation_id


async def keep_running(harness: CoreHarness) -> str:
    harness.gate.clear()
    started = await harness.chat("hello")
    return (await harness.run(started.run_id)).conversation_id


@pytest.mark.promise("unknown")
@pytest.mark.parametrize("make", [wait_for_approval, leave_unknown, approve_for_later, keep_running])
async def test_conversation_with_something_open_is_kept(
    store_url: str, make: Callable[[CoreHarness], Awaitable[str]]
) -> None:
    async with open_store(store_url) as store:
        tools = FakeToolServer(store)
        tools.next = ["lose"] if make is leave_unknown else []
        async with open_core_harness(store, LocalBus(CLOCK), CLOCK, tools, limits=LIMITS) as harness:
            conversation_id = await make(harness)
            await make_old(harness, conversation_id)
            await sweep(harness)
            assert (await conversation(harness, conversation_id)).deleted_at is None
            harness.gate.set()


async def test_conversations_are_kept_by_default(sqlite_store_url: str) -> None:
    async with (
        open_store(sqlite_store_url) as store,
        open_core_harness(store, LocalBus(CLOCK), CLOCK, FakeToolServer(store)) as harness,
    ):
        await insert_record(store, row(Conversation, id="c", owner_id="local", updated_at=1))
        await sweep(harness)
        assert (await conversation(harness, "c")).deleted_at is None


async def test_kept_conversations_do_not_hold_up_the_others(store_url: str) -> None:
    async with open_store(store_url) as store:
        rows = [row(Conversation, id=f"c{n:03}", owner_id="local", updated_at=5) for n in range(BATCH + 3)]
        await store.transaction(lambda tx: tx.insert_all(rows))
        scan = RetentionScan(store)
        batches = [[each.id for each in await scan.next_batch(6)] for _ in range(4)]
        assert [len(batch) for batch in batches] == [BATCH, 3, 0, BATCH]
        assert batches[0] + batches[1] == [each.id for each in rows]
        assert await RetentionScan(store).next_batch(5) == [], "activity at the cutoff itself is recent enough"
