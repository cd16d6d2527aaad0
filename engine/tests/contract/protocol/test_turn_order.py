"""The order of calls within a turn, and which of them may still be edited."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from skyflo_common.clock import SystemClock
from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store.store import TortoiseStore
from src.api.errors import NotDecidable
from src.api.ports import Preview, ToolReply, ToolSpec
from src.api.schemas.base import JsonObject
from src.api.schemas.records import Approval, Call, Execution, Run, User
from src.api.services.approvals.edits import MAX_VERSIONS
from tests.support.core_harness import CoreHarness, FakeToolServer, open_core_harness
from tests.support.rows import row
from tests.support.store_writes import insert_record

EDITED: JsonObject = {"name": "b", "value": "edited"}


class ReluctantToolbox(FakeToolServer):
    """Refuses every preview after the first `shows`."""

    shows = 100

    async def preview(self, spec: ToolSpec, args: str, *more: Any) -> Preview | ToolReply:  # type: ignore[override]
        self.shows -= 1
        if self.shows < 0:
            return ToolReply("failed", error="no such thing", code="not_found", effect="none")
        return await super().preview(spec, args, *more)


@pytest.fixture
def tools(store: TortoiseStore) -> ReluctantToolbox:
    return ReluctantToolbox(store)


@pytest.fixture
async def harness(store: TortoiseStore, tools: ReluctantToolbox) -> AsyncIterator[CoreHarness]:
    clock = SystemClock()
    async with open_core_harness(store, LocalBus(clock), clock, tools) as opened:
        yield opened


async def _statuses(harness: CoreHarness, run_id: str) -> list[str]:
    return [call.status for call in await harness.calls(run_id)]


@pytest.mark.promise("deadlines")
async def test_approved_change_runs_after_failed_preview(harness: CoreHarness, tools: ReluctantToolbox) -> None:
    """The second change touches the first one's object, so it is previewed later; the third is approved by then."""
    tools.shows = 3
    run_id, calls = await harness.chat_until_rest("change a a b")
    assert await _statuses(harness, run_id) == ["awaiting_approval", "pending", "awaiting_approval"]
    await harness.decide(calls[2])
    await harness.decide(calls[0])
    await harness.until(run_id, "completed")
    assert await _statuses(harness, run_id) == ["completed", "error", "completed"]
    assert tools.effects == {calls[0]: 1, calls[2]: 1}


@pytest.mark.promise("deadlines", "edits-are-new")
async def test_edit_does_not_revive_expired_approval(harness: CoreHarness, store: TortoiseStore) -> None:
    _, [call] = await harness.chat_until_rest("change b")
    await store.transaction(lambda tx: tx.change(Approval, {"id": call}, approve_by=1))
    with pytest.raises(NotDecidable):
        await harness.decide(call, args=EDITED)
    assert (await harness.approval(call)).status == "pending"


@pytest.mark.promise("edits-are-new")
async def test_change_of_queued_run_may_be_edited(harness: CoreHarness, store: TortoiseStore) -> None:
    run_id, calls = await harness.chat_until_rest("change a b")
    await store.transaction(lambda tx: tx.change(Run, {"id": run_id}, state="queued"))
    await harness.decide(calls[1], args=EDITED)
    assert await _statuses(harness, run_id) == ["awaiting_approval", "superseded", "awaiting_approval"]


@pytest.mark.promise("fresh")
async def test_edit_to_same_object_does_not_block_earlier_change(harness: CoreHarness) -> None:
    run_id, calls = await harness.chat_until_rest("change a a b")
    await harness.decide(calls[2], args={"name": "a", "value": "edited"})
    await harness.decide(calls[0])
    await harness.until(run_id, "awaiting_approval")
    assert await _statuses(harness, run_id) == ["completed", "awaiting_approval", "superseded", "awaiting_approval"]


@pytest.mark.promise("bound")
async def test_tool_moved_to_another_server_is_not_previewed(
    harness: CoreHarness, store: TortoiseStore, tools: ReluctantToolbox
) -> None:
    run_id, calls = await harness.chat_until_rest("change a a")
    await store.transaction(lambda tx: tx.change(Call, {"id": calls[1]}, server="another"))
    await harness.decide(calls[0])
    await harness.until(run_id, "completed")
    assert await _statuses(harness, run_id) == ["completed", "error"]
    assert tools.effects == {calls[0]: 1}


@pytest.mark.promise("unknown")
@pytest.mark.parametrize("objects", ['["x"]', "[]"], ids=["the same object", "the same call"])
async def test_conflicting_unknown_outcome_requires_new_decision(
    harness: CoreHarness, store: TortoiseStore, tools: ReluctantToolbox, objects: str
) -> None:
    """This holds if its end has an earlier time than the decision, but was committed later."""
    run_id, [call] = await harness.chat_until_rest("change x")
    harness.gate.clear()
    await store.transaction(lambda tx: tx.change(Approval, {"id": call}, objects=objects))
    await harness.decide(call)
    decided = await harness.approval(call)
    other_approval = replace(decided, id="other", run_id="another")
    unknown = row(Execution, id="other", run_id="another", state="unknown", ended_at=(decided.decided_at or 0) - 5)
    await insert_record(store, other_approval)
    await insert_record(store, unknown)
    harness.gate.set()
    await harness.until(run_id, "awaiting_approval")
    assert await _statuses(harness, run_id) == ["stale", "awaiting_approval"]
    again = (await harness.calls(run_id))[1].id
    if objects != "[]":
        with pytest.raises(NotDecidable):
            await harness.decide(again)
    await harness.decide(again, despite_unknown=["other"])
    await harness.until(run_id, "completed")
    assert tools.effects == {again: 1}


@pytest.mark.promise("bounded")
async def test_number_of_edits_is_limited(harness: CoreHarness, store: TortoiseStore) -> None:
    _, [call] = await harness.chat_until_rest("change b")
    await store.transaction(lambda tx: tx.change(Call, {"id": call}, version=MAX_VERSIONS))
    with pytest.raises(NotDecidable):
        await harness.decide(call, args=EDITED)


@pytest.mark.promise("authorised")
async def test_demoted_requester_is_not_asked_for_approval(harness: CoreHarness, store: TortoiseStore) -> None:
    """The requester became a viewer between the turn's first change and the second one's preview."""
    await insert_record(store, row(User, id="vera", email="vera@example.org", role="viewer", is_active=True))
    run_id, calls = await harness.chat_until_rest("change a a")
    await store.transaction(lambda tx: tx.change(Run, {"id": run_id}, user_id="vera"))
    await harness.decide(calls[0])
    await harness.until(run_id, "completed")
    assert await _statuses(harness, run_id) == ["completed", "error"]
