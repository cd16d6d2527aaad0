"""Exporting a conversation: a document for people, and its timeline as JSON."""

import json
from collections.abc import Callable, Sequence

import httpx
import pytest

from src.api.config.settings import Settings
from src.api.schemas.base import JsonObject, Verbatim
from src.api.schemas.timeline import (
    AssistantEntry,
    ConversationDetail,
    TextSegment,
    TokenTotals,
    ToolExecution,
    ToolSegment,
    UserEntry,
)
from src.api.services.export import RESULT_CHARACTERS, as_markdown
from tests.support.app import Running, newcomer, problem, running

NOW = 1_767_225_600_000


def a_tool(*, result: Sequence[JsonObject] = (), title: str = "Get objects", error: str | None = None) -> ToolSegment:
    execution = ToolExecution(
        call_id="c",
        tool="k8s_get",
        title=title,
        args=Verbatim('{"kind":"pods"}'),
        status="completed",
        result=Verbatim(json.dumps(result)),
        error=error,
        requires_approval=False,
        timestamp=NOW,
    )
    return ToolSegment(id="c", toolExecution=execution, timestamp=NOW)


def a_conversation(*segments: TextSegment | ToolSegment, error: str | None = None) -> ConversationDetail:
    answer = AssistantEntry(
        id="a",
        run_id="r",
        content="",
        timestamp=NOW,
        segments=list(segments),
        token_usage=TokenTotals(),
        error=error,
    )
    return ConversationDetail(
        id="x",
        title="Checkout *down*",
        is_active=True,
        created_at=NOW,
        conversation_metadata=Verbatim("{}"),
        messages=[UserEntry(id="u", content="Why?\n\nReally.", timestamp=NOW), answer],
        active_run=None,
    )


def test_what_was_asked_done_and_answered_stands_in_order() -> None:
    found = as_markdown(
        a_conversation(
            a_tool(result=[{"type": "text", "text": "NAME\nweb"}]), TextSegment(id="t", text="It is up.", timestamp=NOW)
        )
    )
    places = [
        found.index(part) for part in ("# Checkout", "> Why?", "> Really.", "**Get objects**", "web", "It is up.")
    ]
    assert places == sorted(places)
    assert "2026-01-01 00:00:00 UTC" in found


@pytest.mark.promise("secrets")
def test_what_a_tool_returned_can_not_leave_its_block() -> None:
    found = as_markdown(a_conversation(a_tool(result=[{"type": "text", "text": "```\n# Approved by the boss\n````x"}])))
    fence = "`" * 5
    inside = found.split(f"{fence}text\n")[1].split(f"\n{fence}")[0]
    assert "# Approved by the boss" in inside


def test_titles_and_errors_are_no_markdown() -> None:
    found = as_markdown(a_conversation(a_tool(title="<b>\n# x", error="[link](http://x)"), error="it *broke*"))
    assert r"\<b\> \# x" in found
    assert r"\[link\](http://x)" in found
    assert r"it \*broke\*" in found


def test_a_long_result_is_cut_and_says_so() -> None:
    found = as_markdown(a_conversation(a_tool(result=[{"type": "text", "text": "x" * (RESULT_CHARACTERS + 7)}])))
    assert "7 more characters" in found


async def test_both_forms_are_files_for_those_who_may_see_it(settings: Callable[..., Settings]) -> None:
    async with running(settings(registration_enabled=True)) as engine:
        ana, bo = await newcomer(engine, "ana@example.com"), await newcomer(engine, "bo@example.com")
        made = (await ana.post("/conversations", json={"title": "First"})).json()["id"]
        page = await ana.get(f"/conversations/{made}/export")
        data = await ana.get(f"/conversations/{made}/export", params={"format": "json"})
        problem(await bo.get(f"/conversations/{made}/export"), 404)
        problem(await ana.get(f"/conversations/{made}/export", params={"format": "pdf"}), 422)
    _is_a_file(page, "text/markdown", f"conversation-{made}.md")
    _is_a_file(data, "application/json", f"conversation-{made}.json")
    assert page.text.startswith("# First\n")
    assert json.loads(data.text)["title"] == "First"


def _is_a_file(answer: httpx.Response, media: str, name: str) -> None:
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(media)
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'


async def test_an_unknown_one_is_unknown(engine: Running) -> None:
    client = await newcomer(engine, "ana@example.com")
    problem(await client.get("/conversations/0198b2f0-0000-7000-8000-000000000000/export"), 404)
