"""Every change of state writes its audit entry in the same transaction: actor, action and digest."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from src.api.adapters.store.audit import PendingEntry
from src.api.schemas.agent import ReconcileRequest
from src.api.schemas.audit import ENGINE
from src.api.schemas.conversations import ConversationChange, ConversationCreate
from src.api.schemas.records import Approval, Conversation, Run
from src.api.services.conversations.conversations import Conversations
from src.api.services.runs.completion import RunCompletion
from src.api.services.streaming.journal import Journal
from src.api.utils.ids import Uuid7
from src.api.utils.json_columns import load_object
from tests.support.audit_expectations import AUDITED, NOT_AUDITED, find_unaudited, name_changes
from tests.support.audit_recorder import RowChange, TransactionChanges, record_transactions
from tests.support.core_harness import ADA, BOB
from tests.support.policy_harness import PolicyHarness, open_policy_harness
from tests.support.rows import row
from tests.support.store_writes import change_row

pytestmark = pytest.mark.promise("audit")

ASK = "rules: []"
FREE = "rules: [{name: free, decision: allow, tools: change}]"
NEVER = "rules: [{name: never, decision: deny}]"
TWO = "rules: [{name: two, decision: two_people}]"
DEV = "rules: [{name: free, decision: allow, tools: change, namespaces: dev}]"


@dataclass(frozen=True)
class Scenario:
    """What users do under a policy, the changes it must make, and the actors in the run's entries except the engine."""

    act: Callable[[PolicyHarness], Awaitable[object]]
    changes: set[str]
    actors: set[str]
    policy: str = ASK


async def approve(at: PolicyHarness) -> None:
    run_id, [call] = await at.core_harness.chat_until_rest("change dev.x")
    await at.core_harness.decide(call, reason="go on")
    await at.core_harness.until(run_id, "completed")


async def deny(at: PolicyHarness) -> None:
    run_id, [call] = await at.core_harness.chat_until_rest("change dev.x")
    await at.core_harness.decide(call, approve=False, caller=BOB)
    await at.core_harness.until(run_id, "completed")


async def vote(at: PolicyHarness) -> None:
    run_id, [call] = await at.core_harness.chat_until_rest("change dev.x")
    for caller in (ADA, BOB):
        await at.core_harness.decide(call, caller=caller)
    await at.core_harness.until(run_id, "completed")


async def request_change(at: PolicyHarness) -> None:
    await at.core_harness.chat_until_rest("change dev.x")


async def request_read(at: PolicyHarness) -> None:
    await at.core_harness.chat_until_rest("look")


async def approve_read(at: PolicyHarness) -> None:
    run_id, [call] = await at.core_harness.chat_until_rest("look")
    await at.core_harness.decide(call)
    await at.core_harness.decide(call, caller=BOB)
    await at.core_harness.until(run_id, "completed")


async def expire(at: PolicyHarness) -> None:
    run_id, [call] = await at.core_harness.chat_until_rest("change dev.x")
    await change_row(at.core_harness.store, Approval, {"id": call}, approve_by=1)
    await at.core_harness.core.sweep.once()
    await at.core_harness.until(run_id, "completed")


async def supersede(at: PolicyHarness) -> None:
    run_id, _ = await at.core_harness.chat_until_rest("change dev.x")
    conversation = (await at.core_harness.run(run_id)).conversation_id
    await at.core_harness.chat_until_rest("never mind", conversation)


async def stop(at: PolicyHarness) -> None:
    run_id, [first, second] = await at.core_harness.chat_until_rest("change dev.x dev.y")
    await at.core_harness.decide(second)
    run = await at.core_harness.run(run_id)
    await at.core_harness.core.runs.stop(ADA, run.conversation_id, run_id)
    assert (await at.core_harness.approval(first)).status == "stopped"


async def make_stale(at: PolicyHarness) -> None:
    run_id, [first, second] = await at.core_harness.chat_until_rest("change prod.x dev.y")
    assert (await at.core_harness.approval(second)).decided_by == "policy:free"
    at.write(ASK)
    await at.core_harness.decide(first)
    await at.core_harness.until(run_id, "awaiting_approval")
    assert (await at.core_harness.approval(second)).status == "stale"


