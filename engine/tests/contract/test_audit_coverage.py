"""Each change of state leaves its entry in the audit trail, in its own transaction: who, what, on what digest."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from src.api.adapters.store.trail import Note
from src.api.schemas.agent import SettleRequest
from src.api.schemas.audit import ENGINE
from src.api.schemas.conversations import ConversationChange, ConversationWanted
from src.api.schemas.records import Approval, Conversation, Run
from src.api.services.conversations import Conversations
from src.api.services.endings import Endings
from src.api.services.journal import Journal
from src.api.utils.ids import Uuid7
from src.api.utils.shown import shown_object
from tests.support.office import Office, office
from tests.support.rows import row
from tests.support.trail_table import TOLD, UNTOLD, found, untold
from tests.support.trail_watch import Move, Moved, watching
from tests.support.workshop import ADA, BOB
from tests.support.writing import change

pytestmark = pytest.mark.promise("audit")

ASK = "rules: []"
FREE = "rules: [{name: free, decision: allow, tools: change}]"
NEVER = "rules: [{name: never, decision: deny}]"
TWO = "rules: [{name: two, decision: two_people}]"
DEV = "rules: [{name: free, decision: allow, tools: change, namespaces: dev}]"


@dataclass(frozen=True)
class Story:
    """What people do under a policy, and what it must have moved. `who`: of the entries of runs, beside the engine."""

    happens: Callable[[Office], Awaitable[object]]
    moves: set[str]
    who: set[str]
    policy: str = ASK


async def approved(at: Office) -> None:
    run_id, [call] = await at.bench.asked("change dev.x")
    await at.bench.decide(call, reason="go on")
    await at.bench.until(run_id, "completed")


async def denied(at: Office) -> None:
    run_id, [call] = await at.bench.asked("change dev.x")
    await at.bench.decide(call, approve=False, caller=BOB)
    await at.bench.until(run_id, "completed")


async def voted(at: Office) -> None:
    run_id, [call] = await at.bench.asked("change dev.x")
    for caller in (ADA, BOB):
        await at.bench.decide(call, caller=caller)
    await at.bench.until(run_id, "completed")


async def changed(at: Office) -> None:
    await at.bench.asked("change dev.x")


async def read(at: Office) -> None:
    await at.bench.asked("look")


async def read_when_asked(at: Office) -> None:
    run_id, [call] = await at.bench.asked("look")
    await at.bench.decide(call)
    await at.bench.decide(call, caller=BOB)
    await at.bench.until(run_id, "completed")


async def expired(at: Office) -> None:
    run_id, [call] = await at.bench.asked("change dev.x")
    await change(at.bench.store, Approval, {"id": call}, approve_by=1)
    await at.bench.core.sweep.once()
    await at.bench.until(run_id, "completed")


async def superseded(at: Office) -> None:
    run_id, _ = await at.bench.asked("change dev.x")
    conversation = (await at.bench.run(run_id)).conversation_id
    await at.bench.asked("never mind", conversation)


async def stopped(at: Office) -> None:
    run_id, [first, second] = await at.bench.asked("change dev.x dev.y")
    await at.bench.decide(second)
    run = await at.bench.run(run_id)
    await at.bench.core.runs.stop(ADA, run.conversation_id, run_id)
    assert (await at.bench.approval(first)).status == "stopped"


async def stale(at: Office) -> None:
    run_id, [first, second] = await at.bench.asked("change prod.x dev.y")
    assert (await at.bench.approval(second)).decided_by == "policy:free"
    at.write(ASK)
    await at.bench.decide(first)
    await at.bench.until(run_id, "awaiting_approval")
    assert (await at.bench.approval(second)).status == "stale"


async def denied_at_the_start(at: Office) -> None:
    run_id, [call] = await at.bench.asked("change dev.x")
    at.write(NEVER)
    await at.bench.decide(call)
    await at.bench.until(run_id, "completed")


async def edited(at: Office) -> None:
    run_id, [call] = await at.bench.asked("change dev.x")
    await at.bench.decide(call, args={"name": "dev.y"}, caller=BOB)
    [_, anew] = await at.bench.calls(run_id)
    await at.bench.decide(anew.id, approve=False)
    await at.bench.until(run_id, "completed")


async def refused(at: Office) -> None:
    at.tools.next = ["refuse"]
    run_id, [first, second] = await at.bench.asked("change dev.x dev.y")
    await at.bench.decide(second)
    await at.bench.decide(first)
    await at.bench.until(run_id, "completed")


async def lost(at: Office, how: str = "lose") -> str:
    at.tools.next = [how]
    run_id, [call] = await at.bench.asked("change dev.x")
    await at.bench.decide(call)
    await at.bench.until(run_id, "completed")
    return call


async def found_out(at: Office) -> None:
    await at.bench.core.verification.verify(BOB, await lost(at), SettleRequest())


async def never_ran(at: Office) -> None:
    await at.bench.core.verification.verify(BOB, await lost(at, "drop"), SettleRequest())


async def settled(at: Office) -> None:
    call = await lost(at)
    at.tools.grants[call] = "started"
    await at.bench.core.verification.verify(BOB, call, SettleRequest())
    await at.bench.core.verification.verify(BOB, call, SettleRequest(outcome="applied", reason="I looked."))


async def failed(at: Office) -> None:
    await at.bench.asked("fail")


async def conversed(at: Office) -> None:
    ids = Uuid7()
    conversations = Conversations(at.bench.store, ids, Endings(at.bench.store, Journal(ids), ids))
    made = await conversations.start(ADA, ConversationWanted())
    await conversations.change(ADA, made.id, ConversationChange(title="What nobody else is to read"))
    await conversations.remove(ADA, made.id)
    await change(at.bench.store, Conversation, {"id": made.id}, erase_due=1)
    await at.bench.core.sweep.once()


_ASKED = {"run made", "run awaiting_approval", "approval made pending", "call awaiting_approval"}
_RAN = {"approval consumed", "call executing", "execution started"}
STORIES = {
    "approved": Story(
        approved, _ASKED | _RAN | {"approval approved", "call approved", "execution succeeded"}, {"local"}
    ),
    "denied": Story(denied, _ASKED | {"approval denied", "call denied", "run completed"}, {"local", "user:bob"}),
    "voted": Story(voted, _ASKED | {"approval pending", "decision made"}, {"local", "user:bob"}, TWO),
    "allowed": Story(changed, _RAN | {"approval made approved", "call completed"}, {"local", "policy:free"}, FREE),
    "forbidden": Story(changed, {"call denied"}, {"local", "policy:never"}, NEVER),
    "read": Story(read, {"call executing", "call completed"}, {"local"}),
    "read forbidden": Story(read, {"call denied"}, {"local", "policy:never"}, NEVER),
    "read when asked": Story(read_when_asked, _ASKED | _RAN | {"call pending"}, {"local", "user:bob"}, TWO),
    "expired": Story(expired, _ASKED | {"approval expired", "call expired"}, {"local"}),
    "superseded": Story(superseded, _ASKED | {"approval superseded", "call superseded"}, {"local"}),
    "stopped": Story(
        stopped, _ASKED | {"approval stopped", "call stopped", "run stop asked", "run stopped"}, {"local"}
    ),
    "stale": Story(stale, _ASKED | _RAN | {"approval stale", "call stale"}, {"local", "policy:free"}, DEV),
    "denied at the start": Story(denied_at_the_start, _ASKED | {"approval stale"}, {"local", "policy:never"}),
    "edited": Story(edited, _ASKED | {"approval superseded", "call made awaiting_approval"}, {"local", "user:bob"}),
    "refused": Story(refused, _ASKED | _RAN | {"execution failed", "call error"}, {"local"}),
    "found out": Story(found_out, _RAN | {"execution unknown", "call unknown"}, {"local"}),
    "never ran": Story(never_ran, _RAN | {"execution not_applied"}, {"local"}),
    "settled": Story(settled, _RAN | {"execution looked at", "execution applied"}, {"local", "user:bob"}),
    "failed": Story(failed, {"run failed"}, {"local"}),
    "conversed": Story(
        conversed,
        {"conversation made", "conversation changed", "conversation deleted", "conversation erased"},
        {"local"},
    ),
}
ACCOUNTS = ("user ", "session ", "token ", "identity ", "integration ")
"""Shown by `tests/api/test_audit_coverage.py`."""
WHOSE = ("tool.approved", "tool.denied", "tool.vote")
"""What the engine never does by itself."""


@pytest.mark.parametrize("name", STORIES)
async def test_each_change_of_state_is_told(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    story = STORIES[name]
    with watching(monkeypatch) as seen:
        async with office(store_url, tmp_path, story.policy, BOB) as at:
            seen.clear()
            await story.happens(at)
    moved = {each for one in seen for each, _ in found(one)}
    assert story.moves <= moved
    assert moved <= TOLD.keys() | UNTOLD.keys()
    assert [each for one in seen for each in untold(one)] == []
    assert {note.by.id for one in seen for note in one.told if note.stream != "policy"} - {"engine"} == story.who
    _check_decisions(seen)


def _check_decisions(seen: list[Moved]) -> None:
    """Each has somebody behind it, and the digest of what was shown; a policy's tells the arguments instead."""
    told = [(note, shown_object(note.body)) for one in seen for note in one.told]
    digests = {body["call_id"]: body["digest"] for note, body in told if note.action == "tool.awaiting_approval"}
    for note, body in told:
        if note.action in WHOSE:
            assert note.by.id != "engine"
            by_policy = note.by.id.startswith("policy:")
            assert ("args" in body) is by_policy
            assert by_policy or body["digest"] == digests[body["call_id"]]


