"""Every way in which a run comes to rest ends its streams with a last event, also for a client that comes back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from skyflo_common.clock import SystemClock
from src.api.adapters.bus.local import LocalBus
from src.api.adapters.policy_file import PolicyFile
from src.api.adapters.store.store import open_store
from src.api.ports import Settlement
from src.api.schemas.agent import ReconcileRequest
from src.api.schemas.base import JsonObject
from src.api.schemas.events import FINAL_TYPES, SEQ_PER_JOURNAL_EVENT
from src.api.schemas.records import Approval, Conversation, JournalEvent, Run, User
from src.api.services.access import Caller, Role
from src.api.services.conversations.conversations import Conversations
from src.api.services.streaming.stream import RunStreams
from src.api.services.streaming.watcher import RunWatcher
from src.api.utils.ids import Uuid7
from tests.support.core_harness import ADA, BOB, CoreHarness, FakeToolServer, add_team_members, open_core_harness
from tests.support.store_writes import change_row
from tests.support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.promise("last-event")

CAL = Caller("cal", Role.MEMBER, "Cal")
TWO = "rules: [{name: four-eyes, decision: two_people, tools: [wipe]}]"
EDITED: JsonObject = {"name": "a", "value": "edited"}


class ForgetfulToolServer(FakeToolServer):
    """A tool server that can't tell whether a grant ever ran, while `forgets` is set."""

    forgets = False

    async def settle(self, server: str, approval_id: str) -> Settlement:
        return Settlement("cannot_tell") if self.forgets else await super().settle(server, approval_id)


@dataclass
class StreamHarness:
    """A core whose runs can be followed. `CAL` is a member, `BOB` an approver, `ADA` the local admin."""

    core: CoreHarness
    tools: ForgetfulToolServer
    streams: RunStreams
    conversations: Conversations

    async def read(self, run_id: str, after: int = 0) -> list[JsonObject]:
        """Follow the run to the end of the stream."""
        async with asyncio.timeout(PATIENCE):
            return [orjson.loads(item.data()) async for item in self.streams.follow(run_id, after)]

    async def end_with_unknown(self, how: str) -> tuple[str, str]:
        """End a run with a change whose outcome is unknown. Returns the run and the call."""
        self.tools.next = [how]
        run_id, [call] = await self.core.chat_until_rest("change a")
        await self.core.decide(call)
        await self.core.until(run_id, "completed")
        return run_id, call


@pytest.fixture
async def harness(store_url: str, tmp_path: Path) -> AsyncIterator[StreamHarness]:
    clock = SystemClock()
    bus = LocalBus(clock)
    (tmp_path / "policy.yaml").write_text(TWO)
    policies = PolicyFile(tmp_path / "policy.yaml", True, clock)
    async with open_store(store_url) as store, RunWatcher(store, bus, clock) as watcher:
        await add_team_members(store, BOB, CAL)
        tools = ForgetfulToolServer(store)
        async with open_core_harness(store, bus, clock, tools, policies=policies) as core:
            conversations = Conversations(store, Uuid7(), core.core.dependencies.completion)
            yield StreamHarness(core, tools, RunStreams(store, bus, watcher, clock), conversations)


Step = Callable[[], Awaitable[object]]


async def _answer(at: StreamHarness) -> tuple[str, Step]:
    return await _hold(at, "hello")


async def _fail(at: StreamHarness) -> tuple[str, Step]:
    return await _hold(at, "fail")


async def _propose(at: StreamHarness) -> tuple[str, Step]:
    return await _hold(at, "change a")


async def _hold(at: StreamHarness, text: str) -> tuple[str, Step]:
    """Submit a run that makes no progress until the step."""
    at.core.gate.clear()
    started = await at.core.chat(text)

    async def go_on() -> None:
        at.core.gate.set()
        await at.core.until(started.run_id)

    return started.run_id, go_on


async def _vote_first_of_two(at: StreamHarness) -> tuple[str, Step]:
    run_id, [call] = await at.core.chat_until_rest("wipe a", caller=CAL)
    return run_id, lambda: at.core.decide(call, caller=BOB)


async def _approve_second_of_two(at: StreamHarness) -> tuple[str, Step]:
    run_id, calls = await at.core.chat_until_rest("change a b")
    return run_id, lambda: at.core.decide(calls[1])


async def _deny_second_of_two(at: StreamHarness) -> tuple[str, Step]:
    run_id, calls = await at.core.chat_until_rest("change a b")
    return run_id, lambda: at.core.decide(calls[1], approve=False)