async def deny_at_start(at: PolicyHarness) -> None:
    run_id, [call] = await at.core_harness.chat_until_rest("change dev.x")
    at.write(NEVER)
    await at.core_harness.decide(call)
    await at.core_harness.until(run_id, "completed")


async def edit(at: PolicyHarness) -> None:
    run_id, [call] = await at.core_harness.chat_until_rest("change dev.x")
    await at.core_harness.decide(call, args={"name": "dev.y"}, caller=BOB)
    [_, edited_call] = await at.core_harness.calls(run_id)
    await at.core_harness.decide(edited_call.id, approve=False)
    await at.core_harness.until(run_id, "completed")


async def refuse(at: PolicyHarness) -> None:
    at.tools.next = ["refuse"]
    run_id, [first, second] = await at.core_harness.chat_until_rest("change dev.x dev.y")
    await at.core_harness.decide(second)
    await at.core_harness.decide(first)
    await at.core_harness.until(run_id, "completed")


async def lose_answer(at: PolicyHarness, how: str = "lose") -> str:
    at.tools.next = [how]
    run_id, [call] = await at.core_harness.chat_until_rest("change dev.x")
    await at.core_harness.decide(call)
    await at.core_harness.until(run_id, "completed")
    return call


async def prove_outcome(at: PolicyHarness) -> None:
    await at.core_harness.core.verification.verify(BOB, await lose_answer(at), ReconcileRequest())


async def prove_not_run(at: PolicyHarness) -> None:
    await at.core_harness.core.verification.verify(BOB, await lose_answer(at, "drop"), ReconcileRequest())


async def settle(at: PolicyHarness) -> None:
    call = await lose_answer(at)
    at.tools.grants[call] = "started"
    await at.core_harness.core.verification.verify(BOB, call, ReconcileRequest())
    await at.core_harness.core.verification.verify(BOB, call, ReconcileRequest(outcome="applied", reason="I looked."))


async def fail(at: PolicyHarness) -> None:
    await at.core_harness.chat_until_rest("fail")


async def use_conversation(at: PolicyHarness) -> None:
    ids = Uuid7()
    conversations = Conversations(at.core_harness.store, ids, RunCompletion(at.core_harness.store, Journal(ids), ids))
    made = await conversations.start(ADA, ConversationCreate())
    await conversations.change(ADA, made.id, ConversationChange(title="What nobody else is to read"))
    await conversations.remove(ADA, made.id)
    await change_row(at.core_harness.store, Conversation, {"id": made.id}, erase_due=1)
    await at.core_harness.core.sweep.once()


_ASKED = {"run made", "run awaiting_approval", "approval made pending", "call awaiting_approval"}
_RAN = {"approval consumed", "call executing", "execution started"}
SCENARIOS = {
    "approved": Scenario(
        approve, _ASKED | _RAN | {"approval approved", "call approved", "execution succeeded"}, {"local"}
    ),
    "denied": Scenario(deny, _ASKED | {"approval denied", "call denied", "run completed"}, {"local", "user:bob"}),
    "voted": Scenario(vote, _ASKED | {"approval pending", "decision made"}, {"local", "user:bob"}, TWO),
    "allowed": Scenario(
        request_change, _RAN | {"approval made approved", "call completed"}, {"local", "policy:free"}, FREE
    ),
    "forbidden": Scenario(request_change, {"call denied"}, {"local", "policy:never"}, NEVER),
    "read": Scenario(request_read, {"call executing", "call completed"}, {"local"}),
    "read forbidden": Scenario(request_read, {"call denied"}, {"local", "policy:never"}, NEVER),
    "read when asked": Scenario(approve_read, _ASKED | _RAN | {"call pending"}, {"local", "user:bob"}, TWO),
    "expired": Scenario(expire, _ASKED | {"approval expired", "call expired"}, {"local"}),
    "superseded": Scenario(supersede, _ASKED | {"approval superseded", "call superseded"}, {"local"}),
    "stopped": Scenario(
        stop, _ASKED | {"approval stopped", "call stopped", "run stop asked", "run stopped"}, {"local"}
    ),
    "stale": Scenario(make_stale, _ASKED | _RAN | {"approval stale", "call stale"}, {"local", "policy:free"}, DEV),
    "denied at the start": Scenario(deny_at_start, _ASKED | {"approval stale"}, {"local", "policy:never"}),
    "edited": Scenario(edit, _ASKED | {"approval superseded", "call made awaiting_approval"}, {"local", "user:bob"}),
    "refused": Scenario(refuse, _ASKED | _RAN | {"execution failed", "call error"}, {"local"}),
    "found out": Scenario(prove_outcome, _RAN | {"execution unknown", "call unknown"}, {"local"}),
    "never ran": Scenario(prove_not_run, _RAN | {"execution not_applied"}, {"local"}),
    "settled": Scenario(settle, _RAN | {"execution looked at", "execution applied"}, {"local", "user:bob"}),
    "failed": Scenario(fail, {"run failed"}, {"local"}),
    "conversed": Scenario(
        use_conversation,
        {"conversation made", "conversation changed", "conversation deleted", "conversation erased"},
        {"local"},
    ),
}
ACCOUNTS = ("user ", "session ", "token ", "identity ", "integration ")
"""Tested by `tests/api/audit/test_account_audit_entries.py`."""
DECISIONS = ("tool.approved", "tool.denied", "tool.vote")
"""Actions that the engine never takes by itself."""