async def test_what_a_policy_allows_or_denies_is_told_with_its_digest(
    sqlite_store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for policy, action in ((FREE, "tool.approved"), (NEVER, "tool.denied")):
        with watching(monkeypatch) as seen:
            async with office(sqlite_store_url, tmp_path, policy) as at:
                await at.bench.asked("change dev.x")
        [told] = [shown_object(note.body) for one in seen for note in one.told if note.action == action]
        assert (len(str(told["digest"])), told["args"]) == (64, {"name": "dev.x", "value": "new"})


def test_what_leaves_no_entry_or_somebody_elses_is_found() -> None:
    move = Move(row(Run, id="r", state="failed"), frozenset({"state"}))
    assert untold(Moved([move])) == ["run failed"]
    assert untold(Moved([move], told=[Note("run:other", "run.failed", ENGINE, "{}")])) == ["run failed"]
    assert untold(Moved([move], told=[Note("run:r", "run.failed", ENGINE, "{}")])) == []


def test_no_change_of_state_is_left_out() -> None:
    shown = set[str]().union(*(story.moves for story in STORIES.values()))
    assert {name for name in TOLD if not name.startswith(ACCOUNTS)} - shown == {"call made error"}
    assert Counter(TOLD.keys()) & Counter(UNTOLD.keys()) == Counter()