async def _edit(at: StreamHarness) -> tuple[str, Step]:
    run_id, [call] = await at.core.chat_until_rest("change a")
    return run_id, lambda: at.core.decide(call, args=EDITED)


async def _expire_second_of_two(at: StreamHarness) -> tuple[str, Step]:
    run_id, calls = await at.core.chat_until_rest("change a b")
    await change_row(at.core.store, Approval, {"id": calls[1]}, approve_by=1)
    return run_id, at.core.core.sweep.once


async def _expire_the_only_one(at: StreamHarness) -> tuple[str, Step]:
    run_id, [call] = await at.core.chat_until_rest("change a")
    await change_row(at.core.store, Approval, {"id": call}, approve_by=1)

    async def sweep() -> None:
        await at.core.core.sweep.once()
        await at.core.until(run_id, "completed")

    return run_id, sweep


async def _decide(at: StreamHarness) -> tuple[str, Step]:
    run_id, [call] = await at.core.chat_until_rest("change a")

    async def approve() -> None:
        await at.core.decide(call)
        await at.core.until(run_id, "completed")

    return run_id, approve


async def _stop_resting(at: StreamHarness) -> tuple[str, Step]:
    run_id, _ = await at.core.chat_until_rest("change a")
    return run_id, lambda: _stop(at, run_id)


async def _stop_running(at: StreamHarness) -> tuple[str, Step]:
    at.core.gate.clear()
    started = await at.core.chat("hello")
    await at.core.until(started.run_id, "running")

    async def stop() -> None:
        await _stop(at, started.run_id)
        at.core.gate.set()
        await at.core.until(started.run_id, "stopped")

    return started.run_id, stop


async def _stop_waiting(at: StreamHarness) -> tuple[str, Step]:
    first, _ = await at.core.chat_until_rest("change a")
    conversation_id = (await at.core.run(first)).conversation_id
    waiting = await at.core.chat("hello", conversation_id, on_busy="enqueue")
    return waiting.run_id, lambda: _stop(at, waiting.run_id)


async def _stop_with_change_in_flight(at: StreamHarness) -> tuple[str, Step]:
    at.tools.next = ["work"]
    run_id, [call] = await at.core.chat_until_rest("change a")
    await at.core.decide(call)
    await eventually(lambda: at.tools.hanging == 1)

    async def stop() -> None:
        await _stop(at, run_id)
        at.tools.released.set()
        await at.core.until(run_id, "stopped")
        await eventually(lambda: _is_settled(at, call))

    return run_id, stop


async def _is_settled(at: StreamHarness, call: str) -> bool:
    return (await at.core.core.inbox.get(ADA, call)).outcome == "succeeded"


async def _stop(at: StreamHarness, run_id: str) -> None:
    run = await at.core.run(run_id)
    await at.core.core.runs.stop(ADA, run.conversation_id, run_id)


async def _send_new_message(at: StreamHarness) -> tuple[str, Step]:
    run_id, _ = await at.core.chat_until_rest("change a")
    conversation_id = (await at.core.run(run_id)).conversation_id
    return run_id, lambda: at.core.chat("hello", conversation_id)


async def _interrupt(at: StreamHarness) -> tuple[str, Step]:
    run_id, _ = await at.core.chat_until_rest("change a")
    conversation_id = (await at.core.run(run_id)).conversation_id
    return run_id, lambda: at.core.chat("hello", conversation_id, on_busy="interrupt")


async def _remove_conversation(at: StreamHarness) -> tuple[str, Step]:
    run_id, _ = await at.core.chat_until_rest("change a")
    conversation_id = (await at.core.run(run_id)).conversation_id
    return run_id, lambda: at.conversations.remove(ADA, conversation_id)


async def _remove_member(at: StreamHarness) -> tuple[str, Step]:
    run_id, _ = await at.core.chat_until_rest("change a", caller=CAL)
    await change_row(at.core.store, User, {"id": CAL.id}, is_active=False)
    return run_id, lambda: at.core.core.sweep.stop_removed(CAL.id)


async def _learn_result_late(at: StreamHarness) -> tuple[str, Step]:
    run_id, call = await at.end_with_unknown("lose")
    return run_id, lambda: at.core.core.verification.verify(ADA, call, ReconcileRequest())


async def _learn_that_it_never_ran(at: StreamHarness) -> tuple[str, Step]:
    run_id, call = await at.end_with_unknown("drop")
    return run_id, lambda: at.core.core.verification.verify(ADA, call, ReconcileRequest())