@pytest.mark.parametrize("name", SCENARIOS)
async def test_each_state_change_is_audited(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    scenario = SCENARIOS[name]
    with record_transactions(monkeypatch) as seen:
        async with open_policy_harness(store_url, tmp_path, scenario.policy, BOB) as at:
            seen.clear()
            await scenario.act(at)
    moved = {each for one in seen for each, _ in name_changes(one)}
    assert scenario.changes <= moved
    assert moved <= AUDITED.keys() | NOT_AUDITED.keys()
    assert [each for one in seen for each in find_unaudited(one)] == []
    assert {note.by.id for one in seen for note in one.entries if note.stream != "policy"} - {
        "engine"
    } == scenario.actors
    _check_decisions(seen)


def _check_decisions(seen: list[TransactionChanges]) -> None:
    """Check that each decision has an actor and the digest that was shown; a policy's has the arguments instead."""
    entries = [(note, load_object(note.body)) for one in seen for note in one.entries]
    digests = {body["call_id"]: body["digest"] for note, body in entries if note.action == "tool.awaiting_approval"}
    for note, body in entries:
        if note.action in DECISIONS:
            assert note.by.id != "engine"
            by_policy = note.by.id.startswith("policy:")
            assert ("args" in body) is by_policy
            assert by_policy or body["digest"] == digests[body["call_id"]]


async def test_policy_decision_is_audited_with_digest(
    sqlite_store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for policy, action in ((FREE, "tool.approved"), (NEVER, "tool.denied")):
        with record_transactions(monkeypatch) as seen:
            async with open_policy_harness(sqlite_store_url, tmp_path, policy) as at:
                await at.core_harness.chat_until_rest("change dev.x")
        [entry] = [load_object(note.body) for one in seen for note in one.entries if note.action == action]
        assert (len(str(entry["digest"])), entry["args"]) == (64, {"name": "dev.x", "value": "new"})


def test_missing_or_misplaced_entry_is_detected() -> None:
    move = RowChange(row(Run, id="r", state="failed"), frozenset({"state"}))
    assert find_unaudited(TransactionChanges([move])) == ["run failed"]
    assert find_unaudited(
        TransactionChanges([move], entries=[PendingEntry("run:other", "run.failed", ENGINE, "{}")])
    ) == ["run failed"]
    assert find_unaudited(TransactionChanges([move], entries=[PendingEntry("run:r", "run.failed", ENGINE, "{}")])) == []


def test_every_state_change_has_a_scenario() -> None:
    shown = set[str]().union(*(scenario.changes for scenario in SCENARIOS.values()))
    assert {name for name in AUDITED if not name.startswith(ACCOUNTS)} - shown == {"call made error"}
    assert Counter(AUDITED.keys()) & Counter(NOT_AUDITED.keys()) == Counter()
