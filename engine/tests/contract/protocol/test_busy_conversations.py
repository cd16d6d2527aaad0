"""One active run per conversation: queued and interrupting messages, replaced messages and removal."""

import asyncio
from dataclasses import replace

import pytest

from src.api.adapters.store.store import TortoiseStore
from src.api.errors import ConversationBusy, KeyReused, NotFound
from src.api.ports import Reader
from src.api.schemas.records import Approval, Call, Conversation, Run
from src.api.services.runs.submit import MAX_WAITING
from tests.support.history_rows import make_message
from tests.support.rows import row
from tests.support.run_submission import ALICE, SubmissionHarness
from tests.support.store_writes import insert_record


@pytest.fixture
def submission(store: TortoiseStore) -> SubmissionHarness:
    return SubmissionHarness(store)


@pytest.mark.promise("stop", "one-run")
async def test_waiting_run_can_be_stopped(submission: SubmissionHarness) -> None:
    active = await submission.submit("first")
    conversation_id = active.conversation_id
    waiting = [await submission.submit(text, conversation_id, on_busy="enqueue") for text in ("second", "third")]
    await submission.runs.stop(ALICE, conversation_id, waiting[0].run_id)
    assert [await submission.state(each.run_id) for each in (active, *waiting)] == ["queued", "stopped", "waiting"]
    await submission.runs.stop(ALICE, conversation_id, active.run_id)
    assert await submission.state(waiting[1].run_id) == "queued"
    assert submission.woken_runs == [active.run_id, waiting[1].run_id]


@pytest.mark.promise("stop")
async def test_stopping_ended_run_changes_nothing(submission: SubmissionHarness) -> None:
    ended = await submission.submit("first")
    conversation_id = ended.conversation_id
    await submission.runs.stop(ALICE, conversation_id, ended.run_id)
    active, waiting = await submission.submit("second", conversation_id), await submission.submit(
        "third", conversation_id, on_busy="enqueue"
    )
    await submission.runs.stop(ALICE, conversation_id, ended.run_id)
    assert [await submission.state(each.run_id) for each in (active, waiting)] == ["queued", "waiting"]


@pytest.mark.promise("bounded", "one-run")
@pytest.mark.parametrize("on_busy", ["enqueue", "interrupt"])
async def test_number_of_waiting_messages_is_limited(submission: SubmissionHarness, on_busy: str) -> None:
    active = await submission.submit("first")
    await submission.change_run(active.run_id, state="running")
    for _ in range(MAX_WAITING):
        await submission.submit("more", active.conversation_id, on_busy=on_busy)
    with pytest.raises(ConversationBusy):
        await submission.submit("too much", active.conversation_id, on_busy=on_busy)


@pytest.mark.promise("one-run")
async def test_replacing_message_keeps_earlier_answer(submission: SubmissionHarness, store: TortoiseStore) -> None:
    """The first message is answered after the second one was queued."""
    active = await submission.submit("first")
    conversation_id = active.conversation_id
    queued = await submission.submit("second", conversation_id, on_busy="enqueue")
    asked = await submission.messages(queued.run_id)
    run = await store.read(lambda reader: reader.find(Run, {"id": active.run_id}))
    answer = make_message(run[0], 1, "assistant", "an answer", at=asked[0].created_at + 1)
    await store.transaction(lambda tx: tx.insert(answer))
    await submission.submit(
        "second, better", conversation_id, on_busy="enqueue", replaces=await submission.message_id(queued.run_id)
    )
    assert [each.hidden for each in await submission.messages(active.run_id)] == [False, False]
    assert [each.hidden for each in await submission.messages(queued.run_id)] == [True]


@pytest.mark.promise("one-run")
async def test_waiting_run_of_replaced_message_never_starts(submission: SubmissionHarness) -> None:
    active = await submission.submit("first")
    conversation_id = active.conversation_id
    replaced = await submission.submit("second", conversation_id, on_busy="enqueue")
    better = await submission.submit(
        "second, better", conversation_id, on_busy="enqueue", replaces=await submission.message_id(replaced.run_id)
    )
    assert await submission.state(replaced.run_id) == "stopped"
    await submission.runs.stop(ALICE, conversation_id, active.run_id)
    assert await submission.state(better.run_id) == "queued"


@pytest.mark.promise("send-once")
async def test_idempotency_key_makes_one_run_and_conversation(submission: SubmissionHarness) -> None:
    answers = await asyncio.gather(*(submission.submit("first", key="once") for _ in range(10)))
    assert len({(each.run_id, each.conversation_id) for each in answers}) == 1
    runs = await submission.store.read(lambda reader: reader.find(Run, {}))
    conversations = await submission.store.read(lambda reader: reader.find(Conversation, {}))
    assert (len(runs), len(conversations)) == (1, 1)
    with pytest.raises(KeyReused):
        await submission.submit("second", key="once")


@pytest.mark.promise("send-once")
async def test_refused_message_does_not_consume_key(submission: SubmissionHarness) -> None:
    active = await submission.submit("first")
    with pytest.raises(ConversationBusy):
        await submission.submit("second", active.conversation_id, key="again")
    await submission.runs.stop(ALICE, active.conversation_id, active.run_id)
    later = await submission.submit("second", active.conversation_id, key="again")
    assert await submission.state(later.run_id) == "queued"


@pytest.mark.promise("stop", "no-approval-no-effect")
@pytest.mark.parametrize("state", ["queued", "running", "awaiting_approval", "completed"])
@pytest.mark.parametrize("status", ["pending", "approved"])
async def test_waiting_work_of_removed_conversation_never_runs(
    submission: SubmissionHarness, state: str, status: str
) -> None:
    active = await submission.submit("first")
    conversation_id = active.conversation_id
    queued = await submission.submit("second", conversation_id, on_busy="enqueue")
    own = {"run_id": active.run_id, "conversation_id": conversation_id}
    call = row(Call, id="x", status="awaiting_approval", turn=1, args="{}", redacted_args="{}", result="[]", **own)
    if state != "completed":
        await insert_record(submission.store, replace(call, kind="change"))
        await insert_record(submission.store, row(Approval, id="x", status=status, objects="[]", **own))
    await submission.change_run(active.run_id, state=state, turn=1)
    await submission.conversations.remove(ALICE, conversation_id)
    assert await submission.state(queued.run_id) == "stopped"
    run, approval = await submission.store.read(lambda reader: _read_run_and_approval(reader, active.run_id))
    assert run.state == {"completed": "completed", "running": "running"}.get(state, "stopped")
    assert (run.stop_at is None) is (state == "completed")
    assert approval is None or approval.status == "stopped"
    with pytest.raises(NotFound):
        await submission.submit("third", conversation_id)


async def _read_run_and_approval(reader: Reader, run_id: str) -> tuple[Run, Approval | None]:
    run = await reader.get(Run, id=run_id)
    assert run is not None
    return run, await reader.get(Approval, id="x")
