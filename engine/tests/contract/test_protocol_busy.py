"""One run per conversation: who waits for whom, who goes next, and what is folded away."""

import asyncio
from dataclasses import replace

import pytest

from src.api.adapters.store.store import TortoiseStore
from src.api.errors import ConversationBusy, KeyReused, NotFound
from src.api.ports import Reader
from src.api.schemas.records import Approval, Call, Conversation, Run
from src.api.services.chat import MAX_WAITING
from tests.support.front import ALICE, Front
from tests.support.rows import row
from tests.support.talk import a_message
from tests.support.writing import insert


@pytest.fixture
def front(store: TortoiseStore) -> Front:
    return Front(store)


@pytest.mark.promise("stop", "one-run")
async def test_a_run_that_waits_can_be_stopped_while_others_wait(front: Front) -> None:
    active = await front.say("first")
    here = active.conversation_id
    waiting = [await front.say(text, here, on_busy="enqueue") for text in ("second", "third")]
    await front.runs.stop(ALICE, here, waiting[0].run_id)
    assert [await front.state(each.run_id) for each in (active, *waiting)] == ["queued", "stopped", "waiting"]
    await front.runs.stop(ALICE, here, active.run_id)
    assert await front.state(waiting[1].run_id) == "queued"
    assert front.woken == [active.run_id, waiting[1].run_id]


@pytest.mark.promise("stop")
async def test_stopping_what_has_ended_changes_nothing_while_others_wait(front: Front) -> None:
    ended = await front.say("first")
    here = ended.conversation_id
    await front.runs.stop(ALICE, here, ended.run_id)
    active, waiting = await front.say("second", here), await front.say("third", here, on_busy="enqueue")
    await front.runs.stop(ALICE, here, ended.run_id)
    assert [await front.state(each.run_id) for each in (active, waiting)] == ["queued", "waiting"]


@pytest.mark.promise("bounded", "one-run")
@pytest.mark.parametrize("on_busy", ["enqueue", "interrupt"])
async def test_only_so_many_messages_wait(front: Front, on_busy: str) -> None:
    active = await front.say("first")
    await front.move(active.run_id, state="running")
    for _ in range(MAX_WAITING):
        await front.say("more", active.conversation_id, on_busy=on_busy)
    with pytest.raises(ConversationBusy):
        await front.say("too much", active.conversation_id, on_busy=on_busy)


@pytest.mark.promise("one-run")
async def test_folding_a_message_leaves_the_answer_before_it(front: Front, store: TortoiseStore) -> None:
    """The answer to the first message came after the second one had been queued."""
    active = await front.say("first")
    here = active.conversation_id
    queued = await front.say("second", here, on_busy="enqueue")
    asked = await front.messages(queued.run_id)
    run = await store.read(lambda reader: reader.find(Run, {"id": active.run_id}))
    answer = a_message(run[0], 1, "assistant", "an answer", at=asked[0].created_at + 1)
    await store.transaction(lambda tx: tx.insert(answer))
    await front.say("second, better", here, on_busy="enqueue", replaces=await front.message_id(queued.run_id))
    assert [each.hidden for each in await front.messages(active.run_id)] == [False, False]
    assert [each.hidden for each in await front.messages(queued.run_id)] == [True]


@pytest.mark.promise("one-run")
async def test_a_run_that_waits_over_a_folded_message_never_begins(front: Front) -> None:
    active = await front.say("first")
    here = active.conversation_id
    folded = await front.say("second", here, on_busy="enqueue")
    better = await front.say("second, better", here, on_busy="enqueue", replaces=await front.message_id(folded.run_id))
    assert await front.state(folded.run_id) == "stopped"
    await front.runs.stop(ALICE, here, active.run_id)
    assert await front.state(better.run_id) == "queued"


@pytest.mark.promise("send-once")
async def test_one_key_makes_one_run_and_one_conversation_however_often_it_is_sent(front: Front) -> None:
    told = await asyncio.gather(*(front.say("first", key="once") for _ in range(10)))
    assert len({(each.run_id, each.conversation_id) for each in told}) == 1
    runs = await front.store.read(lambda reader: reader.find(Run, {}))
    conversations = await front.store.read(lambda reader: reader.find(Conversation, {}))
    assert (len(runs), len(conversations)) == (1, 1)
    with pytest.raises(KeyReused):
        await front.say("second", key="once")


@pytest.mark.promise("send-once")
async def test_a_refused_message_does_not_use_its_key_up(front: Front) -> None:
    active = await front.say("first")
    with pytest.raises(ConversationBusy):
        await front.say("second", active.conversation_id, key="again")
    await front.runs.stop(ALICE, active.conversation_id, active.run_id)
    later = await front.say("second", active.conversation_id, key="again")
    assert await front.state(later.run_id) == "queued"


@pytest.mark.promise("stop", "no-approval-no-effect")
@pytest.mark.parametrize("state", ["queued", "running", "awaiting_approval", "completed"])
@pytest.mark.parametrize("status", ["pending", "approved"])
async def test_what_waits_in_a_removed_conversation_never_runs(front: Front, state: str, status: str) -> None:
    active = await front.say("first")
    here = active.conversation_id
    behind = await front.say("second", here, on_busy="enqueue")
    own = {"run_id": active.run_id, "conversation_id": here}
    call = row(Call, id="x", status="awaiting_approval", turn=1, args="{}", shown="{}", result="[]", **own)
    if state != "completed":
        await insert(front.store, replace(call, kind="change"))
        await insert(front.store, row(Approval, id="x", status=status, objects="[]", **own))
    await front.move(active.run_id, state=state, turn=1)
    await front.conversations.remove(ALICE, here)
    assert await front.state(behind.run_id) == "stopped"
    run, approval = await front.store.read(lambda reader: _both(reader, active.run_id))
    assert run.state == {"completed": "completed", "running": "running"}.get(state, "stopped")
    assert (run.stop_at is None) is (state == "completed")
    assert approval is None or approval.status == "stopped"
    with pytest.raises(NotFound):
        await front.say("third", here)


async def _both(reader: Reader, run_id: str) -> tuple[Run, Approval | None]:
    run = await reader.get(Run, id=run_id)
    assert run is not None
    return run, await reader.get(Approval, id="x")
