"""The rest of a turn: what runs after what, and what may still be edited."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store.store import TortoiseStore
from src.api.errors import NotDecidable
from src.api.ports import Preview, ToolReply, ToolSpec
from src.api.schemas.base import JsonObject
from src.api.schemas.records import Approval, Call, Execution, Run, User
from src.api.services.editing import MAX_VERSIONS
from src.api.utils.clock import SystemClock
from tests.support.rows import row
from tests.support.workshop import Bench, Toolbox, open_bench
from tests.support.writing import insert

EDITED: JsonObject = {"name": "b", "value": "edited"}


class Shy(Toolbox):
    """Refuses every preview after the first `shows`."""

    shows = 100

    async def preview(self, spec: ToolSpec, args: str, *more: Any) -> Preview | ToolReply:  # type: ignore[override]
        self.shows -= 1
        if self.shows < 0:
            return ToolReply("failed", error="no such thing", code="not_found", effect="none")
        return await super().preview(spec, args, *more)


@pytest.fixture
def tools(store: TortoiseStore) -> Shy:
    return Shy(store)


@pytest.fixture
async def bench(store: TortoiseStore, tools: Shy) -> AsyncIterator[Bench]:
    clock = SystemClock()
    async with open_bench(store, LocalBus(clock), clock, tools) as opened:
        yield opened


async def _statuses(bench: Bench, run_id: str) -> list[str]:
    return [call.status for call in await bench.calls(run_id)]


@pytest.mark.promise("two-clocks")
async def test_an_approved_change_runs_after_one_that_can_not_be_shown(bench: Bench, tools: Shy) -> None:
    """The second is shown when the first is done, for both are about one object; the third was approved by then."""
    tools.shows = 3
    run_id, calls = await bench.asked("change a a b")
    assert await _statuses(bench, run_id) == ["awaiting_approval", "pending", "awaiting_approval"]
    await bench.decide(calls[2])
    await bench.decide(calls[0])
    await bench.until(run_id, "completed")
    assert await _statuses(bench, run_id) == ["completed", "error", "completed"]
    assert tools.effects == {calls[0]: 1, calls[2]: 1}


@pytest.mark.promise("two-clocks", "edits-are-new")
async def test_what_nobody_decided_in_time_is_not_brought_back_by_an_edit(bench: Bench, store: TortoiseStore) -> None:
    _, [call] = await bench.asked("change b")
    await store.transaction(lambda tx: tx.change(Approval, {"id": call}, approve_by=1))
    with pytest.raises(NotDecidable):
        await bench.decide(call, args=EDITED)
    assert (await bench.approval(call)).status == "pending"


@pytest.mark.promise("edits-are-new")
async def test_a_change_may_be_edited_while_its_run_is_queued_for_another(bench: Bench, store: TortoiseStore) -> None:
    run_id, calls = await bench.asked("change a b")
    await store.transaction(lambda tx: tx.change(Run, {"id": run_id}, state="queued"))
    await bench.decide(calls[1], args=EDITED)
    assert await _statuses(bench, run_id) == ["awaiting_approval", "superseded", "awaiting_approval"]


@pytest.mark.promise("fresh")
async def test_an_edit_that_takes_anothers_object_does_not_hold_up_the_earlier_one(bench: Bench) -> None:
    run_id, calls = await bench.asked("change a a b")
    await bench.decide(calls[2], args={"name": "a", "value": "edited"})
    await bench.decide(calls[0])
    await bench.until(run_id, "awaiting_approval")
    assert await _statuses(bench, run_id) == ["completed", "awaiting_approval", "superseded", "awaiting_approval"]


@pytest.mark.promise("bound")
async def test_a_tool_that_another_server_has_by_now_is_not_shown_as_the_one_that_was_called(
    bench: Bench, store: TortoiseStore, tools: Shy
) -> None:
    run_id, calls = await bench.asked("change a a")
    await store.transaction(lambda tx: tx.change(Call, {"id": calls[1]}, server="another"))
    await bench.decide(calls[0])
    await bench.until(run_id, "completed")
    assert await _statuses(bench, run_id) == ["completed", "error"]
    assert tools.effects == {calls[0]: 1}


@pytest.mark.promise("unknown")
@pytest.mark.parametrize("objects", ['["x"]', "[]"], ids=["the same object", "the same call"])
async def test_what_becomes_unknown_beside_an_approved_change_has_it_decided_anew(
    bench: Bench, store: TortoiseStore, tools: Shy, objects: str
) -> None:
    """Also where its end was timed before the decision and committed after it."""
    run_id, [call] = await bench.asked("change x")
    bench.gate.clear()
    await store.transaction(lambda tx: tx.change(Approval, {"id": call}, objects=objects))
    await bench.decide(call)
    decided = await bench.approval(call)
    beside = replace(decided, id="other", run_id="another")
    unknown = row(Execution, id="other", run_id="another", state="unknown", ended_at=(decided.decided_at or 0) - 5)
    await insert(store, beside)
    await insert(store, unknown)
    bench.gate.set()
    await bench.until(run_id, "awaiting_approval")
    assert await _statuses(bench, run_id) == ["stale", "awaiting_approval"]
    again = (await bench.calls(run_id))[1].id
    if objects != "[]":
        with pytest.raises(NotDecidable):
            await bench.decide(again)
    await bench.decide(again, despite_unknown=["other"])
    await bench.until(run_id, "completed")
    assert tools.effects == {again: 1}


@pytest.mark.promise("bounded")
async def test_a_call_is_edited_only_so_often(bench: Bench, store: TortoiseStore) -> None:
    _, [call] = await bench.asked("change b")
    await store.transaction(lambda tx: tx.change(Call, {"id": call}, version=MAX_VERSIONS))
    with pytest.raises(NotDecidable):
        await bench.decide(call, args=EDITED)


@pytest.mark.promise("authorised")
async def test_who_may_no_longer_ask_for_changes_is_asked_about_none(bench: Bench, store: TortoiseStore) -> None:
    """Its person became a viewer between the first change of the turn and the preview of the second."""
    await insert(store, row(User, id="vera", email="vera@example.org", role="viewer", is_active=True))
    run_id, calls = await bench.asked("change a a")
    await store.transaction(lambda tx: tx.change(Run, {"id": run_id}, user_id="vera"))
    await bench.decide(calls[0])
    await bench.until(run_id, "completed")
    assert await _statuses(bench, run_id) == ["completed", "error"]
