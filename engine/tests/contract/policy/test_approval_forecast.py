"""`requires_approval` in events and timeline: announced with the call, and true in the end."""

from pathlib import Path

import pytest

from src.api.agent.policy import PolicyDecision
from src.api.schemas.records import Call, JournalEvent, Message, Run
from src.api.schemas.timeline import AssistantEntry, ToolSegment
from src.api.services.conversations.timeline import build_entries
from src.api.services.policy.enforcement import needs_human_approval
from src.api.utils.json_columns import load_object
from tests.support.policy_harness import PolicyHarness, open_policy_harness

pytestmark = pytest.mark.promise("policy")


async def read_forecasts(at: PolicyHarness, run_id: str) -> list[bool]:
    """Read `requires_approval` of each call from `tools.pending`, and check that the timeline agrees."""
    of = {"run_id": run_id}
    store = at.core_harness.store
    [event] = await store.read(lambda reader: reader.find(JournalEvent, {**of, "type": "tools.pending"}))
    listed = load_object(event.body)["tools"]
    assert isinstance(listed, list)
    said = {one["call_id"]: one["requires_approval"] for one in listed if isinstance(one, dict)}
    messages = await store.read(lambda reader: reader.find(Message, of, "created_at,id"))
    calls = await store.read(lambda reader: reader.find(Call, of))
    runs = await store.read(lambda reader: reader.find(Run, {"id": run_id}))
    [_, answer] = build_entries(messages, calls, runs, {})
    assert isinstance(answer, AssistantEntry)
    shown = [each.toolExecution for each in answer.segments if isinstance(each, ToolSegment)]
    assert {each.call_id: each.requires_approval for each in shown if each.supersedes is None} == said
    assert all(each.requires_approval for each in shown if each.supersedes)
    return [bool(each) for each in said.values()]


RULE = "rules: [{{name: one, decision: {}}}]"


@pytest.mark.parametrize(
    ("policy", "words", "asks"),
    [
        ("rules: []", "look", False),
        ("rules: []", "change dev.x", True),
        ("rules: []", "wipe dev.x", True),
        (RULE.format("allow, tools: change"), "change dev.x", False),
        (RULE.format("ask, verbs: read"), "look", True),
        (RULE.format("deny"), "change dev.x", False),
        (RULE.format("deny"), "look", False),
        (RULE.format("two_people"), "change dev.x", True),
        (RULE.format("deny, namespaces: [prod]"), "change dev.x", True),
        (RULE.format("deny, namespaces: [prod]"), "look", False),
        ("rules: [", "look", True),
    ],
)
async def test_forecast_matches_outcome(
    sqlite_store_url: str, tmp_path: Path, policy: str, words: str, asks: bool
) -> None:
    async with open_policy_harness(sqlite_store_url, tmp_path, policy) as at:
        run_id, _ = await at.core_harness.chat_until_rest(words)
        assert await read_forecasts(at, run_id) == [asks]
        assert ((await at.core_harness.run(run_id)).state == "awaiting_approval") is asks


async def test_forecast_is_true_if_only_preview_can_decide(store_url: str, tmp_path: Path) -> None:
    policy = "rules: [{name: free, decision: allow, tools: change, namespaces: 'dev-*'}]"
    async with open_policy_harness(store_url, tmp_path, policy) as at:
        run_id, _ = await at.core_harness.chat_until_rest("change dev-1.x")
        assert (await at.core_harness.run(run_id)).state == "completed"
        assert await read_forecasts(at, run_id) == [True]


async def test_replacement_call_requires_approval(sqlite_store_url: str, tmp_path: Path) -> None:
    policy = "rules: [{name: two, decision: ask, tools: wipe}, {name: free, decision: allow, tools: change}]"
    async with open_policy_harness(sqlite_store_url, tmp_path, policy) as at:
        run_id, [call_id] = await at.core_harness.chat_until_rest("wipe dev.x")
        await at.core_harness.decide(call_id, args={"name": "dev.y"})
        assert await read_forecasts(at, run_id) == [True]
        assert len(await at.core_harness.calls(run_id)) == 2


@pytest.mark.parametrize(
    ("ruling", "in_the_end", "before"),
    [
        (PolicyDecision("allow", "one", None), False, False),
        (PolicyDecision("ask", "one", None), True, True),
        (PolicyDecision("two_people", "one", None), True, True),
        (PolicyDecision("deny", "one", None), False, False),
        (PolicyDecision("deny", "one", None, guessed="namespaces"), False, True),
    ],
)
def test_guessed_denial_still_requires_approval(ruling: PolicyDecision, in_the_end: bool, before: bool) -> None:
    assert (needs_human_approval(ruling, final=True), needs_human_approval(ruling, final=False)) == (in_the_end, before)
