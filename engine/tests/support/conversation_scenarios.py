"""The crash suite's scenarios about conversations as such: made and changed by requests, and summarised."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from tests.support.crash_script import ANSWER, SUMMARY
from tests.support.reducer import reduce

if TYPE_CHECKING:
    from tests.support.client import FollowedRun
    from tests.support.crash_scenarios import ScenarioContext

__all__ = ["conversations", "run_compacted"]

LONG = "word " * 2_000


def run_compacted(context: ScenarioContext) -> tuple[FollowedRun, FollowedRun]:
    """Ask two long questions; check that the second run has one summary, announced and stored once, and answers."""
    first = replace(context.new_run(), text=f"First {LONG}")
    first.chat()
    first.until("completed")
    first.follow()
    second = replace(context.new_run(), text=f"Second {LONG}", body={"conversation_id": first.conversation_id})
    second.chat()
    second.until("completed")
    second.follow()
    assert reduce(second.events).text == ANSWER
    announced = [event for event in second.replay() if event["type"] == "context.compacted"]
    assert [(event["version"], event["summary"]) for event in announced] == [(1, SUMMARY)]
    entries = context.client.get(f"/conversations/{first.conversation_id}")["messages"]
    stored = [each["id"] for entry in entries if entry["type"] == "assistant" for each in entry["summaries"]]
    assert stored == [announced[0]["summary_id"]]
    return first, second


def conversations(context: ScenarioContext) -> None:
    """Create, rename and delete a conversation."""
    own = str(uuid4())
    for _ in range(2):
        made = context.client.post("/conversations", {"conversation_id": own, "title": "First"})
        assert (made.status_code, made.json()["id"]) == (200, own)
    assert context.client.request("PATCH", f"/conversations/{own}", {"title": "Second"}).status_code == 200
    assert context.client.get(f"/conversations/{own}")["title"] == "Second"
    assert context.client.request("DELETE", f"/conversations/{own}").status_code in (200, 404)
    assert context.client.request("GET", f"/conversations/{own}").status_code == 404