async def _look_at_objects(at: StreamHarness) -> tuple[str, Step]:
    at.tools.forgets = True
    run_id, call = await at.end_with_unknown("lose")
    return run_id, lambda: at.core.core.verification.verify(ADA, call, ReconcileRequest())


async def _settle_by_person(at: StreamHarness) -> tuple[str, Step]:
    at.tools.forgets = True
    run_id, call = await at.end_with_unknown("lose")
    request = ReconcileRequest(outcome="applied", reason="I looked.")
    return run_id, lambda: at.core.core.verification.verify(ADA, call, request)


WAYS: dict[str, tuple[Callable[[StreamHarness], Awaitable[tuple[str, Step]]], str, str]] = {
    "answered": (_answer, "completed", "completed"),
    "failed": (_fail, "failed", "error"),
    "proposed": (_propose, "awaiting_approval", "awaiting_approval"),
    "first of two votes": (_vote_first_of_two, "awaiting_approval", "awaiting_approval"),
    "first of two decisions, approved": (_approve_second_of_two, "awaiting_approval", "awaiting_approval"),
    "first of two decisions, denied": (_deny_second_of_two, "awaiting_approval", "awaiting_approval"),
    "edited": (_edit, "awaiting_approval", "awaiting_approval"),
    "one of two expired": (_expire_second_of_two, "awaiting_approval", "awaiting_approval"),
    "the only one expired": (_expire_the_only_one, "completed", "completed"),
    "decided": (_decide, "completed", "completed"),
    "stopped at rest": (_stop_resting, "stopped", "stopped"),
    "stopped while running": (_stop_running, "stopped", "stopped"),
    "stopped while waiting": (_stop_waiting, "stopped", "stopped"),
    "stopped with a change in flight": (_stop_with_change_in_flight, "stopped", "stopped"),
    "new message": (_send_new_message, "completed", "completed"),
    "interrupted": (_interrupt, "stopped", "stopped"),
    "conversation removed": (_remove_conversation, "stopped", "stopped"),
    "member removed": (_remove_member, "stopped", "stopped"),
    "late result": (_learn_result_late, "completed", "completed"),
    "never ran": (_learn_that_it_never_ran, "completed", "completed"),
    "evidence": (_look_at_objects, "completed", "completed"),
    "settled by a person": (_settle_by_person, "completed", "completed"),
}
"""How a run comes to rest: the preparation with the last step, the state of the run, the status of its last event."""


@pytest.mark.parametrize("way", WAYS)
async def test_stream_ends_with_last_event_however_the_run_rests(harness: StreamHarness, way: str) -> None:
    prepare, state, status = WAYS[way]
    run_id, step = await prepare(harness)
    seen = (await harness.core.run(run_id)).journal * SEQ_PER_JOURNAL_EVENT
    await step()

    run = await harness.core.run(run_id)
    assert run.state == state
    for after in (0, seen):
        last = (await harness.read(run_id, after))[-1]
        assert last["type"] in FINAL_TYPES
        assert (last["status"], last["seq"]) == (status, run.rest_seq * SEQ_PER_JOURNAL_EVENT)
    again = await harness.read(run_id, run.rest_seq * SEQ_PER_JOURNAL_EVENT)
    assert [(each["type"], each.get("status"), each.get("seq")) for each in again] == [
        ("ready", None, None),
        (last["type"], status, None),
    ]


async def test_stream_of_erased_run_says_that_it_is_gone(harness: StreamHarness) -> None:
    run_id, _ = await harness.core.chat_until_rest("hello")
    conversation_id = (await harness.core.run(run_id)).conversation_id
    await harness.conversations.remove(ADA, conversation_id)
    await change_row(harness.core.store, Conversation, {"id": conversation_id}, erase_due=1)
    await harness.core.core.sweep.once()
    assert not await harness.core.store.read(lambda reader: reader.find(JournalEvent, {"run_id": run_id}))
    last = (await harness.read(run_id))[-1]
    assert (last["type"], last["code"], last["resume"]) == ("error", "removed", False)


async def test_run_of_earlier_version_ends_with_last_event(harness: StreamHarness) -> None:
    """Earlier versions left runs at rest whose last event was a vote or a decision."""
    run_id, _ = await harness.core.chat_until_rest("change a")
    run = await harness.core.run(run_id)
    await harness.core.store.transaction(lambda tx: tx.remove(JournalEvent, {"run_id": run_id, "n": run.journal}))
    await change_row(harness.core.store, Run, {"id": run_id}, journal=run.journal - 1, rest_seq=run.journal - 1)
    last = (await harness.read(run_id))[-1]
    assert (last["type"], last["status"]) == ("workflow_complete", "awaiting_approval")
