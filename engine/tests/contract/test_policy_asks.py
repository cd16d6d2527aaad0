"""Whether a person will have to decide: said when the model asks, alike in the events and in the timeline."""

from pathlib import Path

import pytest

from src.api.agent.policy import Ruling
from src.api.schemas.records import Call, JournalEvent, Message, Run
from src.api.schemas.timeline import AssistantEntry, ToolSegment
from src.api.services.policing import needs_a_person
from src.api.services.timeline import entries
from src.api.utils.shown import shown_object
from tests.support.office import Office, office

pytestmark = pytest.mark.promise("policy")


async def told(at: Office, run_id: str) -> list[bool]:
    """What `tools.pending` said of each call; the timeline says the same."""
    of = {"run_id": run_id}
    store = at.bench.store
    [event] = await store.read(lambda reader: reader.find(JournalEvent, {**of, "type": "tools.pending"}))
    listed = shown_object(event.body)["tools"]
    assert isinstance(listed, list)
    said = {one["call_id"]: one["requires_approval"] for one in listed if isinstance(one, dict)}
    messages = await store.read(lambda reader: reader.find(Message, of, "created_at,id"))
    calls = await store.read(lambda reader: reader.find(Call, of))
    runs = await store.read(lambda reader: reader.find(Run, {"id": run_id}))
    [_, answer] = entries(messages, calls, runs)
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
async def test_what_is_said_is_what_happens(
    sqlite_store_url: str, tmp_path: Path, policy: str, words: str, asks: bool
) -> None:
    async with office(sqlite_store_url, tmp_path, policy) as at:
        run_id, _ = await at.bench.asked(words)
        assert await told(at, run_id) == [asks]
        assert ((await at.bench.run(run_id)).state == "awaiting_approval") is asks


async def test_where_only_the_preview_can_tell_it_says_that_it_asks(store_url: str, tmp_path: Path) -> None:
    policy = "rules: [{name: free, decision: allow, tools: change, namespaces: 'dev-*'}]"
    async with office(store_url, tmp_path, policy) as at:
        run_id, _ = await at.bench.asked("change dev-1.x")
        assert (await at.bench.run(run_id)).state == "completed"
        assert await told(at, run_id) == [True]


async def test_what_takes_its_place_asks(sqlite_store_url: str, tmp_path: Path) -> None:
    policy = "rules: [{name: two, decision: ask, tools: wipe}, {name: free, decision: allow, tools: change}]"
    async with office(sqlite_store_url, tmp_path, policy) as at:
        run_id, [call_id] = await at.bench.asked("wipe dev.x")
        await at.bench.decide(call_id, args={"name": "dev.y"})
        assert await told(at, run_id) == [True]
        assert len(await at.bench.calls(run_id)) == 2


@pytest.mark.parametrize(
    ("ruling", "in_the_end", "before"),
    [
        (Ruling("allow", "one", None), False, False),
        (Ruling("ask", "one", None), True, True),
        (Ruling("two_people", "one", None), True, True),
        (Ruling("deny", "one", None), False, False),
        (Ruling("deny", "one", None, guessed="namespaces"), False, True),
    ],
)
def test_a_guess_at_a_denial_is_none_while_more_will_be_known(ruling: Ruling, in_the_end: bool, before: bool) -> None:
    assert (needs_a_person(ruling, final=True), needs_a_person(ruling, final=False)) == (in_the_end, before)
